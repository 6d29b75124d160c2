//! The form of an object: a header, then the compressed content.
//!
//! Header, 32 bytes: `GDAR`, version (1 byte), kind (1), transform (1), zero (1), the content's length (8, big-endian), the
//! stored bytes' length (8), XXH3-64 (8) of the name, the header up to here and the stored bytes. The stored bytes are the
//! content, compressed by zstd, then transformed. The golden file in `tests/golden` holds it still.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::Xxh3Default;

use crate::{ArchiveError, Result};

/// The most bytes of an object's content.
pub const OBJECT_BYTES_MAX: usize = 256 * 1024 * 1024;
const MAGIC: &[u8; 4] = b"GDAR";
/// The one version there is.
const VERSION: u8 = 1;
/// Bytes of the header.
pub(crate) const HEAD: usize = 32;
/// Bytes of the header before the checksum.
const CHECKED: usize = 24;
/// How hard zstd tries: its usual level.
const LEVEL: i32 = 3;

/// What is done to an object's compressed bytes before they are stored, and undone when they are read: the place for
/// encryption.
pub trait Transform: Send + Sync + 'static {
    /// Its number in headers. Zero is [`Plain`].
    fn id(&self) -> u8;
    /// Before storing.
    fn seal(&self, name: &str, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, TransformError>;
    /// After reading.
    fn open(&self, name: &str, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, TransformError>;
}

/// Why bytes cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// They are whole, as far as anybody can tell, and there is no key for them.
    #[error("{0}")]
    NoKey(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Leaves bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Transform for Plain {
    fn id(&self) -> u8 {
        0
    }

    fn seal(&self, _: &str, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, TransformError> {
        Ok(bytes)
    }

    fn open(&self, _: &str, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, TransformError> {
        Ok(bytes)
    }
}

/// The stored form of an object.
pub(crate) fn seal(transform: &dyn Transform, name: &str, kind: u8, content: &[u8]) -> Result<Bytes> {
    if content.len() > OBJECT_BYTES_MAX {
        return Err(ArchiveError::TooLarge {
            name: name.into(),
            bytes: content.len(),
        });
    }
    let failed = |error: &dyn std::fmt::Display| damaged(name, format!("it cannot be written: {error}"));
    let packed = zstd::bulk::compress(content, LEVEL).map_err(|error| failed(&error))?;
    let stored = transform.seal(name, packed).map_err(|error| failed(&error))?;
    let mut out = BytesMut::with_capacity(HEAD + stored.len());
    out.put_slice(MAGIC);
    out.put_slice(&[VERSION, kind, transform.id(), 0]);
    out.put_u64(content.len() as u64);
    out.put_u64(stored.len() as u64);
    let sum = checksum(name, &out, &stored);
    out.put_u64(sum);
    out.put_slice(&stored);
    Ok(out.freeze())
}

/// The kind and the content of an object.
pub(crate) fn open(transform: &dyn Transform, name: &str, bytes: &[u8]) -> Result<(u8, Bytes)> {
    let Some((head, stored)) = bytes.split_at_checked(HEAD) else {
        return Err(damaged(name, "it is shorter than a header".into()));
    };
    if &head[..4] != MAGIC {
        return Err(damaged(name, "it does not begin as an object does".into()));
    }
    if head[4] != VERSION {
        return Err(damaged(name, format!("version {} is not known", head[4])));
    }
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&head[at..at + 8]);
        u64::from_be_bytes(number)
    };
    let (content_len, stored_len, sum) = (number(8), number(16), number(CHECKED));
    if stored.len() as u64 != stored_len {
        return Err(damaged(
            name,
            format!("{} bytes of {stored_len} are there", stored.len()),
        ));
    }
    if checksum(name, &head[..CHECKED], stored) != sum {
        return Err(damaged(name, "the checksum is another one".into()));
    }
    // What was put plainly is read plainly: an archive may be older than its encryption, and keyrings are never encrypted.
    let transform = match head[6] {
        0 => &Plain,
        id if id == transform.id() => transform,
        _ => return Err(ArchiveError::Sealed(name.into(), String::new())),
    };
    let content_len = usize::try_from(content_len).ok().filter(|len| *len <= OBJECT_BYTES_MAX);
    let content_len = content_len.ok_or_else(|| damaged(name, "it is too large".into()))?;
    let failed = |error: &dyn std::fmt::Display| damaged(name, error.to_string());
    let packed = transform.open(name, stored.to_vec()).map_err(|error| match error {
        TransformError::NoKey(why) => ArchiveError::Sealed(name.into(), format!(": {why}")),
        TransformError::Other(_) => failed(&error),
    })?;
    let content = zstd::bulk::decompress(&packed, content_len).map_err(|error| failed(&error))?;
    if content.len() != content_len {
        return Err(damaged(name, "its length is another one".into()));
    }
    Ok((head[5], content.into()))
}

fn checksum(name: &str, head: &[u8], stored: &[u8]) -> u64 {
    let mut sum = Xxh3Default::new();
    sum.update(name.as_bytes());
    sum.update(head);
    sum.update(stored);
    sum.digest()
}

fn damaged(name: &str, reason: String) -> ArchiveError {
    ArchiveError::Damaged {
        name: name.into(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_is_the_golden_files() {
        let golden = include_str!("../tests/golden/object-1.hex");
        let golden: String = golden.lines().filter(|line| !line.starts_with('#')).collect();
        let bytes: Vec<u8> = (0..golden.len())
            .step_by(2)
            .filter_map(|at| u8::from_str_radix(golden.get(at..at + 2)?, 16).ok())
            .collect();
        // What zstd makes of it may change with its version, what it reads may not.
        let (kind, content) = open(&Plain, "table/t/1", &bytes).expect("the golden file is an object");
        assert_eq!((kind, &content[..]), (7, &b"geodynamo geodynamo geodynamo"[..]));
        let sealed = seal(&Plain, "table/t/1", 7, &content).expect("it is small");
        assert_eq!(sealed[..16], bytes[..16]);
    }

    proptest! {
        #[test]
        fn objects_come_back(kind: u8, content in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let sealed = seal(&Plain, "a/b", kind, &content).expect("it is small");
            let (read_kind, read) = open(&Plain, "a/b", &sealed).expect("it is whole");
            prop_assert_eq!((read_kind, &read[..]), (kind, &content[..]));
            // Under another name it is another object.
            prop_assert!(open(&Plain, "a/c", &sealed).is_err());
        }

        #[test]
        fn damage_is_found(content in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, bit in 0..8u8) {
            let sealed = seal(&Plain, "a", 1, &content).expect("it is small");
            let mut flipped = sealed.to_vec();
            let place = at.index(flipped.len());
            flipped[place] ^= 1 << bit;
            prop_assert!(open(&Plain, "a", &flipped).is_err());
            prop_assert!(open(&Plain, "a", &sealed[..at.index(sealed.len())]).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), plausible: bool) {
            let mut bytes = bytes;
            if let (true, Some(head)) = (plausible, bytes.get_mut(..5)) {
                head.copy_from_slice(b"GDAR\x01");
            }
            let _ = open(&Plain, "a", &bytes);
        }
    }
}
