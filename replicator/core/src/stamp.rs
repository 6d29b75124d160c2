//! Stamps: the total order of versions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as handed in by whoever drives the core. The core never reads a clock.
pub type Millis = u64;

/// A hybrid logical clock reading: 48 bits of milliseconds since the Unix epoch, then a 16-bit counter.
///
/// A reading is one integer, so a counter that overflows carries into the milliseconds and order is never lost.
/// Source: Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases" (2014).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Bits of the counter below the milliseconds.
    pub const COUNTER_BITS: u32 = 16;

    /// The first reading of a millisecond.
    pub const fn from_millis(ms: Millis) -> Self {
        Self(ms << Self::COUNTER_BITS)
    }

    /// The physical part, in milliseconds since the Unix epoch.
    pub const fn millis(self) -> Millis {
        self.0 >> Self::COUNTER_BITS
    }

    /// The next reading; saturates at the end of time rather than wrapping into the past.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A replica's incarnation: new for every fresh or restored data directory, never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A version's stamp: totally ordered, never issued twice.
///
/// The order of the fields is the order of stamps: time, then replica, then the expiry bit. An expiry (TTL) carries the
/// stamp of the very version it expires with the bit set, so it is just above that version and below any renewal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When, by the writer's hybrid logical clock.
    #[serde(rename = "t")]
    pub time: Hlc,
    /// Which replica issued it.
    #[serde(rename = "r")]
    pub replica: ReplicaId,
    /// Whether this is the expiry of the version with the same time and replica.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub expiry: bool,
}

impl Stamp {
    /// Bytes of [`Stamp::to_bytes`].
    pub const LEN: usize = 17;

    /// A stamp of an ordinary write.
    pub const fn new(time: Hlc, replica: ReplicaId) -> Self {
        Self {
            time,
            replica,
            expiry: false,
        }
    }

    /// The stamp of this version's expiry.
    #[must_use]
    pub const fn expired(self) -> Self {
        Self { expiry: true, ..self }
    }

    /// Big-endian bytes whose order is the order of stamps.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.time.0.to_be_bytes());
        out[8..16].copy_from_slice(&self.replica.0.to_be_bytes());
        out[16] = u8::from(self.expiry);
        out
    }

    /// Reads what [`Stamp::to_bytes`] wrote; `None` if the expiry byte is neither 0 nor 1.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[..8]);
        let mut replica = [0; 8];
        replica.copy_from_slice(&bytes[8..16]);
        let expiry = match bytes[16] {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self {
            time: Hlc(u64::from_be_bytes(time)),
            replica: ReplicaId(u64::from_be_bytes(replica)),
            expiry,
        })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hlc(time) = self.time;
        write!(f, "{}.{}@{}", self.time.millis(), time & 0xffff, self.replica)?;
        if self.expiry { f.write_str("!") } else { Ok(()) }
    }
}
