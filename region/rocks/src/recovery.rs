//! What happens when the machine fails: the committer's care for the store and its disk.
//!
//! A write or sync that fails, be it of the WAL, of a table or of a manifest, ends writing. Reads go on: what is in memtables
//! and tables is what was acknowledged. The batch that failed is not visible, and is not going to be.
//!
//! | trouble | passes | what is done |
//! | --- | --- | --- |
//! | no room | when there is room | the reserve is given up; commits that make room are taken as soon as the store writes again; the others once there is room for the reserve and [`ROOM_BACK_BYTES`] |
//! | read-only file system | when it is mounted for writing | a probe is written beside the store, at growing intervals; once that works the store is opened anew |
//! | writes or syncs fail | when the disk takes writes again | the same; after [`RocksOptions::failures_max`] of them in [`FAILURES_WINDOW`] the engine gives up |
//! | damaged | no | nothing: reads go on, and somebody has to look at it |
//!
//! A read that fails is that read's answer, and changes nothing else.
//!
//! # Opening anew
//! After a failed sync the kernel may take pages for written that are not, so syncing the same file again proves nothing.
//! The WAL is abandoned: the batch that failed is cut off it (`wal.rs`), RocksDB is closed and opened again, and what it
//! replays it writes into new tables, syncs them and a new manifest, and only then takes writes. So whatever was
//! acknowledged is on disk in a file whose sync succeeded, and nothing else becomes visible. The positions of logs that the
//! failed batch would have got are given to the next one; nobody had heard of them.
//!
//! Readers wait for the moment that this takes, and snapshots end. If the store cannot be opened for writing after all, it is
//! opened for reading.
//!
//! RocksDB resumes by itself after a flush or compaction that found no room. That is welcome: no batch is in doubt then. After
//! a failure of the WAL it does not (`RocksOptions::database`).

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use geodynamo_storage::{Health, StorageError, Trouble};

use crate::{
    RocksOptions,
    committer::Committer,
    disk::{self, Reserve},
    segments::Segments,
    store::Store,
    trouble, wal,
};

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often while there is trouble.
const TROUBLED_LOOK_EVERY: Duration = Duration::from_millis(250);
/// Or after so many bytes have been written.
const LOOK_BYTES: usize = 4 * 1024 * 1024;
/// Commits are refused while the file system has less room than this. What is in memtables has to be written out yet: that
/// is what the reserve is for.
pub(crate) const ROOM_MIN_BYTES: u64 = 16 * 1024 * 1024;
/// They are taken again when it has room for the reserve, and this.
pub(crate) const ROOM_BACK_BYTES: u64 = 2 * ROOM_MIN_BYTES;
/// Those that make room are taken down to this.
pub(crate) const ROOM_LAST_BYTES: u64 = 4 * 1024 * 1024;
/// How long to wait before the disk is tried again; twice as long each time.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Within what time failures of writes are counted.
pub(crate) const FAILURES_WINDOW: Duration = Duration::from_secs(600);
/// How often deleted rows are merged away while there is no room.
const COMPACT_EVERY: Duration = Duration::from_secs(5);

/// How the store and its disk are. The committer's own.
#[derive(Debug)]
pub(crate) struct Care {
    path: PathBuf,
    reserve: Reserve,
    /// Why no writes are taken, if they are not, and since when.
    trouble: Option<(Trouble, Instant)>,
    /// Whether RocksDB refuses writes, too.
    is_broken: bool,
    /// When the disk was looked at, and bytes written since.
    looked: Instant,
    written: usize,
    /// Flushes and compactions that had failed then.
    background_errors: u64,
    /// When the disk is tried next, and how long to wait after that.
    next_try: Instant,
    backoff: Duration,
    /// The sequence number of the last write that readers saw.
    published: u64,
    /// When writes have failed.
    failures: VecDeque<Instant>,
    failures_max: usize,
    /// Whether commits that make room were carried out since the last compaction, and when that was.
    relieved: bool,
    compacted: Instant,
    /// A compaction that makes room.
    compaction: Option<std::thread::JoinHandle<()>>,
}

