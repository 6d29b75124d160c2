//! Rows that a part of the service above this crate keeps in this replica, and in no other: how far a reader of streams has
//! come, for example. They are opaque here. Rows of one group can be changed in one commit on any engine.

use bytes::Bytes;
use geodynamo_storage::{Commit, Engine, Write};

use crate::{
    Result,
    layout::keys::{self, space},
    local::{Local, load_range},
};

/// A part of the service that keeps rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeper {
    /// Event source mappings and how far each has come.
    Triggers = 1,
    /// Kinesis streaming destinations and how far each has come.
    Kinesis = 2,
    /// Sinks: what they are, and which copies are theirs.
    Sinks = 8,
    /// AWS Backup's vaults, plans, selections and jobs.
    Backup = 16,
}

impl<E: Engine> Local<E> {
    /// All rows of a keeper: their groups, their keys and their values.
    pub async fn kept_rows(&self, keeper: Keeper) -> Result<Vec<(u64, Bytes, Bytes)>> {
        let (from, to) = keys::owner_range(space::KEPT, keeper as u64, 0, u64::MAX);
        let rows = load_range(self.store(), from, to).await?;
        let split = |(key, value): (Bytes, Bytes)| (keys::route_of(&key), keys::rest(&key), value);
        Ok(rows.into_iter().map(split).collect())
    }

    /// Changes rows of one group, all or none of them: `None` takes a row away. Once this returns the change is durable.
    pub async fn keep(&self, keeper: Keeper, group: u64, changes: Vec<(Bytes, Option<Bytes>)>) -> Result<()> {
        let write = |(row, value): (Bytes, Option<Bytes>)| {
            let key = keys::kept(keeper as u64, group, &row);
            value.map_or_else(|| Write::Delete(key.clone()), |value| Write::Put(key.clone(), value))
        };
        let commit = Commit {
            writes: changes.into_iter().map(write).collect(),
            ..Commit::default()
        };
        self.store().commit(commit).await?;
        Ok(())
    }
}
