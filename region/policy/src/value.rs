//! Values of conditions: dates, numbers, networks.

use std::net::IpAddr;

/// Parses a date of ISO 8601 (`2024`, `2024-01`, `2024-01-31`, `2024-01-31T12:00Z`, `2024-01-31T12:00:00.5+01:00`), or seconds
/// since 1970. Gives milliseconds since 1970.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let is_number = text.len() > 4 || text.starts_with('-');
    if is_number && let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| digits(month, 2))?;
    let day = parts.next().map_or(Some(1), |day| digits(day, 2))?;
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    let ms = match time {
        None => 0,
        Some(time) => parse_time(time)?,
    };
    Some(days * 86_400_000 + ms)
}

/// `hh:mm[:ss[.s]]` and a zone: `Z` or `±hh:mm`.
fn parse_time(text: &str) -> Option<i64> {
    let zone = text.find(['Z', '+', '-'])?;
    let (clock, zone) = text.split_at(zone);
    let offset_minutes = match zone.strip_prefix(['+', '-']) {
        None if zone == "Z" => 0,
        None => return None,
        Some(offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = in_range(hours, 0..24)? * 60 + in_range(minutes, 0..60)?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let mut parts = clock.split(':');
    let hours = in_range(parts.next()?, 0..24)?;
    let minutes = in_range(parts.next()?, 0..60)?;
    let mut ms = 0;
    if let Some(seconds) = parts.next() {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let thousandths = fraction.bytes().chain(*b"000").take(3);
        ms = in_range(whole, 0..61)? * 1000 + thousandths.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
    }
    if parts.next().is_some() {
        return None;
    }
    Some((hours * 60 + minutes - offset_minutes) * 60_000 + ms)
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let fits = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn in_range(text: &str, range: std::ops::Range<i64>) -> Option<i64> {
    digits(text, 2).filter(|number| range.contains(number))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`: <https://howardhinnant.github.io/date_algorithms.html>.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Seconds since 1970 as `2024-01-31T12:00:00Z`.
pub(crate) fn date_text(unix_s: i64) -> String {
    let days = unix_s.div_euclid(86_400);
    let second = unix_s.rem_euclid(86_400);
    // The inverse of `days_since_1970`, from the same page. Days of any `i64` of seconds do not overflow.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A decimal number; none that is infinite or not a number.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    let number: f64 = text.bytes().all(plain).then(|| text.parse().ok()).flatten()?;
    number.is_finite().then_some(number)
}

/// A range of addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        // IPv4 stands in IPv6 as it is mapped there.
        let (bits, before) = match address {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let prefix = match prefix {
            None => bits,
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => prefix.parse::<u32>().ok()?,
            Some(_) => return None,
        };
        if prefix > bits {
            return None;
        }
        let mask = u128::MAX.checked_shl(128 - (before + prefix)).unwrap_or(0);
        Some(Self {
            address: number(address) & mask,
            mask,
        })
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        number(address) & self.mask == self.address
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(parse_date(text), expect, "{text}");
        check("1970", Some(0));
        check("1970-01", Some(0));
        check("1970-01-02", Some(86_400_000));
        check("1970-01-01T00:01Z", Some(60_000));
        check("1970-01-01T01:00:01.5+01:00", Some(1_500));
        check("1970-01-01T00:00:00-01:30", Some(5_400_000));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
        check("1709164800", Some(1_709_164_800_000));
        for wrong in [
            "",
            "x",
            "2023-02-29",
            "2024-13",
            "2024-01-01T",
            "2024-01-01T00:00",
            "2024-01-01T24:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-1-1",
            "2024-01-01-01",
            "2024-01-01T00:00:00+0100",
            "99999999999999999999",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn networks() {
        let check = |network: &str, address: &str, expect: bool| {
            let network = Network::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expect,
                "{network:?} {address}"
            );
        };
        check("203.0.113.0/24", "203.0.113.7", true);
        check("203.0.113.0/24", "203.0.114.7", false);
        check("203.0.113.7", "203.0.113.7", true);
        check("203.0.113.7", "203.0.113.8", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("::/0", "2001:db9::1", true);
        for wrong in [
            "",
            "203.0.113",
            "203.0.113.0/33",
            "203.0.113.0/",
            "203.0.113.0/+8",
            "::/129",
            "a/1",
        ] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(parse_number("-1.5e1"), Some(-15.0));
        for wrong in ["", "NaN", "inf", "1e999", "0x1", " 1", "ten"] {
            assert_eq!(parse_number(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn texts_of_dates_are_read_back(unix_s in -62_000_000_000_i64..250_000_000_000) {
            prop_assert_eq!(parse_date(&date_text(unix_s)), Some(unix_s * 1000));
        }
    }
}
