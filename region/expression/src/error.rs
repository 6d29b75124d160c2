//! The catalogue of what can be wrong with an expression, in DynamoDB's words.

use std::fmt;

use geodynamo_item::{AttributeType, AttributeValue, NumberError, wire::NAME_TOO_LARGE};

/// The request parameter that an expression came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parameter {
    /// `ConditionExpression`
    Condition,
    /// `FilterExpression`
    Filter,
    /// `KeyConditionExpression`
    KeyCondition,
    /// `ProjectionExpression`
    Projection,
    /// `UpdateExpression`
    Update,
}

impl Parameter {
    /// The parameter's name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Condition => "ConditionExpression",
            Self::Filter => "FilterExpression",
            Self::KeyCondition => "KeyConditionExpression",
            Self::Projection => "ProjectionExpression",
            Self::Update => "UpdateExpression",
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an expression, or the names and values given with it, is refused. `Display` gives the message of the
/// `ValidationException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ExpressionError(Box<Refusal>);

impl ExpressionError {
    /// What is wrong.
    pub fn refusal(&self) -> &Refusal {
        &self.0
    }
}

impl From<Refusal> for ExpressionError {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(refusal))
    }
}

/// What an [`ExpressionError`] is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something within one expression.
    #[error("Invalid {parameter}: {fault}")]
    Expression {
        /// Which expression.
        parameter: Parameter,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The names or values given with a request's expressions.
    #[error(transparent)]
    Placeholders(#[from] PlaceholderFault),
    /// A key condition that is no query's.
    #[error(transparent)]
    KeyCondition(#[from] KeyConditionFault),
}

/// What is wrong within one expression.
///
/// When an expression has several faults, DynamoDB reports one. A syntax error comes first; among the others this crate
/// reports the earliest in the order of this list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No text.
    #[error("The expression can not be empty;")]
    Empty,
    /// Longer than [`EXPRESSION_BYTES`](crate::limits::EXPRESSION_BYTES).
    #[error("Expression size has exceeded the maximum allowed size; expression size: {bytes}")]
    Size {
        /// The size.
        bytes: usize,
    },
    /// A token that may not stand where it stands.
    #[error("Syntax error; token: \"{token}\", near: \"{near}\"")]
    Syntax {
        /// The token, or `<EOF>`.
        token: String,
        /// The text from the token before it to the one after it.
        near: String,
    },
    /// More than [`OPERATORS`](crate::limits::OPERATORS).
    #[error("The expression contains too many operators; operator count: {count}")]
    Operators {
        /// Where counting stopped.
        count: usize,
    },
    /// Two sections of one name in an update.
    #[error("The \"{section}\" section can only be used once in an update expression;")]
    SectionTwice {
        /// `SET`, `REMOVE`, `ADD` or `DELETE`.
        section: &'static str,
    },
    /// `((a = b))`
    #[error("The expression has redundant parentheses;")]
    RedundantParentheses,
    /// No such function.
    #[error("Invalid function name; function: {function}")]
    UnknownFunction {
        /// As written.
        function: String,
    },
    /// An update's function in a condition, or the other way round.
    #[error("The function is not allowed in {} expression; function: {function}", match parameter {
        Parameter::Condition => "a condition",
        Parameter::Filter => "a filter",
        Parameter::KeyCondition => "a key condition",
        Parameter::Projection => "a projection",
        Parameter::Update => "an update",
    })]
    FunctionElsewhere {
        /// Where it stands.
        parameter: Parameter,
        /// Its name.
        function: &'static str,
    },
    /// A function that gives a truth where a value is wanted, or the other way round; or a list that is appended to a list.
    #[error("The function is not allowed to be used this way in an expression; function: {function}")]
    FunctionMisused {
        /// Its name.
        function: &'static str,
    },
    /// A reserved word as a name.
    #[error("Attribute name is a reserved keyword; reserved keyword: {word}")]
    Reserved {
        /// As written.
        word: String,
    },
    /// `#a` without an entry in ExpressionAttributeNames.
    #[error("An expression attribute name used in the document path is not defined; attribute name: {name}")]
    UndefinedName {
        /// With its `#`.
        name: String,
    },
    /// `:a` without an entry in ExpressionAttributeValues.
    #[error("An expression attribute value used in expression is not defined; attribute value: {value}")]
    UndefinedValue {
        /// With its `:`.
        value: String,
    },
    /// Values that are used again and again, of more than [`REPEATED_BYTES`](crate::limits::REPEATED_BYTES) in all. DynamoDB's
    /// documents know no such limit.
    #[error(
        "The expression repeats attribute values of too many bytes; the limit is {} bytes",
        crate::limits::REPEATED_BYTES
    )]
    Repeated,
    /// An index that no list can have.
    #[error("List index is not within the allowable range; index: [{index}]")]
    ListIndex {
        /// As written.
        index: String,
    },
    /// More than [`PATH_ELEMENTS`](crate::limits::PATH_ELEMENTS).
    #[error("The document path has too many nesting levels; nesting levels: {levels}")]
    PathDepth {
        /// How many elements.
        levels: usize,
    },
    /// The wrong number of arguments.
    #[error(
        "Incorrect number of operands for operator or function; operator or function: {operator}, number of operands: {count}"
    )]
    OperandCount {
        /// The function's name.
        operator: &'static str,
        /// How many there are.
        count: usize,
    },
    /// More than [`IN_OPERANDS`](crate::limits::IN_OPERANDS).
    #[error("The IN operator is provided with too many operands; number of operands: {count}")]
    InOperands {
        /// How many there are.
        count: usize,
    },
    /// A value where a document path must stand.
    #[error("Operator or function requires a document path; operator or function: {operator}")]
    PathWanted {
        /// The function's name.
        operator: &'static str,
    },
    /// A value of a type that the operator cannot take.
    #[error(
        "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {}",
        operand
    )]
    OperandType {
        /// The operator or function.
        operator: &'static str,
        /// The operand's type.
        operand: AttributeType,
    },
    /// A value of a type that ADD or DELETE cannot take.
    #[error(
        "Incorrect operand type for operator or function; operator: {section}, operand type: {}, \
         typeSet: ALLOWED_FOR_{section}_OPERAND",
        operand.long_name()
    )]
    ActionOperandType {
        /// `ADD` or `DELETE`.
        section: &'static str,
        /// The operand's type.
        operand: AttributeType,
    },
    /// `attribute_type(a, :t)` with a `:t` that names no type.
    #[error("Invalid attribute type name found; type: {name}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}")]
    TypeName {
        /// The value given.
        name: String,
    },
    /// `a = a`
    #[error(
        "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, \
         first operand: {operand}"
    )]
    SameOperand {
        /// The operator or function.
        operator: &'static str,
        /// The path.
        operand: String,
    },
    /// Bounds of two types.
    #[error(
        "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: {}, upper bound \
         operand: {}",
        Braced(low),
        Braced(high)
    )]
    BoundTypes {
        /// The lower bound.
        low: AttributeValue,
        /// The upper bound.
        high: AttributeValue,
    },
    /// Bounds in the wrong order.
    #[error(
        "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: {}, \
         upper bound operand: {}",
        Braced(low),
        Braced(high)
    )]
    BoundOrder {
        /// The lower bound.
        low: AttributeValue,
        /// The upper bound.
        high: AttributeValue,
    },
    /// One path is the other, or leads to it.
    #[error(
        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: {one}, path \
         two: {two}"
    )]
    Overlap {
        /// The path written first.
        one: String,
        /// The other.
        two: String,
    },
    /// One path needs a list where the other needs a map.
    #[error(
        "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: {one}, path \
         two: {two}"
    )]
    Conflict {
        /// The path written first.
        one: String,
        /// The other.
        two: String,
    },
}

