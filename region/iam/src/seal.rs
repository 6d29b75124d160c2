//! The cluster's key, and what is sealed under it: secret access keys where they are stored, and session tokens.
//!
//! AES-256-GCM under two keys that HKDF-SHA-256 derives from the cluster's, one for each use. What is sealed begins with a
//! version byte and the nonce. Nonces are random, 96 bits: far from 2^32 seals under one key, as NIST SP 800-38D asks.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Salt},
};

/// The length of a cluster's key, in bytes.
pub const CLUSTER_KEY_LEN: usize = 32;

/// The version of the sealed form.
const VERSION: u8 = 1;

/// What the cluster's key seals.
pub(crate) struct Seals {
    secrets: LessSafeKey,
    tokens: LessSafeKey,
}

/// What is sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// A secret access key.
    Secret,
    /// A session token.
    Token,
}

/// Something that is not sealed under this key, or not for this use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not sealed under this cluster's key")]
pub struct SealError;

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl Seals {
    pub(crate) fn new(cluster_key: &[u8; CLUSTER_KEY_LEN]) -> Result<Self, SealError> {
        Ok(Self {
            secrets: derive(cluster_key, b"geodynamo secret access keys")?,
            tokens: derive(cluster_key, b"geodynamo session tokens")?,
        })
    }

    /// Seals a plain text. `bound_to` has to be given again to open it.
    pub(crate) fn seal(&self, of: Use, bound_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        let mut content = plain.to_vec();
        let nonce_taken = Nonce::assume_unique_for_key(nonce);
        self.key(of)
            .seal_in_place_append_tag(nonce_taken, Aad::from(bound_to), &mut content)?;
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&content);
        Ok(sealed)
    }

    /// Opens what [`Seals::seal`] made.
    pub(crate) fn open(&self, of: Use, bound_to: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError)?;
        let (nonce, content) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        if *version != VERSION {
            return Err(SealError);
        }
        let mut content = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .key(of)
            .open_in_place(nonce, Aad::from(bound_to), &mut content)?
            .len();
        content.truncate(plain);
        Ok(content)
    }

    fn key(&self, of: Use) -> &LessSafeKey {
        match of {
            Use::Secret => &self.secrets,
            Use::Token => &self.tokens,
        }
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seals(…)")
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        CLUSTER_KEY_LEN
    }
}

fn derive(cluster_key: &[u8], of: &[u8]) -> Result<LessSafeKey, SealError> {
    let mut derived = [0; CLUSTER_KEY_LEN];
    let extracted = Salt::new(HKDF_SHA256, b"geodynamo cluster key").extract(cluster_key);
    extracted.expand(&[of], Length)?.fill(&mut derived)?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derived)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_and_use_alone() {
        let seals = Seals::new(&[7; 32]).unwrap();
        let sealed = seals.seal(Use::Secret, b"AKIA", b"hush").unwrap();
        assert_eq!(seals.open(Use::Secret, b"AKIA", &sealed).unwrap(), b"hush");
        assert_ne!(seals.seal(Use::Secret, b"AKIA", b"hush").unwrap(), sealed);
        assert_eq!(seals.open(Use::Token, b"AKIA", &sealed), Err(SealError));
        assert_eq!(seals.open(Use::Secret, b"AKIB", &sealed), Err(SealError));
        assert_eq!(
            Seals::new(&[8; 32]).unwrap().open(Use::Secret, b"AKIA", &sealed),
            Err(SealError)
        );
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(seals.open(Use::Secret, b"AKIA", &changed), Err(SealError), "{place}");
            assert_eq!(
                seals.open(Use::Secret, b"AKIA", &sealed[..place]),
                Err(SealError),
                "{place}"
            );
        }
    }
}
