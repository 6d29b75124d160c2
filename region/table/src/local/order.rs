//! The orderer: a write's turn on its keys, and its stamp.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use geodynamo_replicator_core::{Clock, ClockError, Hlc, Millis, ReplicaId, Stamp};
use geodynamo_storage::{Commit, Engine, StorageError, Write};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Result, TimeSource, layout::keys};

/// How many latches there are. Two keys share one with a chance of one in so many.
const LATCHES: usize = 16 * 1024;
/// The system key of the clock's ceiling.
const CEILING_KEY: &str = "clock.ceiling";
/// How long a write waits before it asks again for a ceiling that another one is making durable.
const CEILING_POLL: Duration = Duration::from_millis(50);

/// Orders the writes of one replica: per key one after the other, each with a greater stamp than what it saw.
///
/// Today a table of latches in this process. What it gives (a turn, and stamps while one holds it) is also what a node
/// that orders a partition, or a quorum, would give.
pub(crate) struct Orderer {
    latches: Box<[Arc<tokio::sync::Mutex<()>>]>,
    clock: Mutex<Clock>,
    raised: Notify,
    raising: Mutex<bool>,
    /// The greatest time that a commit was given.
    committed: AtomicU64,
    attempts: Mutex<Attempts>,
    pub(crate) time: Arc<dyn TimeSource>,
}

/// Attempts to raise the ceiling. One that fails is no reason why the next one should: an engine without room has room
/// again one day.
#[derive(Debug, Default)]
struct Attempts {
    begun: u64,
    /// The number of the last one that failed, and why.
    failed: Option<(u64, StorageError)>,
}

/// A write's turn on its keys. Dropping it lets the next one in.
pub(crate) struct Turn {
    _held: smallvec::SmallVec<[OwnedMutexGuard<()>; 1]>,
}

/// Which latch a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Latch(pub(crate) usize);

/// The latch of an item's key.
pub(crate) fn latch_of(table: u64, item_key: &[u8]) -> Latch {
    Latch(xxh3_64_with_seed(item_key, table) as usize % LATCHES)
}

impl Orderer {
    /// An orderer whose clock starts at the durable ceiling.
    pub(crate) async fn open<E: Engine>(engine: &E, replica: ReplicaId, time: Arc<dyn TimeSource>) -> Result<Self> {
        let ceiling = engine
            .get(&keys::system(CEILING_KEY))
            .await?
            .and_then(|bytes| bytes.as_ref().try_into().ok());
        let ceiling = ceiling.map_or(Hlc(0), |bytes| Hlc(u64::from_be_bytes(bytes)));
        Ok(Self {
            latches: (0..LATCHES).map(|_| Arc::default()).collect(),
            clock: Mutex::new(Clock::new(replica, ceiling)),
            raised: Notify::new(),
            raising: Mutex::new(false),
            committed: AtomicU64::new(0),
            attempts: Mutex::default(),
            time,
        })
    }

    /// Waits for the turn on one key.
    pub(crate) async fn order(&self, latch: Latch) -> Turn {
        let mut held = smallvec::SmallVec::new();
        held.push(Arc::clone(&self.latches[latch.0]).lock_owned().await);
        Turn { _held: held }
    }

    /// Waits for the turn on several keys. Latches are taken in one order everywhere, so no two writers wait for each
    /// other.
    pub(crate) async fn order_all(&self, mut latches: Vec<Latch>) -> Turn {
        latches.sort_unstable();
        latches.dedup();
        let mut held = smallvec::SmallVec::with_capacity(latches.len());
        for latch in latches {
            held.push(Arc::clone(&self.latches[latch.0]).lock_owned().await);
        }
        Turn { _held: held }
    }

    /// Issues a stamp greater than every one issued before and than `seen`, the stamp of the version that the writer
    /// read. Waits for a durable ceiling if need be; the ceiling is raised well ahead, so it rarely does.
    pub(crate) async fn stamp<E: Engine>(self: &Arc<Self>, engine: &Arc<E>, seen: Option<Stamp>) -> Result<Stamp> {
        self.issue(engine, |clock, now| {
            if let Some(seen) = seen {
                clock.observe(seen);
            }
            clock.issue(now)
        })
        .await
    }

