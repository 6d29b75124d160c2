//! Carrying out what was staged.

use std::sync::Arc;

use geodynamo_replicator_core::{LogId, Position};
use geodynamo_storage::{Commit, Engine, Group, Write};
use smallvec::SmallVec;
use tracing::Instrument;

use crate::{
    Result,
    layout::expiry,
    local::Local,
    write::{Staged, collections::Collections},
};

/// Commits, and counts what was committed.
pub(crate) struct Committer<E: Engine> {
    pub(super) local: Arc<Local<E>>,
    /// Sizes of item collections that have commits under way.
    pub(super) collections: Collections,
}

impl<E: Engine> Committer<E> {
    pub(super) fn new(local: &Arc<Local<E>>) -> Self {
        Self {
            local: Arc::clone(local),
            collections: Collections::default(),
        }
    }

    /// Carries out what was staged; once it is durable, counts it and wakes the links.
    ///
    /// On an engine that does not span groups, index entries of other groups are committed after the item, each group by
    /// itself, so such an index lags (see ARCHITECTURE.md).
    pub(crate) async fn carry_out(&self, staged: Staged) -> Result<()> {
        let Staged {
            mut commit,
            mut marks,
            counts,
            collections,
            to_send,
            traced,
            ..
        } = staged;
        let logs: SmallVec<[LogId; 2]> = commit.appends.iter().map(|append| LogId(append.log.0)).collect();
        let makes_room = commit.makes_room;
        if self.local.store().spans_groups() {
            commit.writes.append(&mut marks);
        }
        let committing = async {
            if commit.is_empty() {
                Ok(Vec::new())
            } else if !collections.is_empty() {
                self.commit_with_collections(commit, &collections).await
            } else if self.local.store().spans_groups() {
                Ok(self.local.store().commit(commit).await?)
            } else {
                self.commit_by_group(commit).await
            }
        };
        // Below the level that logs have by default: where nothing is traced, it costs a comparison.
        let positions = committing.instrument(tracing::debug_span!("commit")).await?;
        if !traced.is_empty() {
            self.local
                .traces()
                .committed(&traced, self.local.orderer().time.now_ms());
        }
        for count in counts {
            count.stats.count(count.before, count.after);
        }
        if !logs.is_empty() {
            let positions = positions.into_iter().map(|position| Position(position.0));
            self.local.ends.raise(logs.into_iter().zip(positions), to_send);
        }
        for mark in marks {
            let commit = Commit {
                writes: vec![mark],
                makes_room,
                ..Commit::default()
            };
            self.local.store().commit(commit).await?;
        }
        Ok(())
    }

    /// Carries a commit out group by group: what belongs to the appended changes' keys first, with the appends.
    pub(super) async fn commit_by_group(&self, commit: Commit) -> Result<Vec<geodynamo_storage::Position>> {
        let mut positions = Vec::new();
        // An item that expires must never be without its entry in the expiry index, so new entries go first.
        let (entries, writes): (Vec<_>, Vec<_>) = commit.writes.into_iter().partition(expiry::is_put);
        for entry in self.local.splits(entries) {
            self.local.store().commit(entry).await?;
        }
        let mut groups: Vec<(Group, Commit)> = Vec::new();
        for write in writes {
            let key = match &write {
                Write::Put(key, _) | Write::Delete(key) | Write::DeleteRange(key, _) => key,
            };
            let group = self.local.store().group_of(key);
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, commit)) => commit.writes.push(write),
                None => groups.push((
                    group,
                    Commit {
                        writes: vec![write],
                        ..Commit::default()
                    },
                )),
            }
        }
        if let Some((_, first)) = groups.first_mut() {
            first.appends = commit.appends;
        }
        for (_, commit) in groups {
            positions.extend(self.local.store().commit(commit).await?);
        }
        Ok(positions)
    }
}
