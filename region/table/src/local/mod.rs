//! What all of a replica's parts stand on: its store, its clock and latches, the tables that are here, the ends of its logs.
//!
//! It knows of no part that stands on it.

mod accounts;
pub(crate) mod counts;
pub(crate) mod directory;
pub(crate) mod ends;
pub(crate) mod kept;
pub(crate) mod options;
pub(crate) mod order;
pub(crate) mod section;
pub(crate) mod seen;
pub(crate) mod standings;
pub(crate) mod stats;
pub(crate) mod system;
mod tables;
pub(crate) mod traces;
pub(crate) mod usage;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use geodynamo_replicator_core::{Applied, ReplicaId, Stamp};
use geodynamo_storage::{Commit, Engine, Write};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Options, Result, TableError,
    layout::{keys, range},
    local::{
        counts::StoredCounts, directory::Directory, ends::LogEnds, order::Orderer, standings::Standings,
        system::SystemTables, traces::Traces,
    },
    store::Store,
    table::usage::Usages,
};

/// Rows read at a time when the catalog and its like are loaded.
const LOAD_ROWS: usize = 1024;
/// Bytes read at a time, likewise.
const LOAD_BYTES: usize = 4 * 1024 * 1024;
/// The system key of the replica's id.
const REPLICA_KEY: &str = "replica";

/// What a replica's parts stand on.
pub struct Local<E: Engine> {
    store: Arc<Store<E>>,
    options: Options,
    replica: ReplicaId,
    pub(crate) orderer: Arc<Orderer>,
    pub(crate) directory: ArcSwap<Directory>,
    system: SystemTables,
    standings: Standings,
    /// The last readable positions of this replica's logs.
    pub(crate) ends: LogEnds,
    counters: Counters,
    usages: Usages,
    traces: Traces,
    /// Items and bytes, as they are stored, by table.
    pub(crate) stored_counts: Mutex<BTreeMap<u64, StoredCounts>>,
    /// Changes when the catalog has.
    pub(crate) catalog_changed: watch::Sender<u64>,
}

/// What has happened since the process started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) applied: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) parked: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) conflicts_refused: AtomicU64,
    pub(crate) conflicts_displaced: AtomicU64,
    pub(crate) copied_rows: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) refused_replicas: AtomicU64,
    pub(crate) refused_copies: AtomicU64,
    pub(crate) refused_registers: AtomicU64,
    pub(crate) gone_alone: AtomicU64,
    pub(crate) expelled: AtomicU64,
    pub(crate) throttled: Arc<AtomicU64>,
}

impl<E: Engine> Local<E> {
    /// On an engine that is opened; `system` are the rows of the system's space.
    pub(crate) async fn open(
        engine: Arc<E>,
        options: Options,
        system: &[(bytes::Bytes, bytes::Bytes)],
    ) -> Result<Self> {
        let replica = own_id(&*engine, options.new_replica).await?;
        let orderer = Arc::new(Orderer::open(&*engine, replica, Arc::clone(&options.time)).await?);
        let standings = Standings::load(system)?;
        // What this replica has agreed to forget, it has seen.
        orderer.observe(Stamp::new(standings.agreed(), replica));
        Ok(Self {
            stored_counts: Mutex::new(StoredCounts::load(system)?),
            store: Arc::new(Store::new(engine)),
            options,
            replica,
            orderer,
            directory: ArcSwap::default(),
            system: SystemTables::new()?,
            standings,
            ends: LogEnds::default(),
            counters: Counters::default(),
            usages: Usages::default(),
            traces: Traces::default(),
            catalog_changed: watch::Sender::new(0),
        })
    }

    pub(crate) fn standings(&self) -> &Standings {
        &self.standings
    }
}

impl Counters {
    pub(crate) fn merged(&self, applied: &Applied) {
        self.applied.fetch_add(applied.applied.into(), Ordering::Relaxed);
        self.duplicates.fetch_add(applied.duplicates.into(), Ordering::Relaxed);
        self.parked.fetch_add(applied.parked.into(), Ordering::Relaxed);
        self.conflicts.fetch_add(applied.conflicts.into(), Ordering::Relaxed);
        self.conflicts_refused
            .fetch_add(applied.refused.into(), Ordering::Relaxed);
        self.conflicts_displaced
            .fetch_add(applied.displaced.into(), Ordering::Relaxed);
    }

    pub(crate) fn released(&self, applied: &Applied) {
        self.released.fetch_add(1, Ordering::Relaxed);
        self.merged(applied);
    }
}

/// All rows of a space.
pub(crate) async fn load<E: Engine>(engine: &E, space: u8) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>> {
    let (from, _) = keys::owner_range(space, 0, 0, 0);
    let (to, _) = keys::owner_range(space + 1, 0, 0, 0);
    load_range(engine, from, to).await
}

pub(crate) async fn load_range<E: Engine>(
    engine: &E,
    mut from: bytes::Bytes,
    to: bytes::Bytes,
) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>> {
    let mut rows = Vec::new();
    loop {
        let page = engine
            .scan(range::whole(from, to.clone(), LOAD_ROWS, LOAD_BYTES))
            .await?;
        rows.extend(page.rows);
        match rows.last() {
            Some((last, _)) if page.more => from = keys::just_after(last),
            _ => return Ok(rows),
        }
    }
}

async fn own_id<E: Engine>(engine: &E, new: ReplicaId) -> Result<ReplicaId> {
    let key = keys::system(REPLICA_KEY);
    if let Some(bytes) = engine.get(&key).await? {
        let bytes = bytes.as_ref().try_into();
        let id = bytes.map_err(|_| TableError::Corrupt("the replica's id cannot be read".into()))?;
        return Ok(ReplicaId(u64::from_be_bytes(id)));
    }
    let value = new.0.to_be_bytes().to_vec().into();
    engine
        .commit(Commit {
            writes: vec![Write::Put(key, value)],
            ..Commit::default()
        })
        .await?;
    Ok(new)
}
