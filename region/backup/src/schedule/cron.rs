//! `minutes hours day-of-month month day-of-week year`, as AWS has it.
//!
//! Source: "Cron expressions" in the user guides of EventBridge and of EventBridge Scheduler, which AWS Backup's refer to. A range
//! may go over the end of its field (`20-2`, `FRI-MON`).

use std::ops::RangeInclusive;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Weekday},
    tz::TimeZone,
};

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const YEARS: RangeInclusive<u16> = 1970..=2199;
/// How far ahead a next run is looked for, in days: what has none in so many years has none.
const AHEAD_DAYS_MAX: u32 = 60 * 366;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Vec<u16>,
    hours: Vec<u16>,
    months: Vec<u16>,
    /// Any, if there is none.
    years: Option<Vec<u16>>,
    day: Day,
}

/// On which days of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Day {
    Any,
    OfMonth(Vec<OfMonth>),
    OfWeek(Vec<OfWeek>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfMonth {
    Day(u16),
    Last,
    LastWeekday,
    /// The weekday next to a day, in the same month.
    NextTo(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfWeek {
    Day(u16),
    /// The last one of the month.
    Last(u16),
    Nth(u16, u16),
}

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, of_month, months, of_week, years] = fields[..] else {
            return Err(format!("it has {} fields, not 6", fields.len()));
        };
        let any = |field: &str| matches!(field, "*" | "?");
        let day = match (of_month, of_week) {
            ("?", "?") => return Err("only one of day-of-month and day-of-week may be ?".into()),
            ("?", "*") | ("*", "?") => Day::Any,
            ("?", days) => Day::OfWeek(parts(days, of_week_part)?),
            (days, "?") => Day::OfMonth(parts(days, of_month_part)?),
            (one, other) if any(one) || any(other) => {
                return Err("of day-of-month and day-of-week, one must be ?".into());
            }
            _ => return Err("day-of-month and day-of-week may not both be told".into()),
        };
        let numbers = |field: &str, range, names: &[&str]| {
            let mut all = parts(field, |part| stretch(part, range, names))?;
            all.sort_unstable();
            all.dedup();
            Ok::<_, String>(all)
        };
        Ok(Self {
            minutes: numbers(minutes, (0, 59), &[])?,
            hours: numbers(hours, (0, 23), &[])?,
            months: numbers(months, (1, 12), &MONTHS)?,
            years: match years {
                "*" => None,
                years => Some(numbers(years, (*YEARS.start(), *YEARS.end()), &[])?),
            },
            day,
        })
    }

    /// How many times in an hour.
    pub(super) fn minutes(&self) -> usize {
        self.minutes.len()
    }

    /// The next moment after another. What a clock that is put forward passes over runs right after that; what one that is put
    /// back shows twice runs once.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = after.to_zoned(zone.clone()).date();
        let mut days = 0;
        while days < AHEAD_DAYS_MAX {
            let (year, month) = (date.year().unsigned_abs(), date.month().unsigned_abs());
            if year > *YEARS.end() {
                return None;
            }
            let of_year = self.years.as_ref().is_none_or(|years| years.contains(&year));
            if !of_year || !self.months.contains(&u16::from(month)) {
                // To the first of the next month.
                let first = date.first_of_month().checked_add(1.month()).ok()?;
                days += u32::try_from(date.until(first).ok()?.get_days()).ok()?;
                date = first;
                continue;
            }
            if self.is_on(date)
                && let Some(found) = self.first_after(date, after, zone)
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
            days += 1;
        }
        None
    }

    fn first_after(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let times = self
            .hours
            .iter()
            .flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
        times
            .filter_map(|(hour, minute)| {
                // The ranges of their fields are those of a day.
                let local = date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
                let moment = zone.to_ambiguous_timestamp(local).compatible().ok()?;
                (moment > after).then_some(moment)
            })
            .min()
    }

    fn is_on(&self, date: Date) -> bool {
        match &self.day {
            Day::Any => true,
            Day::OfMonth(days) => days.iter().any(|day| is_day_of_month(*day, date)),
            Day::OfWeek(days) => days.iter().any(|day| is_day_of_week(*day, date)),
        }
    }
}

fn is_day_of_month(wanted: OfMonth, date: Date) -> bool {
    let day = date.day().unsigned_abs();
    let last = date.days_in_month().unsigned_abs();
    match wanted {
        OfMonth::Day(wanted) => u16::from(day) == wanted,
        OfMonth::Last => day == last,
        OfMonth::LastWeekday => nearest_weekday(date, last) == Some(day),
        OfMonth::NextTo(wanted) => u8::try_from(wanted).is_ok_and(|wanted| nearest_weekday(date, wanted) == Some(day)),
    }
}

/// The weekday next to a day of a date's month, in that month; none if the month has no such day.
fn nearest_weekday(date: Date, day: u8) -> Option<u8> {
    let last = date.days_in_month().unsigned_abs();
    let there = Date::new(date.year(), date.month(), i8::try_from(day).ok()?).ok()?;
    Some(match there.weekday() {
        Weekday::Saturday if day == 1 => 3,
        Weekday::Saturday => day - 1,
        Weekday::Sunday if day == last => day - 2,
        Weekday::Sunday => day + 1,
        _ => day,
    })
}

