//! Rows in Cassandra: read and written at QUORUM.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use geodynamo_storage::StorageError;
use scylla::{
    response::PagingState,
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};

use crate::store::{Store, Values, failed, put_timestamp};

/// The most writes and bytes in one batch of rows.
pub(crate) const BATCH_WRITES_MAX: usize = 200;
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Batches of rows on their way at once.
pub(crate) const BATCHES_AT_ONCE: usize = 16;

/// A write of rows in one range.
#[derive(Clone, Debug)]
pub(crate) enum RowWrite {
    Put(Bytes, Bytes),
    Delete(Bytes),
    /// Keys from the first up to the second, or to the end.
    DeleteFrom(Bytes, Option<Bytes>),
}

impl RowWrite {
    fn bytes(&self) -> usize {
        match self {
            Self::Put(a, b) | Self::DeleteFrom(a, Some(b)) => a.len() + b.len(),
            Self::Delete(key) | Self::DeleteFrom(key, None) => key.len(),
        }
    }
}

/// The keys of a scan in one range, from the first up to the second or to the end.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) from: Bytes,
    pub(crate) to: Option<Bytes>,
    pub(crate) reverse: bool,
}

/// A batch that is being made.
struct Batched {
    batch: Batch,
    values: Vec<Values>,
}

impl Batched {
    fn new() -> Self {
        Self {
            batch: Batch::new(BatchType::Unlogged),
            values: Vec::new(),
        }
    }

    fn push(&mut self, statement: &PreparedStatement, values: Values) {
        self.batch.append_statement(statement.clone());
        self.values.push(values);
    }
}

impl Store {
    pub(crate) async fn get(&self, range: i64, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let rows = self.run(&self.statements.row_get, (self.slot, range, key)).await?;
        Ok(rows.maybe_first_row::<(Bytes,)>().map_err(failed)?.map(|row| row.0))
    }

    /// A page of rows of one range; `more` if there are others behind.
    pub(crate) async fn scan(
        &self,
        range: i64,
        keys: &Keys,
        rows_max: i32,
    ) -> Result<(Vec<(Bytes, Bytes)>, bool), StorageError> {
        let statement = &self.statements.scan[2 * usize::from(keys.reverse) + usize::from(keys.to.is_some())];
        let mut statement = statement.clone();
        statement.set_page_size(rows_max.max(1));
        let start = PagingState::start();
        let answer = match &keys.to {
            Some(to) => {
                let values = (self.slot, range, &keys.from, to);
                self.session.execute_single_page(&statement, values, start).await
            }
            None => {
                let values = (self.slot, range, &keys.from);
                self.session.execute_single_page(&statement, values, start).await
            }
        };
        let (result, paging) = answer.map_err(failed)?;
        let result = result.into_rows_result().map_err(failed)?;
        let rows = result.rows::<(Bytes, Bytes)>().map_err(failed)?;
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Ok((rows, paging.into_paging_control_flow().is_continue()))
    }

    /// Writes rows, each with the place of the entry that it comes from. Repeating it does no harm.
    pub(crate) async fn write(&self, writes: Vec<(i64, i64, RowWrite)>) -> Result<(), StorageError> {
        let mut batches: Vec<Batched> = Vec::new();
        let (mut open, mut bytes) = (None, 0);
        for (range, place, write) in writes {
            let size = write.bytes();
            let full = batches
                .last()
                .is_none_or(|open| open.values.len() >= BATCH_WRITES_MAX || bytes + size > BATCH_BYTES_MAX);
            if open != Some(range) || full {
                batches.push(Batched::new());
                (open, bytes) = (Some(range), 0);
            }
            bytes += size;
            // There is one by now.
            let Some(batch) = batches.last_mut() else { continue };
            let (statement, columns): (_, Values) = match write {
                RowWrite::Put(key, value) => (
                    &self.statements.row_put,
                    Box::new((self.slot, range, key, value, put_timestamp(place))),
                ),
                RowWrite::Delete(key) => (
                    &self.statements.row_delete,
                    Box::new((put_timestamp(place), self.slot, range, key)),
                ),
                RowWrite::DeleteFrom(from, Some(to)) => (
                    &self.statements.row_delete_range,
                    Box::new((range_timestamp(place), self.slot, range, from, to)),
                ),
                RowWrite::DeleteFrom(from, None) => (
                    &self.statements.row_delete_from,
                    Box::new((range_timestamp(place), self.slot, range, from)),
                ),
            };
            batch.push(statement, columns);
        }
        stream::iter(batches)
            .map(|Batched { batch, values }| async move {
                self.session.batch(&batch, values).await.map_err(failed).map(drop)
            })
            .buffer_unordered(BATCHES_AT_ONCE)
            .try_collect()
            .await
    }

    pub(crate) async fn ranges(&self) -> Result<Vec<(Bytes, i64)>, StorageError> {
        let mut ranges = Vec::new();
        self.pages(&self.statements.ranges_read, &(self.slot,), |rows| {
            for row in rows.rows::<(Bytes, i64)>().map_err(failed)? {
                ranges.push(row.map_err(failed)?);
            }
            Ok(true)
        })
        .await?;
        Ok(ranges)
    }
}

/// Before what the same entry puts into the range, behind all that was before.
fn range_timestamp(place: i64) -> i64 {
    2 * place
}
