//! Files: a header, and bytes under a key stream.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `GDSEALED` |
//! | 1 | version, 1 |
//! | 7 | zero |
//! | 16 | the data key's id |
//! | 32 | the salt |
//! | 32 | HMAC-SHA256 of all before, under a key that is derived with the file's |
//! | 32 | zero |
//!
//! The file's key is HKDF-SHA256 of data key and salt. The byte at an offset behind the header is laid over with the same byte
//! of AES-256-CTR's key stream, whose counter begins at zero. The golden file in `tests/golden` holds it still.
//!
//! The content is not authenticated here: whoever keeps it has checksums in it that the key stream hides.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};

use crate::{
    KEY_BYTES, Keyring, Result, SealError, Use, Witness,
    keyring::{DataKey, KEY_ID_BYTES, KeyId},
    secret::random,
};

/// Bytes of a file's header.
pub const FILE_HEADER_BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"GDSEALED";
const VERSION: u8 = 1;
const KEY_AT: usize = 16;
const SALT_AT: usize = KEY_AT + KEY_ID_BYTES;
const SALT_BYTES: usize = 32;
const TAG_AT: usize = SALT_AT + SALT_BYTES;
const TAG_BYTES: usize = 32;
const BLOCK: usize = 16;
const PURPOSE: &str = "geodynamo file 1";

/// Whether a file that begins so has a header: nothing is said of whether it is whole.
pub fn is_header(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// The data key of a file, as its header has it: nothing is said of whether that is whole.
pub fn file_key_id(header: &[u8]) -> Option<KeyId> {
    let id = header.get(KEY_AT..SALT_AT).filter(|_| is_header(header))?;
    id.try_into().ok().map(KeyId)
}

/// The key stream of a file.
pub struct FileCipher {
    key: EncryptingKey,
    /// A hash of the key, for the witness.
    stream: u64,
    witness: Option<Arc<dyn Witness>>,
}

impl FileCipher {
    fn of(key: &DataKey, salt: &[u8], witness: Option<Arc<dyn Witness>>) -> Result<(Self, hmac::Key)> {
        let derived = key.secret.derive::<{ 2 * KEY_BYTES }>(salt, PURPOSE)?;
        let (cipher, mac) = derived.split_at(KEY_BYTES);
        let mac = hmac::Key::new(hmac::HMAC_SHA256, mac);
        let mut stream = [0; 8];
        if witness.is_some() {
            stream.copy_from_slice(&hmac::sign(&mac, b"stream").as_ref()[..8]);
        }
        let cipher = Self {
            key: EncryptingKey::ctr(UnboundCipherKey::new(&AES_256, cipher)?)?,
            stream: u64::from_be_bytes(stream),
            witness,
        };
        Ok((cipher, mac))
    }

    /// Lays the key stream over bytes that are going to be written at an offset behind the header.
    ///
    /// # Errors
    /// If the cipher fails, which it never did.
    pub fn seal(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if let Some(witness) = &self.witness {
            witness.note(Use {
                stream: self.stream,
                offset,
                bytes: bytes.len() as u64,
            });
        }
        self.apply(offset, bytes)
    }

    /// Takes the key stream off bytes that were read at an offset behind the header.
    ///
    /// # Errors
    /// If the cipher fails, which it never did.
    pub fn open(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.apply(offset, bytes)
    }

    fn apply(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let block = offset / BLOCK as u64;
        // Less than a block.
        let skip = (offset % BLOCK as u64) as usize;
        if skip == 0 {
            return self.blocks(block, bytes);
        }
        let (first, rest) = bytes.split_at_mut((BLOCK - skip).min(bytes.len()));
        let mut whole = [0; BLOCK];
        let part = &mut whole[skip..][..first.len()];
        part.copy_from_slice(first);
        self.blocks(block, &mut whole)?;
        first.copy_from_slice(&whole[skip..][..first.len()]);
        self.blocks(block + 1, rest)
    }

    fn blocks(&self, first: u64, bytes: &mut [u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut counter = [0; BLOCK];
        counter[8..].copy_from_slice(&first.to_be_bytes());
        let context = EncryptionContext::Iv128(FixedLength::from(counter));
        // Counter mode is its own inverse.
        self.key.less_safe_encrypt(bytes, context)?;
        Ok(())
    }
}

impl fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileCipher")
    }
}

