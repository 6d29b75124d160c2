//! All that is said to Cassandra.
//!
//! What decides (the lease, the fence, entries of the log) is a lightweight transaction, or is read at SERIAL. All else is
//! idempotent and carries a timestamp that grows with the log's place, so it may be repeated, and may arrive late or in any
//! order.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use geodynamo_storage::{LogId, Position, StorageError};
use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    policies::retry::FallthroughRetryPolicy,
    response::{PagingState, query_result::QueryRowsResult},
    serialize::row::SerializeRow,
    statement::{
        Consistency, SerialConsistency,
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
    value::{CqlValue, Row},
};

use crate::{
    CassandraOptions, rows,
    schema::{self, JOURNAL, RECORDS},
    statements::Statements,
};

/// How long one request to Cassandra may take. Cassandra's own limits are below.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The values of a statement.
pub(crate) type Values = Box<dyn SerializeRow + Send + Sync>;

/// Who may write a slot's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Greater with every new holder.
    pub epoch: i64,
    /// Its holder's name; none if it was given up.
    pub node: Option<String>,
    /// Where other nodes reach the holder.
    pub address: Option<String>,
    /// Changes while the holder lives.
    pub beat: i64,
}

/// How far rows have followed the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) stretch: i64,
    pub(crate) place: i64,
    /// The first stretch that is still there.
    pub(crate) oldest: i64,
}

/// An entry of the journal.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) place: i64,
    /// Whether the stretch ends with it.
    pub(crate) ends: bool,
    pub(crate) payload: Bytes,
}

/// Records of one log in one entry.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) log: LogId,
    pub(crate) last: Position,
    pub(crate) count: u32,
    pub(crate) payload: Bytes,
}

/// A slot's tables.
pub(crate) struct Store {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) slot: i32,
    unfenced: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// Any error of the driver, as text.
pub(crate) fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError::Io(format!("Cassandra: {error}").into())
}

async fn session(options: &CassandraOptions) -> Result<Session, StorageError> {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::Quorum)
        .serial_consistency(Some(SerialConsistency::Serial))
        .request_timeout(Some(REQUEST_TIMEOUT))
        // Whether something may be repeated is known here, not in the driver.
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .connection_timeout(CONNECT_TIMEOUT)
        .default_execution_profile_handle(profile.into_handle())
        .tcp_nodelay(true)
        // As much as statements need to go to a node that has what they are about.
        .keyspaces_to_fetch([&options.keyspace])
        .fetch_full_schema_metadata(false)
        .tls_context(options.tls.clone());
    if let Some((user, password)) = &options.user {
        builder = builder.user(user, password);
    }
    if let Some(datacenter) = &options.datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    builder.build().await.map_err(failed)
}

/// Makes the keyspace and its tables where they are not there yet.
pub(crate) async fn create(options: &CassandraOptions, replication: &str) -> Result<(), StorageError> {
    let session = session(options).await?;
    for statement in schema::schema(&options.keyspace, replication) {
        session.query_unpaged(statement, ()).await.map_err(failed)?;
    }
    session.await_schema_agreement().await.map_err(failed)?;
    Ok(())
}

impl Store {
    pub(crate) async fn connect(options: &CassandraOptions) -> Result<Self, StorageError> {
        let session = session(options).await?;
        let statements = Statements::prepare(&session, &options.keyspace)
            .await
            .map_err(|error| StorageError::Io(format!("keyspace {}: {error}", options.keyspace).into()))?;
        Ok(Self {
            session,
            statements,
            slot: options.slot.0,
            unfenced: options.unfenced,
        })
    }

    // The lease.

    pub(crate) async fn lease(&self) -> Result<Lease, StorageError> {
        type Columns = (i64, Option<String>, Option<String>, i64);
        let rows = self.run(&self.statements.lease_read, (self.slot,)).await?;
        let row = rows.maybe_first_row::<Columns>().map_err(failed)?;
        Ok(row.map_or_else(Lease::default, |(epoch, node, address, beat)| Lease {
            epoch,
            node,
            address,
            beat,
        }))
    }

