//! Changes: the records of a change log.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{LogId, Position},
    past::Past,
    stamp::{Millis, ReplicaId, Stamp},
    version::{MergeKind, Version},
};

/// One committed mutation, as the change log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The item key (the partition key terminated, then the sort key).
    pub key: Bytes,
    /// The stamp of the version that was written; of a conflict, the loser's.
    pub stamp: Stamp,
    /// What that version's write had seen; of a conflict, the loser's.
    pub past: Past,
    /// Where it came from.
    pub origin: Origin,
    /// When it was committed here, by this replica's wall clock.
    pub commit_time: Millis,
    /// The transaction it was part of, in its own region.
    pub transaction: Option<TransactionId>,
    /// What was done.
    pub body: Body,
}

/// Where a change came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This replica wrote it (or detected it, if it is a conflict). Links send these.
    Local,
    /// It was merged from another replica's log, or from a copy. Links pass these over: nothing circulates.
    Remote {
        /// The replica that sent it.
        replica: ReplicaId,
        /// The log it was read from there.
        log: LogId,
        /// The end of the stretch of that log it came with.
        position: Position,
    },
}

/// A transaction's id, unique in its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u128);

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The item was written or deleted.
    Item {
        /// Whether the new version is a tombstone.
        deleted: bool,
        /// What that did to the item.
        effect: Effect,
        /// The item before and after, where a stream or recovery needs them.
        images: Images,
    },
    /// A version lost to one whose past lacks it.
    Conflict {
        /// How the loser merges.
        kind: MergeKind,
        /// The loser's bytes; `None` if it is a tombstone. Its stamp and past are the change's.
        value: Option<Bytes>,
        /// The stamp of the version that refused or displaced it.
        winner: Stamp,
    },
}

/// What a change did to an item, which its images cannot tell where they are not kept. Records from before these fields
/// were there read as those of an item that was new, and changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Whether there was an item before.
    pub existed: bool,
    /// Whether the item is what it was: a put of the very same item, a delete of nothing. Public streams hide it.
    pub unchanged: bool,
}

/// An item before and after a change: opaque bytes in the item's stored form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Before: `None` if there was no item, or if it was not kept.
    pub old: Option<Bytes>,
    /// After: `None` if there is no item, or if it was not kept.
    pub new: Option<Bytes>,
}

