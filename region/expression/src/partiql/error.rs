//! The catalogue of what can be wrong with a statement, in DynamoDB's words where they are known.
//!
//! The texts of the form are those of Amazon's reference parser (partiql-lang-kotlin), which DynamoDB passes on; that is
//! known of "Expected data manipulation" and "Unexpected keyword" from users' posts. "Where clause does not contain …",
//! "Number of parameters …", "Unexpected path component", "Unexpected from source", "Unsupported clause" and those of
//! ORDER BY are from users' posts, too. Those of the components of paths and of a DELETE's RETURNING were captured from
//! DynamoDB. What is marked *ours* has no known text.

use std::fmt;

use geodynamo_item::{Name, NumberError, wire::EMPTY_NAME};

use super::Returning;
use crate::{ExpressionError, Fault};

/// Why a statement is refused. `Display` gives the message of the `ValidationException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The text's form.
    #[error("Statement wasn't well formed, can't be processed: {0}")]
    Syntax(#[from] SyntaxFault),
    /// More or fewer `?` than parameters.
    #[error("Number of parameters in request and statement don't match.")]
    Parameters,
    /// Something that is no document path where one must stand.
    #[error("Unexpected path component at {0}")]
    PathComponent(At),
    /// An empty name in a path, such as that of a table.
    #[error("Path component cannot be an empty string")]
    EmptyComponent,
    /// More than a table and an index.
    #[error("A path may contain at most 2 components in the FROM clause")]
    SourceComponents,
    /// An INSERT into an index.
    #[error("FROM clause may only contain a single table name in data manipulation statements")]
    InsertIntoIndex,
    /// An UPDATE of an index, or a DELETE from one.
    #[error("This operation is not supported on an index")]
    WriteToIndex,
    /// Something else than a table or an index.
    #[error("Unexpected from source at {0}")]
    FromSource(At),
    /// A clause of SQL that DynamoDB does not know.
    #[error("Unsupported clause: {clause} at {at}")]
    Clause {
        /// Its keyword, in capitals.
        clause: String,
        /// Where it stands.
        at: At,
    },
    /// An operator of SQL that DynamoDB does not know. *Ours.*
    #[error("Unsupported operator: {operator} at {at}")]
    Operator {
        /// As written.
        operator: String,
        /// Where it stands.
        at: At,
    },
    /// Something that is no condition, or no value, where one must stand. *Ours.*
    #[error("Unexpected expression at {0}")]
    Expression(At),
    /// An INSERT of something else than one item. *Ours.*
    #[error("INSERT requires a single item: VALUE {{ ... }} at {0}")]
    InsertValue(At),
    /// A RETURNING that the statement does not know. *Ours.*
    #[error("Unsupported RETURNING clause at {0}")]
    Returning(At),
    /// A DELETE that returns what only an UPDATE can.
    #[error("Invalid returning clause: RETURNING {0}. Only RETURNING ALL OLD * is allowed in DELETE statements.")]
    DeleteReturning(Returning),
    /// What would be wrong in an expression, too.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What would be wrong in a whole expression, too.
    #[error(transparent)]
    Refused(#[from] ExpressionError),
    /// A number that none holds.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// A value that makes no sense; as the wire form's refusals.
    #[error("One or more parameter values were invalid: {0}")]
    Value(String),
    /// A value that nests too deeply.
    #[error(
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
    )]
    Nesting,
    /// An item with an attribute without a name; as the wire form's refusal.
    #[error("{EMPTY_NAME}")]
    EmptyName,
    /// Two entries of one name in a map. *Ours.*
    #[error("Duplicate attribute name in map: {0}")]
    DuplicateName(Name),
    /// An UPDATE or DELETE of other than one item.
    #[error("Where clause does not contain a mandatory equality on all key attributes")]
    KeyEquality,
    /// ORDER BY without WHERE.
    #[error("Must have WHERE clause in the statement when using ORDER BY clause.")]
    OrderWithoutWhere,
    /// ORDER BY, and no condition on the partition key.
    #[error("Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.")]
    OrderWithoutKey,
    /// ORDER BY something else than a key.
    #[error("Variable reference {0} in ORDER BY clause must be part of the primary key")]
    OrderAttribute(Name),
    /// ORDER BY the sort key over several partition keys. *Ours.*
    #[error("Must have the hash key first in ORDER BY clause when the WHERE clause has several hash keys")]
    OrderOverPartitions,
}

/// What is wrong with a statement's form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxFault {
    /// A character that begins nothing, or a text that does not end. *Ours.*
    #[error("Invalid character at {0}")]
    Character(At),
    /// Longer than [`STATEMENT_CHARACTERS`](crate::limits::STATEMENT_CHARACTERS). *Ours.*
    #[error("Statement is too long")]
    Length,
    /// More than [`STATEMENT_NESTING`](crate::limits::STATEMENT_NESTING). *Ours.*
    #[error("Statement is nested too deeply")]
    Nesting,
    /// Not SELECT, INSERT, UPDATE, DELETE or EXISTS; or an UPDATE without SET and REMOVE.
    #[error("Expected data manipulation")]
    DataManipulation,
    /// A keyword where a name or a value must stand.
    #[error("Unexpected keyword")]
    Keyword,
    /// An operator where a name or a value must stand.
    #[error("Unexpected operator")]
    Operator,
    /// Something else where a name or a value must stand.
    #[error("Unexpected term")]
    Term,
    /// No name behind a dot.
    #[error("Invalid path dot component")]
    DotComponent,
    /// Something behind the statement's end.
    #[error("Unexpected token after expression")]
    After,
    /// SELECT without columns.
    #[error("Cannot have empty SELECT list")]
    EmptySelect,
    /// `*` and other columns.
    #[error("Other expressions may not be present in the select list when '*' is used without dot notation.")]
    AsteriskNotAlone,
    /// SET without assignments.
    #[error("Expected assignment for SET")]
    Assignment,
    /// RETURNING what is not to be had.
    #[error("Expected ( MODIFIED | ALL ) ( NEW | OLD ) in each returning element.")]
    Returning,
    /// A certain keyword or sign is missing.
    #[error("Expected {0}")]
    Expected(&'static str),
}

/// Where something stands in a statement: `line:column:length`, from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// In characters.
    pub length: usize,
}

impl At {
    /// Where the bytes from `start` to `end` are.
    pub(super) fn of(text: &str, start: usize, end: usize) -> Self {
        let (before, within) = (
            text.get(..start).unwrap_or_default(),
            text.get(start..end).unwrap_or_default(),
        );
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            length: within.chars().count(),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.line, self.column, self.length)
    }
}
