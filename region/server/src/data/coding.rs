//! Content codings of bodies: gzip, in and out. Long bodies let other requests run in between.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, header};

use super::body::Held;

/// Shorter answers are sent as they are, in bytes. DynamoDB has such a threshold, and does not say which.
pub(crate) const COMPRESSED_BYTES_MIN: usize = 4 << 10;

/// Bytes that are worked on before other requests get their turn: well below a millisecond's work.
const PIECE_BYTES: usize = 64 << 10;

/// The level for answers: what a client waits for is worth more than the last bytes.
const LEVEL: Compression = Compression::fast();

/// Why a body could not be decompressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CodingError {
    /// Not gzip, or broken off.
    Malformed,
    /// Longer than a request may be.
    TooLarge,
}

/// Whether the client says that it takes gzip (RFC 9110, 12.5.3). That it takes anything is not enough.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        is_gzip(parts.next().unwrap_or_default()) && !parts.any(is_zero_weight)
    })
}

/// Whether the request's body is gzip.
pub(crate) fn is_compressed(headers: &HeaderMap) -> bool {
    let coding = headers
        .get(header::CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok());
    coding.is_some_and(|coding| is_gzip(coding.trim()))
}

/// The body as gzip.
pub(crate) async fn compress(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), LEVEL);
    for piece in body.chunks(PIECE_BYTES) {
        // Writing to a vector does not fail.
        let _ = encoder.write_all(piece);
        if piece.len() == PIECE_BYTES {
            tokio::task::yield_now().await;
        }
    }
    encoder.finish().unwrap_or_default().into()
}

/// The body that was compressed, of at most so many bytes. Memory for it is held before it is used.
pub(crate) async fn decompress(body: &[u8], bytes_max: usize, held: &mut Held) -> Result<Bytes, CodingError> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut whole = Vec::new();
    loop {
        held.grow_to(body.len() + whole.len() + PIECE_BYTES).await;
        let mut piece = decoder.take(PIECE_BYTES as u64);
        let read = piece.read_to_end(&mut whole).map_err(|_| CodingError::Malformed)?;
        decoder = piece.into_inner();
        if whole.len() > bytes_max {
            return Err(CodingError::TooLarge);
        }
        if read < PIECE_BYTES {
            return Ok(whole.into());
        }
        tokio::task::yield_now().await;
    }
}

fn is_gzip(coding: &str) -> bool {
    coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")
}

/// `q=0`, `q=0.000`
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::data::body::Budget;

    #[test]
    fn who_accepts_gzip() {
        let check = |values: &[&'static str], expect: bool| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(accepts_gzip(&headers), expect, "{values:?}");
        };
        check(&[], false);
        check(&[""], false);
        check(&["identity"], false);
        check(&["gzip"], true);
        check(&["br, GZip ;q=0.1"], true);
        check(&["br", "x-gzip"], true);
        check(&["gzip;q=0"], false);
        check(&["gzip; q=0.000, br"], false);
        check(&["gzipped, zip"], false);
        check(&["*"], false);
    }

    fn budget() -> Arc<Budget> {
        Arc::new(Budget::new(64 << 20))
    }

    #[tokio::test]
    async fn what_is_too_large_is_left() {
        let body = compress(&[0; 1 << 20]).await;
        assert!(body.len() < 20_000, "{}", body.len());
        let mut held = budget().hold();
        let read = decompress(&body, (1 << 20) - 1, &mut held).await;
        assert_eq!(read, Err(CodingError::TooLarge));
        let read = decompress(&body, 1 << 20, &mut held).await;
        assert_eq!(read.map(|body| body.len()), Ok(1 << 20));
    }

    #[tokio::test]
    async fn what_is_broken_is_refused() {
        let whole = compress(b"{}").await;
        let mut held = budget().hold();
        for length in 0..whole.len() {
            let read = decompress(&whole[..length], 1000, &mut held).await;
            assert_eq!(read, Err(CodingError::Malformed), "{length}");
        }
        let read = decompress(&[&whole[..], b"more"].concat(), 1000, &mut held).await;
        assert_eq!(read, Err(CodingError::Malformed));
        let twice = decompress(&[&whole[..], &whole[..]].concat(), 1000, &mut held).await;
        assert_eq!(twice.unwrap(), "{}{}");
    }

    proptest! {
        #[test]
        fn bodies_survive(piece in prop::collection::vec(any::<u8>(), 0..300), times in 0usize..1000) {
            let body = piece.repeat(times);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let back = runtime.block_on(async {
                let mut held = budget().hold();
                decompress(&compress(&body).await, body.len(), &mut held).await
            });
            prop_assert_eq!(back.unwrap(), body);
        }

        #[test]
        fn decompressing_never_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(async { decompress(&body, 1000, &mut budget().hold()).await });
        }
    }
}
