//! Attribute values.

use bytes::Bytes;
use compact_str::CompactString;

use crate::{BinarySet, Item, Number, NumberSet, StringSet};

/// How deeply attribute values may nest, by DynamoDB's limits: an attribute's own value is level 1, an element of a list
/// at level n is at level n + 1.
pub const MAX_NESTING: usize = 32;

/// The longest name of an attribute or of a map's entry, in bytes.
pub const MAX_NAME: usize = 65_535;

/// A DynamoDB attribute value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A string of UTF-8 text.
    S(CompactString),
    /// A number, exact to 38 digits.
    N(Number),
    /// Binary.
    B(Bytes),
    /// A Boolean.
    Bool(bool),
    /// Null.
    Null,
    /// A map.
    M(Item),
    /// A list.
    L(Vec<AttributeValue>),
    /// A set of strings.
    Ss(StringSet),
    /// A set of numbers.
    Ns(NumberSet),
    /// A set of binary values.
    Bs(BinarySet),
}

impl AttributeValue {
    /// Its type.
    pub fn kind(&self) -> AttributeType {
        match self {
            Self::S(_) => AttributeType::S,
            Self::N(_) => AttributeType::N,
            Self::B(_) => AttributeType::B,
            Self::Bool(_) => AttributeType::Bool,
            Self::Null => AttributeType::Null,
            Self::M(_) => AttributeType::M,
            Self::L(_) => AttributeType::L,
            Self::Ss(_) => AttributeType::Ss,
            Self::Ns(_) => AttributeType::Ns,
            Self::Bs(_) => AttributeType::Bs,
        }
    }

    /// Whether it nests no more than `levels` levels deep, itself counted: a scalar, a set and an empty list nest one. Looks
    /// no deeper than that. An item's attributes may nest [`MAX_NESTING`].
    pub fn nests_within(&self, levels: usize) -> bool {
        let Some(inner) = levels.checked_sub(1) else {
            return false;
        };
        match self {
            Self::M(map) => map.iter().all(|(_, value)| value.nests_within(inner)),
            Self::L(list) => list.iter().all(|value| value.nests_within(inner)),
            _ => true,
        }
    }
}

/// The type of an attribute value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeType {
    /// `S`
    S,
    /// `N`
    N,
    /// `B`
    B,
    /// `BOOL`
    Bool,
    /// `NULL`
    Null,
    /// `M`
    M,
    /// `L`
    L,
    /// `SS`
    Ss,
    /// `NS`
    Ns,
    /// `BS`
    Bs,
}

impl AttributeType {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::S,
        Self::N,
        Self::B,
        Self::Bool,
        Self::Null,
        Self::M,
        Self::L,
        Self::Ss,
        Self::Ns,
        Self::Bs,
    ];

    /// DynamoDB's name of it, as in DynamoDB JSON and in `attribute_type`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
            Self::Bool => "BOOL",
            Self::Null => "NULL",
            Self::M => "M",
            Self::L => "L",
            Self::Ss => "SS",
            Self::Ns => "NS",
            Self::Bs => "BS",
        }
    }

    /// DynamoDB's long name of it, which some errors have.
    pub const fn long_name(self) -> &'static str {
        match self {
            Self::S => "STRING",
            Self::N => "NUMBER",
            Self::B => "BINARY",
            Self::Bool => "BOOLEAN",
            Self::Null => "NULL",
            Self::M => "MAP",
            Self::L => "LIST",
            Self::Ss => "STRING_SET",
            Self::Ns => "NUMBER_SET",
            Self::Bs => "BINARY_SET",
        }
    }

    /// The type of such a name.
    pub fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "S" => Self::S,
            "N" => Self::N,
            "B" => Self::B,
            "BOOL" => Self::Bool,
            "NULL" => Self::Null,
            "M" => Self::M,
            "L" => Self::L,
            "SS" => Self::Ss,
            "NS" => Self::Ns,
            "BS" => Self::Bs,
            _ => return None,
        })
    }

    /// Whether keys may be of it: strings, numbers and binary values.
    pub const fn is_key(self) -> bool {
        matches!(self, Self::S | Self::N | Self::B)
    }
}

impl std::fmt::Display for AttributeType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.code())
    }
}