    /// Takes the lease if it is still as it was seen. Nobody else has the new epoch.
    pub(crate) async fn take(&self, seen: &Lease, node: &str, address: &str) -> Result<bool, StorageError> {
        let epoch = seen.epoch + 1;
        if *seen == Lease::default() {
            let values = (self.slot, epoch, node, address);
            return self.decide(&self.statements.lease_insert, values).await;
        }
        let values = (epoch, node, address, self.slot, seen.epoch, seen.beat);
        self.decide(&self.statements.lease_take, values).await
    }

    pub(crate) async fn beat(&self, epoch: i64, beat: i64) -> Result<bool, StorageError> {
        self.decide(&self.statements.lease_beat, (beat, self.slot, epoch)).await
    }

    pub(crate) async fn release(&self, epoch: i64) -> Result<bool, StorageError> {
        self.decide(&self.statements.lease_release, (self.slot, epoch)).await
    }

    // The log.

    /// The epoch that may write a stretch, and who wrote the entry at a place.
    pub(crate) async fn entry(&self, stretch: i64, place: i64) -> Result<(Option<i64>, Option<i64>), StorageError> {
        let epoch = self.fence(stretch).await?;
        let rows = self
            .run(&self.statements.entry_read, (self.slot, stretch, JOURNAL, place))
            .await?;
        let writer = rows.maybe_first_row::<(i64,)>().map_err(failed)?.map(|row| row.0);
        Ok((epoch, writer))
    }

    /// The epoch that may write a stretch.
    pub(crate) async fn fence(&self, stretch: i64) -> Result<Option<i64>, StorageError> {
        let rows = self.run(&self.statements.fence_read, (self.slot, stretch)).await?;
        let row = rows.maybe_first_row::<(Option<i64>,)>().map_err(failed)?;
        Ok(row.and_then(|row| row.0))
    }

    /// Lets an epoch write a stretch if `seen` was the one that might.
    pub(crate) async fn raise(&self, stretch: i64, seen: Option<i64>, epoch: i64) -> Result<bool, StorageError> {
        match seen {
            None => {
                let values = (epoch, self.slot, stretch);
                self.decide(&self.statements.fence_first, values).await
            }
            Some(seen) => {
                let values = (epoch, self.slot, stretch, seen);
                self.decide(&self.statements.fence_raise, values).await
            }
        }
    }

