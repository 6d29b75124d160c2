//! The root: a region's tables on one engine.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use geodynamo_replicator_core::{Applied, LogId, Millis, Position, ReplicaId, Stamp, parking::ParkingLimits};
use geodynamo_seal::MasterKeys;
use geodynamo_storage::{Commit, Engine, StorageError, Write};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Description, Result, StreamOptions, Table, TableError, TimeSource,
    collections::Collections,
    copy::CopyState,
    counts::StoredCounts,
    cursors::Cursors,
    directory::Directory,
    encryption,
    ends::LogEnds,
    index_state::IndexStates,
    keys::{self, space},
    lawful,
    ongoing::Ongoing,
    order::Orderer,
    parked::{Parked, Parking},
    reach::Reach,
    read,
    recovery::Holders,
    schema::Stream,
    session, stats,
    store::Store,
    streams::Streams,
    system::{SystemTables, is_system},
    table::TableStatus,
    throttle::{Throttle, ThrottleOptions},
    traces::Traces,
    transaction::Transactions,
    ttl::{ExpiryState, TtlOptions},
    usage::{self, Usages},
    verify::{CollectOptions, Standings, Verifications, VerifyOptions},
};

/// Rows read at a time when the catalog and its like are loaded.
const LOAD_ROWS: usize = 1024;
/// Bytes read at a time, likewise.
const LOAD_BYTES: usize = 4 * 1024 * 1024;
/// The system key of the replica's id.
const REPLICA_KEY: &str = "replica";

/// How a region's tables are set up.
#[derive(Clone)]
pub struct Options {
    /// This region.
    pub region: String,
    /// Every region of the topology, this one too.
    pub regions: Vec<String>,
    /// The account number in ARNs.
    pub account: String,
    /// How many partitions a new table has; 0 for as many as DynamoDB gives it for its throughput.
    pub partitions: u16,
    /// What may be parked.
    pub parking: ParkingLimits,
    /// How items expire.
    pub ttl: TtlOptions,
    /// How requests are throttled.
    pub throttle: ThrottleOptions,
    /// What streams keep, and how their shards follow each other.
    pub streams: StreamOptions,
    /// How tables are compared with other regions'.
    pub verify: VerifyOptions,
    /// What is kept of items and versions that are gone.
    pub collect: CollectOptions,
    /// Local time.
    pub time: Arc<dyn TimeSource>,
    /// The largest item collection of a table with local indexes, in bytes; see [`crate::COLLECTION_BYTES_MAX`].
    pub collection_bytes_max: u64,
    /// The id that the replica gets if its data directory is fresh: random, so that it was never used before.
    pub new_replica: ReplicaId,
}

/// A region's tables.
pub struct Tables<E: Engine> {
    store: Arc<Store<E>>,
    /// What seals the data keys of tables that have one.
    pub(crate) master_keys: Option<Arc<dyn MasterKeys>>,
    options: Options,
    replica: ReplicaId,
    orderer: Arc<Orderer>,
    transactions: Transactions,
    pub(crate) directory: ArcSwap<Directory>,
    /// Held by whoever changes the catalog.
    pub(crate) catalog_lock: tokio::sync::Mutex<()>,
    system: SystemTables,
    pub(crate) cursors: Cursors,
    pub(crate) streams: Streams,
    parking: Parking,
    verifications: Verifications,
    index_states: IndexStates,
    collections: Collections,
    /// Items and bytes, as they are stored, by table.
    pub(crate) stored_counts: Mutex<BTreeMap<u64, StoredCounts>>,
    counters: Counters,
    usages: Usages,
    traces: Traces,
    /// How far each region has applied this replica's logs.
    pub(crate) acked: Mutex<BTreeMap<(String, LogId), Position>>,
    /// The last readable positions of this replica's logs.
    pub(crate) ends: LogEnds,
    /// Up to where they were trimmed since the process started.
    pub(crate) trimmed: Mutex<HashMap<LogId, Position>>,
    /// Who needs records of the logs besides links and streams.
    pub(crate) holders: Holders,
    /// Tables whose replica here others have given up: their data is to be taken away.
    pub(crate) given_up: Mutex<Vec<Arc<Table>>>,
    /// The copies that this replica is fetching, by table.
    pub(crate) copies: Mutex<BTreeMap<u64, CopyState>>,
    /// How far the expiry indexes are, by table.
    pub(crate) expiry_states: Mutex<BTreeMap<u64, ExpiryState>>,
    /// Changes when the catalog has.
    pub(crate) catalog_changed: watch::Sender<u64>,
    /// For how long the source of a copy cannot be deleted.
    pub(crate) source_held_ms: AtomicU64,
    pub(crate) reach: Reach,
}

