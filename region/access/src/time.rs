//! ISO 8601 dates, basic (`20150830T123600Z`) and extended, and seconds since 1970, without a clock.

const SECONDS_PER_DAY: i64 = 86_400;

/// A moment in SigV4's form: 16 bytes, always ASCII, `YYYYMMDDTHHMMSSZ`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BasicDate([u8; 16]);

impl BasicDate {
    /// The moment `unix_s` seconds after 1970; moments outside the years 0 to 9999 are moved to the nearest inside.
    pub(crate) fn from_unix(unix_s: i64) -> Self {
        // 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
        let unix_s = unix_s.clamp(-62_167_219_200, 253_402_300_799);
        let (year, month, day) = civil_from_days(unix_s.div_euclid(SECONDS_PER_DAY));
        let second = unix_s.rem_euclid(SECONDS_PER_DAY);
        let mut text = *b"00000000T000000Z";
        write_digits(&mut text[0..4], year);
        write_digits(&mut text[4..6], month);
        write_digits(&mut text[6..8], day);
        write_digits(&mut text[9..11], second / 3600);
        write_digits(&mut text[11..13], second / 60 % 60);
        write_digits(&mut text[13..15], second % 60);
        Self(text)
    }

    /// Reads the form exactly; any other text, and days that no calendar has, give `None`.
    pub(crate) fn parse(text: &[u8]) -> Option<(Self, i64)> {
        let text: [u8; 16] = text.try_into().ok()?;
        if text[8] != b'T' || text[15] != b'Z' {
            return None;
        }
        let year = read_digits(&text[0..4])?;
        let month = read_digits(&text[4..6])?;
        let day = read_digits(&text[6..8])?;
        let hour = read_digits(&text[9..11])?;
        let minute = read_digits(&text[11..13])?;
        let second = read_digits(&text[13..15])?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        Some((Self(text), days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `YYYYMMDD`.
    pub(crate) fn day(&self) -> &[u8] {
        &self.0[..8]
    }

    pub(crate) fn as_str(&self) -> &str {
        // Both constructors let only digits, `T` and `Z` in, so this is never the empty string.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A moment in ISO 8601's extended form, in UTC and whole seconds: `2026-11-30T06:12:00Z`. Moments outside the years 0 to 9999
/// are moved to the nearest inside.
pub fn format_iso8601(unix_s: i64) -> String {
    let text = BasicDate::from_unix(unix_s);
    let text = text.as_str();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4),
        part(4..6),
        part(6..8),
        part(9..11),
        part(11..13),
        part(13..15)
    )
}

/// Reads a moment in ISO 8601's extended form, in seconds since 1970: with `Z` or an offset, fractions of seconds are dropped.
pub fn parse_iso8601(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..19)?, text.get(19..)?);
    let basic = date.replace(['-', ':'], "");
    if date.len() != basic.len() + 4 || date.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let (_, unix_s) = BasicDate::parse(format!("{basic}Z").as_bytes())?;
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if digits(fraction) > 0 => fraction.get(digits(fraction)..)?,
        Some(_) => return None,
        None => rest,
    };
    let sign = match rest.chars().next()? {
        'Z' if rest.len() == 1 => return Some(unix_s),
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = rest.get(1..)?.split_once(':')?;
    let number = |text: &str, max: i64| {
        let number: i64 = (text.len() == 2 && digits(text) == 2)
            .then(|| text.parse().ok())
            .flatten()?;
        (number <= max).then_some(number)
    };
    Some(unix_s - sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

fn write_digits(target: &mut [u8], mut value: i64) {
    for digit in target.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn read_digits(text: &[u8]) -> Option<i64> {
    let mut value = 0;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(value)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
/// The algorithm, and its inverse below, is Howard Hinnant's: <https://howardhinnant.github.io/date_algorithms.html>.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_dates() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(
                BasicDate::parse(text.as_bytes()).map(|(_, unix_s)| unix_s),
                expect,
                "{text}"
            );
        };
        check("19700101T000000Z", Some(0));
        check("20150830T123600Z", Some(1_440_938_160));
        check("20240229T235959Z", Some(1_709_251_199));
        check("20230229T000000Z", None);
        check("21000229T000000Z", None);
        check("20151301T000000Z", None);
        check("20150001T000000Z", None);
        check("20150100T000000Z", None);
        check("20150431T000000Z", None);
        check("20150830T243600Z", None);
        check("20150830T126000Z", None);
        check("20150830T123660Z", None);
        check("20150830 123600Z", None);
        check("20150830T123600", None);
        check("20150830T12360 Z", None);
        check("2015-08-30T12:36:00Z", None);
        check("", None);
    }

    #[test]
    fn extended_forms() {
        assert_eq!(format_iso8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_iso8601(1_796_019_120), "2026-11-30T06:12:00Z");
        assert_eq!(format_iso8601(i64::MAX), "9999-12-31T23:59:59Z");
        let moment = 1_796_019_120;
        for (text, expect) in [
            ("2026-11-30T06:12:00Z", Some(moment)),
            ("2026-11-30T06:12:00.25Z", Some(moment)),
            ("2026-11-30T06:12:00.5+01:30", Some(moment - 5400)),
            ("2026-11-30T06:12:00-01:00", Some(moment + 3600)),
            ("2026-11-30T06:12:00", None),
            ("2026-11-30T06:12:00.Z", None),
            ("2026-11-30 06:12:00Z", None),
            ("2026-02-30T06:12:00Z", None),
            ("2026-11-30T06:12:00+1:00", None),
            ("2026-11-30T06:12:00+24:00", None),
            ("20261130T061200Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_iso8601(text), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(unix_s in -62_167_219_200i64..=253_402_300_799) {
            let date = BasicDate::from_unix(unix_s);
            prop_assert_eq!(BasicDate::parse(date.as_bytes()), Some((date, unix_s)));
        }

        #[test]
        fn what_is_written_in_the_extended_form_is_read(unix_s in -62_167_219_200i64..=253_402_300_799) {
            prop_assert_eq!(parse_iso8601(&format_iso8601(unix_s)), Some(unix_s));
        }

        #[test]
        fn any_text_is_read_or_not(text: String) {
            let _ = parse_iso8601(&text);
        }

        #[test]
        fn any_moment_has_a_form(unix_s: i64) {
            prop_assert!(BasicDate::parse(BasicDate::from_unix(unix_s).as_bytes()).is_some());
        }
    }
}
