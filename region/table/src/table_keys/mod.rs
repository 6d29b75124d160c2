//! Keeps data keys as settings and the key service say, for as long as the region runs.

mod rewrite;

use std::{sync::Arc, time::Duration};

use geodynamo_replicator_core::Millis;
use geodynamo_seal::{MasterKeys, RowKey, SealError, sealed_under};
use geodynamo_storage::{Engine, LogId, Position, StorageError};

use crate::{
    Result, Table, TableError,
    catalog::Catalog,
    local::Local,
    sealing::{Sealing, make_key, unwrap_key},
    table::{
        encryption::{Encryption, SealedKey, Step},
        registers::{Setting, pack},
    },
};

/// When rows that could not be written anew are tried again.
const REWRITE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How the data keys of tables are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableKeyOptions {
    /// How often the key service is asked whether each table's key can still be had.
    pub check_every: Duration,
    /// For how long a table goes on when the service cannot be reached.
    pub unreachable_max: Duration,
}

impl Default for TableKeyOptions {
    /// A minute, and an hour.
    fn default() -> Self {
        Self {
            check_every: Duration::from_secs(60),
            unreachable_max: Duration::from_secs(3600),
        }
    }
}

/// Looks after tables' keys: asks for those that are away, rewrites what is to be sealed otherwise.
pub struct TableKeys<E: Engine> {
    pub(super) local: Arc<Local<E>>,
    pub(super) sealing: Arc<Sealing<E>>,
    pub(super) catalog: Arc<Catalog<E>>,
}

impl<E: Engine> TableKeys<E> {
    pub(crate) fn new(local: &Arc<Local<E>>, sealing: &Arc<Sealing<E>>, catalog: &Arc<Catalog<E>>) -> Self {
        Self {
            local: Arc::clone(local),
            sealing: Arc::clone(sealing),
            catalog: Arc::clone(catalog),
        }
    }

    /// Keeps the data keys of tables: makes those that are missing, looks whether they can still be had, and writes rows anew. It
    /// ends when it is dropped.
    pub async fn keep_table_keys(&self, options: TableKeyOptions) {
        let Some(masters) = self.sealing.master_keys.clone() else {
            return;
        };
        // Writing rows anew takes long, and other tables' keys do not wait for it.
        tokio::join!(self.keep_keys(&masters, options), self.keep_rewriting());
    }

    async fn keep_keys(&self, masters: &Arc<dyn MasterKeys>, options: TableKeyOptions) {
        let mut changed = self.local.catalog_changes();
        let mut checked = tokio::time::Instant::now();
        loop {
            changed.borrow_and_update();
            let is_due = checked.elapsed() >= options.check_every;
            if is_due {
                checked = tokio::time::Instant::now();
            }
            for table in self.local.all() {
                if let Err(error) = self.keep_key(masters, &table, is_due, options).await {
                    tracing::warn!(table = table.name(), %error, "a table's key cannot be looked after");
                }
            }
            let next = tokio::time::sleep_until(checked + options.check_every);
            tokio::select! {
                () = next => {}
                known = changed.changed() => if known.is_err() { return },
            }
        }
    }