    /// Issues so many stamps, each greater than the one before, at one go: for whoever writes many rows.
    pub(crate) async fn stamps<E: Engine>(self: &Arc<Self>, engine: &Arc<E>, count: usize) -> Result<Vec<Stamp>> {
        let mut stamps = Vec::with_capacity(count);
        self.issue(engine, |clock, now| {
            while stamps.len() < count {
                stamps.push(clock.issue(now)?);
            }
            Ok(())
        })
        .await?;
        Ok(stamps)
    }

    /// Issues what `take` takes of the clock, again once the ceiling is raised if it was too low for that.
    async fn issue<E: Engine, T>(
        self: &Arc<Self>,
        engine: &Arc<E>,
        mut take: impl FnMut(&mut Clock, Millis) -> std::result::Result<T, ClockError>,
    ) -> Result<T> {
        let begun = self.attempts.lock().begun;
        loop {
            let now = self.time.now_ms();
            let (issued, wanted) = {
                let mut clock = self.clock.lock();
                (take(&mut clock, now), clock.wants_ceiling(now))
            };
            if let Some(ceiling) = wanted {
                self.raise(engine, ceiling);
            }
            match issued {
                Ok(issued) => return Ok(issued),
                Err(ClockError::Ceiling) => self.ceiling_raised(begun).await?,
            }
        }
    }

    /// Waits until the durable ceiling is above every stamp observed so far, so that the clock starts above them after a
    /// restart. At once unless a merged stamp is about a second ahead of local time.
    pub(crate) async fn cover<E: Engine>(self: &Arc<Self>, engine: &Arc<E>) -> Result<()> {
        let begun = self.attempts.lock().begun;
        loop {
            let (covered, wanted) = {
                let clock = self.clock.lock();
                (clock.is_covered(), clock.wants_ceiling(self.time.now_ms()))
            };
            if covered {
                return Ok(());
            }
            if let Some(ceiling) = wanted {
                self.raise(engine, ceiling);
            }
            self.ceiling_raised(begun).await?;
        }
    }

    /// Waits for the next durable ceiling, for a while. An error if an attempt after the first `begun` has failed. Earlier ones
    /// began before the caller did, and tell nothing of the engine as it is now.
    async fn ceiling_raised(&self, begun: u64) -> Result<()> {
        {
            let attempts = self.attempts.lock();
            if let Some((_, error)) = attempts.failed.as_ref().filter(|(number, _)| *number > begun) {
                return Err(error.clone().into());
            }
        }
        // A lost wake-up costs one poll, never a hang.
        let _ = tokio::time::timeout(CEILING_POLL, self.raised.notified()).await;
        Ok(())
    }

    /// Local time that never goes back: not before any stamp issued or observed, restarts included.
    pub(crate) fn now_ms(&self) -> Millis {
        self.time.now_ms().max(self.clock.lock().last().millis())
    }

    /// The greatest time of any stamp issued or observed: every stamp that is issued from here on has a greater one.
    pub(crate) fn last(&self) -> Hlc {
        self.clock.lock().last()
    }

    /// The time of a commit that is being made: no less than that of any commit that has ended.
    pub(crate) fn commit_ms(&self) -> Millis {
        let now = self.time.now_ms();
        // Whoever must see a greater one had the gate, or a latch, of the one who gave it.
        self.committed.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// No commit gets a lesser time from here on.
    pub(crate) fn commit_after(&self, ms: Millis) {
        self.committed.fetch_max(ms, Ordering::Relaxed);
    }

    /// Takes note of a merged version's stamp.
    pub(crate) fn observe(&self, stamp: Stamp) {
        self.clock.lock().observe(stamp);
    }

    /// Makes a higher ceiling durable in the background, one at a time.
    fn raise<E: Engine>(self: &Arc<Self>, engine: &Arc<E>, ceiling: Hlc) {
        {
            let mut raising = self.raising.lock();
            if *raising {
                return;
            }
            *raising = true;
        }
        let number = {
            let mut attempts = self.attempts.lock();
            attempts.begun += 1;
            attempts.begun
        };
        let value = ceiling.0.to_be_bytes().to_vec().into();
        let committed = engine.commit(Commit {
            writes: vec![Write::Put(keys::system(CEILING_KEY), value)],
            // A delete needs a stamp, too.
            makes_room: true,
            ..Commit::default()
        });
        let orderer = Arc::clone(self);
        tokio::spawn(async move {
            match committed.await {
                Ok(_) => orderer.clock.lock().raise_ceiling(ceiling),
                Err(error) => orderer.attempts.lock().failed = Some((number, error)),
            }
            *orderer.raising.lock() = false;
            orderer.raised.notify_waiters();
        });
    }
}