    /// Writes an entry, and the records that belong to it, if the epoch may still write the stretch and the place is free.
    /// An error says nothing of whether it was written.
    pub(crate) async fn append(
        &self,
        stretch: i64,
        epoch: i64,
        entry: &Entry,
        records: &[Records],
    ) -> Result<bool, StorageError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        let mut values: Vec<Values> = Vec::with_capacity(2 + records.len());
        let columns = (
            self.slot,
            stretch,
            JOURNAL,
            entry.place,
            epoch,
            entry.ends,
            entry.payload.clone(),
        );
        if self.unfenced {
            batch.append_statement(self.statements.entry_insert_unfenced.clone());
        } else {
            batch.append_statement(self.statements.fence_raise.clone());
            values.push(Box::new((epoch, self.slot, stretch, epoch)));
            batch.append_statement(self.statements.entry_insert.clone());
        }
        values.push(Box::new(columns));
        for Records {
            log,
            last,
            count,
            payload,
        } in records
        {
            batch.append_statement(self.statements.records_insert.clone());
            let count = i32::try_from(*count).unwrap_or(i32::MAX);
            let columns = (
                self.slot,
                stretch,
                RECORDS,
                log.0.cast_signed(),
                last.0.cast_signed(),
                count,
                payload.clone(),
            );
            values.push(Box::new(columns));
        }
        let result = self.session.batch(&batch, values).await.map_err(failed)?;
        if self.unfenced {
            return Ok(true);
        }
        applied(result.into_rows_result().map_err(failed)?)
    }

    /// The journal's entries behind a place, as they are at SERIAL.
    pub(crate) async fn entries(&self, stretch: i64, after: i64) -> Result<Vec<Entry>, StorageError> {
        let values = (self.slot, stretch, JOURNAL, after);
        let mut entries = Vec::new();
        self.pages(&self.statements.entries, &values, |rows| {
            for row in rows.rows::<(i64, bool, Bytes)>().map_err(failed)? {
                let (place, ends, payload) = row.map_err(failed)?;
                entries.push(Entry { place, ends, payload });
            }
            Ok(true)
        })
        .await?;
        Ok(entries)
    }

    /// Gives the journal's entries behind a place to `each`, as a majority has them, until it wants no more.
    pub(crate) async fn tail(
        &self,
        stretch: i64,
        after: i64,
        mut each: impl FnMut(Entry) -> bool,
    ) -> Result<(), StorageError> {
        let values = (self.slot, stretch, JOURNAL, after);
        self.pages(&self.statements.tail, &values, |rows| {
            for row in rows.rows::<(i64, bool, Bytes)>().map_err(failed)? {
                let (place, ends, payload) = row.map_err(failed)?;
                if !each(Entry { place, ends, payload }) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    /// Which records stand in a stretch: the log, the last position of each row, and how many records it has.
    pub(crate) async fn index(&self, stretch: i64) -> Result<Vec<(LogId, Position, u32)>, StorageError> {
        let mut index = Vec::new();
        self.pages(&self.statements.index, &(self.slot, stretch, RECORDS), |rows| {
            for row in rows.rows::<(i64, i64, i32)>().map_err(failed)? {
                let (log, last, count) = row.map_err(failed)?;
                let (log, last) = (LogId(log.cast_unsigned()), Position(last.cast_unsigned()));
                index.push((log, last, u32::try_from(count).unwrap_or_default()));
            }
            Ok(true)
        })
        .await?;
        Ok(index)
    }

    /// Rows of records of a log in a stretch whose last position is behind `after`, until they have enough bytes.
    pub(crate) async fn records(
        &self,
        stretch: i64,
        log: LogId,
        after: Position,
        bytes_max: usize,
    ) -> Result<Vec<(Position, Bytes)>, StorageError> {
        let (mut found, mut bytes) = (Vec::new(), 0usize);
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let values = (self.slot, stretch, RECORDS, log.0.cast_signed(), after);
        self.pages(&self.statements.records, &values, |rows| {
            for row in rows.rows::<(i64, Bytes)>().map_err(failed)? {
                let (last, payload) = row.map_err(failed)?;
                bytes = bytes.saturating_add(payload.len());
                found.push((Position(last.cast_unsigned()), payload));
            }
            Ok(bytes < bytes_max)
        })
        .await?;
        Ok(found)
    }

    /// Drops a stretch whole, and then what says that it was there.
    pub(crate) async fn drop_stretch(&self, stretch: i64) -> Result<(), StorageError> {
        self.send(&self.statements.stretch_drop, (self.slot, stretch)).await?;
        self.send(&self.statements.stretch_forget, (self.slot, stretch)).await
    }

    pub(crate) async fn mark(&self) -> Result<Mark, StorageError> {
        let rows = self.run(&self.statements.mark_read, (self.slot,)).await?;
        let row = rows.maybe_first_row::<(i64, i64, i64)>().map_err(failed)?;
        Ok(row.map_or_else(Mark::default, |(stretch, place, oldest)| Mark {
            stretch,
            place,
            oldest,
        }))
    }

    pub(crate) async fn write_mark(&self, mark: Mark) -> Result<(), StorageError> {
        let values = (
            self.slot,
            mark.stretch,
            mark.place,
            mark.oldest,
            put_timestamp(mark.place),
        );
        self.send(&self.statements.mark_write, values).await
    }

    // Change logs, and how far rows are.

    pub(crate) async fn logs(&self) -> Result<Vec<(LogId, Position, Position)>, StorageError> {
        let mut logs = Vec::new();
        self.pages(&self.statements.logs_read, &(self.slot,), |rows| {
            for row in rows.rows::<(i64, i64, i64)>().map_err(failed)? {
                let (log, last, trimmed) = row.map_err(failed)?;
                let position = |bits: i64| Position(bits.cast_unsigned());
                logs.push((LogId(log.cast_unsigned()), position(last), position(trimmed)));
            }
            Ok(true)
        })
        .await?;
        Ok(logs)
    }

    /// Writes how far logs go and are trimmed, as of a place.
    pub(crate) async fn write_logs(
        &self,
        place: i64,
        logs: Vec<(LogId, Position, Position)>,
    ) -> Result<(), StorageError> {
        let batches: Vec<_> = logs
            .chunks(rows::BATCH_WRITES_MAX)
            .map(|logs| {
                let mut batch = Batch::new(BatchType::Unlogged);
                let mut values = Vec::with_capacity(logs.len());
                for (log, last, trimmed) in logs {
                    batch.append_statement(self.statements.log_write.clone());
                    let [log, last, trimmed] = [log.0, last.0, trimmed.0].map(u64::cast_signed);
                    values.push((self.slot, log, last, trimmed, put_timestamp(place)));
                }
                (batch, values)
            })
            .collect();
        stream::iter(batches)
            .map(|(batch, values)| async move { self.session.batch(&batch, values).await.map_err(failed).map(drop) })
            .buffer_unordered(rows::BATCHES_AT_ONCE)
            .try_collect()
            .await
    }

    pub(crate) async fn stretches(&self, oldest: i64) -> Result<Vec<(i64, Bytes)>, StorageError> {
        let mut stretches = Vec::new();
        self.pages(&self.statements.stretches_read, &(self.slot, oldest), |rows| {
            for row in rows.rows::<(i64, Bytes)>().map_err(failed)? {
                stretches.push(row.map_err(failed)?);
            }
            Ok(true)
        })
        .await?;
        Ok(stretches)
    }

    pub(crate) async fn write_stretch(&self, stretch: i64, index: &Bytes) -> Result<(), StorageError> {
        let values = (self.slot, stretch, index);
        self.send(&self.statements.stretch_write, values).await
    }

    // How.

    pub(crate) async fn run(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StorageError> {
        let result = self.session.execute_unpaged(statement, values).await.map_err(failed)?;
        result.into_rows_result().map_err(failed)
    }

    /// A statement that is answered with no rows.
    async fn send(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<(), StorageError> {
        let sent = self.session.execute_unpaged(statement, values).await;
        sent.map_err(failed).map(drop)
    }

    /// A lightweight transaction: whether it was applied. An error says nothing of that.
    async fn decide(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<bool, StorageError> {
        applied(self.run(statement, values).await?)
    }

    /// Gives page after page to `each`, until it wants no more.
    pub(crate) async fn pages(
        &self,
        statement: &PreparedStatement,
        values: &(impl SerializeRow + Sync),
        mut each: impl FnMut(&QueryRowsResult) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let mut state = PagingState::start();
        loop {
            let (result, paging) = self
                .session
                .execute_single_page(statement, values, state)
                .await
                .map_err(failed)?;
            let goes_on = each(&result.into_rows_result().map_err(failed)?)?;
            match paging.into_paging_control_flow() {
                ControlFlow::Continue(next) if goes_on => state = next,
                _ => return Ok(()),
            }
        }
    }
}

/// The timestamp of what an entry writes. A range that it deletes has one less, so that what the entry puts into it stays.
pub(crate) fn put_timestamp(place: i64) -> i64 {
    2 * place + 1
}

/// Whether a lightweight transaction was applied: its answer's first column says so.
fn applied(rows: QueryRowsResult) -> Result<bool, StorageError> {
    let row = rows.first_row::<Row>().map_err(failed)?;
    match row.columns.first() {
        Some(Some(CqlValue::Boolean(applied))) => Ok(*applied),
        _ => Err(failed("a lightweight transaction was answered without a verdict")),
    }
}
