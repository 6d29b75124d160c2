//! The engine as tables use it: what is stored of a table that has a key of its own is sealed under it on the way down, and
//! opened on the way up. Nothing above this knows of it.
//!
//! Sealed are the values of items, index entries and conflict records, and the records of change logs. Keys are not: their
//! order is what makes queries. Nor is what waits for its time to be applied, which is there for seconds. All of it is
//! encrypted in files besides, where files are.
//!
//! Nor does what is above know of damage: rows that the engine does not vouch for are refused here, unless they are read by who
//! brings them up to date (`*_held`).

mod seals;

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use geodynamo_seal::sealed_under;
use geodynamo_storage::{
    Append, Commit, Distrusted, Engine, Group, Health, LogId, LogRecord, Page, Position, Prefix, Scan, Snapshot,
    StorageClass, StorageError, Write,
};

use crate::layout::keys::{self, space};

pub(crate) use self::seals::{Current, Seals, TableSeal};

/// An engine whose rows may be sealed.
#[derive(Debug)]
pub(crate) struct Store<E> {
    engine: Arc<E>,
    seals: Arc<Seals>,
    distrusted: Arc<Distrusted>,
}

/// A snapshot of one.
#[derive(Debug)]
pub(crate) struct StoreSnapshot<S> {
    snapshot: S,
    seals: Arc<Seals>,
    distrusted: Arc<Distrusted>,
}

impl<E: Engine> Store<E> {
    pub(crate) fn new(engine: Arc<E>) -> Self {
        Self {
            distrusted: engine.distrusted(),
            engine,
            seals: Arc::default(),
        }
    }

    /// What the engine does not vouch for.
    pub(crate) fn distrusted(&self) -> &Distrusted {
        &self.distrusted
    }

    /// The values of keys, also of those that are not vouched for: a row may be missing, or older than it was. For who merges
    /// versions by their stamps.
    pub(crate) async fn get_held(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        open_all(&self.seals, keys, self.engine.get_each(keys).await?)
    }

    /// A page, likewise.
    pub(crate) async fn scan_held(&self, scan: Scan) -> Result<Page, StorageError> {
        open_page(&self.seals, self.engine.scan(scan).await?)
    }

    /// The engine, with rows as they are stored.
    pub(crate) fn engine(&self) -> &E {
        &self.engine
    }

    pub(crate) fn seals(&self) -> &Seals {
        &self.seals
    }
}

/// Whether rows of a space are sealed where their owner has a key.
fn is_sealed(of: u8) -> bool {
    matches!(of, space::ITEM | space::GLOBAL | space::CONFLICT) || of >= space::LOCAL
}

/// Seals what a write puts, where it has to be.
pub(crate) fn seal_write(seals: &Seals, write: &mut Write) -> Result<(), StorageError> {
    if let Write::Put(key, value) = write
        && key.first().is_some_and(|space| is_sealed(*space))
        && let Some(row_key) = seals.key_of(keys::owner_of(key))?
    {
        *value = row_key.seal(key, value).map_err(failed)?.into();
    }
    Ok(())
}

fn seal_append(seals: &Seals, append: &mut Append) -> Result<(), StorageError> {
    if let Some(row_key) = seals.key_of_log(append.log)? {
        let place = append.log.0.to_be_bytes();
        append.record = row_key.seal(&place, &append.record).map_err(failed)?.into();
    }
    Ok(())
}

/// A row as it was before it was sealed.
pub(crate) fn open_row(seals: &Seals, key: &[u8], value: Bytes) -> Result<Bytes, StorageError> {
    match key.first() {
        Some(space) if is_sealed(*space) => open(seals, key, value),
        _ => Ok(value),
    }
}

fn open(seals: &Seals, place: &[u8], value: Bytes) -> Result<Bytes, StorageError> {
    let Some(id) = sealed_under(&value) else {
        return Ok(value);
    };
    let row_key = seals.with_id(id).ok_or(StorageError::KeyAway)?;
    row_key.open(place, &value).map(Bytes::from).map_err(failed)
}

fn open_page(seals: &Seals, mut page: Page) -> Result<Page, StorageError> {
    for (key, value) in &mut page.rows {
        *value = open_row(seals, key, std::mem::take(value))?;
    }
    Ok(page)
}

fn open_all(seals: &Seals, keys: &[Bytes], mut found: Vec<Option<Bytes>>) -> Result<Vec<Option<Bytes>>, StorageError> {
    for (key, value) in keys.iter().zip(&mut found) {
        *value = value.take().map(|value| open_row(seals, key, value)).transpose()?;
    }
    Ok(found)
}

/// Up to where a page tells of all rows, if not to the end of its scan.
fn page_end(page: &Page) -> Option<&Bytes> {
    page.rows.last().filter(|_| page.more).map(|(key, _)| key)
}

fn failed(error: geodynamo_seal::SealError) -> StorageError {
    StorageError::Io(error.to_string().into())
}

