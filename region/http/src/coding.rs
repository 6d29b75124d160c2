//! Content codings of bodies: gzip and deflate, in and out. Long bodies let other requests run in between.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{
    Compression, Decompress, FlushDecompress, Status,
    bufread::MultiGzDecoder,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, header};

use super::body::Held;

/// Shorter answers are sent as they are, in bytes. DynamoDB has such a threshold, and does not say which.
pub(crate) const COMPRESSED_BYTES_MIN: usize = 4 << 10;

/// Bytes that are worked on before other requests get their turn: well below a millisecond's work.
const PIECE_BYTES: usize = 64 << 10;

/// The level for answers: what a client waits for is worth more than the last bytes. The lowest one makes texts that do not
/// repeat themselves hardly shorter, for it counts no letters.
const LEVEL: Compression = Compression::new(2);

/// A weight of 1 in `Accept-Encoding`, whose weights have three decimals.
const WEIGHT_ONE: u16 = 1000;

/// How a body is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coding {
    /// RFC 1952
    Gzip,
    /// RFC 1950, which HTTP calls deflate. Of clients, RFC 1951 alone is taken too: many have read it so.
    Deflate,
}

impl Coding {
    /// Its name in headers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// Why a body could not be decompressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CodingError {
    /// Not what it is said to be, or broken off.
    Malformed,
    /// Longer than a request may be.
    TooLarge,
}

/// How the client wants long answers to be compressed (RFC 9110, 12.5.3): the coding with the greatest weight, and gzip of
/// two. As in DynamoDB, only the first such header counts, and older names of gzip do not.
pub(crate) fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let value = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let (mut gzip, mut deflate, mut identity, mut any) = (None, None, None, None);
    for coding in value.split(',') {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = Some(parts.find_map(weight).unwrap_or(WEIGHT_ONE));
        for (known, of) in [
            ("gzip", &mut gzip),
            ("deflate", &mut deflate),
            ("identity", &mut identity),
            ("*", &mut any),
        ] {
            if name.eq_ignore_ascii_case(known) {
                *of = weight;
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    let deflate = deflate.or(any).unwrap_or(0);
    let (coding, weight) = if deflate > gzip {
        (Coding::Deflate, deflate)
    } else {
        (Coding::Gzip, gzip)
    };
    (weight > 0 && identity.is_none_or(|identity| identity <= weight)).then_some(coding)
}

/// `q=0.5`, in thousandths; none if it is another parameter. What is no number is as if there were none.
fn weight(parameter: &str) -> Option<u16> {
    let text = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    let weight = text
        .trim()
        .parse::<f32>()
        .ok()
        .filter(|weight| (0.0..=1.0).contains(weight));
    // Within the range, it is from 0 to 1000.
    Some(weight.map_or(WEIGHT_ONE, |weight| (weight * f32::from(WEIGHT_ONE)) as u16))
}

/// How a request's body is compressed, if it is.
pub(crate) fn of_request(headers: &HeaderMap) -> Result<Option<Coding>, CodingError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let name = value.to_str().map_err(|_| CodingError::Malformed)?.trim();
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match values.next() {
        None if is("gzip") || is("x-gzip") => Ok(Some(Coding::Gzip)),
        None if is("deflate") => Ok(Some(Coding::Deflate)),
        None if is("identity") || name.is_empty() => Ok(None),
        _ => Err(CodingError::Malformed),
    }
}

/// The body, compressed.
pub(crate) async fn compress(body: &[u8], coding: Coding) -> Bytes {
    let room = Vec::with_capacity(body.len() / 4);
    let compressed = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(room, LEVEL);
            write_pieces(body, &mut encoder).await;
            encoder.finish()
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(room, LEVEL);
            write_pieces(body, &mut encoder).await;
            encoder.finish()
        }
    };
    // Writing to a vector does not fail.
    compressed.unwrap_or_default().into()
}

async fn write_pieces(body: &[u8], encoder: &mut impl Write) {
    for piece in body.chunks(PIECE_BYTES) {
        // Writing to a vector does not fail.
        let _ = encoder.write_all(piece);
        if piece.len() == PIECE_BYTES {
            tokio::task::yield_now().await;
        }
    }
}

/// The body that was compressed, of at most so many bytes. Memory for it is held before it is used.
pub(crate) async fn decompress(
    body: &[u8],
    coding: Coding,
    bytes_max: usize,
    held: &mut Held,
) -> Result<Bytes, CodingError> {
    match coding {
        Coding::Gzip => gunzip(body, bytes_max, held).await,
        Coding::Deflate => inflate(body, bytes_max, held).await,
    }
}

