//! The tree of condition and filter expressions.

use geodynamo_item::{AttributeType, AttributeValue, Item};

use crate::condition_parser;
use crate::evaluate;
use crate::{Context, ExpressionError, Parameter, Path};

/// A condition on an item, its names and values resolved.
///
/// The legacy parameters (`Expected`, `QueryFilter`, …) and PartiQL's WHERE are the same tree, built without text.
/// Whoever builds a tree by hand keeps it at most [`NESTING`](crate::limits::NESTING) deep: evaluating, comparing and
/// dropping it recur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All of them.
    And(Vec<Condition>),
    /// At least one of them.
    Or(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// `left = right`, `left < right`, …
    Compare {
        /// The comparison.
        comparator: Comparator,
        /// Left of it.
        left: Operand,
        /// Right of it.
        right: Operand,
    },
    /// `value BETWEEN low AND high`; the bounds belong to it.
    Between {
        /// What must lie between.
        value: Operand,
        /// The lower bound.
        low: Operand,
        /// The upper bound.
        high: Operand,
    },
    /// `value IN (…)`
    In {
        /// What must be equal to one of them.
        value: Operand,
        /// The others.
        list: Vec<Operand>,
    },
    /// `attribute_exists(path)`
    Exists(Path),
    /// `attribute_not_exists(path)`
    NotExists(Path),
    /// `attribute_type(value, type)`
    Type {
        /// A value in the item, or of the request.
        value: Operand,
        /// The type it must have.
        kind: AttributeType,
    },
    /// `begins_with(value, prefix)`
    BeginsWith {
        /// A string or binary value.
        value: Operand,
        /// Its beginning.
        prefix: Operand,
    },
    /// `contains(container, element)`
    Contains {
        /// A string, binary value, set or list.
        container: Operand,
        /// A part of the string or binary value, or an element of the set or list.
        element: Operand,
    },
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparator {
    /// `=`: of one type and equal, however deep.
    Equal,
    /// `<>`: not `=`; so true if an operand is missing.
    NotEqual,
    /// `<`: of one type, S, N or B, and in this order.
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What conditions compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A value in the item, if it is there.
    Path(Path),
    /// A value of the request.
    Value(AttributeValue),
    /// `size(path)`: a number, if the value is there and has a size.
    Size(Path),
}

impl Condition {
    /// Parses a ConditionExpression or a FilterExpression, which differ in their errors' texts only.
    ///
    /// # Errors
    /// Whatever DynamoDB refuses before it looks at an item.
    pub fn parse(parameter: Parameter, text: &str, context: &mut Context<'_>) -> Result<Self, ExpressionError> {
        condition_parser::parse(parameter, text, context)
    }

    /// Whether the item meets the condition. An item that is not there is an empty one.
    ///
    /// There are no errors: operands of wrong types or missing ones make a comparison false, as in DynamoDB. Takes time in
    /// proportion to the sizes of the tree and the values it looks at.
    pub fn evaluate(&self, item: &Item) -> bool {
        evaluate::evaluate(self, item)
    }

    /// Calls back with every path in the tree, so that a reader can decode only what is needed or refuse key attributes
    /// in filters.
    pub fn for_each_path<'s>(&'s self, visit: &mut impl FnMut(&'s Path)) {
        let mut operand = |operand: &'s Operand| {
            if let Operand::Path(path) | Operand::Size(path) = operand {
                visit(path);
            }
        };
        match self {
            Self::And(list) | Self::Or(list) => {
                for condition in list {
                    condition.for_each_path(visit);
                }
            }
            Self::Not(condition) => condition.for_each_path(visit),
            Self::Compare { left, right, .. } => [left, right].into_iter().for_each(operand),
            Self::Between { value, low, high } => [value, low, high].into_iter().for_each(operand),
            Self::In { value, list } => {
                operand(value);
                list.iter().for_each(operand);
            }
            Self::Exists(path) | Self::NotExists(path) => visit(path),
            Self::Type { value, .. } => operand(value),
            Self::BeginsWith { value, prefix } => [value, prefix].into_iter().for_each(operand),
            Self::Contains { container, element } => [container, element].into_iter().for_each(operand),
        }
    }
}

impl Comparator {
    /// As written in expressions.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The comparison with its sides exchanged: `a < b` is `b > a`.
    #[must_use]
    pub fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}
