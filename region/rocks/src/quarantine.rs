//! Taking a damaged table file out of use.
//!
//! A file of which a block cannot be read is worse than its rows: reads of them fail, and so does every compaction that comes
//! across it, after which RocksDB takes no writes. RocksDB has nothing for this but tools that lose what is whole, too, and
//! bring back what the file had overwritten. So the committer, beside whom nobody writes:
//!
//! 1. notes the file ([`layout::quarantine_key`]), so that a crash does not make it forgotten,
//! 2. opens the store anew, without compactions,
//! 3. goes through the file's range as readers see it, piece by piece. What can be read is written once more; the range is deleted
//!    beneath that, so nothing that the file had overwritten or deleted comes back; and of what cannot be read a row says that it is
//!    not vouched for ([`geodynamo_storage::Distrust`]). Each piece is one batch, synced. It is known in memory first: no reader
//!    takes what is gone for what never was,
//! 4. closes the store, writes its manifest anew without the file ([`geodynamo_rocks_env::drop_table`]), opens it, and takes the note
//!    away.
//!
//! Broken off anywhere, it is done once more: a piece that was written is read as it was written. Readers wait while the store is being
//! opened; snapshots end. What is not vouched for is read as what is left of it, and is those above to refuse, and to mend.
//!
//! Files of the family that holds logs' ends and the format are not taken out of use: without them nothing can be told. Nor is there
//! a way around damage in a manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_storage::{Distrust, StorageError, Write};
use rocksdb::{ReadOptions, WriteBatch};

use crate::{
    RocksMetrics,
    committer::Committer,
    layout::{self, COLD, DATA, LOG, META},
    rows::{failed, just_behind},
    store::Store,
};

/// Bytes of rows that are written anew at once.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// The most places of a file that are told apart; behind them all of it is given up.
const GAPS_MAX: usize = 1024;
/// Bytes behind what two keys have in common to which the end of a gap is told exactly.
const EXACT_BYTES: usize = 12;
/// The most files that wait to be taken out of use.
const SUSPECTS_MAX: usize = 1000;
/// How long a file is left alone after that has failed.
const RETRY: Duration = Duration::from_secs(60);

/// Files that were found damaged. Any thread may tell of one.
#[derive(Debug, Default)]
pub(crate) struct Suspects(parking_lot::Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Instant>,
    /// Those that were taken out of use, and those with which nothing can be done.
    done: u64,
    hopeless: BTreeSet<String>,
}

impl Suspects {
    /// Looks for the name of a table file in the text of an error that tells of damage.
    pub(crate) fn hear(&self, text: &str) {
        if !text.contains("Corruption") {
            return;
        }
        if let Some(file) = file_in(text) {
            self.add(file);
        }
    }

    /// Notes a file by its number.
    pub(crate) fn add_number(&self, number: u64) {
        self.add(&format!("{number:06}.sst"));
    }

    fn add(&self, file: &str) {
        let mut state = self.0.lock();
        if state.files.len() < SUSPECTS_MAX && !state.hopeless.contains(file) {
            state.files.entry(file.to_owned()).or_insert_with(Instant::now);
        }
    }

    /// One whose time has come.
    fn due(&self) -> Option<String> {
        let (state, now) = (self.0.lock(), Instant::now());
        state
            .files
            .iter()
            .find(|(_, at)| **at <= now)
            .map(|(file, _)| file.clone())
    }

    /// Counts files that were taken out of use, and those that wait for it or cannot be.
    pub(crate) fn count(&self, metrics: &mut RocksMetrics) {
        let state = self.0.lock();
        metrics.quarantined_files = state.done;
        metrics.suspect_files = (state.files.len() + state.hopeless.len()) as u64;
        metrics.hopeless_files = state.hopeless.len() as u64;
    }
}

/// The name of a table file in a text.
pub(crate) fn file_in(text: &str) -> Option<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '.');
    words
        .into_iter()
        .find(|word| word.ends_with(".sst") && word.len() > ".sst".len())
}

/// A file of the store.
#[derive(Clone, Debug)]
struct Found {
    family: &'static str,
    number: u64,
    from: Vec<u8>,
    /// Behind its last key.
    to: Vec<u8>,
}

