//! Rows: sealed and opened one by one, in great number, under a key of a table's own.
//!
//! The mark (1 byte), version (1), the data key's id (16), a nonce (12); then the content under AES-256-GCM-SIV, with its tag (16).
//! The place that a row stands at is authenticated with it, so that a row put at another place is found. The cipher was made for
//! many short texts under one key: two rows that get one nonce by chance, which takes some 2^48 of them, tell whether they are
//! equal, and nothing more. Source: RFC 8452.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{
    KEY_BYTES, Result, SealError, Secret,
    keyring::{KEY_ID_BYTES, KeyId},
    secret::random,
};

/// The first byte of a sealed row. MessagePack never uses it, and no stored form begins with it.
const MARK: u8 = 0xC1;
const VERSION: u8 = 1;
const NONCE_AT: usize = 2 + KEY_ID_BYTES;
const HEAD: usize = NONCE_AT + NONCE_LEN;
const TAG: usize = 16;
const PURPOSE: &str = "geodynamo row 1";

/// By how many bytes a sealed row is longer.
pub const SEALED_ROW_BYTES: usize = HEAD + TAG;

/// A key that rows are sealed under.
pub struct RowKey {
    id: KeyId,
    cipher: LessSafeKey,
}

impl RowKey {
    /// The key that a data key makes.
    ///
    /// # Errors
    /// If the machine's cipher fails.
    pub fn new(id: KeyId, secret: &Secret) -> Result<Self> {
        let derived = secret.derive::<KEY_BYTES>(&id.0, PURPOSE)?;
        Ok(Self {
            id,
            cipher: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &*derived)?),
        })
    }

    /// The data key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals the content of the row at a place.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn seal(&self, place: &[u8], content: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = Vec::with_capacity(content.len() + SEALED_ROW_BYTES);
        sealed.extend_from_slice(&[MARK, VERSION]);
        sealed.extend_from_slice(&self.id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(nonce, Aad::from(place), &mut sealed[HEAD..])?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`RowKey::seal`] made at that place.
    ///
    /// # Errors
    /// [`SealError::Damaged`] if it is anything else.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let damaged = || SealError::Damaged("a row is not as it was sealed".into());
        if sealed_under(sealed) != Some(self.id) || sealed.len() < SEALED_ROW_BYTES {
            return Err(damaged());
        }
        let nonce = Nonce::try_assume_unique_for_key(&sealed[NONCE_AT..HEAD])?;
        let mut content = sealed[HEAD..].to_vec();
        let length = self
            .cipher
            .open_in_place(nonce, Aad::from(place), &mut content)
            .map_err(|_| damaged())?
            .len();
        content.truncate(length);
        Ok(content)
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The data key that a row is sealed under; `None` for a row that is not sealed.
pub fn sealed_under(row: &[u8]) -> Option<KeyId> {
    let head = row.get(..NONCE_AT).filter(|head| head[..2] == [MARK, VERSION])?;
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&head[2..]);
    Some(KeyId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RowKey {
        RowKey::new(KeyId::random().unwrap(), &Secret::random().unwrap()).unwrap()
    }

    #[test]
    fn rows_come_back_at_their_place_only() {
        let key = key();
        for content in [&b""[..], b"geodynamo", &[7; 5_000]] {
            let sealed = key.seal(b"here", content).unwrap();
            assert_eq!(sealed.len(), content.len() + SEALED_ROW_BYTES);
            assert_eq!(sealed_under(&sealed), Some(key.id()));
            assert_eq!(key.open(b"here", &sealed).unwrap(), content);
            assert!(key.open(b"there", &sealed).is_err());
            assert_ne!(key.seal(b"here", content).unwrap(), sealed);
            assert!(self::key().open(b"here", &sealed).is_err());
        }
        let sealed = key.seal(b"here", b"geodynamo").unwrap();
        for bit in 0..8 * sealed.len() {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(b"here", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(b"here", &sealed[..length]).is_err());
        }
        for plain in [&b""[..], &[MARK], &[MARK, 2], &[1; 64]] {
            assert_eq!(sealed_under(plain), None);
        }
    }
}