/// What has happened since the process started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    applied: AtomicU64,
    duplicates: AtomicU64,
    parked: AtomicU64,
    released: AtomicU64,
    conflicts: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) refused_replicas: AtomicU64,
    pub(crate) refused_copies: AtomicU64,
    pub(crate) refused_registers: AtomicU64,
    pub(crate) gone_alone: AtomicU64,
    pub(crate) expelled: AtomicU64,
    throttled: Arc<AtomicU64>,
}

/// What has happened since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Other regions' versions that became this replica's.
    pub applied: u64,
    /// Versions that came again, or were outdated.
    pub duplicates: u64,
    /// Versions that were parked.
    pub parked: u64,
    /// Parked versions that were merged since.
    pub released: u64,
    /// Conflicts recorded.
    pub conflicts: u64,
    /// Items that expired here.
    pub expired: u64,
    /// Requests that were refused or cut short for want of capacity, each item of a batch by itself.
    pub throttled: u64,
    /// Replicas that this region did not take.
    pub refused_replicas: u64,
    /// Copies of tables that other regions asked for and were not given: no member had asked them to take a replica.
    pub refused_copies: u64,
    /// Settings of tables that came from regions that may not write them, and were not taken.
    pub refused_registers: u64,
    /// Replicas of other regions that this region took out of their groups, as they were out of reach for too long.
    pub expelled: u64,
    /// Replicas of this region that left their groups.
    pub gone_alone: u64,
    /// Versions parked now.
    pub waiting: u64,
}

impl<E: Engine> Tables<E> {
    /// Opens the tables that an engine holds.
    pub async fn open(engine: E, options: Options) -> Result<Arc<Self>> {
        Self::open_sealed(engine, options, None).await
    }

