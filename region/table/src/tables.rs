//! The root: a region's tables on one engine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use geodynamo_replicator_core::{Millis, ReplicaId};
use geodynamo_seal::MasterKeys;
use geodynamo_storage::Engine;

use crate::{
    Description, Indexes, Options, Result, Sealing, Table, TableKeys,
    background::Background,
    catalog::{Catalog, lawful},
    following::Following,
    indexing::Backfill,
    layout::keys::space,
    local::{self, Local, stats},
    log::Logs,
    merge::{Merge, cursors::Cursors},
    progress::{
        Progress,
        copies::CopyState,
        parked::{Parked, Parking},
    },
    read::Reads,
    recovery::Loads,
    rows::SystemRows,
    streams::{StreamStates, Streams},
    table::index_state::IndexStates,
    ttl::{Expiry, ExpiryState},
    verify::{Verifications, Verify, mend},
    write::{Writes, transaction::Transactions},
};

/// A region's tables: what is built of its parts, and the way to each.
///
/// A part knows those below it alone, in the order of the fields.
pub struct Tables<E: Engine> {
    local: Arc<Local<E>>,
    reads: Arc<Reads<E>>,
    writes: Arc<Writes<E>>,
    rows: Arc<SystemRows<E>>,
    logs: Arc<Logs<E>>,
    sealing: Arc<Sealing<E>>,
    indexes: Arc<Indexes<E>>,
    streams: Arc<Streams<E>>,
    catalog: Arc<Catalog<E>>,
    backfill: Arc<Backfill<E>>,
    keys: Arc<TableKeys<E>>,
    expiry: Arc<Expiry<E>>,
    merge: Arc<Merge<E>>,
    verify: Arc<Verify<E>>,
    loads: Arc<Loads<E>>,
    background: Arc<Background<E>>,
    following: Arc<Following<E>>,
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
    /// Of those, versions that came and lost to the one held.
    pub conflicts_refused: u64,
    /// Of those, versions that were held and lost to one that came.
    pub conflicts_displaced: u64,
    /// Rows of copies of tables that were taken in.
    pub copied_rows: u64,
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
    /// not: see [`TableKeys::keep_table_keys`].
    pub async fn open_sealed(
        engine: E,
        options: Options,
        master_keys: Option<Arc<dyn MasterKeys>>,
    ) -> Result<Arc<Self>> {
        Self::open_shared(Arc::new(engine), options, master_keys).await
    }

    /// The same on an engine that the caller keeps a hold of, so that it can be tried again.
    ///
    /// # Errors
    /// If the engine fails, or what it holds is damaged.
    pub async fn open_shared(
        engine: Arc<E>,
        options: Options,
        master_keys: Option<Arc<dyn MasterKeys>>,
    ) -> Result<Arc<Self>> {
        let (verify, parking, now) = (options.verify, options.parking, options.time.now_ms());
        mend::check_own(&engine.distrusted().now())?;
        let following = options.following;
        let system = local::load(&*engine, space::SYSTEM).await?;
        let local = Arc::new(Local::open(Arc::clone(&engine), options, &system).await?);
        // What only a node that writes needs.
        let own = async |space| match following {
            true => Ok(Vec::new()),
            false => local::load(&*engine, space).await,
        };
        let parked = own(space::PARKED).await?;
        let parked = parked
            .iter()
            .map(|(_, value)| Parked::read(value))
            .collect::<Result<Vec<_>>>()?;
        let parking = Arc::new(Parking::new(parking, parked));
        let copies = Arc::new(parking_lot::Mutex::new(CopyState::load(system.clone())?));
        let streams = StreamStates::load(own(space::STREAM).await?)?;
        let cursors = Cursors::load(own(space::CURSOR).await?);
        let transactions = Transactions::open(&*engine).await?;

        let reads = Arc::new(Reads::new(&local));
        let writes = Arc::new(Writes::new(&local, &reads, transactions));
        let rows = Arc::new(SystemRows::new(&local, &writes));
        let logs = Arc::new(Logs::new(&local));
        let sealing = Arc::new(Sealing::new(&local, master_keys));
        let indexes = Arc::new(Indexes::new(&local, IndexStates::load(&system)?));
        let streams = Arc::new(Streams::new(&local, &logs, streams));
        let catalog = Arc::new(Catalog::new(&local, &rows, &logs, &sealing, &indexes, &streams));
        let backfill = Arc::new(Backfill::new(&local, &writes, &indexes, &catalog));
        let keys = Arc::new(TableKeys::new(&local, &sealing, &catalog));
        let expiry = Arc::new(Expiry::new(&local, &writes, &catalog, ExpiryState::load(&system)?));
        let progress = Arc::new(Progress::new(&local, &logs, &parking, &copies));
        let merge = Arc::new(Merge::new(
            &local, &writes, &rows, &catalog, &progress, cursors, &parking, &copies,
        ));
        let verifications = Verifications::new(verify, now);
        let verify = Arc::new(Verify::new(
            &local,
            &writes,
            &logs,
            &catalog,
            &progress,
            &merge,
            verifications,
        ));
        let loads = Arc::new(Loads::new(&local, &writes, &sealing, &catalog));
        let background = Arc::new(Background::new(
            &local, &writes, &logs, &streams, &catalog, &backfill, &expiry, &merge, &verify,
        ));
        let follower = Arc::new(Following::new(&local, &indexes, &catalog));
        if following {
            catalog.load_as_written().await?;
        } else {
            catalog.load(lawful::is_judged(&system)).await?;
            loads.forget_loads()?;
            stats::count_in_background(&local);
        }
        Ok(Arc::new(Self {
            local,
            reads,
            writes,
            rows,
            logs,
            sealing,
            indexes,
            streams,
            catalog,
            backfill,
            keys,
            expiry,
            merge,
            verify,
            loads,
            background,
            following: follower,
        }))
    }

