//! Storage as a node that stands by sees it: read, and never written.
//!
//! A reader follows the log's tail by reads at QUORUM, and keeps what rows may not have followed in an overlay, as the owner
//! does; everything else it reads from rows, at QUORUM, too. An entry is acknowledged only once a majority has it, so whatever
//! was acknowledged before a reading of the tail began is seen once that has ended. So a reader knows, without comparing clocks
//! with anyone, how old what it sees may be at most: as old as the beginning of the last reading that ended. Rows
//! may be ahead of the tail, and of each other: reads are eventually consistent, each row by itself whole.
//!
//! It stays away from the SERIAL level, which would get into the owner's way, and it has no way to write: `commit` refuses.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use geodynamo_storage::{
    Commit, Engine, Health, KEY_BYTES_MAX, LogId, LogRecord, Page, Position, Scan, StorageError, Trouble, Write,
};
use tokio::sync::{Mutex, watch};

use crate::{
    CassandraOptions, CassandraSnapshot, entry,
    entry::Op,
    pages::GETS_AT_ONCE,
    shared::{Pending, Shared, State},
    store::Store,
    tenure::{Tenure, now_ms},
    views::View,
};

/// How many times as much as an owner's own overlay a reader's may have: rows follow the log, and a second later it is
/// stored how far.
const OVERLAYS_MAX: usize = 2;

/// Storage in Apache Cassandra, of a node that does not write the slot's log.
#[derive(Debug)]
pub struct CassandraReader {
    shared: Arc<Shared>,
    tail: Mutex<Tail>,
    /// Whether the caller wants to hear of a key.
    wants: fn(&[u8]) -> bool,
    /// When the last reading of the tail began that the caller has worked off, by a clock that no one sets.
    as_of_ms: AtomicI64,
}

/// How far the log was read.
#[derive(Debug)]
struct Tail {
    stretch: i64,
    place: i64,
    /// Whether the entry at the place is to be looked at again: the stretch may have ended with it.
    again: bool,
    /// Keys that were written and that the caller was not told of yet.
    written: BTreeSet<Bytes>,
    /// Whether a range with such keys was deleted.
    dropped: bool,
}

/// What a reading of the tail has brought.
#[derive(Debug)]
pub struct Caught {
    /// The keys that were written since the reading before, of those that the caller wants to hear of.
    pub written: BTreeSet<Bytes>,
    as_of_ms: i64,
}

impl CassandraReader {
    /// Opens the log's tail. `wants` says of which keys [`CassandraReader::catch_up`] is to tell.
    ///
    /// # Errors
    /// [`StorageError`] if what is stored cannot be read.
    pub(crate) async fn open(
        store: Arc<Store>,
        options: CassandraOptions,
        wants: fn(&[u8]) -> bool,
    ) -> Result<Self, StorageError> {
        let mark = store.mark().await?;
        let mut state = State {
            committed: mark.place,
            followed: mark.place,
            ..State::default()
        };
        state.ranges.insert(Bytes::new(), 0);
        state.ranges.extend(store.ranges().await?);
        let forever = Tenure::default();
        forever.renew(now_ms(), Duration::MAX);
        Ok(Self {
            shared: Arc::new(Shared::new(store, options, 0, Arc::new(forever), state)),
            tail: Mutex::new(Tail {
                stretch: mark.stretch,
                place: mark.place,
                again: true,
                written: BTreeSet::new(),
                dropped: false,
            }),
            wants,
            as_of_ms: AtomicI64::new(i64::MIN),
        })
    }

    /// Reads the log's tail to its end. What it holds is seen from then on; whether it counts is for
    /// [`CassandraReader::is_as_of`] to say, once the caller has made what it has to of the keys that were written.
    ///
    /// # Errors
    /// [`StorageError::Io`] if Cassandra does not answer, or rows are too far behind the log: ask again.
    /// [`StorageError::Closed`] if the log does not go on where this reader is, as after a stop of hours: open another one.
    pub async fn catch_up(&self) -> Result<Caught, StorageError> {
        let mut tail = self.tail.lock().await;
        let as_of_ms = now_ms();
        if !self.shared.options.deaf {
            if self.is_full() {
                self.forget().await?;
            }
            self.read(&mut tail).await?;
            // What is seen of rows is as old as the tail or newer, so they may have been asked before or after it. But the log
            // may have been dropped from under a reader that slept: then rows have followed entries that it does not know.
            if self.forget().await? > tail.place {
                self.read(&mut tail).await?;
                if self.forget().await? > tail.place && self.is_gone(&mut tail).await? {
                    return Err(StorageError::Closed);
                }
            }
        }
        if tail.dropped {
            return Err(StorageError::Closed);
        }
        Ok(Caught {
            written: std::mem::take(&mut tail.written),
            as_of_ms,
        })
    }

    /// The caller has made of a reading what it has to.
    pub fn is_as_of(&self, caught: &Caught) {
        self.as_of_ms.fetch_max(caught.as_of_ms, Ordering::AcqRel);
    }

    /// How old what is read now may be at most; none before the first reading.
    pub fn age(&self) -> Option<Duration> {
        let as_of_ms = self.as_of_ms.load(Ordering::Acquire);
        let age_ms = (as_of_ms != i64::MIN).then(|| now_ms().saturating_sub(as_of_ms))?;
        Some(Duration::from_millis(age_ms.max(0).cast_unsigned()))
    }

