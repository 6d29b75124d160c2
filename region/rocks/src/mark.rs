//! How far the store had come when it was last written, in a small file beside it.
//!
//! RocksDB takes the end of its write-ahead log for the end of what was written. If the log is an older copy of itself, because
//! somebody or something brought one file or the whole store back, it says nothing, and what had been acknowledged since is gone.
//! So whenever a batch is synced, its last sequence number is noted here, and a store that ends before it is refused.
//!
//! The note is not synced: after a power cut it may be older than the store, never newer. A killed process leaves it exact.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use geodynamo_rocks_env::masked_crc32c;

use crate::disk::beside;

const MAGIC: &[u8; 4] = b"GDMK";
/// Magic, checksum, number.
const NOTE_BYTES: usize = 16;
/// Where the two notes stand, of which the older one is written over: one that is torn leaves the other.
const PLACES: [u64; 2] = [0, 4096];
/// What the file takes, from its beginning on: a full disk does not keep it from being written.
const FILE_BYTES: usize = 8192;

/// The file.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    path: PathBuf,
    /// Which of the places is written next.
    next: usize,
    /// Whether it was said that it cannot be written.
    failed: bool,
}

impl Mark {
    /// Where a store's mark is.
    pub(crate) fn path(store: &Path) -> PathBuf {
        beside(store, "mark")
    }

    /// Opens a store's mark to write it, and makes it if it is not there. What it says stays.
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let path = Self::path(store);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        if file.metadata()?.len() < FILE_BYTES as u64 {
            file.write_all_at(&[0; FILE_BYTES], 0)?;
            file.sync_all()?;
        }
        let notes = PLACES.map(|place| note_at(&file, place));
        Ok(Self {
            next: usize::from(notes[0] >= notes[1]),
            file,
            path,
            failed: false,
        })
    }

    /// Notes that everything up to a sequence number is durable. A store goes on without: it is said once if it fails.
    pub(crate) fn note(&mut self, sequence: u64) {
        match self.file.write_all_at(&note(sequence), PLACES[self.next]) {
            Ok(()) => self.next = 1 - self.next,
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::warn!(
                    path = %self.path.display(),
                    %error,
                    "how far the store has come is not noted: an older copy of it would not be told from it"
                );
            }
            Err(_) => {}
        }
    }
}

/// What a store's mark says; nothing if there is none, or none that is whole.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read(store: &Path) -> io::Result<Option<u64>> {
    let path = Mark::path(store);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let found = PLACES.into_iter().filter_map(|place| note_at(&file, place)).max();
    if found.is_none() && fs::read(&path)?.iter().any(|byte| *byte != 0) {
        tracing::error!(path = %path.display(), "the note of how far the store had come is damaged, and is made anew");
    }
    Ok(found)
}

fn note(sequence: u64) -> [u8; NOTE_BYTES] {
    let mut note = [0; NOTE_BYTES];
    note[..4].copy_from_slice(MAGIC);
    note[8..].copy_from_slice(&sequence.to_le_bytes());
    let sum = masked_crc32c(&note[8..]);
    note[4..8].copy_from_slice(&sum.to_le_bytes());
    note
}

fn note_at(file: &File, place: u64) -> Option<u64> {
    let mut found = [0; NOTE_BYTES];
    file.read_exact_at(&mut found, place).ok()?;
    let mut number = [0; 8];
    number.copy_from_slice(&found[8..]);
    let sequence = u64::from_le_bytes(number);
    (found == note(sequence)).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_note_leaves_the_one_before() {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("db");
        assert_eq!(read(&store).unwrap(), None);
        let mut mark = Mark::open(&store).unwrap();
        assert_eq!(read(&store).unwrap(), None);
        for sequence in [7, 8, 9] {
            mark.note(sequence);
            assert_eq!(read(&store).unwrap(), Some(sequence));
        }
        // It goes on in the place of the older one.
        let mut mark = Mark::open(&store).unwrap();
        mark.note(10);
        let whole = fs::read(Mark::path(&store)).unwrap();
        for place in PLACES {
            let mut torn = whole.clone();
            torn[usize::try_from(place).unwrap() + 9] ^= 1;
            fs::write(Mark::path(&store), &torn).unwrap();
            assert!(matches!(read(&store).unwrap(), Some(9 | 10)));
        }
        fs::write(Mark::path(&store), [7; 100]).unwrap();
        assert_eq!(read(&store).unwrap(), None);
        Mark::open(&store).unwrap().note(11);
        assert_eq!(read(&store).unwrap(), Some(11));
    }
}
