//! Key bytes keep the values' order and come back.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cmp::Ordering;

use bytes::Bytes;
use geodynamo_item::key::{
    KeyError, after_prefix, order_bytes, read_final, read_terminated, write_final, write_terminated,
    write_terminated_prefix,
};
use geodynamo_item::testing::arb_key;
use geodynamo_item::{AttributeType, AttributeValue, Number};
use proptest::prelude::*;

fn terminated(value: &AttributeValue) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_terminated(&mut bytes, value);
    bytes
}

fn finally(value: &AttributeValue) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_final(&mut bytes, value);
    bytes
}

/// DynamoDB's order of values of one type.
fn order(one: &AttributeValue, other: &AttributeValue) -> Ordering {
    match (one, other) {
        (AttributeValue::S(one), AttributeValue::S(other)) => one.as_bytes().cmp(other.as_bytes()),
        (AttributeValue::N(one), AttributeValue::N(other)) => one.cmp(other),
        (AttributeValue::B(one), AttributeValue::B(other)) => one.cmp(other),
        _ => panic!("two types"),
    }
}

#[test]
fn bytes_are_as_ever() {
    let binary = |bytes: &'static [u8]| AttributeValue::B(Bytes::from_static(bytes));
    for (value, expect) in [
        (AttributeValue::S("ab".into()), &b"ab\0\x01"[..]),
        (AttributeValue::S("".into()), b"\0\x01"),
        (AttributeValue::S("a\0b".into()), b"a\0\xFFb\0\x01"),
        (binary(b"\0\0\x01\xFF"), b"\0\xFF\0\xFF\x01\xFF\0\x01"),
        (AttributeValue::N(Number::from(7i64)), b"\xC1\x08\0\x01"),
        (
            AttributeValue::N(Number::parse("-1e125").unwrap()),
            b"\0\xFF\x5B\xFF\0\x01",
        ),
    ] {
        assert_eq!(terminated(&value), expect, "{value:?}");
        assert_eq!(finally(&value), &*order_bytes(&value));
    }
}

#[test]
fn bad_bytes_are_refused() {
    for bytes in [
        &b""[..],
        b"ab",
        b"ab\0",
        b"a\0\xFFb",
        b"a\0\0\x01",
        b"a\0\x02\0\x01",
        b"a\0\xFFb\0\x05",
    ] {
        assert_eq!(
            read_terminated(bytes, AttributeType::B).unwrap_err(),
            KeyError::Unterminated,
            "{bytes:?}"
        );
    }
    assert_eq!(
        read_terminated(b"\xFF\0\x01", AttributeType::S).unwrap_err(),
        KeyError::Malformed
    );
    assert_eq!(read_final(b"\xFF", AttributeType::S).unwrap_err(), KeyError::Malformed);
    assert_eq!(read_final(b"\xFF", AttributeType::N).unwrap_err(), KeyError::Malformed);
    assert_eq!(read_final(b"a", AttributeType::Ss).unwrap_err(), KeyError::Type);
    assert_eq!(
        read_terminated(b"\0\x01", AttributeType::M).unwrap_err(),
        KeyError::Type
    );
}

#[test]
fn prefixes_end() {
    for (prefix, after) in [
        (&b""[..], None),
        (b"\xFF\xFF", None),
        (b"a", Some(&b"b"[..])),
        (b"a\xFF", Some(b"b")),
        (b"a\0", Some(b"a\x01")),
        (b"\0\xFF", Some(b"\x01")),
    ] {
        assert_eq!(after_prefix(prefix).as_deref(), after);
    }
}

fn arb_kind() -> impl Strategy<Value = AttributeType> {
    prop::sample::select(vec![AttributeType::S, AttributeType::N, AttributeType::B])
}

/// Keys of one type: a partition key's and a sort key's.
fn arb_pairs() -> impl Strategy<Value = (AttributeType, AttributeType, Vec<(AttributeValue, AttributeValue)>)> {
    (arb_kind(), arb_kind()).prop_flat_map(|(partition, sort)| {
        let pairs = prop::collection::vec((arb_key(partition), arb_key(sort)), 2..6);
        (Just(partition), Just(sort), pairs)
    })
}

proptest! {
    #[test]
    fn tuples_keep_their_order((_, _, pairs) in arb_pairs()) {
        let bytes = |(partition, sort): &(AttributeValue, AttributeValue)| {
            let mut out = terminated(partition);
            write_final(&mut out, sort);
            let mut both = terminated(partition);
            write_terminated(&mut both, sort);
            (out, both)
        };
        for one in &pairs {
            for other in &pairs {
                let expect = order(&one.0, &other.0).then(order(&one.1, &other.1));
                let ((final_one, both_one), (final_other, both_other)) = (bytes(one), bytes(other));
                prop_assert_eq!(final_one.cmp(&final_other), expect);
                prop_assert_eq!(both_one.cmp(&both_other), expect);
                // With something behind, only equal tuples are decided by it.
                let tail = |mut bytes: Vec<u8>, tail: u8| { bytes.push(tail); bytes };
                prop_assert_eq!(tail(both_one, 2).cmp(&tail(both_other, 1)), expect.then(Ordering::Greater));
            }
        }
    }

    #[test]
    fn they_come_back((partition, sort, pairs) in arb_pairs()) {
        for (first, second) in pairs {
            let mut bytes = terminated(&first);
            write_final(&mut bytes, &second);
            let (read, rest) = read_terminated(&bytes, partition).unwrap();
            prop_assert_eq!(&read, &first);
            prop_assert_eq!(read_final(rest, sort).unwrap(), second);
        }
    }

    /// A range of a prefix holds the strings that begin with it and no others, in both forms.
    #[test]
    fn prefix_ranges_hold_what_begins_so(prefix in arb_key(AttributeType::B), mut value in arb_key(AttributeType::B), begins: bool) {
        let (AttributeValue::B(start), AttributeValue::B(bytes)) = (&prefix, &value) else { panic!("not B") };
        if begins {
            value = AttributeValue::B([&start[..], &bytes[..]].concat().into());
        }
        let AttributeValue::B(bytes) = &value else { panic!("not B") };
        let inside = bytes.starts_with(start);
        let in_range = |from: &[u8], key: &[u8]| key >= from && after_prefix(from).is_none_or(|to| key < &to[..]);
        let mut from = Vec::new();
        write_terminated_prefix(&mut from, &prefix);
        prop_assert_eq!(in_range(&from, &terminated(&value)), inside);
        prop_assert_eq!(in_range(&finally(&prefix), &finally(&value)), inside);
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xFF), any::<u8>()], 0..24), kind in arb_kind()) {
        if let Ok((value, rest)) = read_terminated(&bytes, kind) {
            let mut again = terminated(&value);
            again.extend_from_slice(rest);
            prop_assert_eq!(again, bytes);
        }
    }
}
