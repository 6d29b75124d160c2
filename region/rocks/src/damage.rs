//! Telling damage inside of a write-ahead log from its end.
//!
//! RocksDB reads a log up to the first record that is not whole, and takes what follows for never written: that is how a crash
//! leaves a log. A flipped bit in the middle looks the same, and what was acknowledged after it would be gone without a word.
//!
//! Here a batch is written only when the one before has been synced. So if a whole batch of the log begins behind a record that is
//! not whole, that record had been on disk: it is damaged. Of the last batch nobody can tell.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use geodynamo_rocks_env::{Form, PlainWal, masked_crc32c};
use geodynamo_seal::Keyring;

use crate::{
    chain::{Note, Walk},
    wal::{self, BLOCK, HEADER, RECYCLABLE_HEADER},
};

/// A damaged place of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) log: PathBuf,
    /// Where in the log.
    pub(crate) at: u64,
    /// The sequence number of a batch behind it.
    pub(crate) next: u64,
}

/// What the logs of a store hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// A damaged place, if there is one.
    pub(crate) damage: Option<Damage>,
    /// The greatest sequence number of a whole batch that was read.
    pub(crate) last: u64,
    /// The number of a log that lacks a batch, or before which a log is missing.
    pub(crate) gap: Option<u64>,
}

/// Looks through the logs of a store, up to the first damage. `seal`: the keys that they are encrypted under, if they are.
/// `needed`: the number of the first one that the store still needs, if that is known.
///
/// # Errors
/// If a log cannot be read.
pub(crate) fn find(store: &Path, seal: Option<&Keyring>, needed: Option<u64>) -> io::Result<Found> {
    let mut found = Found::default();
    let Ok(mut logs) = wal::all(store) else {
        // RocksDB says more of that.
        return Ok(found);
    };
    logs.sort_unstable();
    let mut walk = needed.map(Walk::new);
    for (number, log) in logs {
        let file = File::open(&log)?;
        let whole = |last, note| {
            found.last = found.last.max(last);
            if let Some(walk) = &mut walk {
                walk.batch(number, note);
            }
        };
        let damaged = match seal {
            None => scan(file, number, whole)?,
            Some(keyring) => scan(PlainWal::new(file, Form::Plain, keyring)?, number, whole)?,
        };
        if let Some((at, next)) = damaged {
            found.damage = Some(Damage { log, at, next });
            break;
        }
    }
    found.gap = walk.and_then(|walk| walk.gap());
    Ok(found)
}

/// The first place that is not whole, and the sequence number of the first batch that begins behind it. `whole` is told of each
/// batch before that: its last sequence number, and its note.
fn scan(mut log: impl Read, number: u64, mut whole: impl FnMut(u64, Option<Note>)) -> io::Result<Option<(u64, u64)>> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut start = 0;
    let mut broken = None;
    // Of the batch whose records are being read.
    let mut of_batch = (0, None);
    loop {
        block.clear();
        (&mut log).take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(None);
        }
        let is_behind = broken.is_some();
        let mut at = 0;
        while block.len() - at >= HEADER {
            let rest = &block[at..];
            if rest.len() < RECYCLABLE_HEADER && rest.iter().all(|byte| *byte == 0) {
                break;
            }
            match (Record::at(rest, number), broken) {
                (
                    Some(Record {
                        sequence: Some(next), ..
                    }),
                    Some(broken),
                ) => return Ok(Some((broken, next))),
                (Some(record), _) => {
                    at += record.bytes;
                    of_batch = record.last.map_or(of_batch, |last| (last, record.note));
                    if record.ends && broken.is_none() {
                        whole(of_batch.0, of_batch.1);
                    }
                }
                // A block begins with a record: if this one does not, nothing of it is this log's.
                (None, _) if is_behind && at == 0 => break,
                (None, _) => {
                    broken.get_or_insert(start + at as u64);
                    at += 1;
                }
            }
        }
        start += block.len() as u64;
    }
}

/// A record that is whole.
struct Record {
    bytes: usize,
    /// Its batch's, if it is the first one of a batch.
    sequence: Option<u64>,
    /// The last sequence number that its batch takes, if it is the first one of a batch.
    last: Option<u64>,
    /// Its batch's note, if it is the first one of a batch, and holds that.
    note: Option<Note>,
    /// Whether it is the last one of a batch.
    ends: bool,
}

