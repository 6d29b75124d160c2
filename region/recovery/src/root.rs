//! The root: what keeps a region's backups.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use geodynamo_archive::{Archive, UNFINISHED_AGE};
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{Tables, recovery::LogHolder};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    Options, Result,
    backups::Backups,
    copies::Incoming,
    follow::{Follower, Holds},
};

/// How often restores, backups and retention are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Restores that load at once; others wait. Each holds some 64 MiB of rows.
const LOADS_MAX: usize = 2;
/// How often what is too old is taken away.
const RETAIN_EVERY: Duration = Duration::from_secs(15 * 60);

/// Keeps the backups of a region's tables, and restores them. Cheap to clone.
pub struct Recoveries<E: Engine>(Arc<Inner<E>>);

/// What all clones share.
pub struct Inner<E: Engine> {
    pub(crate) tables: Arc<Tables<E>>,
    pub(crate) archive: Archive,
    pub(crate) options: Options,
    pub(crate) holds: Arc<Holds>,
    pub(crate) followers: Mutex<BTreeMap<u64, Arc<Follower>>>,
    pub(crate) backups: Mutex<Backups>,
    /// Whether the archive's backups are known.
    pub(crate) backups_known: AtomicBool,
    /// Held by whoever reads them from the archive.
    pub(crate) backups_loading: tokio::sync::Mutex<()>,
    /// Backups that come in from other regions, by their ids here.
    pub(crate) incoming: Incoming,
    /// One base is written at a time.
    pub(crate) base_turn: Arc<Semaphore>,
    /// Held while a table is loaded.
    pub(crate) load_turn: Semaphore,
    /// Names of objects that were found to be damaged.
    pub(crate) damaged: Mutex<BTreeSet<String>>,
    /// Held while a restore's table is made.
    pub(crate) restore_beginning: tokio::sync::Mutex<()>,
    /// Tables whose restore is under way in this process.
    pub(crate) restoring: Mutex<BTreeMap<u64, RestoreProgress>>,
    /// Told when there is something to restore.
    pub(crate) wake: Notify,
    pub(crate) counters: Counters,
}

/// How far a restore is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreProgress {
    /// The table.
    pub table: String,
    /// Items that are there.
    pub items: u64,
    /// Items of the base that it is made from: about how many there will be.
    pub of: u64,
}

/// What has happened since the process started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) segments: AtomicU64,
    pub(crate) bases: AtomicU64,
    pub(crate) archived_bytes: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) chains_broken: AtomicU64,
    pub(crate) restored_items: AtomicU64,
    pub(crate) restores_failed: AtomicU64,
    pub(crate) scrubbed_bytes: AtomicU64,
}

/// What an operator watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Backups that are being written.
    pub backups: u64,
    /// Segments written.
    pub segments: u64,
    /// Bases and backups written.
    pub bases: u64,
    /// Bytes put into the archive, as they are stored.
    pub archived_bytes: u64,
    /// Times that the archive could not be written or read.
    pub failures: u64,
    /// Windows that began anew because the archive was behind for too long.
    pub chains_broken: u64,
    /// Items restored.
    pub restored_items: u64,
    /// Restores that could not be finished, and whose tables were removed.
    pub restores_failed: u64,
    /// Bytes of the archive that were read to find damage.
    pub scrubbed_bytes: u64,
    /// Objects that were found to be damaged, and are so still.
    pub damaged_objects: u64,
    /// Tables with point-in-time recovery.
    pub tables: u64,
    /// How far the archive is behind the table that it is furthest behind, in milliseconds.
    pub behind_ms: Millis,
    /// Restores under way.
    pub restores: Vec<RestoreProgress>,
}

