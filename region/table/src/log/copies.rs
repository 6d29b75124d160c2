//! What whoever keeps a copy of a table elsewhere, such as in a warehouse, needs of it: for each change, the item as it became.
//!
//! A copy begins with a snapshot ([`crate::Logs::snapshot_of`]) and goes on with the changes behind its cut. Changes of a table that
//! is copied carry the new item ([`crate::Logs::copy_changes_of`]), and its change logs are held until they have been read
//! ([`LogHolder`]).
//!
//! [`LogHolder`]: crate::recovery::LogHolder

use bytes::Bytes;
use geodynamo_replicator_core::{Body, LogInfo, Millis, Position};
use geodynamo_storage::Engine;

use crate::{Result, StoredItem, Table, TableError, log::Logs};

/// What a change made of an item.
#[derive(Clone, PartialEq, Debug)]
pub struct CopiedChange {
    /// The item's key: the partition key terminated, then the sort key. The same as a snapshot's row has.
    pub key: Bytes,
    /// The item; `None` if there is none any more.
    pub item: Option<StoredItem>,
    /// When it was committed here, in milliseconds since the Unix epoch.
    pub committed_ms: Millis,
}

/// A part of a log.
#[derive(Clone, PartialEq, Debug)]
pub enum CopiedChanges {
    /// Changes, in their order, and the last position looked at: some changes leave the item as it was.
    Found(Vec<CopiedChange>, Position),
    /// Something is missing behind the position: records that were trimmed, or that do not have the item.
    Missing,
}

impl<E: Engine> Logs<E> {
    /// From here on, every write of a table that begins tells of the item as it becomes, or need not any more. What a
    /// [snapshot](Self::snapshot_of) made afterwards does not have is told of by changes that do.
    pub fn copy_changes_of(&self, table: &Table, on: bool) {
        table.live.keep_images_for_copies(on);
    }

    /// Changes of one of a table's logs behind a position.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn copied_changes(
        &self,
        log: &LogInfo,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<CopiedChanges> {
        // Before the log is read: what comes afterwards is not taken for something that is missing.
        let end = self.local.log_end(log.log);
        let changes = self.read_log(log.log, after, rows_max, bytes_max).await;
        let changes = changes.map_err(|error| TableError::Corrupt(error.to_string()))?;
        let (mut found, mut at) = (Vec::with_capacity(changes.len()), after);
        for (position, change) in changes {
            if position > end {
                break;
            }
            // Positions of a log have no gaps.
            if position.0 != at.0 + 1 {
                return Ok(CopiedChanges::Missing);
            }
            at = position;
            let Body::Item {
                deleted,
                effect,
                images,
            } = change.body
            else {
                continue;
            };
            if effect.unchanged {
                continue;
            }
            let item = match (deleted, images.new) {
                (true, _) => None,
                (false, Some(item)) => Some(StoredItem::new(item)),
                (false, None) => return Ok(CopiedChanges::Missing),
            };
            found.push(CopiedChange {
                key: change.key,
                item,
                committed_ms: change.commit_time,
            });
        }
        if at == after && at < end {
            return Ok(CopiedChanges::Missing);
        }
        Ok(CopiedChanges::Found(found, at))
    }
}
