//! Frames on a stream: a length, perhaps compression, then the core's bytes.

use std::{cell::RefCell, io, thread::LocalKey};

use bytes::Bytes;
use geodynamo_replicator_core::frame::{self, FLAG_PLAIN, FLAG_ZSTD, FRAME_BYTES_MAX, FrameError};
use quinn::{ReadExactError, RecvStream};
use serde::{Serialize, de::DeserializeOwned};
use zstd::bulk::{Compressor, Decompressor};

/// Frames shorter than this are not compressed, in bytes: what little is saved is not worth the tables.
const COMPRESS_FROM_BYTES: usize = 4096;
/// zstd's level: the fastest that is worth its time on a WAN.
const COMPRESSION_LEVEL: i32 = 1;
/// Bytes of a frame's length, before it.
const LENGTH_BYTES: usize = 4;
/// The most frames that are taken from a stream at a time.
const FRAMES_AT_ONCE_MAX: usize = 64;
/// No more frames are taken at a time once they have so many bytes: what has come is worked on while more comes.
const BYTES_AT_ONCE: usize = 64 * 1024;
/// The most packets' data that is taken from a stream at a time.
const CHUNKS_AT_ONCE_MAX: usize = 64;
/// Room that is kept for what comes when nothing is left of what came.
const ROOM_BYTES_MAX: usize = 256 * 1024;
/// The flag and the uncompressed length before compressed bytes.
const ZSTD_HEAD_BYTES: usize = 5;

thread_local! {
    // Making a context takes longer than compressing a frame.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Uses this thread's context, which is made first if need be.
fn with_context<C, T>(
    context: &'static LocalKey<RefCell<Option<C>>>,
    make: impl FnOnce() -> io::Result<C>,
    with: impl FnOnce(&mut C) -> io::Result<T>,
) -> io::Result<T> {
    context.with_borrow_mut(|place| match place {
        Some(context) => with(context),
        None => with(place.insert(make()?)),
    })
}

/// Why a frame cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("compression failed: {0}")]
    Compression(std::io::Error),
    #[error("the stream ended within a frame: {0}")]
    Stream(ReadExactError),
}

/// Appends a frame, length first.
pub(crate) fn append<T: Serialize>(out: &mut Vec<u8>, frame: &T) -> Result<(), WireError> {
    let plain = frame::encode(frame)?;
    let sent = compress(&plain)?.unwrap_or(plain);
    out.extend_from_slice(
        &u32::try_from(sent.len())
            .map_err(|_| FrameError::Long(sent.len()))?
            .to_be_bytes(),
    );
    out.extend_from_slice(&sent);
    Ok(())
}

/// Reads the next frame; `None` at the stream's end. Not safe to cancel.
pub(crate) async fn read<T: DeserializeOwned>(stream: &mut RecvStream) -> Result<Option<T>, WireError> {
    let mut length = [0; LENGTH_BYTES];
    match stream.read_exact(&mut length).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(error) => return Err(WireError::Stream(error)),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::Long(length).into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.map_err(WireError::Stream)?;
    parse(&bytes).map(Some)
}

/// The frames of a stream, as they come.
pub(crate) struct Frames {
    stream: RecvStream,
    /// What has come, from `taken` on not yet taken: a few frames, or a part of one.
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            taken: 0,
        }
    }

    /// Appends the frames that have come, up to [`FRAMES_AT_ONCE_MAX`]; waits for one if there is none. Appends nothing at
    /// the stream's end. Safe to cancel.
    pub(crate) async fn read<T: DeserializeOwned>(&mut self, heard: &mut Vec<T>) -> Result<(), WireError> {
        // Whoever sends faster than is taken in does not keep the thread.
        tokio::task::coop::consume_budget().await;
        loop {
            let enough = self.taken.saturating_add(BYTES_AT_ONCE);
            while heard.len() < FRAMES_AT_ONCE_MAX
                && self.taken < enough
                && let Some((frame, length)) = first_of(self.bytes.get(self.taken..).unwrap_or_default())?
            {
                heard.push(parse(frame)?);
                self.taken += length;
            }
            if !heard.is_empty() {
                return Ok(());
            }
            // What is left is a part of a frame.
            self.bytes.drain(..self.taken);
            self.taken = 0;
            if self.bytes.is_empty() {
                self.bytes.shrink_to(ROOM_BYTES_MAX);
            }
            let mut chunks = [const { Bytes::new() }; CHUNKS_AT_ONCE_MAX];
            match self.stream.read_chunks(&mut chunks).await {
                Ok(Some(count)) => chunks[..count]
                    .iter()
                    .for_each(|chunk| self.bytes.extend_from_slice(chunk)),
                Ok(None) if self.bytes.is_empty() => return Ok(()),
                Ok(None) => return Err(WireError::Stream(ReadExactError::FinishedEarly(self.bytes.len()))),
                Err(error) => return Err(WireError::Stream(ReadExactError::ReadError(error))),
            }
        }
    }
}

