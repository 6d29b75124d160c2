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

use std::sync::Arc;

use geodynamo_seal::{KeyId, MasterKeys, RowKey, SealError, Secret};
use geodynamo_storage::Engine;

use crate::{
    Result, Table, TableError,
    local::Local,
    schema::IndexKind,
    store::{Current, TableSeal},
    table::{
        encryption::{Encryption, SealedKey},
        registers::{Change, Registers, Setting, pack},
    },
};

/// Makes a data key and has it wrapped under a master key.
pub(crate) async fn make_key(
    masters: &Arc<dyn MasterKeys>,
    master: &str,
) -> std::result::Result<(SealedKey, RowKey), SealError> {
    let id = KeyId::random()?;
    wrap_key(masters, master, id, Secret::random()?).await
}

pub(crate) async fn wrap_key(
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
pub(crate) async fn blocking<T: Send + 'static>(
    asking: impl FnOnce() -> std::result::Result<T, SealError> + Send + 'static,
) -> std::result::Result<T, SealError> {
    let asked = tokio::task::spawn_blocking(asking).await;
    asked.unwrap_or_else(|_| Err(SealError::Damaged("asking for a key broke off".into())))
}

/// The keys that tables of their own are sealed under.
pub struct Sealing<E: Engine> {
    local: Arc<Local<E>>,
    /// What seals the data keys; none where tables cannot have keys.
    pub(crate) master_keys: Option<Arc<dyn MasterKeys>>,
}

impl<E: Engine> Sealing<E> {
    pub(crate) fn new(local: &Arc<Local<E>>, master_keys: Option<Arc<dyn MasterKeys>>) -> Self {
        Self {
            local: Arc::clone(local),
            master_keys,
        }
    }

    /// Takes in the data keys of all tables that can be had, before the tables are opened.
    pub(crate) async fn take_in(&self, registers: impl Iterator<Item = &Registers>) {
        let Some(masters) = &self.master_keys else { return };
        for registers in registers {
            let encryption = registers.encryption.get(self.local.region());
            let Some(sealed) = encryption.and_then(|encryption| encryption.key.as_ref()) else {
                continue;
            };
            let name = registers.definition.as_ref().map_or("", |definition| &definition.name);
            let unwrapped = unwrap_key(masters, sealed).await;
            match unwrapped.and_then(|(id, secret)| RowKey::new(id, &secret)) {
                Ok(key) => self.local.store().seals().add(key),
                Err(error) => tracing::error!(table = name, %error, "a table's key cannot be had"),
            }
        }
    }

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
        self.local.store().seals().add(key);
        let encryption = Encryption {
            master: Some(master.to_owned()),
            key: Some(sealed),
            rewrite: false,
            away_ms: None,
        };
        Ok((
            Setting::Encryption(self.local.region().into()),
            Some(pack(&encryption)?),
        ))
    }

    /// The setting of a table that is to be under another master key, or under none. The service is asked for the key, so that
    /// one that cannot be used is refused.
    pub(crate) async fn encrypt_anew(&self, table: &Table, master: Option<&str>) -> Result<Option<Change>> {
        let before = table.registers.encryption.get(self.local.region());
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
                self.local.store().seals().add(key);
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
        Ok(Some((Setting::Encryption(self.local.region().into()), Some(packed))))
    }

    /// A table's data key under another master key.
    pub(crate) async fn wrap_anew(
        &self,
        encryption: &Encryption,
        master: &str,
    ) -> std::result::Result<SealedKey, SealError> {
        let damaged = || SealError::Damaged("there is no data key".into());
        let (masters, sealed) = (self.master_keys.as_ref().ok_or_else(damaged)?, encryption.key.as_ref());
        let (id, secret) = unwrap_key(masters, sealed.ok_or_else(damaged)?).await?;
        let (sealed, _) = wrap_key(masters, master, id, secret).await?;
        Ok(sealed)
    }

    /// Tells the store how a table is sealed; whether its key is there.
    pub(crate) fn follow_encryption(&self, table: u64, held: Option<&Table>) -> bool {
        let seals = self.local.store().seals();
        let encryption = held.and_then(|held| held.registers.encryption.get(self.local.region()));
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
                    .local
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
pub(crate) fn refused(error: &SealError) -> TableError {
    TableError::Validation(format!("KMS validation error: {error}"))
}
