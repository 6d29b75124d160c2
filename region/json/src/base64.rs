//! Base64 of RFC 4648 section 4: the standard alphabet, padded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A text is not padded standard base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not padded standard base64")]
pub struct Base64Error;

/// Decodes padded standard base64, strictly: no white space, no missing padding, no stray bits in the last character.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, Base64Error> {
    STANDARD.decode(text).map_err(|_| Base64Error)
}

/// The base64 of `bytes`.
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Appends the base64 of `bytes`.
pub(crate) fn append_base64(bytes: &[u8], to: &mut Vec<u8>) {
    let start = to.len();
    to.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(bytes, &mut to[start..])
        .expect("four characters for every three bytes begun");
    to.truncate(start + written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4648_examples() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = b"x".to_vec();
            append_base64(bytes.as_bytes(), &mut out);
            assert_eq!(out, format!("x{text}").into_bytes());
            assert_eq!(encode_base64(bytes.as_bytes()), text);
            assert_eq!(decode_base64(text), Ok(bytes.as_bytes().to_vec()));
        }
    }

    #[test]
    fn refuses() {
        for text in ["Zg", "Zg=", "Zg===", "Zh==", "Z g==", "Zm9v\n", "Zm9-", "=", "é"] {
            assert_eq!(decode_base64(text), Err(Base64Error), "{text:?}");
        }
    }
}
