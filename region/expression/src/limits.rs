//! Every limit of this crate, with its source.
//!
//! "Expression parameters" in the developer guide's page of constraints, unless said otherwise.

/// Bytes of an expression's text, as sent.
pub const EXPRESSION_BYTES: usize = 4096;

/// Operators and functions in one expression.
pub const OPERATORS: usize = 300;

/// Operands in the parentheses of one `IN`.
pub const IN_OPERANDS: usize = 100;

/// Elements of a document path: an attribute's name and 32 levels of nesting below it ("Nested attribute depth").
pub const PATH_ELEMENTS: usize = 33;

/// Parentheses, `NOT`s and function calls within each other. No expression that DynamoDB takes has more: each level needs
/// an operator of its own, since parentheses that enclose nothing but parentheses are refused.
pub const NESTING: usize = OPERATORS;

/// Bytes of a `#name` or a `:value`, the sign included.
pub const PLACEHOLDER_BYTES: usize = 255;

/// Bytes of all ExpressionAttributeNames and ExpressionAttributeValues of a request together, by the size formula.
pub const SUBSTITUTION_BYTES: usize = 2 * 1024 * 1024;
