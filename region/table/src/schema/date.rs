//! Dates as DynamoDB writes them in errors.

use geodynamo_replicator_core::Millis;

/// Days from 0000-03-01, where eras of 400 years begin, to 1970-01-01.
pub(crate) const EPOCH_DAYS: u64 = 719_468;
/// Days of an era.
pub(crate) const ERA_DAYS: u64 = 146_097;
/// Milliseconds of a day.
pub(crate) const DAY_MS: Millis = 24 * HOUR_MS;
/// Milliseconds of an hour.
pub(crate) const HOUR_MS: Millis = 60 * 60 * 1000;

/// `Sunday, November 23, 2025 at 1:05:09 PM Coordinated Universal Time`, of milliseconds since the Unix epoch.
pub(crate) fn day_of_week_text(ms: Millis) -> String {
    const DAYS: [&str; 7] = [
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
    ];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let days = ms / DAY_MS;
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], at: u64| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
    let (of_week, month) = (name(&DAYS, days % 7), name(&MONTHS, month - 1));
    let of_day = ms % DAY_MS / 1000;
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let half = if hours < 12 { "AM" } else { "PM" };
    format!(
        "{}, {} {day}, {year} at {}:{minutes:02}:{seconds:02} {half} Coordinated Universal Time",
        of_week.unwrap_or_default(),
        month.unwrap_or_default(),
        (hours + 11) % 12 + 1,
    )
}

/// The Gregorian date of a day since 1970-01-01.
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |ms: Millis, expected: &str| {
            assert_eq!(day_of_week_text(ms), format!("{expected} Coordinated Universal Time"));
        };
        check(0, "Thursday, January 1, 1970 at 12:00:00 AM");
        check(951_782_400_000, "Tuesday, February 29, 2000 at 12:00:00 AM");
        check(1_763_899_509_999, "Sunday, November 23, 2025 at 12:05:09 PM");
        check(4_107_542_399_999, "Sunday, February 28, 2100 at 11:59:59 PM");
    }
}
