//! What is done for files that nobody asks for: reading them all, so that damage is found while there are other copies, and
//! writing single ones anew.

use geodynamo_storage::StorageError;
use rocksdb::{BottommostLevelCompaction, CompactOptions, ReadOptions};

use crate::{
    RocksEngine,
    classes::Family,
    layout::{LOG, META},
    quarantine::{Suspects, file_in},
    rows::{failed, just_behind},
    store::Store,
};

/// Bytes that are read ahead.
const READ_AHEAD: usize = 1 << 20;
/// The families, in the order in which they are read.
const FAMILIES: [&str; 4] = [META, Family::Data.name(), Family::Cold.name(), LOG];

/// How far a reading of all rows is. It begins anew when it is through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubPlace {
    family: usize,
    /// The next key.
    from: Vec<u8>,
}

/// What a step of it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes of rows that were read, and are as they were written.
    pub bytes: u64,
    /// What was found damaged, in RocksDB's words.
    pub damage: Option<Damaged>,
    /// Whether that was the last step: all rows have been read.
    pub done: bool,
}

/// A place that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file, if it is told.
    pub file: Option<String>,
    /// What RocksDB says.
    pub text: String,
}

impl RocksEngine {
    /// Reads on, about so many bytes, with the checksum of every block that has to be read for them; what is in the block cache is
    /// not read from disk. Damage ends a step, and the next one goes on behind it.
    ///
    /// # Errors
    /// If the engine is closed, or being opened anew.
    pub async fn scrub(&self, place: &mut ScrubPlace, bytes_max: u64) -> Result<Scrubbed, StorageError> {
        let (shared, from) = (self.shared.clone(), place.clone());
        let reading = tokio::task::spawn_blocking(move || {
            shared.check_open()?;
            let store = shared.holder.now().ok_or(StorageError::Closed)?;
            store.scrub(from, bytes_max, &shared.suspects)
        });
        let (next, scrubbed) = reading.await.unwrap_or(Err(StorageError::Closed))?;
        *place = next;
        Ok(scrubbed)
    }

    /// Writes a table file anew, by merging its rows with those of their range. Gives its bytes; none if it is not there any more.
    ///
    /// # Errors
    /// If the engine is closed, or being opened anew.
    pub async fn rewrite(&self, file: &str) -> Result<u64, StorageError> {
        let (shared, file) = (self.shared.clone(), file.to_owned());
        let writing = tokio::task::spawn_blocking(move || {
            shared.check_open()?;
            let store = shared.holder.now().ok_or(StorageError::Closed)?;
            store.rewrite(&file)
        });
        writing.await.unwrap_or(Err(StorageError::Closed))
    }
}

impl Store {
    fn scrub(
        &self,
        mut place: ScrubPlace,
        bytes_max: u64,
        suspects: &Suspects,
    ) -> Result<(ScrubPlace, Scrubbed), StorageError> {
        let mut scrubbed = Scrubbed::default();
        let Some(name) = FAMILIES.get(place.family) else {
            return Ok((ScrubPlace::default(), Scrubbed { done: true, ..scrubbed }));
        };
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        options.set_readahead_size(READ_AHEAD);
        options.set_iterate_lower_bound(place.from.clone());
        let mut rows = self.db().raw_iterator_cf_opt(self.family(name)?, options);
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            scrubbed.bytes += (key.len() + value.len()) as u64;
            if scrubbed.bytes >= bytes_max {
                place.from = just_behind(key);
                return Ok((place, scrubbed));
            }
            rows.next();
        }
        if let Err(error) = rows.status() {
            let text = error.into_string();
            suspects.hear(&text);
            let file = file_in(&text).map(str::to_owned);
            let behind = self.behind(name, file.as_deref(), &place.from);
            scrubbed.damage = Some(Damaged { file, text });
            // If nobody can tell where to go on, the next family is next.
            if let Some(behind) = behind {
                place.from = behind;
                return Ok((place, scrubbed));
            }
        }
        place = ScrubPlace {
            family: place.family + 1,
            from: Vec::new(),
        };
        scrubbed.done = place.family == FAMILIES.len();
        if scrubbed.done {
            place = ScrubPlace::default();
        }
        Ok((place, scrubbed))
    }

    /// A key behind a damaged file's, if there are any behind a key.
    fn behind(&self, family: &str, file: Option<&str>, key: &[u8]) -> Option<Vec<u8>> {
        let files = self.db().live_files().ok()?;
        let is_it = |name: &str| file.is_some_and(|file| name.trim_start_matches('/') == file);
        let damaged = files
            .iter()
            .find(|other| other.column_family_name == family && is_it(&other.name))?;
        let behind = just_behind(damaged.end_key.as_deref()?);
        (*behind > *key).then_some(behind)
    }

    fn rewrite(&self, file: &str) -> Result<u64, StorageError> {
        let files = self.db().live_files().map_err(failed)?;
        let Some(found) = files.iter().find(|other| other.name.trim_start_matches('/') == file) else {
            return Ok(0);
        };
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        if found.level > 0 {
            // One of level 0 may span all others, which need not be written anew for it.
            options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        }
        let name = FAMILIES.into_iter().find(|name| *name == found.column_family_name);
        let family = self.family(name.unwrap_or(META))?;
        let (from, to) = (found.start_key.as_deref(), found.end_key.as_deref());
        self.db().compact_range_cf_opt(family, from, to, &options);
        Ok(found.size as u64)
    }
}
