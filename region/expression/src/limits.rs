//! Every limit of this crate, with its source.
//!
//! "Expression parameters" in the developer guide's page of constraints, unless said otherwise.

/// Bytes of an expression's text, as sent.
pub const EXPRESSION_BYTES: usize = 4096;

/// Operators and functions in one expression.
pub const OPERATORS: usize = 300;

/// Operands in the parentheses of one `IN`.
pub const IN_OPERANDS: usize = 100;

/// Elements of a document path: an attribute's name and what leads down to the deepest value it may have, which nests 32
/// levels, the attribute's own value counted ("Nested attribute depth").
pub const PATH_ELEMENTS: usize = 32;

/// Parentheses, `NOT`s and function calls within each other. No expression that DynamoDB takes has more: each level needs
/// an operator of its own, since parentheses that enclose nothing but parentheses are refused.
pub const NESTING: usize = OPERATORS;

/// Bytes of a `#name` or a `:value`, the sign included.
pub const PLACEHOLDER_BYTES: usize = 255;

/// Bytes of all ExpressionAttributeNames and ExpressionAttributeValues of a request together, by the size formula.
pub const SUBSTITUTION_BYTES: usize = 2 * 1024 * 1024;

/// Bytes, by the size formula, of the values that a request's expressions use for a second time or more. Each use holds a copy:
/// without this limit 300 of them would take hundreds of megabytes. It is our own.
pub const REPEATED_BYTES: usize = SUBSTITUTION_BYTES;

/// Characters of a PartiQL statement (the service model's `PartiQLStatement`).
pub const STATEMENT_CHARACTERS: usize = 8192;

/// Parentheses, `NOT`s, function calls, lists, maps and sets within each other in a statement: enough for values nested 32
/// levels deep within any condition.
pub const STATEMENT_NESTING: usize = 64;

/// Values of the partition key in one statement's WHERE clause ("PartiQL operators": "at max 50 hash attribute values").
pub const PARTITION_VALUES: usize = 50;