/// Why bytes are not a change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// They are not the MessagePack map that a change is.
    #[error("a change's bytes are damaged: {0}")]
    Damaged(#[from] rmp_serde::decode::Error),
    /// A field holds what no release writes.
    #[error("a change's {0} is not valid")]
    Field(&'static str),
}

impl Change {
    /// The record of a conflict: `loser` was refused or displaced by `winner`.
    pub fn conflict(key: Bytes, loser: Version, winner: Stamp, origin: Origin, commit_time: Millis) -> Self {
        let Version {
            stamp,
            past,
            kind,
            value,
        } = loser;
        Self {
            key,
            stamp,
            past,
            origin,
            commit_time,
            transaction: None,
            body: Body::Conflict { kind, value, winner },
        }
    }

    /// Whether a link sends it.
    pub fn is_local(&self) -> bool {
        self.origin == Origin::Local
    }

    /// The loser of the conflict this change records, and its winner's stamp.
    pub fn loser(&self) -> Option<(Version, Stamp)> {
        match &self.body {
            Body::Item { .. } => None,
            Body::Conflict { kind, value, winner } => {
                let loser = Version {
                    stamp: self.stamp,
                    past: self.past.clone(),
                    kind: *kind,
                    value: value.clone(),
                };
                Some((loser, *winner))
            }
        }
    }

    /// Its bytes: a MessagePack map of named fields.
    pub fn encode(&self) -> Vec<u8> {
        let images = match &self.body {
            Body::Item { images, .. } => [&images.old, &images.new],
            Body::Conflict { value, .. } => [&None, value],
        };
        let payload: usize = images.iter().filter_map(|image| image.as_ref()).map(Bytes::len).sum();
        let mut out = Vec::with_capacity(ENCODED_FIXED_BYTES + self.key.len() + self.past.len() * Stamp::LEN + payload);
        self.encode_into(&mut out);
        out
    }

    /// Appends its bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let stamp = self.stamp.to_bytes();
        let mut past = Vec::new();
        self.past.write_bytes(&mut past);
        let transaction = self.transaction.map(|id| id.0.to_be_bytes());
        let (deleted, old, new, conflict, winner);
        let mut effect = Effect::default();
        match &self.body {
            Body::Item {
                deleted: is_deleted,
                effect: of_item,
                images,
            } => {
                effect = *of_item;
                (deleted, old, new) = (*is_deleted, images.old.as_deref(), images.new.as_deref());
                (conflict, winner) = (None, None);
            }
            Body::Conflict {
                kind,
                value,
                winner: stamp,
            } => {
                (deleted, old, new) = (value.is_none(), None, value.as_deref());
                (conflict, winner) = (Some(u8::from(*kind)), Some(stamp.to_bytes()));
            }
        }
        let wire = Wire {
            key: &self.key,
            stamp: &stamp,
            past: &past,
            origin: match self.origin {
                Origin::Local => None,
                Origin::Remote { replica, log, position } => Some((replica.0, log.0, position.0)),
            },
            commit_time: self.commit_time,
            transaction: transaction.as_ref().map(|id| &id[..]),
            deleted,
            existed: effect.existed,
            unchanged: effect.unchanged,
            old,
            new,
            conflict,
            winner: winner.as_ref().map(|stamp| &stamp[..]),
        };
        // Writing into a Vec cannot fail, and every type in `Wire` has a MessagePack form.
        let written = rmp_serde::encode::write_named(out, &wire);
        debug_assert!(written.is_ok(), "a change always has an encoding");
    }

    /// Reads what [`Change::encode`] wrote. Keys and images share the given bytes. Fields that are not known are ignored.
    pub fn decode(bytes: &Bytes) -> Result<Self, ChangeError> {
        let wire: Wire<'_> = rmp_serde::from_slice(bytes)?;
        let share = |part: &[u8]| bytes.slice_ref(part);
        let stamp = read_stamp(wire.stamp).ok_or(ChangeError::Field("stamp"))?;
        let past = Past::from_bytes(wire.past).map_err(|_| ChangeError::Field("past"))?;
        let origin = match wire.origin {
            None => Origin::Local,
            Some((replica, log, position)) => Origin::Remote {
                replica: ReplicaId(replica),
                log: LogId(log),
                position: Position(position),
            },
        };
        let transaction = match wire.transaction {
            None => None,
            Some(id) => {
                let id = id.try_into().map_err(|_| ChangeError::Field("transaction"))?;
                Some(TransactionId(u128::from_be_bytes(id)))
            }
        };
        let body = match (wire.conflict, wire.winner) {
            (None, None) => Body::Item {
                deleted: wire.deleted,
                effect: Effect {
                    existed: wire.existed,
                    unchanged: wire.unchanged,
                },
                images: Images {
                    old: wire.old.map(share),
                    new: wire.new.map(share),
                },
            },
            (Some(kind), Some(winner)) => Body::Conflict {
                kind: MergeKind::try_from(kind).map_err(|_| ChangeError::Field("merge kind"))?,
                value: wire.new.map(share),
                winner: read_stamp(winner).ok_or(ChangeError::Field("winner"))?,
            },
            _ => return Err(ChangeError::Field("conflict")),
        };
        let key = share(wire.key);
        Ok(Self {
            key,
            stamp,
            past,
            origin,
            commit_time: wire.commit_time,
            transaction,
            body,
        })
    }
}

/// Upper bound of what an encoded change takes besides key, past and images, in bytes.
const ENCODED_FIXED_BYTES: usize = 128;

/// The fields of a change as they are stored. Names are one letter because every write stores them.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(rename = "k", with = "serde_bytes")]
    key: &'a [u8],
    #[serde(rename = "s", with = "serde_bytes")]
    stamp: &'a [u8],
    #[serde(
        rename = "p",
        default,
        skip_serializing_if = "<[u8]>::is_empty",
        with = "serde_bytes"
    )]
    past: &'a [u8],
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    origin: Option<(u64, u64, u64)>,
    #[serde(rename = "c")]
    commit_time: Millis,
    #[serde(
        rename = "t",
        default,
        skip_serializing_if = "Option::is_none",
        borrow,
        with = "serde_bytes"
    )]
    transaction: Option<&'a [u8]>,
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    existed: bool,
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    unchanged: bool,
    #[serde(
        rename = "i",
        default,
        skip_serializing_if = "Option::is_none",
        borrow,
        with = "serde_bytes"
    )]
    old: Option<&'a [u8]>,
    #[serde(
        rename = "n",
        default,
        skip_serializing_if = "Option::is_none",
        borrow,
        with = "serde_bytes"
    )]
    new: Option<&'a [u8]>,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    conflict: Option<u8>,
    #[serde(
        rename = "w",
        default,
        skip_serializing_if = "Option::is_none",
        borrow,
        with = "serde_bytes"
    )]
    winner: Option<&'a [u8]>,
}

fn read_stamp(bytes: &[u8]) -> Option<Stamp> {
    Stamp::from_bytes(bytes.try_into().ok()?)
}
