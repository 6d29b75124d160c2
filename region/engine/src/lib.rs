//! The engine of a region: whichever its configuration names, as one type.
//!
//! All that stands above it is compiled once. Which engine it is, is asked by a `match` at each call; Cassandra's futures,
//! which are many times as large as RocksDB's, are on the heap, so that requests of a region on RocksDB carry no room for
//! them. What one engine alone can do is asked of that engine: [`RegionEngine::rocks`],
//! [`RegionEngine::cassandra`], [`RegionEngine::reader`].

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::future::Either;
use geodynamo_cassandra::{CassandraEngine, CassandraReader, CassandraSnapshot};
use geodynamo_rocks::{RocksEngine, RocksSnapshot};
use geodynamo_storage::{
    Commit, Distrusted, Engine, Group, Health, IngestDoor, LogId, LogRecord, Page, Position, Prefix, Scan, Snapshot,
    StorageClass, StorageError,
};
use tokio::sync::watch;

/// Storage of a region.
#[derive(Debug)]
pub enum RegionEngine {
    /// In the node's own data directory.
    Rocks(RocksEngine),
    /// In Apache Cassandra, while this node writes the log.
    Cassandra(CassandraEngine),
    /// In Apache Cassandra, while another node writes the log: it takes no commits.
    Reader(CassandraReader),
}

impl RegionEngine {
    /// RocksDB, for what it alone has: files that are read for damage and written anew, the figures of its caches.
    pub fn rocks(&self) -> Option<&RocksEngine> {
        match self {
            Self::Rocks(engine) => Some(engine),
            Self::Cassandra(_) | Self::Reader(_) => None,
        }
    }

    /// Cassandra, for what it alone has: a log that another node may take over.
    pub fn cassandra(&self) -> Option<&CassandraEngine> {
        match self {
            Self::Rocks(_) | Self::Reader(_) => None,
            Self::Cassandra(engine) => Some(engine),
        }
    }

    /// Cassandra as a node reads it that stands by, for what it alone has: how old what is read may be.
    pub fn reader(&self) -> Option<&CassandraReader> {
        match self {
            Self::Rocks(_) | Self::Cassandra(_) => None,
            Self::Reader(engine) => Some(engine),
        }
    }
}

impl Engine for RegionEngine {
    type Snapshot = RegionSnapshot;

    fn spans_groups(&self) -> bool {
        match self {
            Self::Rocks(engine) => engine.spans_groups(),
            Self::Cassandra(engine) => engine.spans_groups(),
            Self::Reader(engine) => engine.spans_groups(),
        }
    }

    fn group_of(&self, key: &[u8]) -> Group {
        match self {
            Self::Rocks(engine) => engine.group_of(key),
            Self::Cassandra(engine) => engine.group_of(key),
            Self::Reader(engine) => engine.group_of(key),
        }
    }

