//! Loads of the in-memory engine: what was kept is there after a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Inner;
use crate::{Commit, Health, Ingest, Row, SortedFiles, SortedRows, Sorter, StorageError, Write};

/// Rows that a sorter takes before it is full: few, so that tests see several runs.
const RUN_ROWS: usize = 64;

type Run = Vec<Row>;

#[derive(Clone, Debug, Default)]
struct Kept {
    runs: BTreeMap<(u64, u8), Vec<Run>>,
    /// None for one that was taken in.
    files: BTreeMap<u64, Vec<Option<Run>>>,
}

/// What is being loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads(Arc<Mutex<Kept>>);

impl Loads {
    /// What a crash leaves.
    pub(super) fn after_crash(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    pub(super) fn door(&self, inner: Arc<Mutex<Inner>>, health: watch::Sender<Health>) -> Arc<dyn Ingest> {
        Arc::new(Door {
            loads: self.clone(),
            inner,
            health,
        })
    }
}

struct Door {
    loads: Loads,
    inner: Arc<Mutex<Inner>>,
    health: watch::Sender<Health>,
}

fn missing() -> StorageError {
    StorageError::Io("part of a load is missing".into())
}

fn length(kept: u64) -> usize {
    usize::try_from(kept).unwrap_or(usize::MAX)
}

impl Ingest for Door {
    fn sorter(&self, load: u64, lane: u8, kept: u64) -> Result<Box<dyn Sorter>, StorageError> {
        let mut all = self.loads.0.lock();
        let runs = all.runs.entry((load, lane)).or_default();
        if runs.len() < length(kept) {
            return Err(missing());
        }
        runs.truncate(length(kept));
        Ok(Box::new(MemorySorter {
            loads: self.loads.clone(),
            of: (load, lane),
            rows: Vec::new(),
        }))
    }

    fn files(&self, load: u64, kept: u64, taking: bool) -> Result<Box<dyn SortedFiles>, StorageError> {
        let mut all = self.loads.0.lock();
        let files = all.files.entry(load).or_default();
        let is_whole = taking || files.iter().take(length(kept)).all(Option::is_some);
        if files.len() < length(kept) || !is_whole {
            return Err(missing());
        }
        files.truncate(length(kept));
        Ok(Box::new(MemoryFiles {
            loads: self.loads.clone(),
            inner: Arc::clone(&self.inner),
            health: self.health.clone(),
            load,
        }))
    }

    fn forget(&self, load: u64) -> Result<(), StorageError> {
        let mut all = self.loads.0.lock();
        all.runs.retain(|(other, _), _| *other != load);
        all.files.remove(&load);
        Ok(())
    }

    fn loads(&self) -> Result<Vec<u64>, StorageError> {
        let all = self.loads.0.lock();
        let mut loads: BTreeSet<u64> = all.runs.keys().map(|(load, _)| *load).collect();
        loads.extend(all.files.keys());
        Ok(loads.into_iter().collect())
    }
}

struct MemorySorter {
    loads: Loads,
    of: (u64, u8),
    rows: Run,
}

impl Sorter for MemorySorter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.rows
            .push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= RUN_ROWS
    }

    fn keep(&mut self) -> Result<u64, StorageError> {
        let mut all = self.loads.0.lock();
        let runs = all.runs.entry(self.of).or_default();
        if !self.rows.is_empty() {
            runs.push(std::mem::take(&mut self.rows));
        }
        Ok(runs.len() as u64)
    }

    fn into_rows(mut self: Box<Self>) -> Result<Box<SortedRows<'static>>, StorageError> {
        self.keep()?;
        let all = self.loads.0.lock();
        let runs = all.runs.get(&self.of).into_iter().flatten();
        let rows: BTreeMap<Bytes, Bytes> = runs.flatten().cloned().collect();
        Ok(Box::new(rows.into_iter().map(Ok)))
    }
}

struct MemoryFiles {
    loads: Loads,
    inner: Arc<Mutex<Inner>>,
    health: watch::Sender<Health>,
    load: u64,
}

impl SortedFiles for MemoryFiles {
    fn write(&mut self, rows: &mut SortedRows<'_>) -> Result<u64, StorageError> {
        let rows = rows.collect::<Result<Run, _>>()?;
        if !rows.is_sorted_by(|one, other| one.0 < other.0) {
            return Err(StorageError::Io("rows of a load are not in order".into()));
        }
        let mut all = self.loads.0.lock();
        let files = all.files.entry(self.load).or_default();
        if !rows.is_empty() {
            files.push(Some(rows));
        }
        Ok(files.len() as u64)
    }

    fn take_in(self: Box<Self>) -> Result<(), StorageError> {
        if let Some(trouble) = self.health.borrow().trouble() {
            return Err(StorageError::Unwritable(trouble));
        }
        let mut inner = self.inner.lock();
        if !inner.open {
            return Err(StorageError::Closed);
        }
        let mut all = self.loads.0.lock();
        for file in all.files.entry(self.load).or_default() {
            let rows = file.take().into_iter().flatten();
            inner.durable.commit(Commit {
                writes: rows.map(|(key, value)| Write::Put(key, value)).collect(),
                ..Commit::default()
            })?;
        }
        Ok(())
    }
}