    /// The last entry of the log that is seen.
    pub fn place(&self) -> i64 {
        self.shared.state.lock().committed
    }

    async fn read(&self, tail: &mut Tail) -> Result<(), StorageError> {
        loop {
            let after = tail.place - i64::from(tail.again);
            let mut ended = false;
            let mut found = Ok(());
            self.shared
                .store
                .tail(tail.stretch, after, |entry| {
                    found = self.take_in(tail, entry.place, entry.ends, entry.payload);
                    ended = entry.ends;
                    found.is_ok()
                })
                .await?;
            found?;
            tail.again = false;
            if !ended {
                return Ok(());
            }
            tail.stretch += 1;
        }
    }

    /// Makes an entry visible.
    fn take_in(&self, tail: &mut Tail, place: i64, ends: bool, payload: Bytes) -> Result<(), StorageError> {
        if place <= tail.place {
            return Ok(());
        }
        if place != tail.place + 1 {
            return Err(StorageError::Closed);
        }
        if self.is_full() {
            return Err(StorageError::Io("rows are too far behind the log".into()));
        }
        let mut state = self.shared.state.lock();
        let ops = entry::decode(payload)?;
        for op in &ops {
            let Op::Write(write) = op else { continue };
            self.shared.cache.write(write);
            match write {
                Write::Put(key, _) | Write::Delete(key) if (self.wants)(key) => {
                    tail.written.insert(key.clone());
                }
                Write::DeleteRange(from, _) if (self.wants)(from) => tail.dropped = true,
                Write::Put(..) | Write::Delete(_) | Write::DeleteRange(..) => {}
            }
        }
        state.publish(Pending {
            place,
            stretch: tail.stretch,
            ends,
            ops: ops.into(),
        });
        tail.place = place;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.shared.state.lock().pending_bytes > OVERLAYS_MAX * self.shared.options.overlay_bytes_max
    }

    /// Forgets what rows have followed; tells how far they have.
    async fn forget(&self) -> Result<i64, StorageError> {
        let mark = self.shared.store.mark().await?;
        let mut state = self.shared.state.lock();
        let up_to = mark.place.min(state.committed);
        if up_to > state.followed {
            let followed = state.pending.iter().take_while(|entry| entry.place <= up_to);
            let touched: Vec<Bytes> = followed
                .flat_map(|entry| &*entry.ops)
                .filter_map(|op| match op {
                    Op::Write(Write::Put(key, _) | Write::Delete(key)) => Some(key.clone()),
                    _ => None,
                })
                .collect();
            state.follow(touched.iter(), up_to);
        }
        // Where change logs stand is the owner's to know.
        state.stretches.0.clear();
        Ok(mark.place)
    }

    /// Whether the log goes on elsewhere. Entries that came between a reading and the look at the mark are no sign of it: they
    /// can be read.
    async fn is_gone(&self, tail: &mut Tail) -> Result<bool, StorageError> {
        let before = tail.place;
        self.read(tail).await?;
        Ok(tail.place == before)
    }
}

fn refused<T>() -> Result<T, StorageError> {
    Err(StorageError::Unwritable(Trouble::WritesFail))
}

impl Engine for CassandraReader {
    type Snapshot = CassandraSnapshot;

    fn spans_groups(&self) -> bool {
        true
    }

    fn commit_bytes_max(&self) -> usize {
        crate::COMMIT_BYTES_MAX
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.shared.check_open()?;
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        self.shared.value(key).await
    }

    /// Each as it is when it is read: not of one moment.
    async fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.get_each(keys).await
    }

    async fn get_each(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StorageError> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        stream::iter(keys.to_vec())
            .map(|key| async move { self.get(&key).await })
            .buffered(GETS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn scan(&self, scan: Scan) -> Result<Page, StorageError> {
        self.shared.check_open()?;
        View::open(&self.shared).scan(&scan).await
    }

    /// Rows go on below it: it is of no one moment.
    fn snapshot(&self) -> CassandraSnapshot {
        CassandraSnapshot {
            view: self.shared.check_open().map(|()| View::open(&self.shared)),
        }
    }

    /// Refuses: the log and rows are the owner's to write.
    fn commit(&self, _commit: Commit) -> impl Future<Output = Result<Vec<Position>, StorageError>> + Send + use<> {
        std::future::ready(refused())
    }

    /// Refuses: records of change logs are read at the owner.
    async fn log_read(
        &self,
        _log: LogId,
        _after: Position,
        _rows_max: usize,
        _bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        refused()
    }

    /// The end that the tail tells of; the start of a log that has none there.
    async fn log_end(&self, log: LogId) -> Result<Position, StorageError> {
        Ok(self.shared.state.lock().end(log).last)
    }

    /// Refuses, as [`Engine::commit`] does.
    async fn log_trim(&self, _log: LogId, _up_to: Position) -> Result<(), StorageError> {
        refused()
    }

    fn log_activity(&self) -> watch::Receiver<u64> {
        self.shared.activity.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    async fn close(&self) -> Result<(), StorageError> {
        self.shared.close();
        Ok(())
    }
}
