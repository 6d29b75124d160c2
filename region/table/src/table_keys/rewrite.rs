//! Rows are written anew, sealed as they are to be: one after the other, each only if it is still what was read, so that whoever
//! writes meanwhile goes first, and has sealed what he writes.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use geodynamo_seal::sealed_under;
use geodynamo_storage::{Commit, Engine, Precondition, StorageError, Write};

use crate::{
    Result, Table,
    layout::{
        keys::{self, space},
        range,
    },
    schema::IndexKind,
    store::{self, Store},
    table::encryption::{Encryption, SealedKey},
    table_keys::TableKeys,
};

/// How many rows are read at once.
const PAGE_ROWS: usize = 256;
/// And how many bytes of them.
const PAGE_BYTES: usize = 1 << 20;
/// How many rows are written at once: they share a sync.
const AT_ONCE: usize = 64;

impl<E: Engine> TableKeys<E> {
    /// Writes all rows of a table anew that are not sealed as its setting says. Gives how many.
    pub(crate) async fn rewrite_rows(&self, table: &Table, encryption: &Encryption) -> Result<u64> {
        let wanted = encryption
            .master
            .as_ref()
            .and(encryption.key.as_ref())
            .and_then(SealedKey::id);
        let mut owners = vec![(space::ITEM, table.id()), (space::CONFLICT, table.id())];
        for index in table.indexes() {
            owners.push(match index.kind {
                IndexKind::Local(ordinal) => (space::LOCAL + ordinal, table.id()),
                IndexKind::Global(id) => (space::GLOBAL, id),
            });
        }
        // Whoever began to write before the setting was changed has ended.
        table.live.gate.let_all_out().await;
        let mut written = 0;
        for (space, owner) in owners {
            let (mut from, to) = keys::owner_range(space, owner, 0, u64::MAX);
            loop {
                let page = self
                    .local
                    .store()
                    .engine()
                    .scan(range::whole(from, to.clone(), PAGE_ROWS, PAGE_BYTES))
                    .await?;
                let last = page.rows.last().map(|(key, _)| key.clone());
                let rows = page.rows.into_iter().filter(|(_, row)| sealed_under(row) != wanted);
                let writing = rows.map(|(key, row)| rewrite_row(self.local.store(), key, row));
                let mut writing = stream::iter(writing).buffer_unordered(AT_ONCE);
                while let Some(done) = writing.next().await {
                    written += u64::from(done?);
                }
                match last {
                    Some(last) if page.more => from = keys::just_after(&last),
                    _ => break,
                }
            }
        }
        Ok(written)
    }
}

/// Writes a row anew, if it is still what was read; whether it was.
async fn rewrite_row<E: Engine>(store: &Store<E>, key: Bytes, row: Bytes) -> Result<bool> {
    let content = store::open_row(store.seals(), &key, row.clone())?;
    let mut write = Write::Put(key.clone(), content);
    store::seal_write(store.seals(), &mut write)?;
    let commit = Commit {
        preconditions: vec![Precondition::Equals(key, row)],
        writes: vec![write],
        ..Commit::default()
    };
    match store.engine().commit(commit).await {
        Ok(_) => Ok(true),
        Err(StorageError::Precondition(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