impl Record {
    fn at(rest: &[u8], log: u64) -> Option<Self> {
        let kind = rest[6];
        let head = match kind {
            5..=8 | 11 | 131 => RECYCLABLE_HEADER,
            1..=4 | 9 | 10 | 130 => HEADER,
            _ => return None,
        };
        let own = &log.to_le_bytes()[..4];
        if head == RECYCLABLE_HEADER && rest.get(HEADER..RECYCLABLE_HEADER) != Some(own) {
            return None;
        }
        let bytes = head + usize::from(u16::from_le_bytes([rest[4], rest[5]]));
        let record = rest.get(..bytes)?;
        let sum = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
        if sum != masked_crc32c(&record[6..]) {
            return None;
        }
        let is_first = matches!(kind, 1 | 2 | 5 | 6);
        let sequence = record.get(head..head + 8).filter(|_| is_first);
        let sequence = sequence.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let count = record.get(head + 8..head + 12).and_then(|bytes| bytes.try_into().ok());
        let count = count.map_or(1, u32::from_le_bytes);
        Some(Self {
            bytes,
            sequence,
            last: sequence.map(|sequence| sequence.saturating_add(u64::from(count)).saturating_sub(1)),
            note: record.get(head..).filter(|_| is_first).and_then(Note::of),
            ends: matches!(kind, 1 | 4 | 5 | 8),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(log: &[u8], number: u64) -> io::Result<Option<(u64, u64)>> {
        super::scan(log, number, |_, _| ())
    }

    const LOG: u64 = 7;

    /// Batches of these lengths, each a record.
    fn log(number: u64, lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (sequence, length) in (100_u64..).zip(lengths) {
            let left = BLOCK - bytes.len() % BLOCK;
            if left < RECYCLABLE_HEADER + length {
                // RocksDB would split it. An empty record fills the block.
                let fill = record(number, 8, &vec![0; left.saturating_sub(RECYCLABLE_HEADER)]);
                bytes.extend_from_slice(&fill);
            }
            let mut payload = sequence.to_le_bytes().to_vec();
            payload.extend_from_slice(&1_u32.to_le_bytes());
            payload.resize(*length, 3);
            bytes.extend_from_slice(&record(number, 5, &payload));
        }
        bytes
    }

    fn record(number: u64, kind: u8, payload: &[u8]) -> Vec<u8> {
        let rest = [&[kind], &number.to_le_bytes()[..4], payload].concat();
        let mut record = masked_crc32c(&rest).to_le_bytes().to_vec();
        record.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_le_bytes());
        record.extend_from_slice(&rest);
        record
    }

    #[test]
    fn damage_is_told_from_an_end() {
        let lengths = [100, 9_000, 12, 20_000, 15_000, 300, 14_000, 50];
        let whole = log(LOG, &lengths);
        assert_eq!(scan(&whole[..], LOG).unwrap(), None);
        let last = |log: &[u8]| {
            let mut last = 0;
            super::scan(log, LOG, |of_batch, _| last = of_batch).unwrap();
            last
        };
        assert_eq!(last(&whole), 107);
        // Without its last record.
        assert_eq!(last(&whole[..whole.len() - 1]), 106);
        // As crashes leave it: cut, with zeros or with an older log behind it.
        let older = log(LOG - 1, &[200; 900]);
        for cut in (0..whole.len()).step_by(997) {
            let mut torn = whole[..cut].to_vec();
            assert_eq!(scan(&torn[..], LOG).unwrap(), None, "cut at {cut}");
            torn.extend_from_slice(older.get(cut..).unwrap_or_default());
            assert_eq!(scan(&torn[..], LOG).unwrap(), None, "an older log behind {cut}");
            torn.truncate(cut);
            torn.resize(cut + 100_000, 0);
            assert_eq!(scan(&torn[..], LOG).unwrap(), None, "zeros behind {cut}");
        }
        let last = whole.len() - RECYCLABLE_HEADER - 50;
        for at in (0..whole.len()).step_by(101) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let found = scan(&damaged[..], LOG).unwrap();
            assert_eq!(found.is_some(), at < last, "flipped at {at}");
            assert!(found.is_none_or(|(broken, _)| broken <= at as u64));
        }
    }
}