    fn commit_bytes_max(&self) -> usize {
        match self {
            Self::Rocks(engine) => engine.commit_bytes_max(),
            Self::Cassandra(engine) => engine.commit_bytes_max(),
            Self::Reader(engine) => engine.commit_bytes_max(),
        }
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self {
            Self::Rocks(engine) => engine.get(key).await,
            Self::Cassandra(engine) => Box::pin(engine.get(key)).await,
            Self::Reader(engine) => Box::pin(engine.get(key)).await,
        }
    }

    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        match self {
            Self::Rocks(engine) => engine.get_many(keys).await,
            Self::Cassandra(engine) => Box::pin(engine.get_many(keys)).await,
            Self::Reader(engine) => Box::pin(engine.get_many(keys)).await,
        }
    }

    async fn get_each(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        match self {
            Self::Rocks(engine) => engine.get_each(keys).await,
            Self::Cassandra(engine) => Box::pin(engine.get_each(keys)).await,
            Self::Reader(engine) => Box::pin(engine.get_each(keys)).await,
        }
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        match self {
            Self::Rocks(engine) => engine.scan(scan).await,
            Self::Cassandra(engine) => Box::pin(engine.scan(scan)).await,
            Self::Reader(engine) => Box::pin(engine.scan(scan)).await,
        }
    }

    fn snapshot(&self) -> RegionSnapshot {
        match self {
            Self::Rocks(engine) => RegionSnapshot::Rocks(engine.snapshot()),
            Self::Cassandra(engine) => RegionSnapshot::Cassandra(engine.snapshot()),
            Self::Reader(engine) => RegionSnapshot::Cassandra(engine.snapshot()),
        }
    }

    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<> {
        match self {
            Self::Rocks(engine) => Either::Left(engine.commit(commit)),
            Self::Cassandra(engine) => Either::Right(Either::Left(engine.commit(commit))),
            Self::Reader(engine) => Either::Right(Either::Right(engine.commit(commit))),
        }
    }

    async fn log_read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        match self {
            Self::Rocks(engine) => engine.log_read(log, after, rows_max, bytes_max).await,
            Self::Cassandra(engine) => Box::pin(engine.log_read(log, after, rows_max, bytes_max)).await,
            Self::Reader(engine) => Box::pin(engine.log_read(log, after, rows_max, bytes_max)).await,
        }
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        match self {
            Self::Rocks(engine) => engine.log_end(log).await,
            Self::Cassandra(engine) => Box::pin(engine.log_end(log)).await,
            Self::Reader(engine) => Box::pin(engine.log_end(log)).await,
        }
    }

    async fn log_trim(&self, log: LogId, up_to: Position) -> Result<(), StorageError> {
        match self {
            Self::Rocks(engine) => engine.log_trim(log, up_to).await,
            Self::Cassandra(engine) => Box::pin(engine.log_trim(log, up_to)).await,
            Self::Reader(engine) => Box::pin(engine.log_trim(log, up_to)).await,
        }
    }

    fn log_activity(&self) -> watch::Receiver<u64> {
        match self {
            Self::Rocks(engine) => engine.log_activity(),
            Self::Cassandra(engine) => engine.log_activity(),
            Self::Reader(engine) => engine.log_activity(),
        }
    }

    fn health(&self) -> watch::Receiver<Health> {
        match self {
            Self::Rocks(engine) => engine.health(),
            Self::Cassandra(engine) => engine.health(),
            Self::Reader(engine) => engine.health(),
        }
    }

    fn set_class(
        &self,
        prefix: Prefix,
        class: StorageClass,
    ) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        match self {
            Self::Rocks(engine) => Either::Left(engine.set_class(prefix, class)),
            Self::Cassandra(engine) => Either::Right(Either::Left(engine.set_class(prefix, class))),
            Self::Reader(engine) => Either::Right(Either::Right(engine.set_class(prefix, class))),
        }
    }

    fn classes(&self) -> Vec<(Prefix, StorageClass)> {
        match self {
            Self::Rocks(engine) => engine.classes(),
            Self::Cassandra(engine) => engine.classes(),
            Self::Reader(engine) => engine.classes(),
        }
    }

    fn distrusted(&self) -> Arc<Distrusted> {
        match self {
            Self::Rocks(engine) => engine.distrusted(),
            Self::Cassandra(engine) => engine.distrusted(),
            Self::Reader(engine) => engine.distrusted(),
        }
    }

    fn trust_rows(&self, from: Bytes, to: Bytes) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        match self {
            Self::Rocks(engine) => Either::Left(engine.trust_rows(from, to)),
            Self::Cassandra(engine) => Either::Right(Either::Left(engine.trust_rows(from, to))),
            Self::Reader(engine) => Either::Right(Either::Right(engine.trust_rows(from, to))),
        }
    }

    fn trust_records(&self) -> impl Future<Output = Result<(), StorageError>> + Send + use<> {
        match self {
            Self::Rocks(engine) => Either::Left(engine.trust_records()),
            Self::Cassandra(engine) => Either::Right(Either::Left(engine.trust_records())),
            Self::Reader(engine) => Either::Right(Either::Right(engine.trust_records())),
        }
    }

    fn ingest(&self) -> IngestDoor {
        match self {
            Self::Rocks(engine) => engine.ingest(),
            Self::Cassandra(engine) => engine.ingest(),
            Self::Reader(engine) => engine.ingest(),
        }
    }

    async fn close(&self) -> Result<(), StorageError> {
        match self {
            Self::Rocks(engine) => engine.close().await,
            Self::Cassandra(engine) => Box::pin(engine.close()).await,
            Self::Reader(engine) => Box::pin(engine.close()).await,
        }
    }
}

/// A view of a [`RegionEngine`] at one moment.
#[derive(Debug)]
pub enum RegionSnapshot {
    /// Of RocksDB.
    Rocks(RocksSnapshot),
    /// Of Cassandra.
    Cassandra(CassandraSnapshot),
}

impl Snapshot for RegionSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match self {
            Self::Rocks(snapshot) => snapshot.get(key).await,
            Self::Cassandra(snapshot) => Box::pin(snapshot.get(key)).await,
        }
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        match self {
            Self::Rocks(snapshot) => snapshot.scan(scan).await,
            Self::Cassandra(snapshot) => Box::pin(snapshot.scan(scan)).await,
        }
    }

    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        match self {
            Self::Rocks(snapshot) => snapshot.log_end(log).await,
            Self::Cassandra(snapshot) => Box::pin(snapshot.log_end(log)).await,
        }
    }
}