    /// Writes rows anew, one table after the other, whenever the catalog changes or some were left.
    async fn keep_rewriting(&self) {
        let mut changed = self.local.catalog_changes();
        loop {
            changed.borrow_and_update();
            for table in self.local.all() {
                if let Err(error) = self.rewrite_table(&table).await {
                    tracing::warn!(table = table.name(), %error, "rows cannot be written anew");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(REWRITE_AGAIN_AFTER) => {}
                known = changed.changed() => if known.is_err() { return },
            }
        }
    }

    async fn rewrite_table(&self, table: &Table) -> Result<()> {
        let Some(encryption) = table.registers.encryption.get(self.local.region()) else {
            return Ok(());
        };
        if encryption.step() != Step::Rewrite || table.live.key.is_away() {
            return Ok(());
        }
        let written = self.rewrite_rows(table, encryption).await?;
        tracing::info!(table = table.name(), written, "rows are sealed as they are to be");
        self.set_encryption(table, encryption, |now| now.rewrite = false).await
    }

    async fn keep_key(
        &self,
        masters: &Arc<dyn MasterKeys>,
        table: &Table,
        is_due: bool,
        options: TableKeyOptions,
    ) -> Result<()> {
        let Some(encryption) = table.registers.encryption.get(self.local.region()) else {
            return Ok(());
        };
        let away = table.live.key.away_since();
        if table.live.key.last_seen() == 0 {
            table.live.key.seen(self.local.now_ms());
        }
        if let Some(sealed) = &encryption.key
            && (is_due || away.is_some())
        {
            self.check_key(masters, table, sealed, options).await?;
        }
        // How long it has been away is known after a restart, too.
        let away_ms = table.live.key.away_since();
        if away_ms.is_some() != encryption.away_ms.is_some() {
            return self
                .set_encryption(table, encryption, |now| now.away_ms = away_ms)
                .await;
        }
        match encryption.step() {
            Step::Make => {
                let Some(master) = &encryption.master else {
                    return Ok(());
                };
                let (sealed, key) = make_key(masters, master).await.map_err(told)?;
                self.local.store().seals().add(key);
                let key = Some(sealed);
                self.set_encryption(table, encryption, |now| now.key = key).await
            }
            Step::Wrap => {
                let Some(master) = &encryption.master else {
                    return Ok(());
                };
                let sealed = self.sealing.wrap_anew(encryption, master).await.map_err(told)?;
                self.set_encryption(table, encryption, |now| now.key = Some(sealed))
                    .await
            }
            Step::Forget => {
                // Links and streams may still have to read what the change logs have under it.
                if self.logs_are_plain(table).await? {
                    self.set_encryption(table, encryption, |now| now.key = None).await?;
                    tracing::info!(table = table.name(), "nothing is under the data key any more");
                }
                Ok(())
            }
            Step::Rewrite | Step::Rest => Ok(()),
        }
    }

    /// Whether no change log of a table has a sealed record any more. They are written in order, so the oldest one tells.
    async fn logs_are_plain(&self, table: &Table) -> Result<bool> {
        for info in self.local.change_logs(table) {
            let log = LogId(info.log.0);
            let oldest = self
                .local
                .store()
                .engine()
                .log_read(log, Position::START, 1, usize::MAX)
                .await?;
            if oldest.iter().any(|record| sealed_under(&record.record).is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks the service for a table's data key.
    async fn check_key(
        &self,
        masters: &Arc<dyn MasterKeys>,
        table: &Table,
        sealed: &SealedKey,
        options: TableKeyOptions,
    ) -> Result<()> {
        let now = self.local.now_ms();
        let away = table.live.key.away_since();
        match unwrap_key(masters, sealed).await {
            Ok((id, secret)) => {
                table.live.key.seen(now);
                if away.is_some() || self.local.store().seals().with_id(id).is_none() {
                    let key = RowKey::new(id, &secret).map_err(told)?;
                    self.local.store().seals().add(key);
                    tracing::info!(table = table.name(), "a table's key is there again");
                    self.catalog.refresh(table.id()).await?;
                }
            }
            Err(error) if away.is_none() => {
                let unreachable_max = Millis::try_from(options.unreachable_max.as_millis()).unwrap_or(Millis::MAX);
                let is_refused = matches!(error, SealError::Refused { .. });
                let silent = now.saturating_sub(table.live.key.last_seen());
                if !is_refused && silent < unreachable_max {
                    tracing::warn!(table = table.name(), %error, "a table's key cannot be asked for");
                    return Ok(());
                }
                tracing::error!(table = table.name(), %error, "a table's key is away: the table takes no requests");
                if let Some(id) = sealed.id() {
                    self.local.store().seals().remove(id);
                }
                self.catalog.refresh(table.id()).await?;
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Changes a table's setting, if it still is what was looked at.
    async fn set_encryption(
        &self,
        table: &Table,
        seen: &Encryption,
        change: impl FnOnce(&mut Encryption),
    ) -> Result<()> {
        let _changing = self.catalog.catalog_lock.lock().await;
        let Some(now) = self.local.table_with_id(table.id()) else {
            return Ok(());
        };
        if now.registers.encryption.get(self.local.region()) != Some(seen) {
            return Ok(());
        }
        let mut encryption = seen.clone();
        change(&mut encryption);
        let packed = pack(&encryption)?;
        let change = (Setting::Encryption(self.local.region().into()), Some(packed));
        self.catalog.set_locked(table.id(), vec![change]).await
    }
}

fn told(error: SealError) -> TableError {
    TableError::Storage(StorageError::Io(error.to_string().into()))
}
