//! PartiQL for DynamoDB: statements to the trees of this crate.
//!
//! A WHERE clause becomes a [`Condition`], SET and REMOVE become an [`Update`], paths are [`Path`]s: there is no second
//! evaluator. What PartiQL adds is here: the text, what a SELECT shows, and which keys a WHERE clause names ([`plan`],
//! [`single_key`]).
//!
//! What is taken is what the developer guide's "PartiQL - a SQL-compatible query language for Amazon DynamoDB" names; the
//! rest of the language is refused. Names are as written, case and all; keywords are not case-sensitive, and a name that is
//! a keyword needs double quotes.

mod error;
mod expression;
mod keys;
mod keywords;
mod lexer;
mod lower;
mod parser;
mod print;
mod tree;

use std::fmt;

use geodynamo_item::{AttributeValue, Item, Name};

pub use error::{At, StatementError, SyntaxFault};
pub use keys::{KeyNames, Plan, Range, Ranges, plan, query_of_several, single_key};
pub use print::PrintedCondition;

use crate::{Condition, Path, Update};

/// A statement, its parameters filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `SELECT … FROM … WHERE …`
    Select(Select),
    /// `INSERT INTO … VALUE …`
    Insert(Insert),
    /// `UPDATE … SET … REMOVE … WHERE …`
    Update(UpdateItem),
    /// `DELETE FROM … WHERE …`
    Delete(DeleteItem),
    /// `EXISTS(SELECT …)`, which only transactions know.
    Exists(Select),
}

/// A SELECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// The table's name, or its ARN.
    pub table: Name,
    /// The index to read; `None` for the table itself.
    pub index: Option<Name>,
    /// What to show of items; `None` for `*`.
    pub columns: Option<Vec<Column>>,
    /// WHERE
    pub condition: Option<Condition>,
    /// ORDER BY
    pub order: Vec<Order>,
}

/// A column of a SELECT: a document path, shown under the name of its last attribute and the indexes behind it. `a.b[0]`
/// is shown as `b[0]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in what is shown.
    pub name: Name,
    /// Where the value is.
    pub path: Path,
}

/// A part of ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The attribute.
    pub attribute: Name,
    /// `DESC`
    pub descending: bool,
}

/// An INSERT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// The table's name, or its ARN.
    pub table: Name,
    /// The item.
    pub item: Item,
}

/// An UPDATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateItem {
    /// The table's name, or its ARN.
    pub table: Name,
    /// SET and REMOVE
    pub update: Update,
    /// WHERE
    pub condition: Option<Condition>,
    /// RETURNING
    pub returning: Option<Returning>,
}

/// A DELETE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteItem {
    /// The table's name, or its ARN.
    pub table: Name,
    /// WHERE
    pub condition: Option<Condition>,
    /// `RETURNING ALL OLD *`
    pub returns_old: bool,
}

/// What a write gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returning {
    /// `ALL OLD *`
    AllOld,
    /// `MODIFIED OLD *`
    ModifiedOld,
    /// `ALL NEW *`
    AllNew,
    /// `MODIFIED NEW *`
    ModifiedNew,
}

impl fmt::Display for Returning {
    /// As written in statements, in capitals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllOld => "ALL OLD *",
            Self::ModifiedOld => "MODIFIED OLD *",
            Self::AllNew => "ALL NEW *",
            Self::ModifiedNew => "MODIFIED NEW *",
        })
    }
}

impl Statement {
    /// Parses a statement; each `?` in it is the next of the parameters.
    ///
    /// # Errors
    /// Whatever can be refused without knowing the table. Of several faults, one of the text's form is told first, then a
    /// wrong number of parameters, then the others in their order.
    pub fn parse(text: &str, parameters: &[AttributeValue]) -> Result<Self, StatementError> {
        let parsed = parser::parse(text, parameters)?;
        lower::statement(text, parsed)
    }

    /// The table's name, or its ARN.
    pub fn table(&self) -> &Name {
        match self {
            Self::Select(select) | Self::Exists(select) => &select.table,
            Self::Insert(insert) => &insert.table,
            Self::Update(update) => &update.table,
            Self::Delete(delete) => &delete.table,
        }
    }

    /// The index that it reads, if it is on one.
    pub fn index(&self) -> Option<&Name> {
        match self {
            Self::Select(select) | Self::Exists(select) => select.index.as_ref(),
            Self::Insert(_) | Self::Update(_) | Self::Delete(_) => None,
        }
    }

    /// Whether it has a RETURNING clause.
    pub fn has_returning(&self) -> bool {
        match self {
            Self::Update(update) => update.returning.is_some(),
            Self::Delete(delete) => delete.returns_old,
            Self::Select(_) | Self::Insert(_) | Self::Exists(_) => false,
        }
    }

    /// Whether it reads. EXISTS goes with the writes.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Select(_))
    }
}

impl Select {
    /// What the SELECT shows of an item; columns that it lacks are left out.
    pub fn show(&self, item: Item) -> Item {
        let Some(columns) = &self.columns else { return item };
        let shown = columns
            .iter()
            .filter_map(|column| Some((column.name.clone(), column.path.find(&item)?.clone())));
        shown.collect()
    }
}
