//! Frames: what travels on a link.
//!
//! A frame on the wire is its length (u32, big-endian), a first byte that tells version and compression, and a MessagePack
//! map of named fields. Compression is the transport's business; this module knows only the plain form.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    delta::Delta,
    ids::{LogId, LogInfo, Position},
    stamp::{Millis, ReplicaId},
    trace::Traced,
};

/// The newest version of the protocol that this release speaks. A dialer says its newest one; the acceptor answers with the newest
/// that both speak.
pub const PROTOCOL: u16 = 1;
/// The oldest version that this release still speaks: the one before [`PROTOCOL`], once there is one.
pub const PROTOCOL_LEAST: u16 = 1;
/// The longest frame, uncompressed, in bytes. A batch is cut long before; a single item of DynamoDB's 400 KB fits.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most logs in one [`Frame::Open`].
pub const LOGS_PER_OPEN_MAX: usize = 1024;
/// The most deltas in one [`Frame::Deltas`].
pub const DELTAS_PER_FRAME_MAX: usize = 4096;
/// The longest name of a cluster or region, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// First byte of a frame: version 1, plain.
pub const FLAG_PLAIN: u8 = 1;
/// First byte of a frame: version 1, zstd. The uncompressed length (u32, big-endian) follows, then the compressed bytes.
pub const FLAG_ZSTD: u8 = 2;

/// What travels on a link. The first group comes from the dialer (it sends deltas), the second from the acceptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The dialer's first frame.
    #[serde(rename = "hello")]
    Hello {
        /// The protocol it speaks.
        #[serde(rename = "v")]
        protocol: u16,
        /// Its cluster.
        #[serde(rename = "c")]
        cluster: String,
        /// Its region.
        #[serde(rename = "g")]
        region: String,
        /// Its replica.
        #[serde(rename = "r")]
        replica: ReplicaId,
        /// Its wall clock.
        #[serde(rename = "n")]
        now_ms: Millis,
    },
    /// These logs will be sent. Answered by a [`Frame::Resume`] for each, once its table is known to the receiver.
    #[serde(rename = "open")]
    Open {
        /// At most [`LOGS_PER_OPEN_MAX`].
        #[serde(rename = "l")]
        logs: Vec<LogInfo>,
    },
    /// A stretch of a log.
    #[serde(rename = "deltas")]
    Deltas {
        /// Which log.
        #[serde(rename = "l")]
        log: LogId,
        /// It begins after this position.
        #[serde(rename = "a")]
        after: Position,
        /// Once applied, everything up to here is.
        #[serde(rename = "u")]
        up_to: Position,
        /// Which [`Frame::Resume`] it follows.
        #[serde(rename = "e")]
        epoch: u32,
        /// What of it must be sent; empty if nothing.
        #[serde(rename = "d")]
        deltas: Vec<Delta>,
        /// The sender's wall clock.
        #[serde(rename = "n")]
        sent_ms: Millis,
        /// Of the deltas' versions, those that are traced: at most [`TRACES_PER_FRAME_MAX`](crate::TRACES_PER_FRAME_MAX), in
        /// whatever order. Not there if there are none, and passed over by releases that do not know it.
        #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
        traces: Vec<Traced>,
    },
    /// This log will not be sent any more.
    #[serde(rename = "close")]
    Close {
        /// Which log.
        #[serde(rename = "l")]
        log: LogId,
    },
    /// Answered by [`Frame::Pong`].
    #[serde(rename = "ping")]
    Ping {
        /// The sender's wall clock.
        #[serde(rename = "n")]
        sent_ms: Millis,
    },

    /// The acceptor's first frame.
    #[serde(rename = "welcome")]
    Welcome {
        /// The protocol it speaks.
        #[serde(rename = "v")]
        protocol: u16,
        /// Its region.
        #[serde(rename = "g")]
        region: String,
        /// Its replica.
        #[serde(rename = "r")]
        replica: ReplicaId,
        /// How much may be on the way, in the unit of [`Delta::weight`].
        #[serde(rename = "c")]
        credit_bytes: u64,
    },
    /// Send this log from here.
    #[serde(rename = "resume")]
    Resume {
        /// Which log.
        #[serde(rename = "l")]
        log: LogId,
        /// The receiver's durable cursor; or, where it found a gap, up to where it has taken everything in.
        #[serde(rename = "p")]
        position: Position,
        /// Counts the frames of this kind on the connection. A [`Frame::Deltas`] that bears another number was sent
        /// before this one was heard: it is dropped.
        #[serde(rename = "e")]
        epoch: u32,
    },
    /// Send nothing of this log until the next [`Frame::Resume`]; what is on the way is dropped.
    #[serde(rename = "pause")]
    Pause {
        /// Which log.
        #[serde(rename = "l")]
        log: LogId,
    },
    /// Everything up to here is durably applied or parked.
    #[serde(rename = "ack")]
    Ack {
        /// Which log.
        #[serde(rename = "l")]
        log: LogId,
        /// The receiver's durable cursor.
        #[serde(rename = "u")]
        up_to: Position,
    },
    /// This much more may be on the way.
    #[serde(rename = "credit")]
    Credit {
        /// In the unit of [`Delta::weight`].
        #[serde(rename = "b")]
        bytes: u64,
    },
    /// Answers [`Frame::Ping`].
    #[serde(rename = "pong")]
    Pong {
        /// The ping's.
        #[serde(rename = "n")]
        sent_ms: Millis,
        /// The answerer's wall clock.
        #[serde(rename = "m")]
        now_ms: Millis,
    },
}

/// Why bytes are not a frame, or a frame not bytes.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is longer than {FRAME_BYTES_MAX}")]
    Long(usize),
    /// The first byte is not one this release knows.
    #[error("a frame's first byte {0} is not known to this release")]
    Flag(u8),
    /// The bytes are not the MessagePack they should be.
    #[error("a frame is damaged: {0}")]
    Damaged(#[from] rmp_serde::decode::Error),
    /// No encoding: cannot happen for the types of this crate.
    #[error("a frame cannot be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
    /// There is nothing.
    #[error("a frame is empty")]
    Empty,
}

/// The plain form of a frame (of a link or of a copy): [`FLAG_PLAIN`], then the MessagePack map.
pub fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(128);
    out.push(FLAG_PLAIN);
    rmp_serde::encode::write_named(&mut out, frame)?;
    if out.len() > FRAME_BYTES_MAX {
        Err(FrameError::Long(out.len()))
    } else {
        Ok(out)
    }
}

/// Reads what [`encode`] wrote. Fields that are not known are ignored.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(FrameError::Long(bytes.len()));
    }
    match bytes.split_first() {
        None => Err(FrameError::Empty),
        Some((&FLAG_PLAIN, body)) => Ok(rmp_serde::from_slice(body)?),
        Some((&flag, _)) => Err(FrameError::Flag(flag)),
    }
}

impl Frame {
    /// What a [`Frame::Deltas`] with these deltas costs of the credit.
    pub fn weight_of(deltas: &[Delta]) -> u64 {
        DELTAS_WEIGHT + deltas.iter().map(|delta| delta.weight() as u64).sum::<u64>()
    }
}

/// What an empty [`Frame::Deltas`] costs of the credit.
const DELTAS_WEIGHT: u64 = 64;
