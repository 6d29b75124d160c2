//! Sinks: copies of tables that other systems query, kept up with every change.
//!
//! A sink begins with a snapshot of its table and goes on with the changes behind it, read from the table's change logs like
//! everything else that follows a table. What a copy has, and up to which position of each log it has it, is written in one
//! transaction of the copy's own system: so it has every change exactly once, whatever breaks when. Nothing that writes waits for
//! a sink. Change logs are held for it, a day at most; a sink that was away for longer begins anew with a snapshot, as does one
//! whose copy turns out to be another's, or older than the logs.
//!
//! [`Sinks`] is the door: sinks are added, removed, listed. `copier` brings a table to a target, of which there is one
//! for each kind of system: PostgreSQL's ([`PostgresSpec`]) and Iceberg's ([`IcebergSpec`]).

mod copier;
mod document;
mod entry;
mod iceberg;
mod names;
mod postgres;
mod rows;
mod service;
mod spec;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use crate::{
    entry::SinkStatus,
    service::{SinkError, Sinks},
    spec::{Columns, Document, IcebergSpec, PostgresSpec, SinkSpec},
};

/// The most sinks of a region.
pub const SINKS_MAX: usize = 16;
/// For how long change logs are held for a sink that does not take them, unless told otherwise.
pub const HELD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How sinks run.
#[derive(Clone, Debug)]
pub struct Options {
    /// For how long change logs are held for a sink that does not take them.
    pub held_for: Duration,
    /// Whether positions are stored in a transaction of their own, before the changes. That loses changes in a crash: for
    /// negative controls only.
    pub position_first: bool,
}
