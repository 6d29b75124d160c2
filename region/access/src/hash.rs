//! SHA-256, HMAC-SHA-256 and lower-case hexadecimal, shared by the verifier and the signer.

use aws_lc_rs::{digest, hmac};

/// 32 bytes as 64 lower-case hexadecimal digits.
pub(crate) type Hex = [u8; 64];

/// The SHA-256 of `data` in hexadecimal.
pub(crate) fn sha256_hex(data: &[u8]) -> Hex {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

/// The HMAC-SHA-256 of `data` in hexadecimal.
pub(crate) fn hmac_hex(key: &hmac::Key, data: &[u8]) -> Hex {
    hex(hmac::sign(key, data).as_ref())
}

/// The key that signs for one day, region and service: the four HMACs that SigV4 prescribes.
pub(crate) fn derive_signing_key(secret_access_key: &str, day: &[u8], region: &[u8], service: &[u8]) -> hmac::Key {
    let mut start = Vec::with_capacity(4 + secret_access_key.len());
    start.extend_from_slice(b"AWS4");
    start.extend_from_slice(secret_access_key.as_bytes());
    [day, region, service, b"aws4_request"]
        .iter()
        .fold(hmac::Key::new(hmac::HMAC_SHA256, &start), |key, part| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part).as_ref())
        })
}

/// A secret for one purpose, derived from a key: 64 hexadecimal digits that tell nothing of the key, nor of other purposes'.
pub fn derive_secret(key: &[u8], purpose: &str) -> String {
    let digits = hmac_hex(&hmac::Key::new(hmac::HMAC_SHA256, key), purpose.as_bytes());
    // Hexadecimal digits are ASCII.
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Whether two secrets are equal, in time that depends on their lengths only.
pub(crate) fn equal_in_constant_time(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn hex(bytes: &[u8]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'0'; 64];
    // SHA-256's output is 32 bytes, so the zip ends with both at once.
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes() {
        // FIPS 180-2, "abc"; RFC 4231, test case 2.
        assert_eq!(
            &sha256_hex(b"abc"),
            b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        assert_eq!(
            &hmac_hex(&key, b"what do ya want for nothing?"),
            b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
