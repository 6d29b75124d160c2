//! What a leaf of a pattern asks of a value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::wildcard::Wildcard;

/// One alternative of a leaf.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Matcher {
    /// The very value: a text, a number, true, false or null.
    Equals(Value),
    Text(TextMatcher),
    /// Any value but those that one of these matches.
    AnythingBut(Vec<Matcher>),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
    Cidr(Cidr),
}

/// What is asked of texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TextMatcher {
    Prefix(String),
    Suffix(String),
    Wildcard(Wildcard),
    /// In lower case, here and below.
    IgnoreCase(String),
    PrefixIgnoreCase(String),
    SuffixIgnoreCase(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Addresses with the first bits in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    pub(super) bits: u32,
}

impl Matcher {
    /// Whether a field's value matches; `None` if there is no such field.
    pub(super) fn matches(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Exists(wanted) => value.is_some_and(is_leaf) == *wanted,
            _ => value.is_some_and(|value| self.matches_any(value)),
        }
    }

    /// Whether a value matches, or an element of it.
    fn matches_any(&self, value: &Value) -> bool {
        match value {
            Value::Array(elements) => elements.iter().any(|element| self.matches_any(element)),
            // Patterns go into objects by their fields; an object itself is no value.
            Value::Object(_) => false,
            value => self.matches_one(value),
        }
    }

    fn matches_one(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Equals(expected), value) => expected == value,
            (Self::Text(matcher), Value::String(text)) => matcher.matches(text),
            (Self::AnythingBut(others), value) => !others.iter().any(|other| other.matches_one(value)),
            (Self::Numeric(bounds), Value::Number(number)) => number.as_f64().is_some_and(|number| {
                bounds
                    .iter()
                    .all(|(comparison, bound)| comparison.holds(number, *bound))
            }),
            (Self::Cidr(cidr), Value::String(text)) => text.parse().is_ok_and(|address| cidr.contains(address)),
            _ => false,
        }
    }
}

/// Whether there is something that is not an object.
fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(elements) => elements.iter().any(is_leaf),
        _ => true,
    }
}

impl TextMatcher {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::IgnoreCase(expected) => text.to_lowercase() == *expected,
            Self::PrefixIgnoreCase(prefix) => text.to_lowercase().starts_with(prefix.as_str()),
            Self::SuffixIgnoreCase(suffix) => text.to_lowercase().ends_with(suffix.as_str()),
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Equal => number == bound,
            Self::Less => number < bound,
            Self::LessOrEqual => number <= bound,
            Self::Greater => number > bound,
            Self::GreaterOrEqual => number >= bound,
        }
    }
}

impl Cidr {
    /// `10.0.0.0/24`, or one address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() {
            Ipv4Addr::BITS
        } else {
            Ipv6Addr::BITS
        };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - self.bits).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - self.bits).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}
