//! Why a topology is refused, and where.

use std::fmt;

use crate::{
    address::AddressError,
    name::{NameError, NodeName, RegionName},
};

/// A refused topology: where in which file, and the reason.
///
/// It displays as `topology.toml:12:8: link to region 'mars-1', which is not defined`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyError {
    /// The name the caller gave to the text, usually the path of the file.
    pub source_name: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not TOML, or not of a topology's form (a missing or unknown field, a value of another type).
    #[error("{0}")]
    Form(String),
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An address is not one.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There are no regions.
    #[error("a topology needs at least one region")]
    NoRegions,
    /// A limit is exceeded.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most there may be.
        limit: usize,
    },
    /// A region is defined twice.
    #[error("region '{0}' is defined twice")]
    DuplicateRegion(RegionName),
    /// A region has no nodes.
    #[error("region '{0}' has no nodes: add a [[region.node]]")]
    NoNodes(RegionName),
    /// A node's name is used twice.
    #[error("node '{0}' is defined twice")]
    DuplicateNode(NodeName),
    /// Two listeners have the same address.
    #[error("address '{0}' is used twice")]
    DuplicateAddress(String),
    /// A link begins at a region that is not defined.
    #[error("link from region '{0}', which is not defined")]
    LinkFromUnknown(RegionName),
    /// A link ends at a region that is not defined.
    #[error("link to region '{0}', which is not defined")]
    LinkToUnknown(RegionName),
    /// A link from a region to itself.
    #[error("link from region '{0}' to itself")]
    SelfLink(RegionName),
    /// A link is defined twice.
    #[error("the link from '{0}' to '{1}' is defined twice")]
    DuplicateLink(RegionName, RegionName),
    /// A region that has to be there (the node's own) is missing.
    #[error("region '{region}' is not in the topology, which has {}", list(.known))]
    MissingRegion {
        /// The region that was looked for.
        region: RegionName,
        /// The regions that are there.
        known: Vec<RegionName>,
    },
}

fn list(names: &[RegionName]) -> String {
    names.iter().map(RegionName::as_str).collect::<Vec<_>>().join(", ")
}

impl TopologyError {
    /// An error at a byte offset of the text.
    pub(crate) fn at(source_name: &str, text: &str, offset: usize, reason: Reason) -> Self {
        let position = Position::of(text, offset);
        position.error(source_name, reason)
    }
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.source_name, self.line, self.column, self.reason)
    }
}

impl std::error::Error for TopologyError {}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    line: usize,
    column: usize,
}

impl Position {
    /// The line and column of a byte offset; an offset past the end is the end.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let offset = (0..=offset.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// An error at this place.
    pub(crate) fn error(self, source_name: &str, reason: Reason) -> TopologyError {
        TopologyError {
            source_name: source_name.to_owned(),
            line: self.line,
            column: self.column,
            reason,
        }
    }
}
