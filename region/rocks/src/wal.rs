//! Taking the last batch out of a write-ahead log when its sync has failed.
//!
//! What a failed sync left on disk is not known, and a later sync that succeeds does not say that it is there: the kernel
//! may have dropped the pages that it could not write. Whoever opens the store anew would read the batch from memory and take
//! it for written, though its writer was told that it failed. So before that the log is cut off where the batch begins.
//!
//! RocksDB has no call for this. The form of its log is documented
//! (<https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format>): blocks of 32 KiB, in each of them records with
//! a header, none of which goes over a block's end; a write batch is one record or a first, middle and last ones. It begins
//! with its sequence number. An encrypted log is read as RocksDB reads it; places in the file are behind its header.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
};

use geodynamo_rocks_env::{Form, PlainWal};
use geodynamo_seal::{FILE_HEADER_BYTES, Keyring};

pub(crate) const BLOCK: usize = 32 * 1024;
/// Checksum, length, type.
pub(crate) const HEADER: usize = 7;
/// And the log's number, where logs are written over.
pub(crate) const RECYCLABLE_HEADER: usize = 11;

/// Cuts off what the newest log holds behind a sequence number, the last that was published. Gives where, if there was
/// anything. `seal`: the keys that the log is encrypted under, if it is.
///
/// # Errors
/// If the log cannot be read, cut or synced; or holds something else behind that number than the batch that is next.
pub(crate) fn cut_behind(store: &Path, published: u64, seal: Option<&Keyring>) -> io::Result<Option<(PathBuf, u64)>> {
    let mut logs = all(store)?;
    // Nothing was written after the batch that failed: it is at the end of the newest log that holds anything.
    logs.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    for (number, path) in logs {
        let file = File::open(&path)?;
        let (end, header) = match seal {
            None => (end_of(file, number, published)?, 0),
            Some(keyring) => {
                let log = PlainWal::new(file, Form::Wal(number), keyring)?;
                (end_of(log, number, published)?, FILE_HEADER_BYTES as u64)
            }
        };
        let at = match end {
            End::Empty => continue,
            End::Published => return Ok(None),
            End::Behind(at) => header + at,
        };
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(at)?;
        file.sync_all()?;
        return Ok(Some((path, at)));
    }
    Ok(None)
}

/// The logs of a store, and their numbers.
pub(crate) fn all(store: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "log")) {
            logs.push((number, path));
        }
    }
    Ok(logs)
}

/// What a log ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There is no batch in it.
    Empty,
    /// A batch that was published.
    Published,
    /// One that was not; it begins here.
    Behind(u64),
}

fn end_of(mut log: impl Read, number: u64, published: u64) -> io::Result<End> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut end = End::Empty;
    let mut start = 0;
    loop {
        block.clear();
        (&mut log).take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(end);
        }
        let mut at = 0;
        while let Some(record) = Record::parse(&block[at..], number) {
            match record {
                Record::End => return Ok(end),
                Record::Batch { sequence, .. } if sequence > published => {
                    if sequence != published + 1 {
                        let text = format!("batch {sequence} follows {published} in log {number}");
                        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                    }
                    return Ok(End::Behind(start + at as u64));
                }
                Record::Batch { bytes, .. } => {
                    end = End::Published;
                    at += bytes;
                }
                Record::Other { bytes } => at += bytes,
            }
            if at >= block.len() {
                break;
            }
        }
        start += block.len() as u64;
    }
}

/// A record, as far as it matters here.
enum Record {
    /// The first one of a batch.
    Batch { sequence: u64, bytes: usize },
    /// Any other.
    Other { bytes: usize },
    /// Nothing, or what the file held before it was written over.
    End,
}

