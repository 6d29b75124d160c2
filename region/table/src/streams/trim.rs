//! Trimming: what no reader of a change log needs any more goes.

use geodynamo_replicator_core::{LogId, Millis, Position};
use geodynamo_storage::{Engine, Write};

use super::state::Horizon;
use crate::{Result, Table, TableError, layout::keys, streams::Streams, table::TableStatus};

/// Records looked at first when a log is trimmed by age: most often the oldest is young enough.
const FIRST_ROWS: usize = 1;
/// Records looked at next, as long as they are too old.
const NEXT_ROWS: usize = 1024;
/// Bytes looked at a time, likewise.
const BYTES: usize = 1024 * 1024;

impl<E: Engine> Streams<E> {
    /// Drops what no reader of the logs needs any more: what every replica has applied and, where the table has streams
    /// (also ones that were switched off, also of a table that is gone), what is older than their retention. Takes away
    /// shards and streams of which nothing is left.
    ///
    /// System tables' logs are never trimmed: they are small, and a fresh incarnation reads them whole.
    pub async fn trim_logs(&self) -> Result<()> {
        let now = self.local.orderer().time.now_ms();
        let old = now.saturating_sub(self.local.options().streams.retention_ms);
        for table in self.local.all() {
            if table.status() != TableStatus::Creating {
                self.trim_table(&table, old).await?;
            }
        }
        let kept: Vec<u64> = self.states().state.lock().tables.keys().copied().collect();
        for table in kept {
            self.forget_old(table, old).await?;
        }
        Ok(())
    }

    async fn trim_table(&self, table: &Table, old: Millis) -> Result<()> {
        for info in self.local.logs_of(table) {
            let applied = self.logs.applied_everywhere(table, info.log);
            let horizon = self
                .raise_horizon(table.id(), usize::from(info.partition), info.log, old)
                .await?;
            let up_to = horizon.map_or(applied, |horizon| horizon.min(applied));
            let released = self.logs.holders.release(table, info.log);
            let up_to = released.map_or(up_to, |released| released.min(up_to));
            self.logs.trim_log(info.log, up_to).await?;
        }
        Ok(())
    }

    /// Takes away a table's streams that ended too long ago, and the generations of the others; and if the table is gone,
    /// what its logs still hold for them.
    async fn forget_old(&self, table: u64, old: Millis) -> Result<()> {
        let (partitions, ended, last) = {
            let state = self.states().state.lock();
            let Some(kept) = state.tables.get(&table) else {
                return Ok(());
            };
            let ended = kept.streams.iter().filter(|(_, stream)| {
                let closed = stream.header.closed.as_ref();
                closed.is_some_and(|closed| closed.ms <= old)
            });
            let ended: Vec<Millis> = ended.map(|(label, _)| *label).collect();
            (kept.horizons.len(), ended.clone(), ended.len() == kept.streams.len())
        };
        if !self.local.directory().by_id.contains_key(&table) {
            for partition in 0..partitions {
                let log = LogId(self.stream_log(table, partition).0);
                let horizon = self.raise_horizon(table, partition, log, old).await?;
                // The logs before the rows: what has no row any more would stay for ever.
                let up_to = if last {
                    self.logs.stored_end(log).await?
                } else {
                    horizon.unwrap_or_default()
                };
                self.logs.trim_log(log, up_to).await?;
            }
        }
        for label in ended {
            self.forget_stream(table, label).await?;
        }
        self.forget_generations(table, old).await
    }

    /// Takes away the generations that ended too long ago, and of which nothing can be read any more.
    async fn forget_generations(&self, table: u64, old: Millis) -> Result<()> {
        let mut gone = Vec::new();
        {
            let state = self.states().state.lock();
            let Some(kept) = state.tables.get(&table) else {
                return Ok(());
            };
            for (label, stream) in &kept.streams {
                for number in stream.generations.keys() {
                    let Some((ends, ended_ms)) = stream.end_of(*number) else {
                        break;
                    };
                    let trimmed = ends
                        .iter()
                        .zip(&kept.horizons)
                        .all(|(end, horizon)| *end <= horizon.position);
                    if ended_ms > old || !trimmed {
                        break;
                    }
                    gone.push((*label, *number));
                }
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let rows = gone
            .iter()
            .map(|(label, number)| keys::stream_generation(table, *label, *number));
        self.write_rows(rows.map(Write::Delete).collect()).await?;
        let mut state = self.states().state.lock();
        for (label, number) in gone {
            if let Some(stream) = state.stream_mut(table, label) {
                stream.generations.remove(&number);
            }
        }
        Ok(())
    }

    /// Moves a log's horizon over what is too old; none if the table has no streams.
    async fn raise_horizon(&self, table: u64, partition: usize, log: LogId, old: Millis) -> Result<Option<Position>> {
        let known = {
            let state = self.states().state.lock();
            let kept = state.tables.get(&table);
            kept.and_then(|kept| kept.horizons.get(partition).copied())
        };
        let Some(mut horizon) = known else {
            return Ok(None);
        };
        if horizon.next.is_some_and(|next| next >= old) {
            return Ok(Some(horizon.position));
        }
        let end = if self.local.directory().by_id.contains_key(&table) {
            self.local.log_end(log)
        } else {
            self.logs.stored_end(log).await?
        };
        horizon = self.older_than(log, old, horizon.position, end).await?;
        let mut state = self.states().state.lock();
        if let Some(known) = state
            .tables
            .get_mut(&table)
            .and_then(|kept| kept.horizons.get_mut(partition))
        {
            *known = horizon;
        }
        Ok(Some(horizon.position))
    }

    /// The last position, up to a limit, of the records that were committed before a time, and when the next one was. A
    /// record that is younger hides older ones behind it: a clock that stepped back trims later, never earlier.
    async fn older_than(&self, log: LogId, time: Millis, from: Position, limit: Position) -> Result<Horizon> {
        let (mut at, mut rows) = (from, FIRST_ROWS);
        while at < limit {
            let records = self.logs.read_log(log, at, rows, BYTES).await;
            let records = records.map_err(|error| TableError::Corrupt(error.to_string()))?;
            if records.is_empty() {
                break;
            }
            for (position, change) in records {
                if position > limit || change.commit_time >= time {
                    let next = Some(change.commit_time);
                    return Ok(Horizon { position: at, next });
                }
                at = position;
            }
            rows = NEXT_ROWS;
        }
        Ok(Horizon {
            position: at,
            next: None,
        })
    }
}
