//! RocksDB and its group commit: one thread writes what all waiting writers brought, with one fsync.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBPinnableSlice, Options, ReadOptions, WriteBatch, WriteOptions,
};
use smallvec::{SmallVec, smallvec};
use tokio::sync::oneshot;

use crate::AnyError;

/// Writers that wait at once; more than the bench has connections.
const WAITING_MAX: usize = 4_096;
/// As geodynamo's tables have it by default: bytes of a block, bits of bloom filter for each key.
const BLOCK_BYTES: usize = 4 << 10;
const BLOOM_BITS: f64 = 10.0;

pub(crate) struct Store {
    db: Arc<DB>,
    writers: Sender<Write>,
}

/// Keys and values.
pub(crate) type Records = SmallVec<[(Vec<u8>, Vec<u8>); 1]>;

struct Write {
    records: Records,
    done: oneshot::Sender<Result<(), rocksdb::Error>>,
}

impl Store {
    /// With a cache of so many bytes, the tables are as geodynamo's are; without, as RocksDB has them by default.
    pub(crate) fn open(folder: &Path, cache_bytes: Option<usize>) -> Result<Store, rocksdb::Error> {
        let mut options = Options::default();
        if let Some(bytes) = cache_bytes {
            let mut blocks = BlockBasedOptions::default();
            blocks.set_block_cache(&Cache::new_lru_cache(bytes));
            blocks.set_block_size(BLOCK_BYTES);
            blocks.set_bloom_filter(BLOOM_BITS, false);
            options.set_block_based_table_factory(&blocks);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_level_compaction_dynamic_level_bytes(true);
        }
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

    /// Gives every value whose key begins with the prefix, in the keys' order, until one is refused.
    pub(crate) fn each(
        &self,
        prefix: &[u8],
        mut give: impl FnMut(&[u8]) -> Result<(), AnyError>,
    ) -> Result<(), AnyError> {
        let mut options = ReadOptions::default();
        let mut behind = prefix.to_vec();
        // Prefixes end in a byte below 0xFF.
        if let Some(last) = behind.last_mut() {
            *last += 1;
        }
        options.set_iterate_upper_bound(behind);
        let mut rows = self.db.raw_iterator_opt(options);
        rows.seek(prefix);
        while let Some(value) = rows.value() {
            give(value)?;
            rows.next();
        }
        Ok(rows.status()?)
    }

    /// Returns when the write is on disk.
    pub(crate) async fn put(&self, key: Vec<u8>, value: Vec<u8>) -> Result<(), AnyError> {
        self.put_all(smallvec![(key, value)]).await
    }

    /// Returns when all of the records are on disk. They are in one batch, so they are all there or none is.
    pub(crate) async fn put_all(&self, records: Records) -> Result<(), AnyError> {
        let (done, durable) = oneshot::channel();
        self.writers
            .try_send(Write { records, done })
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
        for (key, value) in group.iter().flat_map(|write| &write.records) {
            batch.put(key, value);
        }
        let result = db.write_opt(batch, &synced);
        for write in group.drain(..) {
            // A client that went away does not wait.
            let _ = write.done.send(result.clone());
        }
    }
}
