//! Tables with a key of their own.
//!
//! Which *master key* of a key service a table of this region is to be sealed under is a setting ([`Encryption`]). The service
//! seals a *data key* for it, which is kept, wrapped, beside the setting; the table's rows and change logs are sealed under the
//! data key ([`crate::store`]). What is to be done about a table is decided by looking at the two ([`Encryption::step`]):
//!
//! - A table that has no data key gets one; until it does, it takes no requests.
//! - A data key that is wrapped under another master key than the one that is wanted is wrapped anew.
//! - Rows that are not sealed as they are to be are written anew in the background ([`rewrite`]). A data key that no row and
//!   no record of a change log is under any more is forgotten.
//! - A service that refuses a table's data key, as it does when the master key is disabled, makes the table *inaccessible*:
//!   the key is forgotten at once, and requests are refused until the service gives it again. A service that cannot be reached
//!   changes nothing for a while.
//!
//! With the table go its settings, and with them all that the service could unwrap: its rows cannot be read any more, wherever
//! copies of files are.

mod keep;
mod presence;
mod rewrite;

use std::sync::Arc;

use geodynamo_replicator_core::Millis;
use geodynamo_seal::{KeyId, MasterKeys, RowKey, SealError, Secret};
use geodynamo_storage::Engine;
use serde::{Deserialize, Serialize};

pub use self::keep::TableKeyOptions;
pub(crate) use self::{keep::take_in, presence::KeyPresence};
use crate::{
    Result, Table, TableError, Tables,
    catalog::Change,
    registers::{Setting, pack},
    schema::IndexKind,
    store::{Current, TableSeal},
};

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
    id: String,
    /// The master key that was asked for.
    #[serde(rename = "m")]
    pub(crate) master: String,
    /// What the service calls the key that it is wrapped under.
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "w", with = "serde_bytes")]
    wrapped: Vec<u8>,
}

/// What is to be done about a table's encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
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

