//! Reading a file from its beginning to its end.
//!
//! What is behind the end of a WAL or a manifest matters: RocksDB reads on until what it finds is no record of this file. A
//! WAL that is written over still has its former content there, whose records carry another number; where nothing was ever
//! written there are zeros. Both end a file. Under this file's key stream either would be noise, which RocksDB would take for
//! damage. So noise where a record should begin is given as what it would be in a file that is not encrypted: as zeros where
//! zeros are stored, else, in a WAL that is written over, as a record of another WAL. Damage inside of a record is left for
//! RocksDB's checksums to find.
//!
//! The form is RocksDB's: <https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format>.

use std::{
    fs::File,
    io::{self, Read},
};

use crc_fast::{CrcAlgorithm, checksum};
use geodynamo_seal::{FILE_HEADER_BYTES, FileCipher, Keyring, Result};

/// Records do not go over a block's end.
const BLOCK: u64 = 32 * 1024;
/// Checksum, length, type.
const HEAD: usize = 7;
/// And the WAL's number, in those that are written over.
const RECYCLABLE_HEAD: usize = 11;
/// A record's type where the WAL's number follows.
const RECYCLABLE_FULL: u8 = 5;

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Bytes.
    Plain,
    /// Records of a WAL, of this number.
    Wal(u64),
    /// Records of a manifest.
    Manifest,
}

impl Form {
    /// As `filesystem.cc` has it.
    pub(crate) fn of(form: u8, number: u64) -> Self {
        match form {
            1 => Self::Wal(number),
            2 => Self::Manifest,
            _ => Self::Plain,
        }
    }
}

/// Reads a file in sequence.
#[derive(Debug)]
pub struct Reader {
    cipher: FileCipher,
    form: Form,
    /// Where the next bytes are.
    offset: u64,
    /// Where the next record begins.
    record: u64,
    /// Whether records carry the WAL's number; none before the first one.
    is_recycled: Option<bool>,
    /// Whether the end was met.
    is_ended: bool,
}

impl Reader {
    /// Reads a file from behind its header.
    pub fn new(cipher: FileCipher, form: Form) -> Self {
        Self {
            cipher,
            form,
            offset: 0,
            record: 0,
            is_recycled: None,
            is_ended: false,
        }
    }

    /// Makes the plain bytes of the next ones of the file.
    ///
    /// # Errors
    /// If the cipher fails.
    pub fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        let stored_zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        self.cipher.open(self.offset, bytes)?;
        if self.form != Form::Plain {
            self.find_end(bytes, bytes.len() - stored_zeros);
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Passes over the next bytes.
    pub fn skip(&mut self, count: u64) {
        self.offset += count;
    }

    /// Looks for the end of the records in plain bytes, and marks it. From `zeros` on zeros are stored.
    fn find_end(&mut self, bytes: &mut [u8], zeros: usize) {
        if self.is_ended {
            bytes.fill(0);
            return;
        }
        while let Some(at) = self.record.checked_sub(self.offset) {
            let Ok(at) = usize::try_from(at) else { return };
            let left = BLOCK - self.record % BLOCK;
            if left < self.head_bytes() as u64 {
                self.record += left;
                continue;
            }
            // A piece of a header, at the file's end, is RocksDB's affair.
            let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= self.head_bytes()) else {
                return;
            };
            if let Some(length) = self.record_at(rest, left) {
                self.record += length;
                continue;
            }
            if at >= zeros {
                bytes[at..].fill(0);
            } else if let Form::Wal(number) = self.form {
                let end = &mut bytes[at..];
                end.fill(0);
                if let Some(head) = end.first_chunk_mut::<RECYCLABLE_HEAD>() {
                    head[6] = RECYCLABLE_FULL;
                    head[HEAD..].copy_from_slice(&(!low(number)).to_le_bytes());
                }
            } else {
                return;
            }
            self.is_ended = true;
            return;
        }
    }

