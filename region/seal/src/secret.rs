//! Secret bytes.

use std::fmt;

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::{Zeroize, Zeroizing};

use crate::Result;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// A key of 256 bits. No log shows it, and its memory is cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; KEY_BYTES]);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn random() -> Result<Self> {
        random().map(Self)
    }

    /// A key of known bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key in a text: 64 hexadecimal digits, or base64.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = if text.len() == 2 * KEY_BYTES {
            let digits = (0..KEY_BYTES).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok());
            Zeroizing::new(digits.collect::<Option<Vec<u8>>>()?)
        } else {
            Zeroizing::new(STANDARD.decode(text).ok()?)
        };
        bytes.as_slice().try_into().ok().map(Self)
    }

    /// The key as a text, which [`Secret::parse`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }

    /// The bytes.
    pub fn reveal(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Bytes that are derived from the key and a salt, for a purpose.
    pub(crate) fn derive<const N: usize>(&self, salt: &[u8], purpose: &str) -> Result<Zeroizing<[u8; N]>> {
        let mut derived = Zeroizing::new([0; N]);
        Salt::new(HKDF_SHA256, salt)
            .extract(&self.0)
            .expand(&[purpose.as_bytes()], Length(N))?
            .fill(&mut *derived)?;
        Ok(derived)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How many bytes are derived.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(bytes)
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let secret = Secret::random().unwrap();
        assert_eq!(Secret::parse(&secret.to_text()), Some(secret.clone()));
        assert_eq!(
            Secret::parse(&format!(" {}\n", hex(secret.reveal()))),
            Some(secret.clone())
        );
        for bad in [
            "",
            "short",
            &"zz".repeat(32),
            &STANDARD.encode([1; 31]),
            &"é".repeat(32),
        ] {
            assert_eq!(Secret::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn what_is_derived_depends_on_all_that_goes_in() {
        let (one, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let derive = |secret: &Secret, salt: &[u8], purpose| *secret.derive::<32>(salt, purpose).unwrap();
        let all = [
            derive(&one, b"a", "x"),
            derive(&other, b"a", "x"),
            derive(&one, b"b", "x"),
            derive(&one, b"a", "y"),
        ];
        for (at, derived) in all.iter().enumerate() {
            assert!(!all[..at].contains(derived));
        }
        assert_eq!(all[0], derive(&one, b"a", "x"));
    }
}
