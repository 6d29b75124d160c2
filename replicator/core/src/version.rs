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
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none", with = "optional_bytes")]
    pub value: Option<Bytes>,
}

/// `Option<Bytes>` as MessagePack binary.
pub(crate) mod optional_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => serializer.serialize_some(serde_bytes::Bytes::new(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let bytes: Option<serde_bytes::ByteBuf> = Option::deserialize(deserializer)?;
        Ok(bytes.map(|bytes| Bytes::from(bytes.into_vec())))
    }
}