impl Record {
    /// The record at a block's place; none if the block has no room for one there.
    fn parse(rest: &[u8], log: u64) -> Option<Self> {
        if rest.len() < HEADER {
            return None;
        }
        let length = usize::from(u16::from_le_bytes([rest[4], rest[5]]));
        let kind = rest[6];
        // Of the kinds from 9 on, odd ones carry the log's number, but for 9 itself; those from 128 on are even then.
        let (is_recyclable, is_first) = match kind {
            0 => return Some(Self::End),
            1 | 2 => (false, true),
            3 | 4 | 9 | 10 | 130 => (false, false),
            5 | 6 => (true, true),
            7 | 8 | 11 | 131 => (true, false),
            _ => return Some(Self::End),
        };
        let header = if is_recyclable { RECYCLABLE_HEADER } else { HEADER };
        if is_recyclable {
            // The number's lower half.
            let own = rest.get(HEADER..RECYCLABLE_HEADER);
            if own != log.to_le_bytes().get(..4) {
                return Some(Self::End);
            }
        }
        let bytes = header + length;
        if !is_first {
            return Some(Self::Other { bytes });
        }
        // A batch that is so short was cut off while it was written; nobody takes it for whole.
        let sequence = rest.get(header..header + 8).and_then(|bytes| bytes.try_into().ok());
        Some(sequence.map_or(Self::End, |sequence| Self::Batch {
            sequence: u64::from_le_bytes(sequence),
            bytes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::{DB, Options, WriteBatch, WriteOptions};

    use super::*;

    /// Stores whose logs are written over, and not; batches shorter and longer than a block.
    #[test]
    fn what_follows_a_number_is_cut_off_and_nothing_else() {
        let keyring = Keyring::in_memory().unwrap();
        for (recycled, seal) in [(0, None), (4, None), (0, Some(&keyring)), (4, Some(&keyring))] {
            let cut_behind = |store: &Path, published: u64| cut_behind(store, published, seal);
            let home = tempfile::tempdir().unwrap();
            let mut options = Options::default();
            if let Some(keyring) = seal {
                options.set_env(&geodynamo_rocks_env::sealed(keyring.clone()));
            }
            options.create_if_missing(true);
            options.set_recycle_log_file_num(recycled);
            let sizes = [10, 40_000, 0, 32_700, 32_768, 100_000, 7, 65_536, 3];
            let mut sequences = vec![0];
            {
                let db = DB::open(&options, home.path()).unwrap();
                for (number, size) in sizes.into_iter().enumerate() {
                    let mut batch = WriteBatch::default();
                    batch.put([u8::try_from(number).unwrap()], vec![7; size]);
                    batch.put([100 + u8::try_from(number).unwrap()], [7]);
                    let mut write = WriteOptions::default();
                    write.set_sync(true);
                    db.write_opt(batch, &write).unwrap();
                    sequences.push(db.latest_sequence_number());
                }
            }
            let last = *sequences.last().unwrap();
            assert_eq!(cut_behind(home.path(), last).unwrap(), None, "all is published");
            assert!(cut_behind(home.path(), sequences[3] + 1).is_err(), "inside of a batch");
            for kept in (0..sizes.len()).rev() {
                let (path, at) = cut_behind(home.path(), sequences[kept]).unwrap().unwrap();
                assert_eq!(fs::metadata(&path).unwrap().len(), at);
                assert_eq!(cut_behind(home.path(), sequences[kept]).unwrap(), None, "once");
                if kept % 2 == 0 {
                    // As RocksDB leaves it when it closes the log.
                    OpenOptions::new()
                        .write(true)
                        .open(&path)
                        .unwrap()
                        .set_len(at + 100_000)
                        .unwrap();
                    assert_eq!(cut_behind(home.path(), sequences[kept]).unwrap(), None, "zeros");
                }
                // A copy, for opening it makes a new log.
                let copy = tempfile::tempdir().unwrap();
                for entry in fs::read_dir(home.path()).unwrap() {
                    let from = entry.unwrap().path();
                    fs::copy(&from, copy.path().join(from.file_name().unwrap())).unwrap();
                }
                let db = DB::open(&options, copy.path()).unwrap();
                assert_eq!(db.latest_sequence_number(), sequences[kept], "recycled: {recycled}");
                for (number, size) in sizes.iter().enumerate() {
                    let found = db.get([u8::try_from(number).unwrap()]).unwrap();
                    assert_eq!(found.map(|value| value.len()), (number < kept).then_some(*size));
                }
            }
        }
    }

    /// A batch of which the disk took only a part is no batch; what is before it stays.
    #[test]
    fn a_batch_cut_short_is_cut_off_whole() {
        let mut record = vec![0; HEADER];
        let mut put = |sequence: u64, length: u16, there: usize| {
            let at = record.len() - HEADER;
            record[at + 4..at + 6].copy_from_slice(&length.to_le_bytes());
            record[at + 6] = 1;
            let mut payload = vec![0; usize::from(length)];
            payload[..8].copy_from_slice(&sequence.to_le_bytes());
            record.extend_from_slice(&payload[..there]);
            record.extend_from_slice(&[0; HEADER]);
            record.clone()
        };
        let whole = put(5, 20, 20);
        assert_eq!(end_of(&whole[..], 1, 5).unwrap(), End::Published);
        let short = put(6, 200, 9);
        let at = (HEADER + 20) as u64;
        assert_eq!(end_of(&short[..short.len() - HEADER], 1, 5).unwrap(), End::Behind(at));
        assert_eq!(
            end_of(&short[..at as usize + HEADER + 3], 1, 5).unwrap(),
            End::Published
        );
        assert_eq!(end_of(&[][..], 1, 5).unwrap(), End::Empty);
    }
}