impl Care {
    pub(crate) fn new(path: &Path, options: &RocksOptions) -> Self {
        let mut reserve = Reserve::find(path, options.reserve_bytes);
        // Opening the store writes out what is in its WAL.
        if disk::free_bytes(path.parent().unwrap_or(path)).is_some_and(|free| free < options.memtable_bytes as u64) {
            reserve.release();
        }
        let now = Instant::now();
        Self {
            path: path.to_owned(),
            reserve,
            trouble: None,
            is_broken: false,
            looked: now,
            written: 0,
            background_errors: 0,
            next_try: now,
            backoff: RETRY_MIN,
            published: 0,
            failures: VecDeque::new(),
            failures_max: options.failures_max,
            relieved: false,
            compacted: now,
            compaction: None,
        }
    }

    /// When the disk is to be looked at.
    pub(crate) fn due(&self) -> Instant {
        let every = if self.trouble.is_some() {
            TROUBLED_LOOK_EVERY
        } else {
            LOOK_EVERY
        };
        self.looked + every
    }

    pub(crate) fn is_due(&self) -> bool {
        self.written >= LOOK_BYTES || Instant::now() >= self.due()
    }

    /// So many bytes are being written.
    pub(crate) fn writing(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
        self.relieved |= self.trouble.is_some();
    }

    /// Whether no writes are taken.
    pub(crate) fn is_troubled(&self) -> bool {
        self.trouble.is_some()
    }

    fn free_bytes(&self) -> u64 {
        disk::free_bytes(&self.path).unwrap_or(u64::MAX)
    }

    /// Notes that a write has failed; true if that was once too often.
    fn too_often(&mut self) -> bool {
        let now = Instant::now();
        self.failures.push_back(now);
        while self
            .failures
            .front()
            .is_some_and(|at| now.duration_since(*at) > FAILURES_WINDOW)
        {
            self.failures.pop_front();
        }
        self.failures.len() > self.failures_max
    }

    fn retry_later(&mut self) {
        self.next_try = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(RETRY_MAX);
    }
}

impl Committer {
    /// Ends what runs beside the committer.
    pub(crate) fn end_compaction(&mut self) {
        if let Some(compaction) = self.care.compaction.take() {
            if let Some(store) = &self.store {
                store.stop_background();
            }
            // A compaction that panicked has nothing left to wait for.
            let _ = compaction.join();
        }
    }

    /// RocksDB has failed to write: from now on writes are refused. Gives why.
    pub(crate) fn fall(&mut self, error: &StorageError) -> Trouble {
        let text = error.to_string();
        self.shared.suspects.hear(&text);
        let mut trouble = trouble::of(&text);
        if trouble == Trouble::WritesFail && self.care.too_often() {
            trouble = Trouble::Broken;
        }
        self.care.is_broken = true;
        // They were worked out for the batch that failed.
        self.logs.clear();
        self.enter(trouble, &text);
        trouble
    }

    /// Refuses writes for a reason. What kind of trouble it is is logged once.
    fn enter(&mut self, trouble: Trouble, text: &str) {
        let known = self.care.trouble;
        let since = known.map_or_else(Instant::now, |(_, since)| since);
        self.care.trouble = Some((trouble, since));
        if known.is_none() {
            self.care.backoff = RETRY_MIN;
            self.care.next_try = Instant::now();
        }
        // Health first: who is refused a write and asks why is to be told.
        let text: Arc<str> = text.into();
        if self.store.is_some() {
            self.shared
                .health
                .send_replace(Health::Unwritable(trouble, text.clone()));
        } else {
            self.shared
                .health
                .send_replace(Health::Unreadable(trouble, text.clone()));
        }
        self.shared.queue.refuse(trouble, false);
        if trouble == Trouble::NoRoom {
            self.care.reserve.release();
        }
        if known.is_none_or(|(known, _)| known != trouble) {
            let path = self.care.path.display();
            let (free_bytes, passes) = (self.care.free_bytes(), trouble.passes());
            tracing::error!(%path, free_bytes, passes, error = &*text, "the store takes no writes: {trouble}");
        }
    }

    /// Takes writes again.
    fn recovered(&mut self) {
        let Some((trouble, since)) = self.care.trouble.take() else {
            return;
        };
        self.care.backoff = RETRY_MIN;
        self.shared.counters.recovered();
        self.shared.queue.accept();
        self.shared.health.send_replace(Health::Open);
        let (path, seconds) = (self.care.path.display(), since.elapsed().as_secs_f32());
        tracing::info!(%path, trouble = trouble.name(), seconds, "the store takes writes again");
    }