    fn head_bytes(&self) -> usize {
        match (self.form, self.is_recycled) {
            (Form::Wal(_), None | Some(true)) => RECYCLABLE_HEAD,
            _ => HEAD,
        }
    }

    /// The bytes of the record that begins here, if one does. Its block has `left` bytes.
    fn record_at(&mut self, rest: &[u8], left: u64) -> Option<u64> {
        let length = u64::from(u16::from_le_bytes([rest[4], rest[5]]));
        let fits = |head: usize| Some(head as u64 + length).filter(|bytes| *bytes <= left);
        let is_numbered = matches!(rest[6], 5..=8 | 11 | 131);
        if let (Form::Wal(number), true) = (self.form, is_numbered) {
            let is_own = rest.get(HEAD..RECYCLABLE_HEAD) == Some(&low(number).to_le_bytes()[..]);
            let bytes = fits(RECYCLABLE_HEAD).filter(|_| is_own && self.is_recycled != Some(false))?;
            self.is_recycled = Some(true);
            return Some(bytes);
        }
        let is_known = matches!(rest[6], 1..=4 | 9 | 10 | 130);
        let bytes = fits(HEAD).filter(|_| is_known)?;
        match (self.form, self.is_recycled) {
            // Noise may look like this, but for its checksum.
            (Form::Wal(_), None) => {
                let whole = rest.get(..usize::try_from(bytes).ok()?)?;
                if u32::from_le_bytes([whole[0], whole[1], whole[2], whole[3]]) != masked_crc32c(&whole[6..]) {
                    return None;
                }
                self.is_recycled = Some(false);
                Some(bytes)
            }
            (Form::Wal(_), Some(true)) => None,
            _ => Some(bytes),
        }
    }
}

/// The lower half of a WAL's number, which its records carry.
fn low(number: u64) -> u32 {
    (number & u64::from(u32::MAX)) as u32
}

/// RocksDB's checksum of a record: CRC-32C, rotated, with a constant added.
pub fn masked_crc32c(bytes: &[u8]) -> u32 {
    const MASK: u32 = 0xa282_ead8;
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, bytes) & u64::from(u32::MAX);
    (crc as u32).rotate_right(15).wrapping_add(MASK)
}

/// A WAL's plain bytes, for who reads it without RocksDB.
#[derive(Debug)]
pub struct PlainWal {
    file: File,
    /// None if nothing was ever written to it.
    reader: Option<Reader>,
}

impl PlainWal {
    /// Reads a WAL, with what is behind its end as in a plain file, or as it is.
    ///
    /// # Errors
    /// If the file cannot be read, or its header is damaged.
    pub fn new(mut file: File, form: Form, keyring: &Keyring) -> io::Result<Self> {
        let mut header = Vec::with_capacity(FILE_HEADER_BYTES);
        (&mut file).take(FILE_HEADER_BYTES as u64).read_to_end(&mut header)?;
        let unwritten = header.len() < FILE_HEADER_BYTES || header.iter().all(|byte| *byte == 0);
        let reader = if unwritten {
            None
        } else {
            let cipher = keyring.open_file(&header).map_err(io::Error::other)?;
            Some(Reader::new(cipher, form))
        };
        Ok(Self { file, reader })
    }
}

impl Read for PlainWal {
    /// Fills the buffer, if there is so much: records must not be torn.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        reader.next(&mut buffer[..filled]).map_err(io::Error::other)?;
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAL's bytes: records of these lengths, with or without its number.
    fn wal(number: Option<u64>, lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for length in lengths {
            let head = if number.is_some() { RECYCLABLE_HEAD } else { HEAD };
            let left = BLOCK as usize - bytes.len() % BLOCK as usize;
            if left < head {
                bytes.resize(bytes.len() + left, 0);
            }
            let mut rest = number.map_or_else(Vec::new, |number| low(number).to_le_bytes().to_vec());
            rest.extend(std::iter::repeat_n(9, *length));
            let kind = if number.is_some() { RECYCLABLE_FULL } else { 1 };
            let crc = masked_crc32c(&[&[kind], &rest[..]].concat());
            bytes.extend_from_slice(&crc.to_le_bytes());
            bytes.extend_from_slice(&u16::try_from(*length).unwrap().to_le_bytes());
            bytes.push(kind);
            bytes.extend_from_slice(&rest);
        }
        bytes
    }

