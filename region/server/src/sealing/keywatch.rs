//! What a region's keys are like while it serves: whether its key can still be had, how old its data key is, and what is still
//! under older ones.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use geodynamo_archive::Archive;
use geodynamo_engine::RegionEngine;
use geodynamo_seal::{KeyringFile, SealError};
use geodynamo_table::Tables;
use tokio::sync::watch;

use super::{KEYRING, Sealing, SealingError, keyrings, keys::sealed_files, put_keyring, region_key};
use crate::config::Config;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is known of a region's keys. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct KeyWatch(Arc<State>);

#[derive(Debug)]
struct State {
    /// Since when the key cannot be had, in seconds of this process; 0 while it can.
    away_since: AtomicU64,
    begun: Instant,
    /// When the data key of new files was made, in seconds since the Unix epoch.
    made: AtomicU64,
    /// Files under it, and bytes; files under older ones, and bytes.
    files: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
    rewritten: AtomicU64,
    /// Whether the key was away for longer than the region may serve without.
    lost: watch::Sender<bool>,
}

/// The same, for whoever shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyStatus {
    /// How long the key could not be had; none if it can.
    pub(crate) away: Option<Duration>,
    /// How old the data key of new files is.
    pub(crate) data_key_age: Duration,
    /// Files under it, and under older ones.
    pub(crate) files: [u64; 2],
    /// Their bytes.
    pub(crate) bytes: [u64; 2],
    /// Bytes of files that were written anew because they were under older ones.
    pub(crate) rewritten: u64,
}

impl KeyWatch {
    /// Begins to watch. Ends when `stop` says so.
    pub(crate) fn start(
        config: &Config,
        sealing: &Sealing,
        tables: &Arc<Tables<RegionEngine>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let watch = Self(Arc::new(State {
            away_since: AtomicU64::new(0),
            begun: Instant::now(),
            made: AtomicU64::new(0),
            files: [const { AtomicU64::new(0) }; 2],
            bytes: [const { AtomicU64::new(0) }; 2],
            rewritten: AtomicU64::new(0),
            lost: watch::Sender::new(false),
        }));
        let config = Arc::new(config.clone());
        if config.encryption.has_service() {
            let asking = watch.clone().keep_asking(Arc::clone(&config), sealing.clone());
            tokio::spawn(until(stop.clone(), asking));
        }
        let looking = watch.clone().keep_looking(config, sealing.clone(), Arc::clone(tables));
        tokio::spawn(until(stop, looking));
        watch
    }

    /// Returns once the key was away for longer than the region may serve without.
    pub(crate) async fn lost(&self) {
        // The sender is there for as long as this is.
        let _ = self.0.lost.subscribe().wait_for(|lost| *lost).await;
    }

    pub(crate) fn status(&self) -> KeyStatus {
        let state = &self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let since = read(&state.away_since);
        KeyStatus {
            away: (since > 0).then(|| state.begun.elapsed().saturating_sub(Duration::from_secs(since - 1))),
            data_key_age: Duration::from_secs(match read(&state.made) {
                0 => 0,
                made => now.saturating_sub(made),
            }),
            files: [0, 1].map(|which: usize| read(&state.files[which])),
            bytes: [0, 1].map(|which: usize| read(&state.bytes[which])),
            rewritten: read(&state.rewritten),
        }
    }

    /// Asks the key's service now and then whether it still has the key. The region needs it only when it starts, so it goes on
    /// without; for how long is configured.
    async fn keep_asking(self, config: Arc<Config>, sealing: Sealing) {
        let path = config.data_dir.join(KEYRING);
        loop {
            tokio::time::sleep(Duration::from_secs(config.encryption.check_seconds.get())).await;
            let (path, key) = (path.clone(), Arc::clone(&sealing.region_key));
            // Read anew: it may have been rotated.
            let asking = tokio::task::spawn_blocking(move || KeyringFile::read(&path)?.check(&path, &*key));
            match asking.await.unwrap_or(Err(SealError::System)) {
                Ok(()) => {
                    if self.0.away_since.swap(0, Ordering::Relaxed) > 0 {
                        tracing::info!("the region's key can be had again");
                    }
                }
                Err(error) => self.away(&error, config.encryption.away_seconds.get()),
            }
        }
    }

    fn away(&self, error: &SealError, away_max: u64) {
        // One more, for 0 is not away.
        let now = self.0.begun.elapsed().as_secs() + 1;
        let known = self
            .0
            .away_since
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let since = match known {
            Ok(_) => {
                tracing::error!(%error, away_seconds = away_max, "the region's key cannot be had; the region goes on serving");
                now
            }
            Err(since) => since,
        };
        if away_max > 0 && now - since >= away_max {
            tracing::error!(%error, "the region's key could not be had for as long as the region may serve without it");
            self.0.lost.send_replace(true);
        }
    }