impl Keyring {
    /// The header of a file that is going to be written from its beginning, and its cipher. `over` is the header of what is
    /// written over, if that is so; it has no say in either.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn begin_file(&self, over: Option<&[u8]>) -> Result<([u8; FILE_HEADER_BYTES], FileCipher)> {
        if let Some(over) = over.filter(|_| self.keeps_salts()) {
            let cipher = self.open_file(over)?;
            let header = over.try_into().map_err(|_| damaged("it is no header"))?;
            return Ok((header, cipher));
        }
        let key = self.current();
        let mut header = [0; FILE_HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8] = VERSION;
        header[KEY_AT..SALT_AT].copy_from_slice(&key.id.0);
        header[SALT_AT..TAG_AT].copy_from_slice(&random::<SALT_BYTES>()?);
        let (cipher, mac) = FileCipher::of(&key, &header[SALT_AT..TAG_AT], self.witness())?;
        let tag = hmac::sign(&mac, &header[..TAG_AT]);
        header[TAG_AT..][..TAG_BYTES].copy_from_slice(tag.as_ref());
        Ok((header, cipher))
    }

    /// The cipher of a file, from its header.
    ///
    /// # Errors
    /// [`SealError::Damaged`] if it is not a header as it was written, [`SealError::UnknownKey`].
    pub fn open_file(&self, header: &[u8]) -> Result<FileCipher> {
        let header: &[u8; FILE_HEADER_BYTES] = header.try_into().map_err(|_| damaged("it is too short"))?;
        if !is_header(header) {
            return Err(damaged("it is none: the file is not encrypted, or damaged"));
        }
        if header[8] != VERSION {
            return Err(damaged(&format!("version {} is not known", header[8])));
        }
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&header[KEY_AT..SALT_AT]);
        let id = KeyId(id);
        let key = self.key(id).ok_or_else(|| SealError::UnknownKey(id.to_string()))?;
        let (cipher, mac) = FileCipher::of(&key, &header[SALT_AT..TAG_AT], self.witness())?;
        let (tag, rest) = header[TAG_AT..].split_at(TAG_BYTES);
        let is_whole = hmac::verify(&mac, &header[..TAG_AT], tag).is_ok() && rest.iter().all(|byte| *byte == 0);
        is_whole
            .then_some(cipher)
            .ok_or_else(|| damaged("it is not as it was written"))
    }
}

fn damaged(reason: &str) -> SealError {
    SealError::Damaged(format!("the header of an encrypted file is damaged: {reason}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Secret;

    /// AES-256-CTR by the standard's own vector would begin at another counter; this is what all files rely on.
    #[test]
    fn the_form_is_the_golden_files() {
        let golden = include_str!("../tests/golden/file-1.hex");
        let golden: String = golden.lines().filter(|line| !line.starts_with('#')).collect();
        let bytes: Vec<u8> = (0..golden.len() / 2)
            .map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let keyring = Keyring::of_keys(vec![(KeyId([7; 16]), Secret::new([9; 32]))]);
        let (header, content) = bytes.split_at(FILE_HEADER_BYTES);
        let mut content = content.to_vec();
        keyring.open_file(header).unwrap().open(0, &mut content).unwrap();
        assert_eq!(content, b"geodynamo keeps what it was given");
    }

    #[test]
    fn no_two_files_have_one_key_stream() {
        let keyring = Keyring::in_memory().unwrap();
        let begun = |over: Option<&[u8]>| {
            let (header, cipher) = keyring.begin_file(over).unwrap();
            let mut stream = [0; 64];
            cipher.seal(0, &mut stream).unwrap();
            (header, stream)
        };
        let first = begun(None);
        for over in [None, Some(&first.0[..])] {
            let next = begun(over);
            assert_ne!(next.0, first.0);
            assert_ne!(next.1, first.1);
        }
    }

    #[test]
    fn every_bit_of_a_header_counts() {
        let keyring = Keyring::in_memory().unwrap();
        let (header, _) = keyring.begin_file(None).unwrap();
        keyring.open_file(&header).unwrap();
        for bit in 0..8 * FILE_HEADER_BYTES {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(keyring.open_file(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..FILE_HEADER_BYTES {
            assert!(keyring.open_file(&header[..length]).is_err());
        }
        let other = Keyring::in_memory().unwrap();
        assert!(matches!(other.open_file(&header), Err(SealError::UnknownKey(_))));
    }

    proptest! {
        /// However it is cut into pieces, a place of a file has its own byte of the key stream.
        #[test]
        fn pieces_fit(start in 0..1000_u64, cuts in proptest::collection::vec(0..70_usize, 0..12)) {
            let keyring = Keyring::in_memory().unwrap();
            let (header, cipher) = keyring.begin_file(None).unwrap();
            let total: usize = cuts.iter().sum();
            let plain: Vec<u8> = (0..total).map(|at| at as u8).collect();
            let mut sealed = plain.clone();
            cipher.seal(start, &mut sealed).unwrap();
            let reader = keyring.open_file(&header).unwrap();
            let mut at = 0;
            for cut in cuts {
                let mut piece = sealed[at..at + cut].to_vec();
                reader.open(start + at as u64, &mut piece).unwrap();
                prop_assert_eq!(&piece[..], &plain[at..at + cut]);
                at += cut;
            }
        }
    }
}