/// A piece of a file's range, as readers see it.
struct Piece {
    batch: WriteBatch,
    /// Ranges in which nothing can be read.
    gaps: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next one begins.
    next: Vec<u8>,
    rows: u64,
}

impl Committer {
    /// Takes files out of use that were found damaged, one after the other.
    pub(crate) fn quarantine_suspects(&mut self) {
        let shared = self.shared.clone();
        while let Some(file) = shared.suspects.due() {
            let outcome = self.quarantine(&file);
            let mut state = shared.suspects.0.lock();
            match outcome {
                Ok(Some(rows)) => {
                    state.files.remove(&file);
                    state.done += 1;
                    drop(state);
                    let gaps = shared.distrusted.now().rows().count();
                    tracing::error!(
                        file,
                        rows,
                        gaps,
                        "a damaged file was taken out of use; its other rows are kept"
                    );
                }
                Ok(None) => {
                    state.files.remove(&file);
                }
                Err(StorageError::TooLarge(why)) => {
                    state.files.remove(&file);
                    state.hopeless.insert(file.clone());
                    tracing::error!(file, why, "a damaged file cannot be taken out of use");
                }
                Err(error) => {
                    state.files.insert(file.clone(), Instant::now() + RETRY);
                    tracing::error!(file, %error, "a damaged file was not taken out of use yet");
                }
            }
        }
    }

    /// Gives how many rows of its range are left; none if it is no file of the store any more.
    fn quarantine(&mut self, file: &str) -> Result<Option<u64>, StorageError> {
        let number = file.trim_end_matches(".sst").parse::<u64>();
        let number = number.map_err(|_| StorageError::TooLarge("its name has no number"))?;
        let store = self.store.clone().ok_or(StorageError::Closed)?;
        let Some(found) = find(&store, number)? else {
            drop(store);
            self.forget(number)?;
            return Ok(None);
        };
        if found.family == META {
            return Err(StorageError::TooLarge("it holds where logs end"));
        }
        drop(store);
        tracing::error!(
            file,
            family = found.family,
            "a file of the store is damaged: it is being taken out of use"
        );
        self.open_again(false, || Ok(()))?;
        let rows = self.shadow(&found)?;
        let (path, seal) = (self.path(), self.options.seal.clone());
        let cold_dir = self.options.cold_dir.clone();
        self.open_again(true, || {
            let second = cold_dir.as_deref().map(|folder| (COLD, folder));
            let dropped = geodynamo_rocks_env::drop_table(&path, second, seal, number);
            dropped.map_err(|error| StorageError::Io(error.into()))
        })?;
        self.forget(number)?;
        Ok(Some(rows))
    }

    /// The first so many steps of it, as a process does that ends then.
    #[cfg(test)]
    pub(crate) fn quarantine_up_to(&mut self, file: &str, steps: u32) {
        let number = file.trim_end_matches(".sst").parse().unwrap();
        let found = find(self.store.as_ref().unwrap(), number).unwrap().unwrap();
        if steps > 0 {
            self.open_again(false, || Ok(())).unwrap();
        }
        if steps > 1 {
            self.shadow(&found).unwrap();
        }
        if steps > 2 {
            let path = self.path();
            let drop_it = || geodynamo_rocks_env::drop_table(&path, None, None, number);
            self.open_again(true, || drop_it().map_err(|error| StorageError::Io(error.into())))
                .unwrap();
        }
    }

    /// Takes the note of a file away.
    fn forget(&mut self, number: u64) -> Result<(), StorageError> {
        let store = self.store.clone().ok_or(StorageError::Closed)?;
        let mut batch = store.batch(0);
        batch.delete_cf(store.family(META)?, layout::quarantine_key(number));
        store.write(batch, self.options.sync)
    }