    /// Looks at the disk and does what can be done.
    pub(crate) fn look(&mut self) {
        match self.care.trouble {
            None => self.look_out(),
            Some((Trouble::NoRoom, _)) => self.look_for_room(),
            Some((Trouble::ReadOnly | Trouble::WritesFail, _)) => self.try_disk(),
            Some((Trouble::Broken, _)) => self.quarantine_suspects(),
        }
        self.care.looked = Instant::now();
        self.care.written = 0;
        self.shared.counters.reserved(self.care.reserve.held());
    }

    /// All is well: does it stay so?
    fn look_out(&mut self) {
        if !self.still_writes() {
            return;
        }
        self.quarantine_suspects();
        let free = self.care.free_bytes();
        if free < ROOM_MIN_BYTES {
            let text = format!("{}: {free} bytes are left", self.care.path.display());
            self.enter(Trouble::NoRoom, &text);
        } else if free >= self.care.reserve.missing().saturating_add(ROOM_BACK_BYTES) {
            self.make_reserve();
        }
    }

    /// Whether the store still takes writes, should a flush or compaction have failed: that only a write tells.
    fn still_writes(&mut self) -> bool {
        let Some(store) = self.store.clone() else {
            return false;
        };
        let errors = store.background_errors();
        if errors == self.care.background_errors {
            return true;
        }
        self.care.background_errors = errors;
        let tried = store.try_out(self.options.sync);
        if let Err(error) = &tried {
            self.fall(error);
        }
        tried.is_ok()
    }

