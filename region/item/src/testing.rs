//! Strategies for property tests, this crate's and others'.

use bytes::Bytes;
use compact_str::CompactString;
use proptest::prelude::*;

use crate::{AttributeType, AttributeValue, Item, MAX_DIGITS, Name, Number, Set};

/// Any item, its values nested up to four levels.
pub fn arb_item() -> BoxedStrategy<Item> {
    arb_map(arb_value().boxed())
}

/// Any attribute value, nested up to four levels.
pub fn arb_value() -> BoxedStrategy<AttributeValue> {
    arb_leaf()
        .prop_recursive(3, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(AttributeValue::L),
                arb_map(inner.boxed()).prop_map(AttributeValue::M),
            ]
        })
        .boxed()
}

/// Any value that a key may have: of type `S`, `N` or `B`, not empty.
pub fn arb_key(kind: AttributeType) -> BoxedStrategy<AttributeValue> {
    match kind {
        AttributeType::N => arb_number().prop_map(AttributeValue::N).boxed(),
        AttributeType::B => arb_bytes()
            .prop_filter("not empty", |bytes| !bytes.is_empty())
            .prop_map(AttributeValue::B)
            .boxed(),
        _ => arb_string()
            .prop_filter("not empty", |text| !text.is_empty())
            .prop_map(AttributeValue::S)
            .boxed(),
    }
}

/// Any number: short integers, short fractions, and all of the range.
pub fn arb_number() -> BoxedStrategy<Number> {
    let text = prop_oneof![
        3 => (-1000i64..1000).prop_map(|integer| integer.to_string()),
        1 => any::<i64>().prop_map(|integer| integer.to_string()),
        2 => (-100_000i64..100_000, -6i32..6).prop_map(|(integer, exponent)| format!("{integer}e{exponent}")),
        2 => arb_number_parts().prop_map(|(negative, digits, exponent)| {
            format!("{}{digits}e{exponent}", if negative { "-" } else { "" })
        }),
    ];
    text.prop_filter_map("out of range", |text| Number::parse(&text).ok())
        .boxed()
}

/// Whether negative, up to 38 digits, and an exponent such that the number is in range.
fn arb_number_parts() -> impl Strategy<Value = (bool, String, i32)> {
    (any::<bool>(), "[1-9][0-9]{0,37}").prop_flat_map(|(negative, digits)| {
        let length = i32::try_from(digits.len()).unwrap_or(MAX_DIGITS.cast_signed());
        (Just(negative), Just(digits), (-129 - length)..=(126 - length))
    })
}

fn arb_leaf() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        3 => arb_string().prop_map(AttributeValue::S),
        3 => arb_number().prop_map(AttributeValue::N),
        2 => arb_bytes().prop_map(AttributeValue::B),
        1 => any::<bool>().prop_map(AttributeValue::Bool),
        1 => Just(AttributeValue::Null),
        1 => arb_set(arb_string()).prop_map(AttributeValue::Ss),
        1 => arb_set(arb_number()).prop_map(AttributeValue::Ns),
        1 => arb_set(arb_bytes()).prop_map(AttributeValue::Bs),
    ]
}

fn arb_map(value: BoxedStrategy<AttributeValue>) -> BoxedStrategy<Item> {
    prop::collection::vec((arb_name(), value), 0..6)
        .prop_map(|attributes| attributes.into_iter().collect())
        .boxed()
}

fn arb_name() -> impl Strategy<Value = Name> {
    prop_oneof!["[a-d]{1,2}", "[a-zA-Z_.:-]{1,40}", "\\PC{1,4}"].prop_map(Name::from)
}

/// Short strings of few characters (so that they meet), and any others.
fn arb_string() -> BoxedStrategy<CompactString> {
    prop_oneof![2 => "[ab\u{0}é]{0,3}", 2 => "\\PC{0,40}", 1 => any::<String>()]
        .prop_map(CompactString::from)
        .boxed()
}

fn arb_bytes() -> BoxedStrategy<Bytes> {
    let byte = || prop_oneof![Just(0u8), Just(1), Just(0xFE), Just(0xFF), any::<u8>()];
    prop::collection::vec(byte(), 0..12).prop_map(Bytes::from).boxed()
}

fn arb_set<T: Ord + Clone + std::fmt::Debug + 'static>(value: BoxedStrategy<T>) -> impl Strategy<Value = Set<T>> {
    prop::collection::vec(value, 1..5).prop_filter_map("a value twice", Set::new)
}
