//! Stream labels: when a stream was switched on, as DynamoDB writes it.

use geodynamo_replicator_core::Millis;

use crate::schema::date::{EPOCH_DAYS, ERA_DAYS, civil};

/// What follows the time in the label of a stream of conflicts.
const CONFLICTS: &str = ".conflicts";
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A stream's label: `2026-11-23T09:30:00.000`, in UTC. The time is in milliseconds since the Unix epoch.
pub fn stream_label(ms: u64) -> String {
    let (year, month, day) = civil(ms / DAY_MS);
    let of_day = ms % DAY_MS;
    let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}",
        of_day % 1000
    )
}

/// What a label tells: when the stream was switched on, and what it is of; `None` if it is no label.
pub(crate) fn parse(label: &str) -> Option<(u64, StreamKind)> {
    match label.strip_suffix(CONFLICTS) {
        Some(label) => Some((parse_time(label)?, StreamKind::Conflicts)),
        None => Some((parse_time(label)?, StreamKind::Changes)),
    }
}

/// The label of a stream of either kind.
pub(crate) fn write(ms: u64, kind: StreamKind) -> String {
    let mut label = stream_label(ms);
    if kind == StreamKind::Conflicts {
        label.push_str(CONFLICTS);
    }
    label
}

fn parse_time(label: &str) -> Option<u64> {
    let (date, time) = label.split_once('T')?;
    let (time, ms) = time.split_once('.')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut date = date.splitn(3, '-').map(number);
    let mut time = time.splitn(3, ':').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next()??);
    if year > 9999 || !(1..=12).contains(&month) || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let of_day = ((hours * 60 + minutes) * 60 + seconds) * 1000 + number(ms)?;
    let parsed = days(year, month, day)?.checked_mul(DAY_MS)?.checked_add(of_day)?;
    // One time has one label; another way to write it, or a day that no month has, is none.
    (stream_label(parsed) == label).then_some(parsed)
}

/// The day since 1970-01-01 of a Gregorian date; `None` before that.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * ERA_DAYS + day_of_era).checked_sub(EPOCH_DAYS)
}

/// A stream as ARNs name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamName {
    /// The table's name; the table may be gone.
    pub table: String,
    /// When it was switched on, in milliseconds since the Unix epoch: its label.
    pub label_ms: Millis,
    /// What it is of, which its label tells, too.
    pub kind: StreamKind,
}

impl StreamName {
    /// The name of a table's stream with a label; `None` if it is no label.
    pub fn of(table: &str, label: &str) -> Option<Self> {
        let (label_ms, kind) = parse(label)?;
        Some(Self {
            table: table.to_owned(),
            label_ms,
            kind,
        })
    }

    /// The label: `2026-11-23T09:30:00.000`, of a stream of conflicts with `.conflicts` behind it.
    pub fn label(&self) -> String {
        write(self.label_ms, self.kind)
    }
}

/// What a stream is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// The changes of a table's items.
    Changes,
    /// The conflicts of a global table: writes that lost to concurrent ones of other regions.
    Conflicts,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels() {
        let check = |ms: u64, expected: &str| {
            assert_eq!(stream_label(ms), expected, "{ms}");
            let conflicts = format!("{expected}.conflicts");
            assert_eq!(write(ms, StreamKind::Conflicts), conflicts);
            assert_eq!(parse(&conflicts), Some((ms, StreamKind::Conflicts)));
            assert_eq!(parse(expected), Some((ms, StreamKind::Changes)));
        };
        check(0, "1970-01-01T00:00:00.000");
        check(951_782_400_000, "2000-02-29T00:00:00.000");
        check(1_732_354_162_789, "2024-11-23T09:29:22.789");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999");
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for label in [
            "",
            "2024-11-23",
            "2024-11-23T09:29:22",
            "2024-11-23T09:29:22.7",
            "2024-11-23T09:29:22.7890",
            "2024-02-30T09:29:22.789",
            "2024-13-01T09:29:22.789",
            "2024-11-00T09:29:22.789",
            "2024-11-23T24:00:00.000",
            "+024-11-23T09:29:22.789",
            "1969-12-31T23:59:59.999",
            "99999-11-23T09:29:22.789",
            ".conflicts",
            "2024-11-23T09:29:22.789.conflicts.conflicts",
            "2024-11-23T09:29:22.789.losers",
        ] {
            assert_eq!(parse(label), None, "{label}");
        }
    }

    proptest! {
        #[test]
        fn labels_are_read_back(ms in 0..253_402_300_799_999_u64) {
            prop_assert_eq!(parse(&stream_label(ms)), Some((ms, StreamKind::Changes)));
        }

        #[test]
        fn texts_never_panic(text in ".{0,30}") {
            let _ = parse(&text);
        }
    }
}
