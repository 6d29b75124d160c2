//! Reading all files in the background, at a bounded rate: a flipped bit is found while other copies are whole, and not when
//! somebody needs the item.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use geodynamo_engine::RegionEngine;
use geodynamo_rocks::{RocksEngine, ScrubPlace, Scrubbed};
use geodynamo_storage::StorageError;
use geodynamo_table::Tables;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Bytes that are read at once.
const STEP_BYTES: u64 = 1 << 20;
/// How long to wait when all has been read, and after a failure.
const PAUSE: Duration = Duration::from_secs(60);
/// The most damaged files that are told apart.
const DAMAGED_MAX: usize = 1000;

/// What has been read, and found. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrub(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: AtomicU64,
    passes: AtomicU64,
    /// Damaged files, as of the last whole pass and this one.
    damaged: Mutex<[BTreeSet<String>; 2]>,
}

impl Scrub {
    /// Reads, so many bytes a second, until `stop` says so; nothing if that is 0, or the engine has no files of its own.
    pub(crate) fn start(tables: &Arc<Tables<RegionEngine>>, rate: u64, mut stop: watch::Receiver<bool>) -> Self {
        let scrub = Self::default();
        if rate > 0 {
            let (own, tables) = (scrub.clone(), Arc::clone(tables));
            tokio::spawn(async move {
                let Some(engine) = tables.engine().rocks() else { return };
                tokio::select! {
                    () = own.run(engine, rate) => {}
                    _ = stop.wait_for(|stopped| *stopped) => {}
                }
            });
        }
        scrub
    }

    /// Bytes that were read and are whole, whole passes, and files that are damaged.
    pub(crate) fn status(&self) -> (u64, u64, u64) {
        let damaged = self.0.damaged.lock();
        let count = damaged[0].union(&damaged[1]).count() as u64;
        (
            self.0.bytes.load(Ordering::Relaxed),
            self.0.passes.load(Ordering::Relaxed),
            count,
        )
    }

    async fn run(&self, engine: &RocksEngine, rate: u64) {
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
                Err(StorageError::Closed) => return,
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
        let mut damaged = self.0.damaged.lock();
        if let Some(found) = &scrubbed.damage {
            let file = found.file.clone().unwrap_or_else(|| "a file".into());
            let [before, now] = &mut *damaged;
            let is_new = !before.contains(&file) && now.len() < DAMAGED_MAX && now.insert(file.clone());
            if is_new {
                tracing::error!(
                    file,
                    error = found.text,
                    "a file of the store is damaged: reads of what it holds fail; get a copy from another region or a backup"
                );
            } else if before.contains(&file) {
                now.insert(file);
            }
        }
        if scrubbed.done {
            self.0.passes.fetch_add(1, Ordering::Relaxed);
            let [before, now] = &mut *damaged;
            *before = std::mem::take(now);
        }
    }
}