impl<E: Engine> Recoveries<E> {
    /// Backups of these tables in an archive. From here on the change logs wait for the archive; [`Recoveries::start`] is
    /// what reads them.
    pub fn new(tables: Arc<Tables<E>>, archive: Archive, options: Options) -> Self {
        let holds = Arc::<Holds>::default();
        let holder: Arc<dyn LogHolder> = Arc::<Holds>::clone(&holds);
        tables.logs().add_holder(&holder);
        Self(Arc::new(Inner {
            tables,
            archive,
            options,
            holds,
            followers: Mutex::default(),
            backups: Mutex::default(),
            backups_known: AtomicBool::new(false),
            backups_loading: tokio::sync::Mutex::default(),
            incoming: Incoming::default(),
            base_turn: Arc::new(Semaphore::new(1)),
            load_turn: Semaphore::new(LOADS_MAX),
            damaged: Mutex::default(),
            restore_beginning: tokio::sync::Mutex::default(),
            restoring: Mutex::default(),
            wake: Notify::new(),
            counters: Counters::default(),
        }))
    }

    /// Starts the background work; it ends when `stop` changes or its sender is gone.
    pub fn start(&self, stop: watch::Receiver<bool>) {
        let this = self.clone();
        tokio::spawn(until(stop.clone(), async move {
            loop {
                if let Err(error) = this.archive.collect_garbage().await {
                    tracing::warn!(%error, "what a crash may have left in the archive was not looked for");
                }
                tokio::time::sleep(UNFINISHED_AGE).await;
            }
        }));
        let this = self.clone();
        tokio::spawn(until(stop.clone(), async move {
            loop {
                this.ship_in_background().await;
                tokio::time::sleep(Duration::from_millis(this.options.ship_ms)).await;
            }
        }));
        let this = self.clone();
        tokio::spawn(until(stop.clone(), async move {
            loop {
                let worked = this.load_backups().await;
                this.report("reading the archive's backups", worked);
                this.restore_in_background();
                let _ = tokio::time::timeout(LOOK_EVERY, this.wake.notified()).await;
            }
        }));
        let this = self.clone();
        if self.options.scrub_bytes_per_second > 0 {
            tokio::spawn(until(stop.clone(), async move { this.scrub_for_ever().await }));
        }
        let this = self.clone();
        tokio::spawn(until(stop, async move {
            loop {
                tokio::time::sleep(RETAIN_EVERY).await;
                let worked = this.retain().await;
                this.report("taking away what is too old in the archive", worked);
                let worked = this.archive_inaccessible().await;
                this.report("archiving a table whose key is away", worked);
            }
        }));
    }

    /// The tables.
    pub fn tables(&self) -> &Arc<Tables<E>> {
        &self.0.tables
    }

    /// The archive.
    pub fn archive(&self) -> &Archive {
        &self.0.archive
    }

    /// What an operator watches.
    pub fn status(&self) -> Status {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let now = self.tables.now_ms();
        let followers: Vec<_> = self.followers.lock().values().cloned().collect();
        let behind = |follower: &Arc<Follower>| now.saturating_sub(follower.known_until(now));
        let counters = &self.counters;
        Status {
            backups: self.backups.lock().running() as u64,
            segments: read(&counters.segments),
            bases: read(&counters.bases),
            archived_bytes: read(&counters.archived_bytes),
            failures: read(&counters.failures),
            chains_broken: read(&counters.chains_broken),
            restored_items: read(&counters.restored_items),
            restores_failed: read(&counters.restores_failed),
            scrubbed_bytes: read(&counters.scrubbed_bytes),
            damaged_objects: self.damaged.lock().len() as u64,
            tables: followers.len() as u64,
            behind_ms: followers.iter().map(behind).max().unwrap_or(0),
            restores: self.restoring.lock().values().cloned().collect(),
        }
    }
}

impl<E: Engine> Inner<E> {
    /// Tells of what failed, and counts it.
    pub(crate) fn report(&self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "{what} failed; it is tried again");
        }
    }
}

impl<E: Engine> Clone for Recoveries<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Engine> Deref for Recoveries<E> {
    type Target = Inner<E>;

    fn deref(&self) -> &Inner<E> {
        &self.0
    }
}

async fn until(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.changed() => {}
    }
}
