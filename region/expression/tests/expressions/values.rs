//! Short ways to write values, items and contexts.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_expression::Context;
use geodynamo_item::{AttributeValue, Item, Number, NumberSet, Set, StringSet};

pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: &str) -> AttributeValue {
    AttributeValue::N(Number::parse(number).unwrap())
}

pub(crate) fn b(bytes: &'static [u8]) -> AttributeValue {
    AttributeValue::B(Bytes::from_static(bytes))
}

pub(crate) fn l(list: impl Into<Vec<AttributeValue>>) -> AttributeValue {
    AttributeValue::L(list.into())
}

pub(crate) fn m<const N: usize>(entries: [(&str, AttributeValue); N]) -> AttributeValue {
    AttributeValue::M(item(entries))
}

pub(crate) fn ss(texts: &[&str]) -> AttributeValue {
    AttributeValue::Ss(StringSet::new(texts.iter().map(|&text| text.into()).collect()).unwrap())
}

pub(crate) fn ns(numbers: &[&str]) -> AttributeValue {
    AttributeValue::Ns(NumberSet::new(numbers.iter().map(|text| Number::parse(text).unwrap()).collect()).unwrap())
}

pub(crate) fn bs(values: &[&'static [u8]]) -> AttributeValue {
    AttributeValue::Bs(Set::new(values.iter().map(|bytes| Bytes::from_static(bytes)).collect()).unwrap())
}

pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

/// Names and values for most tests: `#n…` are attributes that cannot be written plainly, `:…` are named after what they are.
pub(crate) struct Given {
    names: BTreeMap<String, String>,
    values: Item,
}

impl Given {
    pub(crate) fn new() -> Self {
        let names = [
            ("#name", "name"),
            ("#dotted", "a.b"),
            ("#a", "a"),
            ("#missing", "nowhere"),
        ];
        Self {
            names: names.map(|(key, name)| (key.to_owned(), name.to_owned())).into(),
            values: item([
                (":s", s("s")),
                (":hello", s("hello")),
                (":hell", s("hell")),
                (":zero", n("0")),
                (":one", n("1")),
                (":three", n("3")),
                (":four", n("4")),
                (":clef", s("é𝄞")),
                (":five", n("5")),
                (":b", b(b"\x01\x02")),
                (":true", AttributeValue::Bool(true)),
                (":null", AttributeValue::Null),
                (":list", l([n("1")])),
                (":empty", l([])),
                (":map", m([("x", n("1"))])),
                (":ss", ss(&["s", "t"])),
                (":ns", ns(&["1", "2"])),
                (":bs", bs(&[b"\x01"])),
                (":S", s("S")),
                (":L", s("L")),
                (":BOOL", s("BOOL")),
            ]),
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context::of(Some(&self.names), Some(&self.values)).unwrap()
    }
}
