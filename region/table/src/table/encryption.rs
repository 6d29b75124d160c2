//! How a table is sealed under a key of its own, as its registers say.

use geodynamo_replicator_core::Millis;
use geodynamo_seal::KeyId;
use serde::{Deserialize, Serialize};

use crate::Table;

/// How a region's replica of a table is to be sealed, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// The master key; none if rows are to be plain.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(crate) master: Option<String>,
    /// The data key.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<SealedKey>,
    /// Whether there may be rows that are not sealed as they are to be.
    #[serde(rename = "r", default)]
    pub(crate) rewrite: bool,
    /// Since when the key is away, in milliseconds since the Unix epoch, if it is: it outlives a restart.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) away_ms: Option<Millis>,
}

/// A data key, wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedKey {
    /// Its id.
    #[serde(rename = "i")]
    pub(crate) id: String,
    /// The master key that was asked for.
    #[serde(rename = "m")]
    pub(crate) master: String,
    /// What the service calls the key that it is wrapped under.
    #[serde(rename = "n")]
    pub(crate) name: String,
    #[serde(rename = "w", with = "serde_bytes")]
    pub(crate) wrapped: Vec<u8>,
}

impl Encryption {
    pub(crate) fn step(&self) -> Step {
        match (&self.master, &self.key) {
            (Some(_), None) => Step::Make,
            (Some(master), Some(key)) if *master != key.master => Step::Wrap,
            _ if self.rewrite => Step::Rewrite,
            (None, Some(_)) => Step::Forget,
            _ => Step::Rest,
        }
    }
}

impl SealedKey {
    pub(crate) fn id(&self) -> Option<KeyId> {
        KeyId::parse(&self.id)
    }
}

/// What DescribeTable shows of a table's encryption, if it has a key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionDescription {
    /// The master key, as it was asked for.
    pub master: String,
    /// Whether rows are still being written anew.
    pub updating: bool,
    /// Since when the key is away, in milliseconds since the Unix epoch, if it is.
    pub away_since_ms: Option<Millis>,
}

impl Table {
    /// How it is encrypted in a region, if it has a key of its own there.
    pub(crate) fn describe_encryption(&self, region: &str) -> Option<EncryptionDescription> {
        let encryption = self.registers.encryption.get(region)?;
        let master = encryption.master.clone()?;
        let away = self
            .live
            .key
            .away_since()
            .map(|since| encryption.away_ms.unwrap_or(since));
        Some(EncryptionDescription {
            master,
            updating: encryption.step() != Step::Rest,
            away_since_ms: away,
        })
    }
}

/// What is to be done about a table's encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It needs a data key.
    Make,
    /// Its data key is wrapped under a former master key.
    Wrap,
    /// Its rows are to be written anew.
    Rewrite,
    /// No row is under its data key any more: once no change log is, it can be forgotten.
    Forget,
    Rest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::registers::pack;

    #[test]
    fn steps() {
        let key = |master: &str| SealedKey {
            id: KeyId::random().unwrap().to_string(),
            master: master.into(),
            name: "n".into(),
            wrapped: vec![1],
        };
        let cases = [
            (Some("a"), None, false, Step::Make),
            (Some("a"), None, true, Step::Make),
            (Some("a"), Some("b"), true, Step::Wrap),
            (Some("a"), Some("a"), true, Step::Rewrite),
            (Some("a"), Some("a"), false, Step::Rest),
            (None, Some("a"), true, Step::Rewrite),
            (None, Some("a"), false, Step::Forget),
            (None, None, false, Step::Rest),
        ];
        for (master, under, rewrite, wanted) in cases {
            let encryption = Encryption {
                master: master.map(str::to_owned),
                key: under.map(key),
                rewrite,
                away_ms: None,
            };
            assert_eq!(encryption.step(), wanted, "{encryption:?}");
            let packed = pack(&encryption).unwrap();
            assert_eq!(rmp_serde::from_slice::<Encryption>(&packed).unwrap(), encryption);
        }
    }
}