    /// The same, where tables may have keys of their own. A table whose key cannot be had is inaccessible, and the others are
    /// not: see [`Tables::keep_table_keys`].
    pub async fn open_sealed(
        engine: E,
        options: Options,
        master_keys: Option<Arc<dyn MasterKeys>>,
    ) -> Result<Arc<Self>> {
        let engine = Arc::new(engine);
        let replica = own_id(&*engine, options.new_replica).await?;
        let orderer = Arc::new(Orderer::open(&*engine, replica, Arc::clone(&options.time)).await?);
        let parked = load(&*engine, space::PARKED).await?;
        let parked = parked
            .iter()
            .map(|(_, value)| Parked::read(value))
            .collect::<Result<Vec<_>>>()?;
        let system = load(&*engine, space::SYSTEM).await?;
        let judged = system.iter().any(|(key, _)| *key == lawful::judged_key());
        let expiry_states = ExpiryState::load(&system)?;
        let index_states = IndexStates::load(&system)?;
        let stored_counts = StoredCounts::load(&system)?;
        let standings = Standings::load(&system)?;
        // What this replica has agreed to forget, it has seen.
        orderer.observe(Stamp::new(standings.agreed(), replica));
        let copies = CopyState::load(system)?;
        let streams = Streams::load(load(&*engine, space::STREAM).await?)?;
        let cursors = Cursors::load(load(&*engine, space::CURSOR).await?);
        let transactions = Transactions::open(&*engine).await?;
        let tables = Arc::new(Self {
            parking: Parking::new(options.parking, parked),
            verifications: Verifications::new(options.verify, options.time.now_ms(), standings),
            store: Arc::new(Store::new(engine)),
            master_keys,
            options,
            replica,
            orderer,
            transactions,
            directory: ArcSwap::default(),
            catalog_lock: tokio::sync::Mutex::default(),
            system: SystemTables::new()?,
            cursors,
            index_states,
            collections: Collections::default(),
            streams,
            stored_counts: Mutex::new(stored_counts),
            counters: Counters::default(),
            usages: Usages::default(),
            traces: Traces::default(),
            acked: Mutex::default(),
            ends: LogEnds::default(),
            trimmed: Mutex::default(),
            holders: Holders::default(),
            given_up: Mutex::default(),
            copies: Mutex::new(copies),
            expiry_states: Mutex::new(expiry_states),
            catalog_changed: watch::Sender::new(0),
            source_held_ms: AtomicU64::new(0),
            reach: Reach::default(),
        });
        for table in tables.system.all() {
            tables.load_ends(table).await?;
        }
        let registers = tables.load_registers().await?;
        if let Some(masters) = &tables.master_keys {
            let keys = encryption::take_in(masters, tables.region(), registers.values()).await;
            keys.into_iter().for_each(|key| tables.store.seals().add(key));
        }
        for table in registers.keys() {
            tables.refresh(*table).await?;
        }
        tables.inherit_members(judged).await?;
        tables.settle_streams().await?;
        for table in tables.all() {
            if let Some(counts) = tables.stored_counts.lock().get(&table.id()) {
                counts.show(&table);
            }
        }
        stats::count_in_background(&tables);
        Ok(tables)
    }

    /// This region.
    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// The account number in ARNs.
    pub fn account(&self) -> &str {
        &self.options.account
    }