    /// Lays what can be read of a file's range over it.
    fn shadow(&mut self, found: &Found) -> Result<u64, StorageError> {
        let store = self.store.clone().ok_or(StorageError::Closed)?;
        let mut note = store.batch(0);
        note.put_cf(store.family(META)?, layout::quarantine_key(found.number), []);
        store.write(note, self.options.sync)?;
        let (mut from, mut gaps, mut rows) = (found.from.clone(), 0, 0);
        while from < found.to {
            let mut piece = store.piece(found, from, GAPS_MAX.saturating_sub(gaps))?;
            gaps += piece.gaps.len();
            rows += piece.rows;
            let before = self.shared.distrusted.now();
            let mut now = Distrust::clone(&before);
            for (from, to) in &piece.gaps {
                match found.family {
                    LOG => now.add_records(layout::place_of(from, false)?, layout::place_of(to, true)?),
                    _ => now.add_rows(Bytes::copy_from_slice(from), Bytes::copy_from_slice(to)),
                }
            }
            note_distrust(&store, &before, &now, &mut piece.batch)?;
            // Rows that are gone are not in memory any more, either.
            let gone = piece.gaps.iter().filter(|_| found.family != LOG);
            let gone =
                gone.map(|(from, to)| Write::DeleteRange(Bytes::copy_from_slice(from), Bytes::copy_from_slice(to)));
            let gone: Vec<Write> = gone.collect();
            self.shared.distrusted.change(now);
            self.shared.rows.begin(&gone);
            let written = store.write(piece.batch, self.options.sync);
            self.shared.rows.end(gone.iter());
            written?;
            from = piece.next;
        }
        Ok(rows)
    }
}

/// Notes in a batch what changes of what is not vouched for.
pub(crate) fn note_distrust(
    store: &Store,
    before: &Distrust,
    now: &Distrust,
    batch: &mut WriteBatch,
) -> Result<(), StorageError> {
    let meta = store.family(META)?;
    let (before, now) = (layout::distrust_rows(before), layout::distrust_rows(now));
    for key in before.keys().filter(|key| !now.contains_key(*key)) {
        batch.delete_cf(meta, key);
    }
    for (key, value) in now.iter().filter(|(key, value)| before.get(*key) != Some(value)) {
        batch.put_cf(meta, key, value);
    }
    Ok(())
}

fn find(store: &Store, number: u64) -> Result<Option<Found>, StorageError> {
    let files = store.db().live_files().map_err(failed)?;
    let is_it = |name: &str| name.trim_matches('/').trim_end_matches(".sst").parse() == Ok(number);
    let Some(file) = files.into_iter().find(|file| is_it(&file.name)) else {
        return Ok(None);
    };
    let family = [META, DATA, COLD, LOG]
        .into_iter()
        .find(|name| *name == file.column_family_name);
    let (Some(family), Some(from), Some(last)) = (family, file.start_key, file.end_key) else {
        return Err(StorageError::TooLarge("RocksDB does not say what it holds"));
    };
    Ok(Some(Found {
        family,
        number,
        from,
        to: just_behind(&last),
    }))
}

impl Store {
    /// What is not vouched for, as it is stored, and the files that were being taken out of use.
    pub(crate) fn distrust(&self) -> Result<(Distrust, Vec<u64>), StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(layout::DISTRUST.0);
        options.set_iterate_upper_bound(layout::DISTRUST.1);
        let mut rows = self.db().raw_iterator_cf_opt(self.family(META)?, options);
        rows.seek_to_first();
        let (mut distrust, mut files) = (Distrust::default(), Vec::new());
        while let Some((key, value)) = rows.item() {
            files.extend(layout::take_distrust(key, value, &mut distrust)?);
            rows.next();
        }
        rows.status().map_err(failed)?;
        Ok((distrust, files))
    }

    /// The next piece of a file's range, with so many gaps at most: with none left, the rest of the file is one.
    fn piece(&self, found: &Found, from: Vec<u8>, gaps_max: usize) -> Result<Piece, StorageError> {
        let family = self.family(found.family)?;
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.fill_cache(false);
        options.set_iterate_lower_bound(from.clone());
        options.set_iterate_upper_bound(found.to.clone());
        let mut rows = self.db().raw_iterator_cf_opt(family, options);
        let (mut puts, mut bytes) = (Vec::new(), 0);
        let mut gaps: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut at = from.clone();
        rows.seek_to_first();
        let next = loop {
            if let Some((key, value)) = rows.item() {
                bytes += key.len() + value.len();
                puts.push((key.to_vec(), value.to_vec()));
                at = just_behind(key);
                if bytes >= PIECE_BYTES {
                    break at;
                }
                rows.next();
                continue;
            }
            let Err(error) = rows.status() else {
                break found.to.clone();
            };
            // Only damage is a reason to give rows up: what cannot be read for another one may be read later.
            let text = error.into_string();
            if !text.contains("Corruption") {
                return Err(StorageError::Io(text.into()));
            }
            let mut is_readable = |key: &[u8]| {
                rows.seek(key);
                rows.status().is_ok()
            };
            let end = match gaps.len() < gaps_max {
                true => first_readable(&at, &found.to, &mut is_readable),
                false => found.to.clone(),
            };
            gaps.push((at, end.clone()));
            if end >= found.to {
                break end;
            }
            at = end;
            rows.seek(&at);
        };
        let mut batch = self.batch(0);
        batch.delete_range_cf(family, &from, &next);
        let count = puts.len() as u64;
        for (key, value) in puts {
            batch.put_cf(family, key, value);
        }
        Ok(Piece {
            batch,
            gaps,
            next,
            rows: count,
        })
    }
}