    /// Takes the reserve's room, if it can be had; true if so, or if there is to be none.
    fn make_reserve(&mut self) -> bool {
        match self.care.reserve.make() {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "no room for a reserve yet");
                false
            }
        }
    }

    fn look_for_room(&mut self) {
        self.care.reserve.release();
        let free = self.care.free_bytes();
        let writes = if self.care.is_broken {
            self.write_again(free)
        } else {
            self.still_writes()
        };
        if !writes {
            return;
        }
        let enough = self.care.reserve.missing().saturating_add(ROOM_BACK_BYTES);
        if free >= enough && self.make_reserve() {
            return self.recovered();
        }
        self.shared.queue.refuse(Trouble::NoRoom, free >= ROOM_LAST_BYTES);
        self.compact_away();
    }

    /// After a write that found no room: whether RocksDB writes again, by itself or since it was opened anew.
    fn write_again(&mut self, free: u64) -> bool {
        // What was there before it had been written to the WAL, at least.
        let Some(store) = &self.store else {
            return free >= ROOM_LAST_BYTES && self.try_with_room();
        };
        if store.try_out(self.options.sync).is_ok() {
            let store = store.clone();
            return self.begin_anew(&store);
        }
        let needed = store.memtable_bytes().saturating_add(ROOM_LAST_BYTES);
        free >= needed && self.try_with_room()
    }

    /// Opens the store anew, if a probe shows that there is room: of a quota the file system need not tell.
    fn try_with_room(&mut self) -> bool {
        if !self.may_try() {
            return false;
        }
        if disk::probe(&self.care.path).is_err() {
            self.care.retry_later();
            return false;
        }
        self.open_anew()
    }

    fn may_try(&self) -> bool {
        Instant::now() >= self.care.next_try
    }

    /// Once the disk takes writes again, opens the store anew.
    fn try_disk(&mut self) {
        if !self.may_try() {
            return;
        }
        if let Err(error) = disk::probe(&self.care.path) {
            tracing::debug!(%error, "the disk takes no writes yet");
            return self.care.retry_later();
        }
        if self.open_anew() {
            self.recovered();
        }
    }

    /// Opens the store anew, for writing if that can be done; true if so.
    fn open_anew(&mut self) -> bool {
        let opened = self.try_open_anew(true, || Ok(()));
        if let Err(error) = &opened {
            let text = error.to_string();
            self.care.retry_later();
            self.enter(trouble::of(&text), &text);
        }
        opened.is_ok()
    }

    /// Closes the store, has something done, and opens it. Compactions run by themselves only if `compacts`.
    pub(crate) fn open_again(
        &mut self,
        compacts: bool,
        between: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        // Read anew: logs' records go to other segments from here on.
        self.logs.clear();
        let opened = self.try_open_anew(compacts, between);
        match &opened {
            Ok(()) => self.recovered(),
            Err(error) if self.care.is_broken => {
                self.fall(&error.clone());
            }
            Err(_) => {}
        }
        opened
    }

    /// The store's directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.care.path.clone()
    }

    fn try_open_anew(
        &mut self,
        compacts: bool,
        between: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let path = self.care.path.clone();
        let io = |error: std::io::Error| StorageError::Io(error.to_string().into());
        if let Some(compaction) = self.care.compaction.take() {
            // It holds the store, and fails as everything does.
            let _ = compaction.join();
        }
        let mut cut = None;
        if let Some(store) = &self.store {
            self.care.published = self.care.published.max(store.published());
            // While the store is still read: if this fails, nothing has changed.
            cut = wal::cut_behind(&path, store.published(), self.options.seal.as_ref()).map_err(io)?;
        }
        if let Some(own) = self.store.take()
            && let Err(own) = self.shared.holder.take(own)
        {
            self.store = Some(own);
            return Err(StorageError::Io("somebody goes on reading the store".into()));
        }
        // Until it is open again.
        self.care.is_broken = true;
        if let Some((log, at)) = cut {
            tracing::info!(log = %log.display(), at, "a batch whose write failed was cut off the WAL");
            // Closing it gave it its length back, without its content: RocksDB would pass over that, too.
            let _ = std::fs::OpenOptions::new()
                .write(true)
                .open(&log)
                .and_then(|log| log.set_len(at));
        }
        let done = between();
        match self.open_to_write(&path, compacts) {
            Ok(()) => done,
            Err(error) => {
                match Store::open_to_read(&path, &self.options, &self.shared.statistics) {
                    Ok(store) => self.put(Arc::new(store)),
                    Err(error) => self.shared.holder.fail(error),
                }
                Err(error)
            }
        }
    }

    fn open_to_write(&mut self, path: &Path, compacts: bool) -> Result<(), StorageError> {
        // Should the disk be gone, with an empty folder in its place, nothing is made there.
        let store = Arc::new(Store::open(
            path,
            &self.options,
            &self.shared.statistics,
            false,
            compacts,
        )?);
        if store.published() < self.care.published {
            return Err(StorageError::Io("Corruption: the newest writes are gone".into()));
        }
        let segments = Segments::open(&store, self.options.turn_bytes())?;
        store.try_out(self.options.sync)?;
        self.segments = segments;
        self.care.background_errors = store.background_errors();
        self.care.is_broken = false;
        self.put(store);
        Ok(())
    }

    fn put(&mut self, store: Arc<Store>) {
        self.store = Some(store.clone());
        self.shared.holder.put(store);
    }

    /// RocksDB writes again by itself: what was worked out for the batch that failed is read anew. True if that went well.
    fn begin_anew(&mut self, store: &Store) -> bool {
        // A segment begins with a memtable.
        let segments = store
            .flush(false)
            .and_then(|()| Segments::open(store, self.options.turn_bytes()));
        match segments {
            Ok(segments) => {
                self.segments = segments;
                self.care.is_broken = false;
                true
            }
            Err(error) => {
                self.fall(&error);
                false
            }
        }
    }

    /// Merges away what was deleted while there was no room, so that it takes none any more.
    fn compact_away(&mut self) {
        let care = &mut self.care;
        let runs = care.compaction.as_ref().is_some_and(|thread| !thread.is_finished());
        let Some(store) = self.store.clone().filter(|_| care.relieved && !runs) else {
            return;
        };
        if care.compacted.elapsed() < COMPACT_EVERY {
            return;
        }
        care.relieved = false;
        care.compacted = Instant::now();
        let compaction = std::thread::Builder::new().name("rocks-relief".into()).spawn(move || {
            if let Err(error) = store.compact() {
                tracing::debug!(%error, "a compaction to make room failed");
            }
        });
        care.compaction = compaction.ok();
    }
}
