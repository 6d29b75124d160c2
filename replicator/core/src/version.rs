//! Versions: what a replica holds of a key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{past::Past, stamp::Stamp};

/// How two versions of a key are merged. Stored with every version and sent with every delta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum MergeKind {
    /// The whole item is one last-writer-wins register.
    #[default]
    ItemLww,
}

impl From<MergeKind> for u8 {
    fn from(kind: MergeKind) -> Self {
        match kind {
            MergeKind::ItemLww => 0,
        }
    }
}

impl TryFrom<u8> for MergeKind {
    type Error = String;

    fn try_from(byte: u8) -> Result<Self, String> {
        match byte {
            0 => Ok(Self::ItemLww),
            other => Err(format!("merge kind {other} is not known to this release")),
        }
    }
}

/// One version of a key: its stamp, its past, and its opaque bytes; a deleted key is a version without bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its place in the total order.
    #[serde(rename = "s")]
    pub stamp: Stamp,
    /// What its write had seen.
    #[serde(rename = "p", default, skip_serializing_if = "Past::is_empty")]
    pub past: Past,
    /// How it merges.
    #[serde(rename = "k", default)]
    pub kind: MergeKind,
    /// The item's bytes; `None` is a tombstone.
    #[serde(
        rename = "v",
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::codec::optional_bytes"
    )]
    pub value: Option<Bytes>,
}

impl Version {
    /// A version of an item.
    pub fn item(stamp: Stamp, past: Past, value: Bytes) -> Self {
        Self {
            stamp,
            past,
            kind: MergeKind::ItemLww,
            value: Some(value),
        }
    }

    /// A deleted item's version.
    pub fn tombstone(stamp: Stamp, past: Past) -> Self {
        Self {
            stamp,
            past,
            kind: MergeKind::ItemLww,
            value: None,
        }
    }

    /// Whether this is a tombstone.
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// An upper bound of its encoded bytes.
    pub fn weight(&self) -> usize {
        Self::WEIGHT_FIXED + self.past.len() * Self::WEIGHT_SEEN + self.value.as_ref().map_or(0, Bytes::len)
    }

    /// Upper bound of what stamp, kind and field names take, in bytes.
    const WEIGHT_FIXED: usize = 48;
    /// Upper bound of what one entry of a past takes, in bytes.
    const WEIGHT_SEEN: usize = 24;
}
