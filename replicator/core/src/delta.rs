//! Deltas: what is sent of a change.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{stamp::Stamp, version::Version};

/// What is sent of a change: the key's current version, or a conflict's loser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delta {
    /// A key's version: judged against what the receiver holds.
    #[serde(rename = "v")]
    Version {
        /// The item key (the partition key terminated, then the sort key).
        #[serde(rename = "k", with = "crate::codec::bytes_field")]
        key: Bytes,
        /// The version the sender held when it sent it.
        #[serde(rename = "v")]
        version: Version,
    },
    /// A conflict's loser: recorded by the receiver unless it already is, never judged.
    #[serde(rename = "c")]
    Conflict {
        /// The item key.
        #[serde(rename = "k", with = "crate::codec::bytes_field")]
        key: Bytes,
        /// The version that lost. The record's key is (key, its stamp).
        #[serde(rename = "v")]
        loser: Version,
        /// The stamp of the version that refused or displaced it, where the conflict was detected.
        #[serde(rename = "w")]
        winner: Stamp,
    },
}

impl Delta {
    /// Upper bound of what field names, headers and the winner's stamp take, in bytes.
    const WEIGHT_FIXED: usize = 48;

    /// The item key it speaks of.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Version { key, .. } | Self::Conflict { key, .. } => key,
        }
    }

    /// An upper bound of its encoded bytes. Credit is counted in this, so that both ends count alike whatever the
    /// encoding and the compression.
    pub fn weight(&self) -> usize {
        let version = match self {
            Self::Version { version, .. } => version,
            Self::Conflict { loser, .. } => loser,
        };
        Self::version_weight(self.key(), version)
    }

    /// The weight of a delta that carries this version of this key.
    pub fn version_weight(key: &[u8], version: &Version) -> usize {
        Self::WEIGHT_FIXED + key.len() + version.weight()
    }
}