impl Fault {
    /// Where the fault stands in the order of reporting: the smallest is reported.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Empty | Self::Size { .. } | Self::Syntax { .. } | Self::Operators { .. } => 0,
            Self::SectionTwice { .. } | Self::RedundantParentheses => 1,
            Self::UnknownFunction { .. } | Self::FunctionElsewhere { .. } => 2,
            Self::FunctionMisused { .. } => 3,
            Self::Reserved { .. } => 4,
            Self::UndefinedName { .. } | Self::ListIndex { .. } | Self::PathDepth { .. } => 5,
            Self::UndefinedValue { .. } | Self::Repeated => 6,
            Self::OperandCount { .. } | Self::InOperands { .. } | Self::PathWanted { .. } => 7,
            Self::OperandType { .. } | Self::ActionOperandType { .. } | Self::TypeName { .. } => 8,
            Self::SameOperand { .. } | Self::BoundTypes { .. } | Self::BoundOrder { .. } => 9,
            Self::Overlap { .. } | Self::Conflict { .. } => 10,
        }
    }
}

/// What is wrong with ExpressionAttributeNames or ExpressionAttributeValues.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderFault {
    /// Given without an expression that could use names.
    #[error("ExpressionAttributeNames can only be specified when using expressions")]
    NamesWithoutExpression,
    /// Given without an expression that could use values; the expressions are named.
    #[error("ExpressionAttributeValues can only be specified when using expressions: {missing}")]
    ValuesWithoutExpression {
        /// Such as `ConditionExpression is null`.
        missing: String,
    },
    /// No names.
    #[error("ExpressionAttributeNames must not be empty")]
    NoNames,
    /// No values.
    #[error("ExpressionAttributeValues must not be empty")]
    NoValues,
    /// A key that is not `#` and letters, digits or underscores.
    #[error("ExpressionAttributeNames contains invalid key: Syntax error; key: \"{key}\"")]
    NameKey {
        /// As given.
        key: String,
    },
    /// A key that is not `:` and letters, digits or underscores.
    #[error("ExpressionAttributeValues contains invalid key: Syntax error; key: \"{key}\"")]
    ValueKey {
        /// As given.
        key: String,
    },
    /// A name for no attribute.
    #[error("ExpressionAttributeNames contains invalid value: Attribute name must not be empty; key: \"{key}\"")]
    EmptyName {
        /// As given.
        key: String,
    },
    /// A name that is longer than an attribute's may be.
    #[error("{NAME_TOO_LARGE}")]
    NameSize,
    /// A key longer than [`PLACEHOLDER_BYTES`](crate::limits::PLACEHOLDER_BYTES). How DynamoDB says it is not known.
    #[error(
        "{parameter} contains invalid key: The key exceeds the maximum length of {} bytes; key length: {bytes}",
        crate::limits::PLACEHOLDER_BYTES
    )]
    KeySize {
        /// `ExpressionAttributeNames` or `ExpressionAttributeValues`.
        parameter: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// More than [`SUBSTITUTION_BYTES`](crate::limits::SUBSTITUTION_BYTES). How DynamoDB says it is not known.
    #[error(
        "ExpressionAttributeNames and ExpressionAttributeValues have exceeded the maximum allowed size of {} bytes; \
         size: {bytes}",
        crate::limits::SUBSTITUTION_BYTES
    )]
    Substitution {
        /// Their size.
        bytes: usize,
    },
    /// Names that no expression uses.
    #[error("Value provided in ExpressionAttributeNames unused in expressions: keys: {{{}}}", keys.join(", "))]
    UnusedNames {
        /// Sorted.
        keys: Vec<String>,
    },
    /// Values that no expression uses.
    #[error("Value provided in ExpressionAttributeValues unused in expressions: keys: {{{}}}", keys.join(", "))]
    UnusedValues {
        /// Sorted.
        keys: Vec<String>,
    },
}