fn is_day_of_week(wanted: OfWeek, date: Date) -> bool {
    let of_week = u16::from(date.weekday().to_sunday_one_offset().unsigned_abs());
    let day = u16::from(date.day().unsigned_abs());
    match wanted {
        OfWeek::Day(wanted) => of_week == wanted,
        OfWeek::Last(wanted) => of_week == wanted && day + 7 > u16::from(date.days_in_month().unsigned_abs()),
        OfWeek::Nth(wanted, nth) => of_week == wanted && (day - 1) / 7 + 1 == nth,
    }
}

/// The parts of a field, between its commas.
fn parts<T>(field: &str, read: impl Fn(&str) -> Result<Vec<T>, String>) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for part in field.split(',') {
        all.extend(read(part)?);
    }
    Ok(all)
}

/// `*`, `3`, `3-5`, `3/2`, `3-9/2`, `*/2`: all numbers that it means.
fn stretch(part: &str, (least, most): (u16, u16), names: &[&str]) -> Result<Vec<u16>, String> {
    let wrong = || format!("'{part}' is not in the field's range, {least} to {most}");
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let read = match named {
            Some(place) => u16::try_from(place).ok().map(|place| place + least),
            None if text.starts_with('+') => None,
            None => text.parse().ok(),
        };
        read.filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
    };
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => {
            let step: u16 = step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?;
            (range, Some(step))
        }
        None => (part, None),
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None if range == "*" => (least, most),
        None => {
            let first = number(range)?;
            (first, if step.is_some() { most } else { first })
        }
    };
    let step = usize::from(step.unwrap_or(1));
    Ok(if first <= last {
        (first..=last).step_by(step).collect()
    } else {
        (first..=most).chain(least..=last).step_by(step).collect()
    })
}

fn of_month_part(part: &str) -> Result<Vec<OfMonth>, String> {
    const RANGE: (u16, u16) = (1, 31);
    Ok(match part {
        "L" => vec![OfMonth::Last],
        "LW" => vec![OfMonth::LastWeekday],
        part => match part.strip_suffix('W') {
            Some(day) => match stretch(day, RANGE, &[])?[..] {
                [day] => vec![OfMonth::NextTo(day)],
                _ => return Err(format!("'{part}' is no day")),
            },
            None => stretch(part, RANGE, &[])?.into_iter().map(OfMonth::Day).collect(),
        },
    })
}

fn of_week_part(part: &str) -> Result<Vec<OfWeek>, String> {
    const RANGE: (u16, u16) = (1, 7);
    let one = |text: &str| match stretch(text, RANGE, &DAYS)?[..] {
        [day] => Ok(day),
        _ => Err(format!("'{part}' is no day")),
    };
    if part == "L" {
        // The last day of the week.
        return Ok(vec![OfWeek::Day(7)]);
    }
    if let Some(day) = part.strip_suffix('L') {
        return Ok(vec![OfWeek::Last(one(day)?)]);
    }
    if let Some((day, nth)) = part.split_once('#') {
        let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
        let nth = nth.ok_or_else(|| format!("'{part}': a month has five of a day at most"))?;
        return Ok(vec![OfWeek::Nth(one(day)?, nth)]);
    }
    Ok(stretch(part, RANGE, &DAYS)?.into_iter().map(OfWeek::Day).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Expressions, zones, moments and what comes next after them; most expressions are those of AWS's guides.
    const CASES: &str = include_str!("cases.txt");

    #[test]
    fn next_runs() {
        let mut count = 0;
        for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let [text, zone, after, expected] = columns[..] else {
                panic!("four columns: {line}");
            };
            let (cron, zone) = (Cron::parse(text).unwrap(), TimeZone::get(zone).unwrap());
            let mut moment: Timestamp = after.parse().unwrap();
            let runs = expected.split_whitespace();
            for expected in runs {
                let next = cron.next(moment, &zone).map(|next| next.to_string());
                assert_eq!(next.as_deref().unwrap_or("never"), expected, "{line}");
                let Some(next) = cron.next(moment, &zone) else { break };
                moment = next;
            }
            count += 1;
        }
        assert!(count >= 30, "{count} cases");
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "0 5 * * *",
            "0 5 * * ? * *",
            "0 5 * * * *",
            "0 5 ? * ? *",
            "0 5 1 * MON *",
            "0 5 1 * * *",
            "60 5 * * ? *",
            "0 24 * * ? *",
            "0 5 0 * ? *",
            "0 5 32 * ? *",
            "0 5 * 13 ? *",
            "0 5 ? * 0 *",
            "0 5 ? * 8 *",
            "0 5 ? * MON#6 *",
            "0 5 ? * MON-WED#1 *",
            "0 5 * * ? 1969",
            "0 5 * * ? 2200",
            "0/0 5 * * ? *",
            "a 5 * * ? *",
            "+1 5 * * ? *",
            ", 5 * * ? *",
            "0 5 W * ? *",
            "? 5 * * ? *",
        ] {
            assert!(Cron::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9*?/,LW# A-Z-]{0,40}") {
            if let Ok(cron) = Cron::parse(&text) {
                let next = cron.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC);
                prop_assert!(next.is_none_or(|next| next > Timestamp::UNIX_EPOCH));
            }
        }
    }
}
