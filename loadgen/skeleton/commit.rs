//! RocksDB and its group commit: one thread writes what all waiting writers brought, with one fsync.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rocksdb::{DB, DBPinnableSlice, Options, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

/// Writers that wait at once; more than the bench has connections.
const WAITING_MAX: usize = 4_096;

pub(crate) struct Store {
    db: Arc<DB>,
    writers: Sender<Write>,
}

struct Write {
    key: Vec<u8>,
    value: Vec<u8>,
    done: oneshot::Sender<Result<(), rocksdb::Error>>,
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Store, rocksdb::Error> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_max_background_jobs(2);
        let db = Arc::new(DB::open(&options, folder)?);
        let (writers, waiting) = crossbeam_channel::bounded(WAITING_MAX);
        let committer = db.clone();
        std::thread::spawn(move || commit_all(&committer, &waiting));
        Ok(Store { db, writers })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        self.db.get_pinned(key)
    }

    /// Returns when the write is on disk.
    pub(crate) async fn put(
        &self,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (done, durable) = oneshot::channel();
        self.writers
            .try_send(Write { key, value, done })
            .map_err(io::Error::other)?;
        Ok(durable.await??)
    }
}

fn commit_all(db: &DB, waiting: &Receiver<Write>) {
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let mut group = Vec::with_capacity(WAITING_MAX);
    while let Ok(first) = waiting.recv() {
        group.push(first);
        group.extend(waiting.try_iter());
        let mut batch = WriteBatch::default();
        for write in &group {
            batch.put(&write.key, &write.value);
        }
        let result = db.write_opt(batch, &synced);
        for write in group.drain(..) {
            // A client that went away does not wait.
            let _ = write.done.send(result.clone());
        }
    }
}
