//! When rules run: `cron(…)` in AWS's six fields, and `rate(…)`, in a time zone.

mod cron;

use geodynamo_replicator_core::Millis;
use jiff::{Timestamp, tz::TimeZone};

use self::cron::Cron;

/// What a rule that tells none has.
pub(crate) const USUAL: &str = "cron(0 5 ? * * *)";
/// The zone of a rule that tells none.
pub(crate) const UTC: &str = "Etc/UTC";
/// Backups of a rule are not more frequent than that, in minutes.
const MINUTES_MIN: u64 = 60;
/// The longest expression, in bytes.
const TEXT_BYTES_MAX: usize = 256;
const MINUTE_MS: Millis = 60 * 1000;

/// When a rule runs.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    when: When,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
enum When {
    Cron(Box<Cron>),
    /// In minutes.
    Every(u64),
}

impl Schedule {
    /// Reads an expression and the name of a time zone (of the IANA database).
    ///
    /// # Errors
    /// Why it is none, or asks for more than one backup an hour.
    pub(crate) fn parse(text: &str, zone: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err("Schedule expression is too long".into());
        }
        let zone = TimeZone::get(zone).map_err(|_| format!("Invalid time zone: {zone}"))?;
        let inside = |name: &str| {
            let rest = text.trim().strip_prefix(name)?.trim_start().strip_prefix('(')?;
            rest.strip_suffix(')')
        };
        let often = || format!("Schedule expression {text} is more frequent than once an hour");
        let when = if let Some(fields) = inside("cron") {
            let cron = Cron::parse(fields).map_err(|reason| format!("Invalid cron expression {text}: {reason}"))?;
            if cron.minutes() > 1 {
                return Err(often());
            }
            When::Cron(Box::new(cron))
        } else if let Some(rate) = inside("rate") {
            let minutes = minutes_of(rate).ok_or_else(|| format!("Invalid rate expression {text}"))?;
            if minutes < MINUTES_MIN {
                return Err(often());
            }
            When::Every(minutes)
        } else {
            return Err(format!(
                "Invalid schedule expression {text}: it is neither cron(…) nor rate(…)"
            ));
        };
        Ok(Self { when, zone })
    }

    /// When it runs next after a moment, in milliseconds since the Unix epoch. A rate is counted from `anchor_ms`.
    pub(crate) fn next(&self, after_ms: Millis, anchor_ms: Millis) -> Option<Millis> {
        match &self.when {
            When::Cron(cron) => {
                let after = Timestamp::from_millisecond(i64::try_from(after_ms).ok()?).ok()?;
                let next = cron.next(after, &self.zone)?;
                u64::try_from(next.as_millisecond()).ok()
            }
            When::Every(minutes) => {
                let step = minutes.checked_mul(MINUTE_MS)?;
                let passed = after_ms.saturating_sub(anchor_ms) / step;
                anchor_ms.checked_add(passed.checked_add(1)?.checked_mul(step)?)
            }
        }
    }
}

/// The minutes of `5 hours`, of `1 day`.
fn minutes_of(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let (number, unit) = (words.next()?, words.next()?);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let each = match (unit, number == 1) {
        ("minute", true) | ("minutes", false) => 1,
        ("hour", true) | ("hours", false) => 60,
        ("day", true) | ("days", false) => 24 * 60,
        _ => return None,
    };
    words.next().is_none().then_some(())?;
    number.checked_mul(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Millis {
        let read: Timestamp = text.parse().unwrap();
        u64::try_from(read.as_millisecond()).unwrap()
    }

    #[test]
    fn rates_are_counted_from_their_beginning() {
        let anchor = ms("2026-01-01T00:10:00Z");
        let every = Schedule::parse("rate(12 hours)", UTC).unwrap();
        assert_eq!(every.next(anchor, anchor), Some(ms("2026-01-01T12:10:00Z")));
        assert_eq!(
            every.next(ms("2026-01-01T12:10:00Z"), anchor),
            Some(ms("2026-01-02T00:10:00Z"))
        );
        assert_eq!(
            every.next(ms("2026-01-02T00:09:59Z"), anchor),
            Some(ms("2026-01-02T00:10:00Z"))
        );
        assert!(Schedule::parse("rate(1 day)", UTC).is_ok());
        for bad in [
            "rate(1 days)",
            "rate(0 hours)",
            "rate(59 minutes)",
            "rate(2 weeks)",
            "rate()",
            "rate(2 hours 3)",
        ] {
            assert!(Schedule::parse(bad, UTC).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        assert!(Schedule::parse(USUAL, "Europe/Berlin").is_ok());
        assert!(
            Schedule::parse(USUAL, "Europe/Atlantis")
                .unwrap_err()
                .contains("Europe/Atlantis")
        );
        for bad in [
            "",
            "0 5 * * ? *",
            "cron(0 5 * * ? *",
            "at(2026-01-01T00:00:00)",
            "cron(0/15 * * * ? *)",
        ] {
            assert!(Schedule::parse(bad, UTC).is_err(), "{bad}");
        }
        assert!(
            Schedule::parse("cron(0/15 * * * ? *)", UTC)
                .unwrap_err()
                .contains("once an hour")
        );
    }
}