impl<S> StoreSnapshot<S> {
    /// The engine's, with rows as they are stored.
    pub(crate) fn raw(&self) -> &S {
        &self.snapshot
    }
}

impl<S: Snapshot> Snapshot for StoreSnapshot<S> {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let found = self.snapshot.get(key).await?;
        self.distrusted.doubt().check(key)?;
        found.map(|value| open_row(&self.seals, key, value)).transpose()
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        let page = self.snapshot.scan(scan.clone()).await?;
        self.distrusted.doubt().check_scan(&scan, page_end(&page))?;
        open_page(&self.seals, page)
    }

    fn log_end(&self, log: LogId) -> impl Future<Output = Result<Position, StorageError>> + Send {
        self.snapshot.log_end(log)
    }
}

impl<E: Engine> Engine for Store<E> {
    type Snapshot = StoreSnapshot<E::Snapshot>;

    fn spans_groups(&self) -> bool {
        self.engine.spans_groups()
    }

    fn group_of(&self, key: &[u8]) -> Group {
        self.engine.group_of(key)
    }

    fn commit_bytes_max(&self) -> usize {
        self.engine.commit_bytes_max()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        loop {
            let doubt = self.distrusted.doubt();
            let found = self.engine.get(key).await?;
            if self.distrusted.is_still(&doubt) {
                doubt.check(key)?;
                return found.map(|value| open_row(&self.seals, key, value)).transpose();
            }
        }
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        loop {
            let doubt = self.distrusted.doubt();
            let found = self.engine.get_many(keys).await?;
            if self.distrusted.is_still(&doubt) {
                keys.iter().try_for_each(|key| doubt.check(key))?;
                return open_all(&self.seals, keys, found);
            }
        }
    }

    async fn get_each(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        loop {
            let doubt = self.distrusted.doubt();
            let found = self.engine.get_each(keys).await?;
            if self.distrusted.is_still(&doubt) {
                keys.iter().try_for_each(|key| doubt.check(key))?;
                return open_all(&self.seals, keys, found);
            }
        }
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        loop {
            let doubt = self.distrusted.doubt();
            let page = self.engine.scan(scan.clone()).await?;
            if self.distrusted.is_still(&doubt) {
                doubt.check_scan(&scan, page_end(&page))?;
                return open_page(&self.seals, page);
            }
        }
    }

    fn snapshot(&self) -> Self::Snapshot {
        StoreSnapshot {
            snapshot: self.engine.snapshot(),
            seals: Arc::clone(&self.seals),
            distrusted: Arc::clone(&self.distrusted),
        }
    }

    /// Preconditions on sealed rows never hold: no row is sealed the same way twice.
    fn commit(&self, mut commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<E> {
        let sealed = if self.seals.is_empty() {
            Ok(())
        } else {
            let writes = commit
                .writes
                .iter_mut()
                .try_for_each(|write| seal_write(&self.seals, write));
            writes.and_then(|()| {
                let mut appends = commit.appends.iter_mut();
                appends.try_for_each(|append| seal_append(&self.seals, append))
            })
        };
        let committing = sealed.map(|()| self.engine.commit(commit));
        async move { committing?.await }
    }

    async fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        let mut records = self.engine.log_read(log, after, rows_max, bytes_max).await?;
        let place = log.0.to_be_bytes();
        for record in &mut records {
            record.record = open(&self.seals, &place, std::mem::take(&mut record.record))?;
        }
        Ok(records)
    }

    fn log_end(&self, log: LogId) -> impl Future<Output = Result<Position, StorageError>> + Send {
        self.engine.log_end(log)
    }

    fn log_trim(&self, log: LogId, up_to: Position) -> impl Future<Output = Result<(), StorageError>> + Send {
        self.engine.log_trim(log, up_to)
    }

    fn log_activity(&self) -> tokio::sync::watch::Receiver<u64> {
        self.engine.log_activity()
    }

    fn health(&self) -> tokio::sync::watch::Receiver<Health> {
        self.engine.health()
    }

    fn set_class(
        &self,
        prefix: Prefix,
        class: StorageClass,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + use<E> {
        self.engine.set_class(prefix, class)
    }

    fn classes(&self) -> Vec<(Prefix, StorageClass)> {
        self.engine.classes()
    }

    fn distrusted(&self) -> Arc<Distrusted> {
        Arc::clone(&self.distrusted)
    }

    fn trust_rows(&self, from: Bytes, to: Bytes) -> impl Future<Output = Result<(), StorageError>> + Send + use<E> {
        self.engine.trust_rows(from, to)
    }

    fn trust_records(&self) -> impl Future<Output = Result<(), StorageError>> + Send + use<E> {
        self.engine.trust_records()
    }

    fn close(&self) -> impl Future<Output = Result<(), StorageError>> + Send {
        self.engine.close()
    }
}
