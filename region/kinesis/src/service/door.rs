//! What the API asks of destinations.

use std::sync::Arc;

use geodynamo_storage::Engine;
use geodynamo_table::{
    Table, TableError,
    kinesis::{Answer, Destination, DestinationError, DestinationStatus, KinesisDestinations, Precision},
};

use super::{Entry, Inner, Kinesis, PAUSE_MAX};
use crate::{
    DESTINATIONS_MAX,
    row::{Stored, StoredStatus, destination_row, pack, position_row},
};

impl<E: Engine> KinesisDestinations for Kinesis<E> {
    fn enable<'a>(&'a self, table: &'a str, stream: &'a str, precision: Option<Precision>) -> Answer<'a, Destination> {
        Box::pin(async move {
            let inner = &self.0;
            let _writing = inner.writing.lock().await;
            let table = inner.tables.table(table)?;
            if stream.split(':').nth(2) != Some("kinesis") {
                return Err(DestinationError::Invalid(format!("Invalid StreamArn: {stream}")));
            }
            inner.check_account(&table, stream)?;
            let of_table = inner.of_table(table.id());
            let is_on = |entry: &&Arc<Entry>| entry.stored.lock().status.is_fed() || entry.passing.lock().is_some();
            let same = of_table.iter().find(|entry| entry.stored.lock().stream == stream);
            if same.is_some_and(|entry| is_on(&entry)) {
                return Err(invalid_state("enable", "DISABLED or ENABLE_FAILED", "ENABLE"));
            }
            if of_table.iter().filter(is_on).count() >= DESTINATIONS_MAX {
                return Err(DestinationError::LimitExceeded(format!(
                    "A table has at most {DESTINATIONS_MAX} Kinesis streaming destinations."
                )));
            }
            inner.tables.streams().feed(&table, true);
            let Some(cut) = inner.tables.logs().cut(&table).await else {
                return Err(TableError::ResourceNotFound(table.name().to_owned()).into());
            };
            let mut stored = Stored {
                table: table.id(),
                stream: stream.to_owned(),
                status: StoredStatus::Enabling,
                microseconds: None,
                reason: None,
            };
            stored.set_precision(precision);
            let mut rows = vec![(destination_row(stream), Some(pack(&stored)?))];
            for (log, position) in inner.tables.local().change_logs(&table).iter().zip(&cut.ends) {
                rows.push((position_row(stream, log.partition), Some(pack(&position.0)?)));
            }
            if let Err(error) = inner.keep(table.id(), rows).await {
                inner.feed(&table);
                return Err(error.into());
            }
            let entry = inner.entry(stored, cut.ends);
            inner
                .entries
                .lock()
                .insert((table.id(), stream.to_owned()), Arc::clone(&entry));
            inner.hold(&table);
            inner.begin(&entry, table);
            Ok(entry.shown())
        })
    }

    fn disable<'a>(&'a self, table: &'a str, stream: &'a str) -> Answer<'a, Destination> {
        Box::pin(async move {
            let inner = &self.0;
            let _writing = inner.writing.lock().await;
            let table = inner.tables.table(table)?;
            let entry = inner.entries.lock().get(&(table.id(), stream.to_owned())).cloned();
            let entry = entry.filter(|entry| entry.stored.lock().status.is_fed() && entry.passing.lock().is_none());
            let Some(entry) = entry else {
                return Err(invalid_state("disable", "ACTIVE", "DISABLE"));
            };
            *entry.passing.lock() = Some(DestinationStatus::Disabling);
            let shown = entry.shown();
            let inner = Arc::clone(inner);
            tokio::spawn(async move {
                let runner = entry.runner.lock().take();
                if let Some(runner) = runner {
                    runner.stop.send_replace(true);
                    let _ = runner.task.await;
                }
                let mut stored = entry.stored.lock().clone();
                stored.status = StoredStatus::Disabled;
                while let Err(error) = inner.store(&stored).await {
                    tracing::warn!(%error, stream = stored.stream, "a destination's status was not stored");
                    tokio::time::sleep(PAUSE_MAX).await;
                }
                *entry.stored.lock() = stored;
                *entry.passing.lock() = None;
                inner.feed(&table);
            });
            Ok(shown)
        })
    }

    fn update<'a>(&'a self, table: &'a str, stream: &'a str, precision: Option<Precision>) -> Answer<'a, Destination> {
        Box::pin(async move {
            let inner = &self.0;
            let _writing = inner.writing.lock().await;
            let table = inner.tables.table(table)?;
            let entry = inner.entries.lock().get(&(table.id(), stream.to_owned())).cloned();
            let is_active = |entry: &Arc<Entry>| entry.stored.lock().status == StoredStatus::Active;
            let entry = entry.filter(|entry| is_active(entry) && entry.passing.lock().is_none());
            let Some(entry) = entry else {
                return Err(invalid_state("update", "ACTIVE", "UPDATE"));
            };
            let Some(precision) = precision else {
                return Err(DestinationError::Invalid(
                    "Streaming destination cannot be updated with given parameters: UpdateKinesisStreamingConfiguration \
                     cannot be null or contain only null values"
                        .into(),
                ));
            };
            let mut stored = entry.stored.lock().clone();
            if stored.precision() == Some(precision) {
                return Err(DestinationError::Invalid(format!(
                    "Invalid Request: Precision is already set to the desired value of {} for tableName: {}, streamArn: \
                     {stream}",
                    precision.code(),
                    table.name()
                )));
            }
            stored.set_precision(Some(precision));
            inner.store(&stored).await?;
            *entry.stored.lock() = stored;
            Ok(Destination {
                status: DestinationStatus::Updating,
                ..entry.shown()
            })
        })
    }

    fn describe(&self, table: &str) -> Result<Vec<Destination>, DestinationError> {
        let table = self.0.tables.table(table)?;
        Ok(self.0.of_table(table.id()).iter().map(|entry| entry.shown()).collect())
    }
}

impl<E: Engine> Inner<E> {
    /// Refuses a stream of another account than the table's, unless the table is the cluster's own account's: its streams are those
    /// of its key, whatever account their ARNs tell.
    fn check_account(&self, table: &Table, stream: &str) -> Result<(), DestinationError> {
        let owner = self.tables.local().owner(table.name());
        if owner == self.tables.account() {
            return Ok(());
        }
        if stream.split(':').nth(4) != Some(owner) {
            return Err(DestinationError::Invalid(format!(
                "The stream must be of the table's account: {stream}"
            )));
        }
        if self.endpoint(table).is_none() {
            return Err(DestinationError::Invalid(format!(
                "There is no Kinesis for account {owner} in this region."
            )));
        }
        Ok(())
    }
}

fn invalid_state(verb: &str, needed: &str, operation: &str) -> DestinationError {
    DestinationError::Invalid(format!(
        "Table is not in a valid state to {verb} Kinesis Streaming Destination: KinesisStreamingDestination must be {needed} \
         to perform {operation} operation."
    ))
}
