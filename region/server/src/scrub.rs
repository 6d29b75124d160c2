//! Reading all files in the background, at a bounded rate: a flipped bit is found while other copies are whole, and not when
//! somebody needs the item. The engine takes a damaged file out of use; what was in it is mended from here, a step each second.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use geodynamo_engine::RegionEngine;
use geodynamo_recovery::Recoveries;
use geodynamo_rocks::{RocksEngine, ScrubPlace, Scrubbed};
use geodynamo_storage::StorageError;
use geodynamo_table::Tables;
use tokio::sync::watch;

/// Bytes that are read at once.
const STEP_BYTES: u64 = 1 << 20;
/// How long to wait while the engine is being opened anew, as it is to take a damaged file out of use.
const REOPENING: Duration = Duration::from_secs(1);
/// How long to wait when all has been read, and after a failure.
const PAUSE: Duration = Duration::from_secs(60);
/// How often a step is taken for what is to be mended.
const MEND_EVERY: Duration = Duration::from_secs(1);
/// How often it is said that nothing is there to mend from.
const SAY_EVERY: Duration = Duration::from_secs(600);

/// What has been read, and found. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Scrub(Arc<State>);

struct State {
    tables: Arc<Tables<RegionEngine>>,
    bytes: AtomicU64,
    passes: AtomicU64,
    /// Tables that are to be mended and cannot be: no other region serves them, and no archive has them.
    hopeless: AtomicU64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// What has been read, found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScrubStatus {
    /// Bytes that were read and are whole.
    pub(crate) bytes: u64,
    /// Whole passes.
    pub(crate) passes: u64,
    /// Damaged files that are in use.
    pub(crate) damaged: u64,
    /// Damaged files that were taken out of use.
    pub(crate) quarantined: u64,
    /// Ranges of rows or log records that were in them and are not mended.
    pub(crate) unmended: u64,
    /// Tables for which there is nothing to mend from.
    pub(crate) hopeless: u64,
}

impl Scrub {
    /// Reads, so many bytes a second, and mends, until `stop` says so. Nothing is read if that is 0, or the engine has no files of
    /// its own.
    pub(crate) fn start(
        tables: &Arc<Tables<RegionEngine>>,
        recoveries: Option<Recoveries<RegionEngine>>,
        rate: u64,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let scrub = Self(Arc::new(State {
            tables: Arc::clone(tables),
            bytes: AtomicU64::new(0),
            passes: AtomicU64::new(0),
            hopeless: AtomicU64::new(0),
        }));
        if tables.engine().rocks().is_some() {
            if rate > 0 {
                scrub.spawn(stop.clone(), move |scrub| async move { scrub.run(rate).await });
            }
            scrub.spawn(stop, move |scrub| async move { scrub.mend_for_ever(recoveries).await });
        }
        scrub
    }

    fn spawn<F: Future<Output = ()> + Send>(
        &self,
        mut stop: watch::Receiver<bool>,
        work: impl FnOnce(Self) -> F + Send + 'static,
    ) {
        let scrub = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = work(scrub) => {}
                _ = stop.wait_for(|stopped| *stopped) => {}
            }
        });
    }

    /// What has been read, found and done.
    pub(crate) fn status(&self) -> ScrubStatus {
        let metrics = self
            .0
            .tables
            .engine()
            .rocks()
            .map(RocksEngine::metrics)
            .unwrap_or_default();
        ScrubStatus {
            bytes: self.0.bytes.load(Ordering::Relaxed),
            passes: self.0.passes.load(Ordering::Relaxed),
            damaged: metrics.suspect_files,
            quarantined: metrics.quarantined_files,
            unmended: metrics.distrusted_ranges,
            hopeless: self.0.hopeless.load(Ordering::Relaxed),
        }
    }

    async fn mend_for_ever(&self, recoveries: Option<Recoveries<RegionEngine>>) {
        let mut said: Option<Instant> = None;
        loop {
            tokio::time::sleep(MEND_EVERY).await;
            let left = match self.0.tables.verify().mend().await {
                Ok(left) => left,
                Err(error) => {
                    tracing::warn!(%error, "what was in a damaged file is not mended yet");
                    continue;
                }
            };
            let mut hopeless = 0;
            for unmended in left.iter().filter(|unmended| unmended.peers.is_empty()) {
                let mended = match &recoveries {
                    Some(recoveries) => recoveries.mend(unmended.id).await,
                    None => Ok(false),
                };
                if !matches!(mended, Ok(true)) {
                    hopeless += 1;
                }
                let is_due = said.is_none_or(|at| at.elapsed() >= SAY_EVERY);
                if is_due && !matches!(mended, Ok(true)) {
                    said = Some(Instant::now());
                    let why = mended.err().map(|error| error.to_string());
                    tracing::error!(
                        table = unmended.table,
                        ranges = unmended.ranges,
                        why,
                        "rows that were in a damaged file are lost, no other region has the table, and the archive cannot give \
                         them back: requests for them are refused; restore the table from a backup"
                    );
                }
            }
            self.0.hopeless.store(hopeless, Ordering::Relaxed);
        }
    }

    async fn run(&self, rate: u64) {
        let Some(engine) = self.0.tables.engine().rocks() else {
            return;
        };
        let mut place = ScrubPlace::default();
        loop {
            let pause = match engine.scrub(&mut place, STEP_BYTES.min(rate)).await {
                Ok(scrubbed) => {
                    self.note(&scrubbed);
                    match scrubbed.done {
                        true => PAUSE,
                        false => Duration::from_millis(scrubbed.bytes.saturating_mul(1000) / rate),
                    }
                }
                // If it is closed for good, `stop` ends this.
                Err(StorageError::Closed) => REOPENING,
                Err(error) => {
                    tracing::debug!(%error, "files are not read in the background for now");
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn note(&self, scrubbed: &Scrubbed) {
        self.0.bytes.fetch_add(scrubbed.bytes, Ordering::Relaxed);
        if let Some(found) = &scrubbed.damage {
            let file = found.file.as_deref().unwrap_or("a file");
            tracing::error!(file, error = found.text, "a file of the store is damaged");
        }
        if scrubbed.done {
            self.0.passes.fetch_add(1, Ordering::Relaxed);
        }
    }
}