/// The first frame of some bytes, and how many it takes with its length; `None` while a part of it is missing.
fn first_of(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, WireError> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::Long(length).into());
    }
    Ok(rest.get(..length).map(|frame| (frame, LENGTH_BYTES + length)))
}

/// The compressed form, if it is worth it.
fn compress(plain: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
    let Some((&FLAG_PLAIN, body)) = plain.split_first() else {
        return Ok(None);
    };
    if body.len() < COMPRESS_FROM_BYTES {
        return Ok(None);
    }
    let length = u32::try_from(body.len()).map_err(|_| FrameError::Long(body.len()))?;
    let small = with_context(
        &COMPRESSOR,
        || Compressor::new(COMPRESSION_LEVEL),
        |context| context.compress(body),
    )
    .map_err(WireError::Compression)?;
    // Less than a tenth saved is not worth the other side's time.
    if small.len() + ZSTD_HEAD_BYTES > body.len() - body.len() / 10 {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(ZSTD_HEAD_BYTES + small.len());
    out.push(FLAG_ZSTD);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&small);
    Ok(Some(out))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let Some((&FLAG_ZSTD, rest)) = bytes.split_first() else {
        return Ok(frame::decode(bytes)?);
    };
    let Some((length, body)) = rest.split_first_chunk::<4>() else {
        return Err(FrameError::Empty.into());
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length >= FRAME_BYTES_MAX {
        return Err(FrameError::Long(length).into());
    }
    // The capacity is the limit: bytes that would unpack to more are refused.
    let mut plain = vec![FLAG_PLAIN];
    let whole = with_context(&DECOMPRESSOR, Decompressor::new, |context| {
        context.decompress(body, length)
    });
    plain.extend(whole.map_err(WireError::Compression)?);
    Ok(frame::decode(&plain)?)
}

#[cfg(test)]
mod tests {
    use geodynamo_replicator_core::{CopyMark, CopyRequest, TableId, join::CopyFrame};

    use super::*;

    fn request(key: Vec<u8>) -> CopyFrame {
        CopyFrame::Request(CopyRequest {
            table: TableId(1),
            join: 2,
            after: Some(CopyMark(3, key.into())),
        })
    }

    #[test]
    fn frames_come_back() {
        // Steele et al.'s SplitMix64: bytes that do not compress.
        let mix = |i: u64| {
            let z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            ((z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 56) as u8
        };
        let noise: Vec<u8> = (1..5_000).map(mix).collect();
        let check = |key: Vec<u8>, expect: u8| {
            let mut out = Vec::new();
            append(&mut out, &request(key.clone())).unwrap();
            assert_eq!(u32::from_be_bytes(out[..4].try_into().unwrap()) as usize, out.len() - 4);
            assert_eq!(out[4], expect);
            assert_eq!(parse::<CopyFrame>(&out[4..]).unwrap(), request(key));
        };
        check(vec![7; 10], FLAG_PLAIN);
        check(vec![7; 5_000], FLAG_ZSTD);
        check(noise, FLAG_PLAIN);
    }

    /// Frames that come in pieces are whole only with their last byte; one that would be too long is refused at once.
    #[test]
    fn the_first_frame_is_found() {
        let mut out = Vec::new();
        append(&mut out, &request(vec![7; 10])).unwrap();
        let first = out.len();
        append(&mut out, &request(vec![8; 5_000])).unwrap();
        for end in 0..first {
            assert!(first_of(&out[..end]).unwrap().is_none());
        }
        for end in first..out.len() {
            let (frame, length) = first_of(&out[..end]).unwrap().unwrap();
            assert_eq!(
                (parse::<CopyFrame>(frame).unwrap(), length),
                (request(vec![7; 10]), first)
            );
        }
        assert!(first_of(&out[first..out.len() - 1]).unwrap().is_none());
        assert!(first_of(&out[first..]).unwrap().is_some());
        let long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
        assert!(first_of(&long).is_err());
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 1).unwrap();
        for claimed in [100_u32, 3_000_000, u32::MAX] {
            let mut bytes = vec![FLAG_ZSTD];
            bytes.extend(claimed.to_be_bytes());
            bytes.extend(&bomb);
            assert!(parse::<CopyFrame>(&bytes).is_err());
        }
        for bytes in [
            &[][..],
            &[FLAG_ZSTD],
            &[FLAG_ZSTD, 0, 0, 0, 9, 1, 2],
            &[FLAG_PLAIN, 0xc1],
            &[99],
        ] {
            assert!(parse::<CopyFrame>(bytes).is_err());
        }
        assert!(append(&mut Vec::new(), &request(vec![0; FRAME_BYTES_MAX])).is_err());
    }
}