    /// Reads a file whose records are sealed, and behind them these bytes are stored.
    fn read(form: Form, records: &[u8], behind: &[u8]) -> Vec<u8> {
        let keyring = Keyring::in_memory().unwrap();
        let (_, cipher) = keyring.begin_file(None).unwrap();
        let mut stored = records.to_vec();
        cipher.seal(0, &mut stored).unwrap();
        stored.extend_from_slice(behind);
        let mut reader = Reader::new(cipher, form);
        for block in stored.chunks_mut(BLOCK as usize) {
            reader.next(block).unwrap();
        }
        stored
    }

    #[test]
    fn checksums_are_rocksdbs() {
        // Of "123456789", CRC-32C is e3069283.
        assert_eq!(
            masked_crc32c(b"123456789"),
            0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn what_is_behind_the_end_reads_as_in_a_plain_file() {
        let noise: Vec<u8> = (0..100_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 1)
            .collect();
        for lengths in [&[][..], &[1], &[100, 2000, 30_000, 5, 608, 1], &[32_757], &[32_750, 3]] {
            for number in [7, u64::from(u32::MAX) + 12] {
                let records = wal(Some(number), lengths);
                let got = read(Form::Wal(number), &records, &noise);
                assert!(got[..records.len()] == records, "{lengths:?}");
                let end = match BLOCK as usize - records.len() % BLOCK as usize {
                    left if left < RECYCLABLE_HEAD => records.len() + left,
                    _ => records.len(),
                };
                assert_eq!(got[end + 6], RECYCLABLE_FULL, "{lengths:?}");
                assert_ne!(got[end + HEAD..][..4], low(number).to_le_bytes());
                assert!(got[end + RECYCLABLE_HEAD..].iter().all(|byte| *byte == 0));
            }
            for form in [Form::Wal(3), Form::Manifest] {
                let records = wal((form != Form::Manifest).then_some(3), lengths);
                let got = read(form, &records, &[0; 50_000]);
                assert!(got[..records.len()] == records, "{form:?} {lengths:?}");
                let end = records
                    .len()
                    .next_multiple_of(BLOCK as usize)
                    .min(records.len() + RECYCLABLE_HEAD);
                assert!(got[end..].iter().all(|byte| *byte == 0), "{form:?} {lengths:?}");
            }
        }
        // Records without a number are read as well, and so is what no record is in.
        let records = wal(None, &[100, 30_000, 7]);
        assert!(read(Form::Wal(3), &records, &[]) == records);
        assert_eq!(read(Form::Plain, b"MANIFEST-000005\n", &[]), b"MANIFEST-000005\n");
    }

    /// A last byte that is stored as zero belongs to its record, whatever zeros follow.
    #[test]
    fn a_stored_zero_is_no_end() {
        let keyring = Keyring::in_memory().unwrap();
        for _ in 0..2000 {
            let (_, cipher) = keyring.begin_file(None).unwrap();
            let records = wal(Some(3), &[20]);
            let mut stored = records.clone();
            cipher.seal(0, &mut stored).unwrap();
            let is_zero = stored.ends_with(&[0]);
            stored.extend_from_slice(&[0; 300]);
            Reader::new(cipher, Form::Wal(3)).next(&mut stored).unwrap();
            assert_eq!(stored[..records.len()], records);
            if is_zero {
                return;
            }
        }
        panic!("no last byte was stored as zero");
    }
}