    /// Looks at the files now and then, and has those under older data keys written anew, one after the other.
    async fn keep_looking(self, config: Arc<Config>, sealing: Sealing, tables: Arc<Tables<RegionEngine>>) {
        let rate = config.encryption.rewrite_mb_per_second.get() << 20;
        self.note_age(&sealing, &sealing.file);
        // An engine without files of its own has none to be looked at.
        let Some(engine) = tables.engine().rocks() else { return };
        // Those that were written anew, and are still there: somebody reads them.
        let mut tried = BTreeSet::new();
        loop {
            match take_up(&config, &sealing).await {
                Ok(None) => {}
                Ok(Some(file)) => {
                    tracing::info!(data_key = %sealing.keyring.current_id(), "new files are under a new data key from now on");
                    self.note_age(&sealing, &file);
                    tried.clear();
                }
                Err(error) => tracing::warn!(%error, "a new data key is not taken up yet"),
            }
            let current = sealing.keyring.current_id().to_string();
            let older = match self.look(&config, &current).await {
                Ok(older) => older,
                Err(error) => {
                    tracing::warn!(%error, "the store's files cannot be looked at");
                    Vec::new()
                }
            };
            let next = older.into_iter().find(|(name, _)| rate > 0 && !tried.contains(name));
            let Some((name, bytes)) = next else {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            };
            tables.local().writable().await;
            match engine.rewrite(&name).await {
                Ok(rewritten) => {
                    self.0.rewritten.fetch_add(rewritten, Ordering::Relaxed);
                    // It may have been merged with more than itself.
                    let bytes = bytes.max(rewritten);
                    tokio::time::sleep(Duration::from_millis(bytes.saturating_mul(1000) / rate)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, name, "a file was not written anew under the newest data key");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            tried.insert(name);
        }
    }

    fn note_age(&self, sealing: &Sealing, file: &KeyringFile) {
        let current = sealing.keyring.current_id().to_string();
        let made = file.entries().0.iter().find(|entry| entry.id == current);
        self.0.made.store(made.map_or(0, |entry| entry.made), Ordering::Relaxed);
    }

    /// Counts the store's files by their data keys; gives the table files under older ones, by name, and their bytes.
    async fn look(&self, config: &Arc<Config>, current: &str) -> std::io::Result<Vec<(String, u64)>> {
        let config = Arc::clone(config);
        let files = tokio::task::spawn_blocking(move || sealed_files(&config)).await;
        let files = files.map_err(std::io::Error::other)??;
        let (mut counts, mut bytes, mut older) = ([0; 2], [0; 2], Vec::new());
        for file in files {
            let which = usize::from(file.key != current);
            counts[which] += 1;
            bytes[which] += file.bytes;
            let is_table = file.path.extension().is_some_and(|extension| extension == "sst");
            let name = file.path.file_name().and_then(|name| Path::new(name).to_str());
            if let Some(name) = name.filter(|_| which == 1 && is_table) {
                older.push((name.to_owned(), file.bytes));
            }
        }
        for which in 0..2 {
            self.0.files[which].store(counts[which], Ordering::Relaxed);
            self.0.bytes[which].store(bytes[which], Ordering::Relaxed);
        }
        older.sort();
        Ok(older)
    }
}

/// Goes over to the data key that `keys rotate` has made meanwhile, if it has: what is written from then on is under it. It is in the
/// archive first, so that the archive can be read with the region's key alone at any time.
pub(super) async fn take_up(config: &Arc<Config>, sealing: &Sealing) -> Result<Option<KeyringFile>, SealingError> {
    let path = config.data_dir.join(KEYRING);
    let (used, asked) = (sealing.keyring.current_id().to_string(), Arc::clone(config));
    let opening = tokio::task::spawn_blocking(move || {
        let file = KeyringFile::read(&path)?;
        if file.entries().1 == used {
            return Ok(None);
        }
        // The region's key may be a new one, too.
        let keyring = file.unwrap(&path, &*region_key(&asked)?)?;
        Ok(Some((file, keyring)))
    });
    let Some((file, keyring)) = opening.await.unwrap_or(Err(SealError::System))? else {
        return Ok(None);
    };
    if let Some(entry) = &config.archive {
        let archive = Archive::open(&entry.place())?;
        if !keyrings(&archive).await?.iter().any(|(_, there)| *there == file) {
            put_keyring(&archive, config.region.as_str(), &file).await?;
        }
    }
    sealing.keyring.follow(&keyring);
    Ok(Some(file))
}

/// Works until it is told to stop.
pub(super) async fn until(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stopped| *stopped) => {}
    }
}