    /// What all parts stand on.
    pub fn local(&self) -> &Arc<Local<E>> {
        &self.local
    }

    /// Reading items.
    pub fn reads(&self) -> &Arc<Reads<E>> {
        &self.reads
    }

    /// Writing items.
    pub fn writes(&self) -> &Arc<Writes<E>> {
        &self.writes
    }

    /// Rows of system tables.
    pub fn rows(&self) -> &Arc<SystemRows<E>> {
        &self.rows
    }

    /// This replica's change logs.
    pub fn logs(&self) -> &Arc<Logs<E>> {
        &self.logs
    }

    /// Tables' keys.
    pub fn sealing(&self) -> &Arc<Sealing<E>> {
        &self.sealing
    }

    /// How far global indexes are.
    pub fn indexes(&self) -> &Arc<Indexes<E>> {
        &self.indexes
    }

    /// DynamoDB Streams.
    pub fn streams(&self) -> &Arc<Streams<E>> {
        &self.streams
    }

    /// The control plane.
    pub fn catalog(&self) -> &Arc<Catalog<E>> {
        &self.catalog
    }

    /// Filling global indexes.
    pub fn backfill(&self) -> &Arc<Backfill<E>> {
        &self.backfill
    }

    /// Looking after tables' keys.
    pub fn keys(&self) -> &Arc<TableKeys<E>> {
        &self.keys
    }

    /// Time to live.
    pub fn expiry(&self) -> &Arc<Expiry<E>> {
        &self.expiry
    }

    /// What the replicator brings.
    pub fn merge(&self) -> &Arc<Merge<E>> {
        &self.merge
    }

    /// Comparing tables with other regions'.
    pub fn verify(&self) -> &Arc<Verify<E>> {
        &self.verify
    }

    /// Tables that are filled before they are ACTIVE.
    pub fn loads(&self) -> &Arc<Loads<E>> {
        &self.loads
    }

    /// What a region does by itself.
    pub fn background(&self) -> &Arc<Background<E>> {
        &self.background
    }

    /// Keeping up with the node that writes, where this one does not.
    pub fn following(&self) -> &Arc<Following<E>> {
        &self.following
    }

    /// This region.
    pub fn region(&self) -> &str {
        self.local.region()
    }

    /// The account number in ARNs.
    pub fn account(&self) -> &str {
        self.local.account()
    }

    /// This replica's incarnation.
    pub fn replica(&self) -> ReplicaId {
        self.local.replica()
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        self.local.engine()
    }

    /// Local time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> Millis {
        self.local.now_ms()
    }

    /// A table that takes requests for data.
    pub fn table(&self, name: &str) -> Result<Arc<Table>> {
        self.local.table(name)
    }

    /// A table in whatever state, for the control plane.
    pub fn table_named(&self, name: &str) -> Result<Arc<Table>> {
        self.local.table_named(name)
    }

    /// As DescribeTable shows it.
    pub fn describe(&self, name: &str) -> Result<Description> {
        self.catalog.describe(name)
    }

    /// What has happened since the process started.
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counters = self.local.counters();
        Counts {
            applied: read(&counters.applied),
            duplicates: read(&counters.duplicates),
            parked: read(&counters.parked),
            released: read(&counters.released),
            conflicts: read(&counters.conflicts),
            conflicts_refused: read(&counters.conflicts_refused),
            conflicts_displaced: read(&counters.conflicts_displaced),
            copied_rows: read(&counters.copied_rows),
            expired: read(&counters.expired),
            throttled: read(&counters.throttled),
            refused_replicas: read(&counters.refused_replicas),
            refused_copies: read(&counters.refused_copies),
            refused_registers: read(&counters.refused_registers),
            expelled: read(&counters.expelled),
            gone_alone: read(&counters.gone_alone),
            waiting: self.merge.parking.len() as u64,
        }
    }
}
