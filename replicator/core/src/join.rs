//! Joins: copying a table to a replica that is new to it.
//!
//! The joining side asks one member for a copy. The source answers with its cursor of every origin log of the table and
//! with the ends of its own logs, as of before it reads the first row; then with rows; then with the end. The joining side stores
//! the first answer's cursors as its own, so every link starts there, and merges the rows like any delta. Rows need no
//! frozen snapshot: whatever the source merges after the cursors were taken reaches the joining side by links, and a row
//! that is newer than the cursors is a version that a link will bring again, harmlessly.
//!
//! A copy that breaks is asked for again from the last durable row. The cursors of the *first* start stay: they are the
//! lowest, and the links have moved on from them since.

use serde::{Deserialize, Serialize};

use crate::{
    delta::Delta,
    host::CopyMark,
    ids::{LogInfo, Position, TableId},
};

/// Asks for a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRequest {
    /// The table.
    #[serde(rename = "t")]
    pub table: TableId,
    /// Which join this is.
    #[serde(rename = "j")]
    pub join: u64,
    /// Only rows after this one.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CopyMark>,
}

/// What a copy starts with: where every link to the joining side starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStart {
    /// The source's cursor of every other origin's log of the table, and the ends of its own, taken together before the
    /// first row is read.
    #[serde(rename = "c")]
    pub cursors: Vec<(LogInfo, Position)>,
}

/// Rows of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRows {
    /// Versions and conflict records.
    #[serde(rename = "d")]
    pub deltas: Vec<Delta>,
    /// The last of them: a copy that breaks goes on after it.
    #[serde(rename = "l")]
    pub last: CopyMark,
}

/// A frame of a copy's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyFrame {
    /// From the joining side, once.
    #[serde(rename = "request")]
    Request(CopyRequest),
    /// From the source, once, first.
    #[serde(rename = "start")]
    Start(CopyStart),
    /// From the source, any number.
    #[serde(rename = "rows")]
    Rows(CopyRows),
    /// From the source, last: everything has been sent.
    #[serde(rename = "end")]
    End,
    /// From the source, instead of everything: not now.
    #[serde(rename = "refused")]
    Refused {
        /// Why, for the log.
        #[serde(rename = "r")]
        reason: String,
    },
}