/// Why a condition is not a query's key condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyConditionFault {
    /// An operator or function that key conditions do not know.
    #[error("Invalid operator used in KeyConditionExpression: {operator}")]
    Operator {
        /// Its name.
        operator: &'static str,
    },
    /// A function as an operand.
    #[error("KeyConditionExpressions cannot contain nested operations")]
    NestedOperation,
    /// A path into a map or list.
    #[error("Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes")]
    NestedAttribute,
    /// Only values.
    #[error("Invalid condition in KeyConditionExpression: No key attribute specified")]
    NoAttribute,
    /// Several paths.
    #[error(
        "Invalid KeyConditionExpression: Invalid condition in KeyConditionExpression: Multiple attribute names used in one \
         condition"
    )]
    SeveralAttributes,
    /// The path is not the first operand.
    #[error(
        "Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its first operand"
    )]
    AttributeNotFirst {
        /// The operator or function.
        operator: &'static str,
    },
    /// Two conditions on one attribute.
    #[error("KeyConditionExpressions must only contain one condition per key")]
    OneConditionPerKey,
    /// More than two conditions.
    #[error("Conditions can be of length 1 or 2 only")]
    Count,
    /// No condition on this key attribute.
    #[error("Query condition missed key schema element: {attribute}")]
    MissedKey {
        /// The key attribute.
        attribute: String,
    },
    /// Of keys of several attributes: one that must have its `=` and has not. Only parts of DynamoDB's text are known.
    #[error("Query key condition must have an equality condition on {key_type} key attribute {attribute}{}", match *key_type {
        "RANGE" => ", which stands before another one",
        _ => "",
    })]
    NotEqual {
        /// `HASH` or `RANGE`.
        key_type: &'static str,
        /// Its name.
        attribute: String,
    },
    /// A partition key that is compared otherwise than by `=`, or a condition that no key can meet.
    #[error("Query key condition not supported")]
    NotSupported,
}

/// Why an update cannot be made of the item there is. `Display` gives the message of the `ValidationException`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// A path whose parent is not there, or is of another type.
    #[error("The document path provided in the update expression is invalid for update")]
    InvalidPath,
    /// An operand that is not there.
    #[error("The provided expression refers to an attribute that does not exist in the item")]
    MissingAttribute,
    /// An operand of a wrong type.
    #[error("An operand in the update expression has an incorrect data type")]
    OperandType,
    /// What is set and added, or a list that is appended to, is larger than an item may be.
    #[error("Item size to update has exceeded the maximum allowed size")]
    TooLarge,
    /// A sum or difference that no number holds.
    #[error(transparent)]
    Number(#[from] NumberError),
}

/// A bound as DynamoDB prints it: `AttributeValue: {N:5}`.
struct Braced<'a>(&'a AttributeValue);

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AttributeValue::S(text) => write!(f, "AttributeValue: {{S:{text}}}"),
            AttributeValue::N(number) => write!(f, "AttributeValue: {{N:{number}}}"),
            AttributeValue::B(bytes) => {
                let length = bytes.len();
                write!(
                    f,
                    "AttributeValue: {{B:java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]}}"
                )
            }
            // Bounds are S, N or B: other types were refused before.
            other => write!(f, "AttributeValue: {{{}}}", other.kind()),
        }
    }
}
