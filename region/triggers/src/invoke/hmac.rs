//! Signatures of events that go to plain addresses: HMAC-SHA-256 under a secret that both sides have in a file.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use parking_lot::Mutex;

/// The header that has a signature.
pub(super) const HEADER: &str = "x-geodynamo-signature";
/// The shortest secret, in bytes.
const SECRET_LEN_MIN: usize = 16;
/// The longest secret, in bytes.
const SECRET_LEN_MAX: u64 = 4096;

/// A secret in a file, which is read again when the file is another.
#[derive(Debug)]
pub struct HmacSecret {
    path: PathBuf,
    read: Mutex<Read>,
}

/// What the file had.
#[derive(Clone)]
struct Read {
    key: Key,
    of: Version,
}

/// What tells a file from what it was before: when it was changed, its length, and which one it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Version(Option<SystemTime>, u64, u64);

impl Version {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(metadata.modified().ok(), metadata.len(), metadata.ino())
    }
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct HmacSecretError {
    path: PathBuf,
    reason: String,
}

impl HmacSecret {
    /// The secret in a file, with at least 16 bytes and at most 4 KiB; line ends behind it are none of it.
    ///
    /// # Errors
    /// If the file cannot be read, or has no such secret.
    pub fn open(path: &Path) -> Result<Self, HmacSecretError> {
        Ok(Self {
            read: Mutex::new(read(path)?),
            path: path.to_owned(),
        })
    }

    /// The secret as the file has it now. While the file cannot be read, there is none.
    fn key(&self) -> Result<Key, HmacSecretError> {
        let metadata = fs::metadata(&self.path).map_err(|error| unusable(&self.path, &error))?;
        let mut known = self.read.lock();
        if known.of != Version::of(&metadata) {
            *known = read(&self.path)?;
        }
        Ok(known.key.clone())
    }

    /// What signs a body now: `t=<unix seconds>,v1=<hexadecimal HMAC of "t.body">`.
    pub(super) fn sign(&self, body: &[u8]) -> Result<String, HmacSecretError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(signature(&self.key()?, since.as_secs(), body))
    }
}

fn signature(key: &Key, unix_s: u64, body: &[u8]) -> String {
    let mut context = Context::with_key(key);
    context.update(format!("{unix_s}.").as_bytes());
    context.update(body);
    let digits: String = context
        .sign()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={unix_s},v1={digits}")
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> HmacSecretError {
    HmacSecretError {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn read(path: &Path) -> Result<Read, HmacSecretError> {
    let reading = || -> io::Result<(Metadata, Vec<u8>)> {
        // First: what comes behind it is another version.
        let metadata = fs::metadata(path)?;
        if metadata.len() > SECRET_LEN_MAX {
            return Err(io::Error::other(format!("a secret has at most {SECRET_LEN_MAX} bytes")));
        }
        Ok((metadata, fs::read(path)?))
    };
    let (metadata, content) = reading().map_err(|error| unusable(path, &error))?;
    let end = content.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    let secret = content.get(..end.map_or(0, |last| last + 1)).unwrap_or_default();
    if secret.len() < SECRET_LEN_MIN {
        return Err(unusable(path, &format!("a secret has at least {SECRET_LEN_MIN} bytes")));
    }
    Ok(Read {
        key: Key::new(HMAC_SHA256, secret),
        of: Version::of(&metadata),
    })
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("of", &self.of).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by OpenSSL: `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    const KNOWN: &str = "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23";

    #[test]
    fn a_signature() {
        let key = Key::new(HMAC_SHA256, b"0123456789abcdef");
        assert_eq!(signature(&key, 1_700_000_000, br#"{"a":1}"#), KNOWN);
    }

    #[test]
    fn a_secret_is_read_again_when_its_file_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(HmacSecret::open(&path).is_err());
        fs::write(&path, "too short\n").unwrap();
        assert!(HmacSecret::open(&path).is_err());
        fs::write(&path, "0123456789abcdef\n").unwrap();
        let secret = HmacSecret::open(&path).unwrap();
        let by = |secret: &HmacSecret| signature(&secret.key().unwrap(), 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(by(&secret), KNOWN);
        assert!(!format!("{secret:?}").contains("0123456789"));
        let other = folder.path().join("other");
        fs::write(&other, "fedcba9876543210").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(by(&secret), KNOWN);
        fs::remove_file(&path).unwrap();
        assert!(secret.key().is_err());
    }
}