async fn gunzip(body: &[u8], bytes_max: usize, held: &mut Held) -> Result<Bytes, CodingError> {
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

async fn inflate(body: &[u8], bytes_max: usize, held: &mut Held) -> Result<Bytes, CodingError> {
    let mut decoder = Decompress::new(has_zlib_header(body));
    let mut piece = vec![0; PIECE_BYTES];
    let mut whole = Vec::new();
    loop {
        held.grow_to(body.len() + whole.len() + PIECE_BYTES).await;
        // It has taken no more than there was.
        let rest = usize::try_from(decoder.total_in())
            .ok()
            .and_then(|taken| body.get(taken..));
        let (taken, given) = (decoder.total_in(), decoder.total_out());
        let status = decoder.decompress(rest.unwrap_or_default(), &mut piece, FlushDecompress::None);
        let status = status.map_err(|_| CodingError::Malformed)?;
        let new = usize::try_from(decoder.total_out() - given).unwrap_or(PIECE_BYTES);
        whole.extend_from_slice(piece.get(..new).unwrap_or_default());
        if whole.len() > bytes_max {
            return Err(CodingError::TooLarge);
        }
        match status {
            Status::StreamEnd if decoder.total_in() == body.len() as u64 => return Ok(whole.into()),
            // Something stands behind its end.
            Status::StreamEnd => return Err(CodingError::Malformed),
            // It is broken off.
            _ if new == 0 && decoder.total_in() == taken => return Err(CodingError::Malformed),
            _ => tokio::task::yield_now().await,
        }
    }
}

/// Whether a body begins as RFC 1950 has it: the method, and a check of the first two bytes.
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::body::Budget;

    #[test]
    fn what_clients_accept() {
        let check = |values: &[&'static str], expect: Option<Coding>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(accepted(&headers), expect, "{values:?}");
        };
        let (gzip, deflate) = (Some(Coding::Gzip), Some(Coding::Deflate));
        check(&[], None);
        check(&[""], None);
        check(&["identity"], None);
        check(&["gzip"], gzip);
        check(&["br, GZip ;q=0.1"], gzip);
        check(&["deflate"], deflate);
        check(&["deflate, gzip"], gzip);
        check(&["deflate;q=0.5, gzip;q=0.2"], deflate);
        check(&["deflate;q=0.5,gzip;q=0.501"], gzip);
        check(&["deflate, gzip;q=0.5"], deflate);
        check(&["*"], gzip);
        check(&["*;q=0.1"], gzip);
        check(&["*;q=0"], None);
        check(&["gzip;q=0, *"], deflate);
        check(&["br, *;q=0.5, deflate;q=0.7"], deflate);
        check(&["x-gzip"], None);
        check(&["br", "gzip"], None);
        check(&["gzip", "br"], gzip);
        check(&["gzip;q=0"], None);
        check(&["gzip; q=0.000, br"], None);
        check(&["gzip;q=high"], gzip);
        check(&["identity, gzip;q=0.5"], None);
        check(&["identity;q=0.5, gzip;q=0.5"], gzip);
        check(&["gzipped, zip"], None);
    }

    #[test]
    fn how_requests_are_compressed() {
        let check = |values: &[&'static str], expect: Result<Option<Coding>, CodingError>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(of_request(&headers), expect, "{values:?}");
        };
        check(&[], Ok(None));
        check(&[""], Ok(None));
        check(&["Identity"], Ok(None));
        check(&["GZIP"], Ok(Some(Coding::Gzip)));
        check(&[" deflate "], Ok(Some(Coding::Deflate)));
        for other in ["garbage", "br", "gzip, deflate", "zstd"] {
            check(&[other], Err(CodingError::Malformed));
        }
        check(&["gzip", "gzip"], Err(CodingError::Malformed));
    }

    fn budget() -> Arc<Budget> {
        Arc::new(Budget::new(64 << 20))
    }

    const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Deflate];

    #[tokio::test]
    async fn what_is_too_large_is_left() {
        for coding in CODINGS {
            let body = compress(&[0; 1 << 20], coding).await;
            assert!(body.len() < 20_000, "{}", body.len());
            let mut held = budget().hold();
            let read = decompress(&body, coding, (1 << 20) - 1, &mut held).await;
            assert_eq!(read, Err(CodingError::TooLarge));
            let read = decompress(&body, coding, 1 << 20, &mut held).await;
            assert_eq!(read.map(|body| body.len()), Ok(1 << 20));
        }
    }

    #[tokio::test]
    async fn what_is_broken_is_refused() {
        let mut held = budget().hold();
        for coding in CODINGS {
            let whole = compress(b"{}", coding).await;
            for length in 0..whole.len() {
                let read = decompress(&whole[..length], coding, 1000, &mut held).await;
                assert_eq!(read, Err(CodingError::Malformed), "{coding:?} {length}");
            }
            let read = decompress(&[&whole[..], b"more"].concat(), coding, 1000, &mut held).await;
            assert_eq!(read, Err(CodingError::Malformed));
        }
        let whole = compress(b"{}", Coding::Gzip).await;
        let twice = decompress(&[&whole[..], &whole[..]].concat(), Coding::Gzip, 1000, &mut held).await;
        assert_eq!(twice.unwrap(), "{}{}");
    }

    #[tokio::test]
    async fn deflate_may_come_without_its_frame() {
        let framed = compress(b"{\"a\": 1}", Coding::Deflate).await;
        let bare = &framed[2..framed.len() - 4];
        let read = decompress(bare, Coding::Deflate, 1000, &mut budget().hold()).await;
        assert_eq!(read.unwrap(), "{\"a\": 1}");
    }

    /// Letters and digits are six bits at most, and two bits in eight are saved however little they repeat themselves.
    #[tokio::test]
    async fn letters_by_chance_are_compressed() {
        let mut state = 1_u32;
        let mut letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[(state >> 16) as usize % 62]
        };
        let body: Vec<u8> = (0..204_823).map(|_| letter()).collect();
        for coding in CODINGS {
            let compressed = compress(&body, coding).await;
            assert!(compressed.len() < body.len() * 76 / 100, "{}", compressed.len());
        }
    }

    proptest! {
        #[test]
        fn bodies_survive(piece in prop::collection::vec(any::<u8>(), 0..300), times in 0usize..1000) {
            let body = piece.repeat(times);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for coding in CODINGS {
                let back = runtime.block_on(async {
                    let mut held = budget().hold();
                    decompress(&compress(&body, coding).await, coding, body.len(), &mut held).await
                });
                prop_assert_eq!(&back.unwrap(), &body);
            }
        }

        #[test]
        fn decompressing_never_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for coding in CODINGS {
                let _ = runtime.block_on(async { decompress(&body, coding, 1000, &mut budget().hold()).await });
            }
        }
    }
}