/// A key from which on rows can be read, behind one from which on they cannot; at most `end`. By halving.
fn first_readable(from: &[u8], end: &[u8], is_readable: &mut impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let common = from.iter().zip(end).take_while(|(a, b)| a == b).count();
    let digits = common + EXACT_BYTES;
    let (mut low, mut high) = (from.to_vec(), end.to_vec());
    for _ in 0..8 * EXACT_BYTES {
        let middle = middle(&low, &high, digits);
        if middle <= low || middle >= high {
            break;
        }
        if is_readable(&middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Halfway between two keys, as numbers behind a point of so many digits of eight bits.
fn middle(low: &[u8], high: &[u8], digits: usize) -> Vec<u8> {
    let digit = |key: &[u8], at: usize| u16::from(key.get(at).copied().unwrap_or(0));
    let mut sum = vec![0u16; digits];
    let mut carry = 0;
    for at in (0..digits).rev() {
        let total = digit(low, at) + digit(high, at) + carry;
        sum[at] = total & 0xff;
        carry = total >> 8;
    }
    let mut rest = carry;
    let halved = sum.into_iter().map(|digit| {
        let total = (rest << 8) | digit;
        rest = total & 1;
        // At most 0x1ff, halved.
        (total >> 1) as u8
    });
    halved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_gap_is_found() {
        let check = |from: &[u8], end: &[u8], first: &[u8]| {
            let found = first_readable(from, end, &mut |key| key >= first);
            assert!(*found >= *first, "{found:?} {first:?}");
            let common = from.iter().zip(end).take_while(|(a, b)| a == b).count();
            let exact = (common + EXACT_BYTES).min(found.len());
            assert!(found.len() <= first.len().max(common + EXACT_BYTES));
            assert!(
                found[..exact] <= *first || found.starts_with(first),
                "{found:?} {first:?}"
            );
        };
        check(b"aa-100", b"aa-900", b"aa-456");
        check(b"a", b"z", b"b");
        check(&[1, 0, 0, 7], &[1, 0xff, 0xff, 0xff, 0xff], &[1, 0xff]);
        assert_eq!(first_readable(b"a", b"b", &mut |_| false), b"b");
        assert!(*first_readable(b"a", b"b", &mut |_| true) > *b"a".as_slice());
    }

    #[test]
    fn files_are_found_in_errors() {
        let text = "Corruption: block checksum mismatch: stored = 1, type = 4  in /d/db/000012.sst offset 8 size 9";
        assert_eq!(file_in(text), Some("000012.sst"));
        assert_eq!(file_in("Corruption: no file .sst"), None);
        let suspects = Suspects::default();
        suspects.hear("IO error: /d/000013.sst");
        assert_eq!(suspects.due(), None);
        suspects.hear(text);
        assert_eq!(suspects.due().as_deref(), Some("000012.sst"));
    }
}
