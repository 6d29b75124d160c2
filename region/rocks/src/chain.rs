//! Numbers in the write-ahead logs, so that a batch that is missing in their midst is missed.
//!
//! A log that ends early looks like one that a crash left, and a manifest that is an older copy asks for a log that is gone by
//! now: RocksDB then begins with the logs that are there, and what stood in between is lost without a word, though the logs end
//! with the newest batch. So every batch begins with a note, which RocksDB keeps in its log and nowhere else: which opening of the
//! store wrote it, and the how manyeth it is of that. What the logs hold that the manifest still needs has to be without a gap,
//! and to begin with the first batch of an opening, or in the very log that the manifest asks for.
//!
//! Sequence numbers do not tell this: files that are ingested take some, without a trace in a log.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use rocksdb::WriteBatch;

/// Where a batch's first entry stands: behind its sequence number and its count.
const FIRST_ENTRY: usize = 12;
/// RocksDB's tag of an entry that is for the log alone.
const LOG_DATA: u8 = 3;
const KIND: u8 = b'n';
/// Kind, opening, number.
const NOTE_BYTES: usize = 17;

/// Numbers the batches of one opening of a store.
#[derive(Debug)]
pub(crate) struct Chain {
    opening: u64,
    written: AtomicU64,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self {
            // The standard library's random keys: no two openings have one in common.
            opening: RandomState::new().build_hasher().finish(),
            written: AtomicU64::new(0),
        }
    }

    /// Puts the note into a batch that is empty. Who writes is alone, so the next batch that is written is this one.
    pub(crate) fn begin(&self, batch: &mut WriteBatch) {
        let mut note = [KIND; NOTE_BYTES];
        let number = self.written.load(Ordering::Relaxed) + 1;
        note[1..9].copy_from_slice(&self.opening.to_le_bytes());
        note[9..].copy_from_slice(&number.to_le_bytes());
        batch.put_log_data(note);
    }

    /// A batch was written.
    pub(crate) fn written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }
}

/// A batch's note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    opening: u64,
    number: u64,
}

impl Note {
    /// Of a batch that begins so; none if an older release wrote it, or so little of it is here that it cannot be told.
    pub(crate) fn of(batch: &[u8]) -> Option<Self> {
        let note = batch
            .get(FIRST_ENTRY..)?
            .strip_prefix(&[LOG_DATA, NOTE_BYTES as u8, KIND])?;
        let (opening, rest) = note.split_first_chunk()?;
        let number = rest.first_chunk()?;
        Some(Self {
            opening: u64::from_le_bytes(*opening),
            number: u64::from_le_bytes(*number),
        })
    }
}

/// Goes through the batches of a store's logs, in their order, and looks for the first gap.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The log with which the manifest begins.
    needed: u64,
    /// Whether a batch that is needed was seen.
    is_begun: bool,
    /// The last note, its number grown by the batches behind it of which the note was not seen.
    last: Option<Note>,
    gap: Option<u64>,
}

impl Walk {
    pub(crate) fn new(needed: u64) -> Self {
        Self {
            needed,
            is_begun: false,
            last: None,
            gap: None,
        }
    }

    /// The next whole batch, of a log of that number.
    pub(crate) fn batch(&mut self, log: u64, note: Option<Note>) {
        if log < self.needed || self.gap.is_some() {
            return;
        }
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let expected = self.last.map(|last| Note {
            number: last.number.saturating_add(1),
            ..last
        });
        let Some(note) = note else {
            self.last = expected;
            return;
        };
        let is_next = match expected {
            // A failed write may have left a batch that was written once more.
            Some(expected) if expected.opening == note.opening => note.number <= expected.number,
            // Behind batches that have no note nothing is known.
            None if !is_first => true,
            _ => note.number == 1 || log == self.needed,
        };
        if !is_next {
            self.gap = Some(log);
        }
        self.last = Some(note);
    }

    /// The log before whose first batch, or in which, a batch is missing.
    pub(crate) fn gap(&self) -> Option<u64> {
        self.gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first gap in batches of logs, each with the note's opening and number.
    fn gap(needed: u64, batches: &[(u64, Option<(u64, u64)>)]) -> Option<u64> {
        let mut walk = Walk::new(needed);
        for (log, note) in batches {
            walk.batch(*log, note.map(|(opening, number)| Note { opening, number }));
        }
        walk.gap()
    }

    #[test]
    fn gaps_are_found() {
        let some =
            |opening, numbers: std::ops::Range<u64>, log| numbers.map(move |number| (log, Some((opening, number))));
        let logs = |parts: &[(u64, std::ops::Range<u64>, u64)]| -> Vec<_> {
            let part =
                |(opening, numbers, log): &(u64, std::ops::Range<u64>, u64)| some(*opening, numbers.clone(), *log);
            parts.iter().flat_map(part).collect()
        };
        // Without one: from the log that is needed, or from an opening's first batch.
        assert_eq!(gap(4, &logs(&[(7, 90..100, 4), (7, 100..120, 6)])), None);
        assert_eq!(gap(5, &logs(&[(7, 1..10, 6), (7, 10..20, 8)])), None);
        assert_eq!(
            gap(6, &logs(&[(7, 3..10, 4), (7, 50..60, 6)])),
            None,
            "what is not needed may lack anything"
        );
        assert_eq!(gap(4, &logs(&[(7, 3..10, 4), (9, 1..8, 5)])), None, "another opening");
        assert_eq!(gap(1, &[]), None);
        // With one: in a log, between two, before the first that is left.
        assert_eq!(gap(4, &logs(&[(7, 1..10, 4), (7, 11..12, 4)])), Some(4));
        assert_eq!(gap(4, &logs(&[(7, 90..99, 4), (7, 100..120, 6)])), Some(6));
        assert_eq!(gap(4, &logs(&[(7, 100..120, 6)])), Some(6));
        assert_eq!(gap(4, &logs(&[(7, 90..99, 4), (9, 2..5, 6)])), Some(6));
        // A note that was not seen counts as the next one.
        let unseen = |at: u64| [(4, Some((7, 5))), (4, None), (4, Some((7, at)))];
        assert_eq!(gap(4, &unseen(7)), None);
        assert_eq!(gap(4, &unseen(8)), Some(4));
        // What an older release wrote.
        assert_eq!(gap(4, &[(6, None), (6, None), (8, Some((7, 9)))]), None);
    }

    #[test]
    fn notes_are_read_as_they_were_written() {
        let chain = Chain::new();
        let mut batch = WriteBatch::default();
        chain.written();
        chain.begin(&mut batch);
        assert!(batch.is_empty());
        batch.put(b"key", b"value");
        let note = Note {
            opening: chain.opening,
            number: 2,
        };
        assert_eq!(Note::of(batch.data()), Some(note));
        assert_eq!(Note::of(&batch.data()[..30]), None);
        let mut plain = WriteBatch::default();
        plain.put(b"key", b"value");
        assert_eq!(Note::of(plain.data()), None);
        assert_ne!(Chain::new().opening, chain.opening);
    }
}
