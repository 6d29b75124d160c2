//! A statement as it is written, before it is known what its parts may mean.

use geodynamo_item::{AttributeType, AttributeValue, Name};

use super::Returning;
use crate::{Comparator, Path};

/// A part of a statement that may be a path, a value, a condition or a sum, and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) expression: Expression,
}

/// Where something stands, in bytes: an operator's own place, a call's name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug)]
pub(super) enum Expression {
    Path(Path),
    Value(AttributeValue),
    Missing,
    List(Vec<Node>),
    Bag(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call { function: String, operands: Vec<Node> },
    Compare(Comparator, Box<[Node; 2]>),
    Plus(Box<[Node; 2]>),
    Minus(Box<[Node; 2]>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Between(Box<[Node; 3]>),
    In(Box<Node>, Box<Node>),
    Is { value: Box<Node>, not: bool, kind: Is },
}

/// What IS asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Is {
    Missing,
    /// One of these types.
    OneOf(&'static [AttributeType]),
}

/// A statement.
#[derive(Debug)]
pub(super) enum Parsed {
    Select(SelectNode),
    Exists(SelectNode),
    Insert {
        table: Node,
        value: Node,
    },
    Update {
        table: Node,
        changes: Vec<Change>,
        condition: Option<Node>,
        returning: Option<Returning>,
    },
    Delete {
        table: Node,
        condition: Option<Node>,
        returning: Option<Returning>,
    },
}

#[derive(Debug)]
pub(super) struct SelectNode {
    /// `None` for `*`.
    pub(super) columns: Option<Vec<Node>>,
    pub(super) source: Node,
    pub(super) condition: Option<Node>,
    /// What to order by, and whether descending.
    pub(super) order: Vec<(Node, bool)>,
}

/// A change that an UPDATE makes.
#[derive(Debug)]
pub(super) enum Change {
    Set(Node, Node),
    Remove(Node),
}

/// A table, and an index of it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) table: Name,
    pub(super) index: Option<Name>,
}