    /// This replica's incarnation.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        self.store.engine()
    }

    /// Local time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> Millis {
        self.options.time.now_ms()
    }

    /// What has happened since the process started.
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counters = &self.counters;
        Counts {
            applied: read(&counters.applied),
            duplicates: read(&counters.duplicates),
            parked: read(&counters.parked),
            released: read(&counters.released),
            conflicts: read(&counters.conflicts),
            expired: read(&counters.expired),
            throttled: read(&counters.throttled),
            refused_replicas: read(&counters.refused_replicas),
            refused_copies: read(&counters.refused_copies),
            refused_registers: read(&counters.refused_registers),
            expelled: read(&counters.expelled),
            gone_alone: read(&counters.gone_alone),
            waiting: self.parking.len() as u64,
        }
    }

    /// A table that takes requests for data.
    pub fn table(&self, name: &str) -> Result<Arc<Table>> {
        let directory = self.directory.load();
        let table = directory.by_name.get(name).ok_or_else(TableError::no_table)?;
        match table.status() {
            TableStatus::Active | TableStatus::Updating => {
                session::note(table.id());
                usage::note(table);
                Ok(Arc::clone(table))
            }
            TableStatus::Inaccessible => Err(TableError::Storage(StorageError::KeyAway)),
            TableStatus::Creating | TableStatus::Deleting => Err(TableError::no_table()),
        }
    }

    /// A table in whatever state, for the control plane.
    pub fn table_named(&self, name: &str) -> Result<Arc<Table>> {
        let directory = self.directory.load();
        directory
            .by_name
            .get(name)
            .cloned()
            .ok_or_else(|| TableError::no_table_named(name))
    }

    /// As DescribeTable shows it.
    pub fn describe(&self, name: &str) -> Result<Description> {
        let table = self.table_named(name)?;
        let mut description = table.describe(self.region(), self.orderer.time.now_ms());
        description.stream = description
            .stream
            .and_then(|setting| self.stream_here(table.id(), setting));
        for replica in &mut description.replicas {
            replica.out_of_reach = self.is_out_of_reach(&replica.region);
        }
        Ok(description)
    }

    /// A stream as it is in this region, with the label that it has here; none that has not begun here yet.
    fn stream_here(&self, table: u64, setting: Stream) -> Option<Stream> {
        let known = self.streams.label_of(table, setting.label_ms);
        let own = setting.region.as_deref().is_none_or(|region| region == self.region());
        let label_ms = known.or(Some(setting.label_ms).filter(|_| own))?;
        Some(Stream { label_ms, ..setting })
    }

    /// Names behind `after`, at most `limit`; and the last of them if there are more.
    pub fn list(&self, after: Option<&str>, limit: usize) -> (Vec<String>, Option<String>) {
        use std::ops::Bound;
        let directory = self.directory.load();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = directory
            .by_name
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(name, _)| name.clone());
        let page: Vec<_> = names.by_ref().take(limit).collect();
        let last = if names.next().is_some() {
            page.last().cloned()
        } else {
            None
        };
        (page, last)
    }

    /// Every table of this region, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Table>> {
        self.directory.load().by_id.values().cloned().collect()
    }

    /// A table that takes deltas: a system table, or one with a replica here.
    pub(crate) fn replicated(&self, id: u64) -> Option<Arc<Table>> {
        if is_system(id) {
            return self.system.get(id).cloned();
        }
        let directory = self.directory.load();
        directory
            .by_id
            .get(&id)
            .filter(|table| table.status() != TableStatus::Deleting)
            .cloned()
    }

    pub(crate) fn directory(&self) -> arc_swap::Guard<Arc<Directory>> {
        self.directory.load()
    }

    pub(crate) fn store(&self) -> &Store<E> {
        &self.store
    }

    pub(crate) fn store_arc(&self) -> &Arc<Store<E>> {
        &self.store
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn orderer(&self) -> &Arc<Orderer> {
        &self.orderer
    }

    pub(crate) fn ongoing(&self) -> &Ongoing {
        &self.transactions.ongoing
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    pub(crate) fn parking(&self) -> &Parking {
        &self.parking
    }

    pub(crate) fn verifications(&self) -> &Verifications {
        &self.verifications
    }

    pub(crate) fn collections(&self) -> &Collections {
        &self.collections
    }

    pub(crate) fn index_states(&self) -> &IndexStates {
        &self.index_states
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    pub(crate) fn usages(&self) -> &Usages {
        &self.usages
    }

    pub(crate) fn system(&self) -> &SystemTables {
        &self.system
    }

    pub(crate) fn throttle_of(&self, table: &Table) -> Box<Throttle> {
        let (region, account) = (self.region(), self.account());
        let arn = format!("arn:aws:dynamodb:{region}:{account}:table/{}", table.name());
        Throttle::of(
            table,
            region,
            &arn,
            &self.options.throttle,
            &self.options.time,
            &self.counters.throttled,
        )
    }

    /// Learns where this replica's logs of a table end, if it does not know yet.
    pub(crate) async fn load_ends(&self, table: &Table) -> Result<()> {
        for partition in 0..table.partitions().partitions() {
            let log = self.log_of(table, partition);
            let end = self.store.log_end(log).await?;
            self.ends.raise([(LogId(log.0), Position(end.0))], true);
        }
        Ok(())
    }
}

impl Counters {
    pub(crate) fn merged(&self, applied: &Applied) {
        self.applied.fetch_add(applied.applied.into(), Ordering::Relaxed);
        self.duplicates.fetch_add(applied.duplicates.into(), Ordering::Relaxed);
        self.parked.fetch_add(applied.parked.into(), Ordering::Relaxed);
        self.conflicts.fetch_add(applied.conflicts.into(), Ordering::Relaxed);
    }

    pub(crate) fn released(&self, applied: &Applied) {
        self.released.fetch_add(1, Ordering::Relaxed);
        self.merged(applied);
    }
}

/// All rows of a space.
async fn load<E: Engine>(engine: &E, space: u8) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>> {
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
            .scan(read::whole(from, to.clone(), LOAD_ROWS, LOAD_BYTES))
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
