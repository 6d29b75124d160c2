//! The functions of all expressions.

/// A function that some expression knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    AttributeExists,
    AttributeNotExists,
    AttributeType,
    BeginsWith,
    Contains,
    Size,
    IfNotExists,
    ListAppend,
}

impl Function {
    /// The function of this name; case matters.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "attribute_exists" => Self::AttributeExists,
            "attribute_not_exists" => Self::AttributeNotExists,
            "attribute_type" => Self::AttributeType,
            "begins_with" => Self::BeginsWith,
            "contains" => Self::Contains,
            "size" => Self::Size,
            "if_not_exists" => Self::IfNotExists,
            "list_append" => Self::ListAppend,
            _ => return None,
        })
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AttributeExists => "attribute_exists",
            Self::AttributeNotExists => "attribute_not_exists",
            Self::AttributeType => "attribute_type",
            Self::BeginsWith => "begins_with",
            Self::Contains => "contains",
            Self::Size => "size",
            Self::IfNotExists => "if_not_exists",
            Self::ListAppend => "list_append",
        }
    }

    /// How many operands it takes.
    pub(crate) fn operands(self) -> usize {
        match self {
            Self::AttributeExists | Self::AttributeNotExists | Self::Size => 1,
            Self::AttributeType | Self::BeginsWith | Self::Contains | Self::IfNotExists | Self::ListAppend => 2,
        }
    }

    /// Whether it belongs into updates; otherwise into conditions.
    pub(crate) fn is_for_updates(self) -> bool {
        matches!(self, Self::IfNotExists | Self::ListAppend)
    }
}