impl Encryption {
    fn step(&self) -> Step {
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

/// Makes a data key and has it wrapped under a master key.
async fn make_key(masters: &Arc<dyn MasterKeys>, master: &str) -> std::result::Result<(SealedKey, RowKey), SealError> {
    let id = KeyId::random()?;
    wrap_key(masters, master, id, Secret::random()?).await
}

async fn wrap_key(
    masters: &Arc<dyn MasterKeys>,
    master: &str,
    id: KeyId,
    secret: Secret,
) -> std::result::Result<(SealedKey, RowKey), SealError> {
    let (masters, named) = (Arc::clone(masters), master.to_owned());
    let asking = move || {
        let key = masters.master_key(&named);
        let wrapped = key.wrap(id, &secret)?;
        let sealed = SealedKey {
            id: id.to_string(),
            name: key.name(),
            master: named,
            wrapped,
        };
        Ok((sealed, RowKey::new(id, &secret)?))
    };
    blocking(asking).await
}

pub(crate) async fn unwrap_key(
    masters: &Arc<dyn MasterKeys>,
    sealed: &SealedKey,
) -> std::result::Result<(KeyId, Secret), SealError> {
    let (masters, sealed) = (Arc::clone(masters), sealed.clone());
    let asking = move || {
        let damaged = || SealError::Damaged("a table's data key cannot be read".into());
        let id = sealed.id().ok_or_else(damaged)?;
        let key = masters.master_key(&sealed.master);
        let secret = key.unwrap(&sealed.name, id, &sealed.wrapped)?.ok_or_else(damaged)?;
        Ok((id, secret))
    };
    blocking(asking).await
}

/// Keys are asked for in place, and the network is slow.
async fn blocking<T: Send + 'static>(
    asking: impl FnOnce() -> std::result::Result<T, SealError> + Send + 'static,
) -> std::result::Result<T, SealError> {
    let asked = tokio::task::spawn_blocking(asking).await;
    asked.unwrap_or_else(|_| Err(SealError::Damaged("asking for a key broke off".into())))
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

impl<E: Engine> Tables<E> {
    pub(crate) fn masters(&self) -> Result<&Arc<dyn MasterKeys>> {
        let none = || TableError::Validation("KMS validation error: this region has no key service for tables".into());
        self.master_keys.as_ref().ok_or_else(none)
    }

    /// Whether tables can have keys of their own.
    pub fn has_master_keys(&self) -> bool {
        self.master_keys.is_some()
    }

    /// The setting of a new table that is to be under a master key. Its data key can be used from here on.
    pub(crate) async fn encrypt_new(&self, master: &str) -> Result<Change> {
        let made = make_key(self.masters()?, master).await;
        let (sealed, key) = made.map_err(|error| refused(&error))?;
        self.store().seals().add(key);
        let encryption = Encryption {
            master: Some(master.to_owned()),
            key: Some(sealed),
            rewrite: false,
            away_ms: None,
        };
        Ok((Setting::Encryption(self.region().into()), Some(pack(&encryption)?)))
    }

    /// The setting of a table that is to be under another master key, or under none. The service is asked for the key, so that
    /// one that cannot be used is refused.
    pub(crate) async fn encrypt_anew(&self, table: &Table, master: Option<&str>) -> Result<Option<Change>> {
        let before = table.registers.encryption.get(self.region());
        if before.and_then(|before| before.master.as_deref()) == master {
            return Ok(None);
        }
        let mut encryption = Encryption {
            master: master.map(str::to_owned),
            key: before.and_then(|before| before.key.clone()),
            rewrite: before.is_some_and(|before| before.rewrite),
            away_ms: before.and_then(|before| before.away_ms),
        };
        match master {
            None => encryption.rewrite = true,
            Some(master) if encryption.key.is_none() => {
                let (sealed, key) = make_key(self.masters()?, master)
                    .await
                    .map_err(|error| refused(&error))?;
                self.store().seals().add(key);
                encryption.key = Some(sealed);
                encryption.rewrite = true;
            }
            // Rows that were being made plain are to be sealed again.
            Some(master) => {
                encryption.rewrite |= before.is_some_and(|before| before.master.is_none());
                let sealed = self
                    .wrap_anew(&encryption, master)
                    .await
                    .map_err(|error| refused(&error))?;
                encryption.key = Some(sealed);
            }
        }
        let packed = pack(&encryption)?;
        Ok(Some((Setting::Encryption(self.region().into()), Some(packed))))
    }

    /// A table's data key under another master key.
    async fn wrap_anew(&self, encryption: &Encryption, master: &str) -> std::result::Result<SealedKey, SealError> {
        let damaged = || SealError::Damaged("there is no data key".into());
        let (masters, sealed) = (self.master_keys.as_ref().ok_or_else(damaged)?, encryption.key.as_ref());
        let (id, secret) = unwrap_key(masters, sealed.ok_or_else(damaged)?).await?;
        let (sealed, _) = wrap_key(masters, master, id, secret).await?;
        Ok(sealed)
    }

    /// Tells the store how a table is sealed; whether its key is there.
    pub(crate) fn follow_encryption(&self, table: u64, held: Option<&Table>) -> bool {
        let seals = self.store().seals();
        let encryption = held.and_then(|held| held.registers.encryption.get(self.region()));
        let (Some(held), Some(encryption)) = (held, encryption) else {
            seals.set(table, None);
            return true;
        };
        let id = encryption.key.as_ref().and_then(SealedKey::id);
        let global = held.indexes().iter().filter_map(|index| match index.kind {
            IndexKind::Global(id) => Some(id),
            IndexKind::Local(_) => None,
        });
        let leaving = held.phases.leaving.iter().filter_map(|index| match index.kind {
            IndexKind::Global(id) => Some(id),
            IndexKind::Local(_) => None,
        });
        let current = match (&encryption.master, id) {
            (None, _) => Current::Plain,
            (Some(_), Some(id)) => Current::Under(id),
            (Some(_), None) => Current::Awaited,
        };
        seals.set(
            table,
            Some(TableSeal {
                current,
                indexes: global.chain(leaving).collect(),
                logs: self
                    .logs_of(held)
                    .iter()
                    .map(|info| geodynamo_storage::LogId(info.log.0))
                    .collect(),
            }),
        );
        match (&encryption.master, id) {
            // What its change logs still have under the key is all that needs it.
            (None, Some(_)) if !encryption.rewrite => true,
            (_, Some(id)) => seals.with_id(id).is_some(),
            (Some(_), None) => false,
            (None, None) => true,
        }
    }
}

/// The setting of another region's replica that is to be under a master key. That region makes the data key.
pub(crate) fn replica_key(table: &Table, region: &str, master: &str) -> Result<Change> {
    let before = table.registers.encryption.get(region);
    let key = before.and_then(|before| before.key.clone());
    let encryption = Encryption {
        master: Some(master.to_owned()),
        // A replica that is there may have rows; one that is new has none.
        rewrite: before.is_some_and(|before| before.rewrite)
            || (key.is_none() && table.registers.answers.contains_key(region)),
        key,
        away_ms: before.and_then(|before| before.away_ms),
    };
    Ok((Setting::Encryption(region.to_owned()), Some(pack(&encryption)?)))
}

/// What is told of rows whose key cannot be had: that it is refused, or that it may be had later.
pub(crate) fn not_opened(error: &SealError) -> TableError {
    match error {
        SealError::Service { .. } => TableError::Storage(geodynamo_storage::StorageError::KeyAway),
        error => refused(error),
    }
}

/// What a request is told whose key cannot be had.
fn refused(error: &SealError) -> TableError {
    TableError::Validation(format!("KMS validation error: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
