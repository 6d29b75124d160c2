//! Pasts: what a write had seen.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::stamp::{Hlc, ReplicaId, Stamp};

/// The stamps a write had seen: a small version vector with one entry per replica, sorted by replica. A replica whose
/// versions have expired has a second entry, for their expiries: those are made by any replica that finds them, so who saw
/// a later write of the replica need not have seen them.
///
/// Of a key that was forgotten (see [`crate::collect`]), a write has seen everything up to where its replica had collected
/// tombstones: an entry under [`ReplicaId`] 0, which no replica has, says up to where.
///
/// A past is fixed when the write is made; merging never joins pasts. So a version whose stamp a past does not cover was
/// written concurrently with it: that is how a conflict is told from a plain overwrite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "SmallVec<[Seen; 2]>")]
pub struct Past(SmallVec<[Seen; 2]>);

/// The newest stamp seen of one replica, and whether it is of its expiries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Seen(ReplicaId, Hlc, bool);

/// Why bytes or entries from elsewhere are not a past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// The entries are not in the order of replicas, or one replica has two of a kind.
    #[error("a past's entries are not in the order of replicas")]
    Order,
    /// More replicas than [`Past::REPLICAS_MAX`].
    #[error("a past names more than {} replicas", Past::REPLICAS_MAX)]
    Long,
    /// The bytes are not a whole number of stamps.
    #[error("a past's bytes are not a whole number of stamps")]
    Bytes,
}

impl TryFrom<SmallVec<[Seen; 2]>> for Past {
    type Error = PastError;

    fn try_from(seen: SmallVec<[Seen; 2]>) -> Result<Self, PastError> {
        if seen.len() > Self::REPLICAS_MAX {
            return Err(PastError::Long);
        }
        if seen.windows(2).any(|pair| pair[0].key() >= pair[1].key()) {
            return Err(PastError::Order);
        }
        Ok(Self(seen))
    }
}

impl Past {
    /// The most replicas that a past read from elsewhere may name. An item's past names the replicas that ever wrote it;
    /// ids are new for every fresh or restored data directory, so this is generous.
    pub const REPLICAS_MAX: usize = 1024;

    /// The past of a first write: it saw nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The past of a write to a key of which nothing is held, in a replica that may have forgotten what it held, up to there.
    pub fn forgotten(up_to: Hlc) -> Self {
        let mut past = Self::new();
        if up_to > Hlc(0) {
            past.add(Stamp::new(up_to, ReplicaId(0)));
        }
        past
    }

    /// The past of a write made on top of a version: that version's past and its stamp.
    #[must_use]
    pub fn after(past: &Self, stamp: Stamp) -> Self {
        let mut out = past.clone();
        out.add(stamp);
        out
    }

    /// Adds a stamp that has been seen.
    pub fn add(&mut self, stamp: Stamp) {
        match self.find(stamp) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(stamp.time),
            Err(at) => self.0.insert(at, Seen(stamp.replica, stamp.time, stamp.expiry)),
        }
    }

    /// Whether the write with this past had seen that stamp.
    pub fn covers(&self, stamp: Stamp) -> bool {
        let floor = self.0.first().filter(|first| first.key() == (ReplicaId(0), false));
        floor.is_some_and(|floor| floor.1 >= stamp.time) || self.find(stamp).is_ok_and(|at| self.0[at].1 >= stamp.time)
    }

    /// One stamp per replica, in the order of replicas; a second one where it has expiries.
    pub fn iter(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.0.iter().map(|seen| Stamp {
            time: seen.1,
            replica: seen.0,
            expiry: seen.2,
        })
    }

    /// Appends its bytes: its stamps in the order of replicas, [`Stamp::LEN`] bytes each.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|stamp| out.extend_from_slice(&stamp.to_bytes()));
    }

    /// Reads what [`Past::write_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PastError> {
        let (stamps, rest) = bytes.as_chunks::<{ Stamp::LEN }>();
        if !rest.is_empty() {
            return Err(PastError::Bytes);
        }
        if stamps.len() > Self::REPLICAS_MAX {
            return Err(PastError::Long);
        }
        let mut seen = SmallVec::with_capacity(stamps.len());
        for bytes in stamps {
            let stamp = Stamp::from_bytes(bytes).ok_or(PastError::Bytes)?;
            seen.push(Seen(stamp.replica, stamp.time, stamp.expiry));
        }
        Self::try_from(seen)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Past {
    /// Where the entry is that a stamp counts for, or where it would be.
    fn find(&self, stamp: Stamp) -> Result<usize, usize> {
        self.0.binary_search_by_key(&(stamp.replica, stamp.expiry), Seen::key)
    }
}

impl Seen {
    fn key(&self) -> (ReplicaId, bool) {
        (self.0, self.2)
    }
}

impl FromIterator<Stamp> for Past {
    fn from_iter<I: IntoIterator<Item = Stamp>>(stamps: I) -> Self {
        let mut past = Self::new();
        stamps.into_iter().for_each(|stamp| past.add(stamp));
        past
    }
}
