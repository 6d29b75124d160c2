//! Numbers: text, arithmetic against big integers, order-preserving bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

use geodynamo_item::testing::arb_number;
use geodynamo_item::{Number, NumberError};
use num_bigint::BigInt;
use proptest::prelude::*;

#[test]
fn parses_and_prints() {
    let nines = "9".repeat(38);
    for (text, expect) in [
        ("0", "0"),
        ("-0", "0"),
        ("+0.000", "0"),
        ("0e999999999999999999999", "0"),
        ("0.0e-500", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("-1", "-1"),
        ("007", "7"),
        ("1.", "1"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("120", "120"),
        ("1.20", "1.2"),
        ("100.00100", "100.001"),
        ("10.01", "10.01"),
        ("0.1", "0.1"),
        ("0.01", "0.01"),
        ("0.001", "0.001"),
        ("0.0123", "0.0123"),
        ("12.345", "12.345"),
        ("123.45", "123.45"),
        ("1e2", "100"),
        ("1E+2", "100"),
        ("1.5e-3", "0.0015"),
        ("1e+0020", "100000000000000000000"),
        ("123456789e-4", "12345.6789"),
        ("9223372036854775807", "9223372036854775807"),
        (&nines, &nines),
        (&format!("{nines}000"), &format!("{nines}000")),
        (&format!("0.{nines}"), &format!("0.{nines}")),
        (&format!("000{nines}.000"), &nines),
        ("1e37", &format!("1{}", "0".repeat(37))),
        ("1e38", &format!("1{}", "0".repeat(38))),
        ("-12e38", &format!("-12{}", "0".repeat(38))),
        ("1E+100", &format!("1{}", "0".repeat(100))),
        ("1e125", &format!("1{}", "0".repeat(125))),
        (
            "1.00000000000000007629769841092E+50",
            &format!("100000000000000007629769841092{}", "0".repeat(21)),
        ),
        (
            "-9.9999999999999999999999999999999999999E+125",
            &format!("-{nines}{}", "0".repeat(88)),
        ),
        ("1E-130", &format!("0.{}1", "0".repeat(129))),
        ("0.0000012345e-120", &format!("0.{}12345", "0".repeat(125))),
    ] {
        let number = Number::parse(text).unwrap();
        assert_eq!(&*number.text(), expect, "{text}");
        assert_eq!(number.to_string(), expect, "{text}");
        assert_eq!(Number::parse(expect), Ok(number));
    }
}

#[test]
fn refuses() {
    use NumberError::{Digits, Malformed, Overflow, Underflow};
    for (text, error) in [
        ("", Malformed),
        (" ", Malformed),
        (" 1", Malformed),
        ("1 ", Malformed),
        ("+", Malformed),
        ("-", Malformed),
        (".", Malformed),
        ("-.", Malformed),
        ("e5", Malformed),
        (".e5", Malformed),
        ("1e", Malformed),
        ("1e+", Malformed),
        ("1e1.5", Malformed),
        ("1.2.3", Malformed),
        ("--1", Malformed),
        ("1-", Malformed),
        ("1,000", Malformed),
        ("1_000", Malformed),
        ("0x10", Malformed),
        ("abc", Malformed),
        ("NaN", Malformed),
        ("Infinity", Malformed),
        ("١", Malformed),
        ("123456789012345678901234567890123456789", Digits),
        ("1.00000000000000000000000000000000000001", Digits),
        ("1000000000000000000000000000000000000001e200", Digits),
        ("1e126", Overflow),
        ("-10e125", Overflow),
        ("1e99999999999999999999999", Overflow),
        ("0.1e-130", Underflow),
        ("-9.9e-131", Underflow),
        ("1e-99999999999999999999999", Underflow),
    ] {
        assert_eq!(Number::parse(text), Err(error), "{text}");
    }
    assert_eq!(Number::parse(&format!("0.{}1", "0".repeat(100_000))), Err(Underflow));
    assert_eq!(Number::parse(&"1".repeat(100_000)), Err(Digits));
    assert_eq!(Number::parse(&"0".repeat(100_000)), Ok(Number::ZERO));
}

#[test]
fn adds_at_the_limits() {
    let nines = "9".repeat(38);
    for (one, other, expect) in [
        ("1", "2", Ok("3")),
        ("0.1", "0.2", Ok("0.3")),
        ("1", "-1", Ok("0")),
        ("5", "5", Ok("10")),
        ("0", "1E-130", Ok(&*Number::parse("1E-130").unwrap().text())),
        ("1E38", "-1", Ok(nines.as_str())),
        ("1E38", "1", Err(NumberError::Overflow)),
        ("2E38", &format!("-{nines}"), Err(NumberError::Overflow)),
        (&nines, "1", Ok("100000000000000000000000000000000000000")),
        (&nines, "2", Err(NumberError::Overflow)),
        (&nines, &nines, Err(NumberError::Overflow)),
        ("1E125", "1E-130", Err(NumberError::Overflow)),
        ("1E50", "-1", Err(NumberError::Overflow)),
        ("1", "1E-40", Err(NumberError::Overflow)),
        ("9E125", "1E125", Err(NumberError::Overflow)),
        ("1.1E-130", "-1E-130", Err(NumberError::Underflow)),
        ("1E39", "-1E39", Ok("0")),
    ] {
        let (one, other) = (Number::parse(one).unwrap(), Number::parse(other));
        // 1.1E-130 has a digit below 1E-130, but its magnitude is in range.
        let other = other.unwrap();
        let expect = expect.map(|text| Number::parse(text).unwrap());
        assert_eq!(one.add(other), expect, "{one} + {other}");
        assert_eq!(other.add(one), expect, "{other} + {one}");
        assert_eq!(one.sub(other.negated()), expect, "{one} - -{other}");
    }
}

#[test]
fn integers() {
    for integer in [0, 1, -1, 10, 99, 100, -1_000_000, i64::MAX, i64::MIN] {
        let number = Number::from(integer);
        assert_eq!(number.to_string(), integer.to_string());
        assert_eq!(number.to_i64(), Some(integer));
    }
    assert_eq!(Number::from(u64::MAX).to_string(), u64::MAX.to_string());
    for text in [
        "0.5",
        "9223372036854775808",
        "1e38",
        "1e100",
        "-9223372036854775809",
        "1e-130",
    ] {
        assert_eq!(Number::parse(text).unwrap().to_i64(), None, "{text}");
    }
}

#[test]
fn order_bytes_are_as_ever() {
    for (text, bytes) in [
        ("0", "80"),
        ("1", "c102"),
        ("99", "c164"),
        ("100", "c202"),
        ("999", "c20a64"),
        ("9999", "c26464"),
        ("0.5", "c033"),
        ("12.3", "c10d1f"),
        ("-1", "3e64ff"),
        ("-1.5", "3e6433ff"),
        ("1e-130", "8002"),
        ("1e125", "ff0b"),
        ("-1e125", "005bff"),
        ("-1e-130", "7f64ff"),
        (
            "99999999999999999999999999999999999999",
            "d364646464646464646464646464646464646464",
        ),
        (
            "9.9999999999999999999999999999999999999",
            "c10a64646464646464646464646464646464646 45b",
        ),
    ] {
        let number = Number::parse(text).unwrap();
        let hex: String = number.order_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, bytes.replace(' ', ""), "{text}");
    }
}

#[test]
fn bytes_of_no_number_are_refused() {
    let refused: [&[u8]; 14] = [
        &[],
        &[0xC1],            // no pairs
        &[0xC1, 1],         // the first pair 0
        &[0xC1, 2, 1],      // the last pair 0
        &[0xC1, 0],         // below the first pair value
        &[0xC1, 101],       // a pair of 100
        &[0x3E, 100],       // no end
        &[0x3E, 0xFF],      // no pairs
        &[0x3E, 1, 0xFF],   // a pair of 100
        &[0x3E, 102, 0xFF], // a pair of -1
        &[0x3E, 101, 0xFF], // the first pair 0
        &[0x80, 0],         // zero, and then
        &[0xC1; 22],        // pairs too great
        &[
            0xC1, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,
        ], // 40 digits
    ];
    for bytes in refused {
        assert!(Number::from_order_bytes(bytes).is_err(), "{bytes:?}");
    }
}

/// The number times 10^300, an integer.
fn big(number: Number) -> BigInt {
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{fraction:0<300}").parse().unwrap()
}

/// What a sum is that was multiplied by 10^300. One of too many digits is an overflow.
fn sum_of(big: &BigInt) -> Result<Number, NumberError> {
    Number::parse(&format!("{big}e-300")).map_err(|error| match error {
        NumberError::Digits => NumberError::Overflow,
        error => error,
    })
}

proptest! {
    #[test]
    fn texts_round_trip(number in arb_number()) {
        prop_assert_eq!(Number::parse(&number.text()), Ok(number));
        let text = number.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'.'), "{}", text);
        prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']));
    }

    /// The same value in many forms is the same number.
    #[test]
    fn forms_are_equal(number in arb_number(), zeros in 0usize..5, shift in -200i32..200, plus: bool) {
        let text = number.to_string();
        let (sign, rest) = text.strip_prefix('-').map_or((if plus { "+" } else { "" }, text.as_str()), |rest| ("-", rest));
        let point = if rest.contains('.') { "" } else { "." };
        let padded = format!("{sign}{}{rest}{point}{}", "0".repeat(zeros), "0".repeat(zeros));
        prop_assert_eq!(Number::parse(&padded), Ok(number));
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        let places = rest.split_once('.').map_or(0, |(_, fraction)| i32::try_from(fraction.len()).unwrap());
        let shifted = format!("{sign}{digits}{}e{}", "0".repeat(shift.unsigned_abs() as usize), -places - shift.abs());
        prop_assert_eq!(Number::parse(&shifted), Ok(number));
    }

    #[test]
    fn never_panics(text in "[-+0-9.eE]{0,60}|\\PC*") {
        if let Ok(number) = Number::parse(&text) {
            prop_assert_eq!(Number::parse(&number.text()), Ok(number));
        }
    }

    #[test]
    fn sums_are_exact(one in arb_number(), other in arb_number()) {
        prop_assert_eq!(one.add(other), sum_of(&(big(one) + big(other))));
        prop_assert_eq!(one.sub(other), sum_of(&(big(one) - big(other))));
    }

    /// Of numbers whose digits meet, so that most sums fit.
    #[test]
    fn near_sums_are_exact(one in "-?[0-9]{1,38}", other in "-?[0-9]{1,38}", high in 0i32..4, low in 0i32..4) {
        let one = Number::parse(&format!("{one}e{high}")).unwrap();
        let other = Number::parse(&format!("{other}e{low}")).unwrap();
        prop_assert_eq!(one.add(other), sum_of(&(big(one) + big(other))));
        prop_assert_eq!(one.sub(other), sum_of(&(big(one) - big(other))));
    }

    #[test]
    fn order_is_by_value_in_numbers_and_in_bytes(numbers in prop::collection::vec(arb_number(), 2..6)) {
        for one in &numbers {
            for other in &numbers {
                let expect = big(*one).cmp(&big(*other));
                prop_assert_eq!(one.cmp(other), expect);
                prop_assert_eq!(one.order_bytes().cmp(&other.order_bytes()), expect, "{} {}", one, other);
                prop_assert_eq!(one == other, expect.is_eq());
            }
        }
    }

    #[test]
    fn order_bytes_round_trip(number in arb_number()) {
        prop_assert_eq!(Number::from_order_bytes(&number.order_bytes()), Ok(number));
    }

    /// What is accepted has no second form.
    #[test]
    fn order_bytes_are_canonical(bytes in prop::collection::vec(prop_oneof![4 => 1u8..102, 1 => any::<u8>()], 0..24), end: bool) {
        let mut bytes = bytes;
        if end {
            bytes.push(0xFF);
        }
        if let Ok(number) = Number::from_order_bytes(&bytes) {
            prop_assert_eq!(&*number.order_bytes(), &*bytes);
        }
    }
}
