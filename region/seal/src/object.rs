//! Objects: sealed and opened whole.
//!
//! `GDSO`, version (1 byte), zero (3), the data key's id (16), the salt (32); then the content under AES-256-GCM, with its tag
//! (16). The object's key is HKDF-SHA256 of data key and salt, and is used once. Its name and what stands before the content
//! are authenticated with it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{
    KEY_BYTES, Keyring, Result, SealError,
    keyring::{DataKey, KEY_ID_BYTES, KeyId},
    secret::random,
};

const MAGIC: &[u8; 4] = b"GDSO";
const VERSION: u8 = 1;
const KEY_AT: usize = 8;
const SALT_AT: usize = KEY_AT + KEY_ID_BYTES;
const SALT_BYTES: usize = 32;
const HEAD: usize = SALT_AT + SALT_BYTES;
const PURPOSE: &str = "geodynamo object 1";

/// Whether bytes begin as a sealed object does.
pub fn is_object(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Keyring {
    /// Seals an object of a name.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn seal(&self, name: &str, mut content: Vec<u8>) -> Result<Vec<u8>> {
        let key = self.current();
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(MAGIC);
        head[4] = VERSION;
        head[KEY_AT..SALT_AT].copy_from_slice(&key.id.0);
        head[SALT_AT..].copy_from_slice(&random::<SALT_BYTES>()?);
        let cipher = cipher(&key, &head[SALT_AT..])?;
        cipher.seal_in_place_append_tag(nonce(), aad(&head, name), &mut content)?;
        let mut sealed = Vec::with_capacity(HEAD + content.len());
        sealed.extend_from_slice(&head);
        sealed.extend_from_slice(&content);
        Ok(sealed)
    }

    /// Opens what [`Keyring::seal`] made under that name.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], and [`SealError::Damaged`] if it is anything else.
    pub fn open_sealed(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let damaged = || SealError::Damaged("it is not as it was sealed".into());
        let (head, content) = sealed.split_first_chunk::<HEAD>().ok_or_else(damaged)?;
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&head[KEY_AT..SALT_AT]);
        if &head[..4] != MAGIC || head[4] != VERSION || head[5..KEY_AT] != [0; 3] {
            return Err(damaged());
        }
        let id = KeyId(id);
        let key = self.key(id).ok_or_else(|| SealError::UnknownKey(id.to_string()))?;
        let mut content = content.to_vec();
        let length = cipher(&key, &head[SALT_AT..])?
            .open_in_place(nonce(), aad(head, name), &mut content)
            .map_err(|_| damaged())?
            .len();
        content.truncate(length);
        Ok(content)
    }
}

fn cipher(key: &DataKey, salt: &[u8]) -> Result<LessSafeKey> {
    let derived = key.secret.derive::<KEY_BYTES>(salt, PURPOSE)?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*derived)?))
}

/// The key is used once, so any will do.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn aad(head: &[u8; HEAD], name: &str) -> Aad<Vec<u8>> {
    Aad::from([&head[..], name.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back_under_their_name_only() {
        let keyring = Keyring::in_memory().unwrap();
        for content in [&b""[..], b"geodynamo", &[7; 100_000]] {
            let sealed = keyring.seal("a/b", content.to_vec()).unwrap();
            assert_eq!(keyring.open_sealed("a/b", &sealed).unwrap(), content);
            assert!(keyring.open_sealed("a/c", &sealed).is_err());
            assert_ne!(keyring.seal("a/b", content.to_vec()).unwrap(), sealed);
            let other = Keyring::in_memory().unwrap();
            assert!(matches!(
                other.open_sealed("a/b", &sealed),
                Err(SealError::UnknownKey(_))
            ));
        }
        let sealed = keyring.seal("a", b"geodynamo".to_vec()).unwrap();
        for bit in 0..8 * sealed.len() {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(keyring.open_sealed("a", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(keyring.open_sealed("a", &sealed[..length]).is_err());
        }
    }
}
