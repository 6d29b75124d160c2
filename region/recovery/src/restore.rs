//! Restoring tables: from the archive, through the table layer, in bulk.
//!
//! What is to be restored stands in a register of the new table, and how far it is in a mark that never is ahead of what was
//! loaded. So a restore goes on after a crash where it was, and no table is ACTIVE with less than it should have.

use std::{sync::atomic::Ordering, time::Duration};

use geodynamo_storage::Engine;
use geodynamo_table::recovery::{Opener, Restoring, Row};

use crate::{Error, Job, Moment, Recoveries, Result, codec::unpack, root::RestoreProgress};

/// The most items that are committed at once: with their index entries they are within what a commit may have.
const ROWS_MAX: usize = 400;
/// Bytes of items that are committed at once.
const ROWS_BYTES: usize = 1 << 20;
/// How long a restore that failed waits until it is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl<E: Engine> Recoveries<E> {
    /// Restores everything that is to be restored; returns when it is done. The first error, if there was one.
    pub async fn restore_all(&self) -> Result<()> {
        let mut result = Ok(());
        for restoring in self.tables.loads().restoring() {
            if self.take(&restoring)
                && let Err(error) = self.restore_one(&restoring).await
            {
                result = result.and(Err(error));
            }
        }
        result
    }

    /// The same in the background.
    pub(crate) fn restore_in_background(&self) {
        for restoring in self.tables.loads().restoring() {
            if self.take(&restoring) {
                let this = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = this.restore_one(&restoring).await {
                        this.report("restoring a table", Err(error));
                    }
                });
            }
        }
    }

    /// Whether a restore is not under way yet, and may be now.
    fn take(&self, restoring: &Restoring) -> bool {
        let mut under_way = self.restoring.lock();
        if under_way.contains_key(&restoring.table) || under_way.len() >= self.options.restores_max {
            return false;
        }
        let progress = RestoreProgress {
            table: restoring.name.clone(),
            ..RestoreProgress::default()
        };
        under_way.insert(restoring.table, progress);
        true
    }

    async fn restore_one(&self, restoring: &Restoring) -> Result<()> {
        let result = self.load(restoring).await;
        match &result {
            Ok(items) => tracing::info!(table = restoring.name, items, "a table is restored"),
            Err(error) if error.may_pass() => tokio::time::sleep(RETRY).await,
            Err(error) => {
                self.counters.restores_failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(table = restoring.name, %error, "a table cannot be restored: it is removed");
                // Gone already, perhaps.
                let _ = self.tables.loads().abandon_restore(restoring.table).await;
            }
        }
        self.restoring.lock().remove(&restoring.table);
        result.map(drop)
    }

    async fn load(&self, restoring: &Restoring) -> Result<u64> {
        // The semaphore is never closed.
        let _turn = self.load_turn.acquire().await.ok();
        let table = restoring.table;
        let job: Job = unpack("a restore", &restoring.restore.job)?;
        let (mut load, mut mark) = self.tables.loads().take_up_restore(table).await?;
        let mut moment = Moment::open(&self.archive, &job, mark.last(), self.options.overlay_bytes_max).await?;
        let of = moment.manifest().items;
        let opener = match &moment.manifest().sealed {
            Some(sealed) => Some(self.tables.loads().opener(sealed).await?),
            None => None,
        };
        while let Some(rows) = moment.next_rows(ROWS_MAX, ROWS_BYTES).await? {
            mark = mark.behind(&rows);
            let count = rows.len() as u64;
            let rows = opened(rows, opener.as_ref())?;
            self.tables.loads().load_rows(&mut load, rows, &mark).await?;
            self.counters.restored_items.fetch_add(count, Ordering::Relaxed);
            if let Some(progress) = self.restoring.lock().get_mut(&table) {
                (progress.items, progress.of) = (mark.items, of);
            }
        }
        if job.at_ms.is_none() && mark.items != of {
            return Err(Error::damaged(
                &job.base,
                format!("it has {} items, not {of}", mark.items),
            ));
        }
        self.tables.loads().finish_restore(load, &mark).await?;
        Ok(mark.items)
    }
}

/// Rows that may have been kept sealed, without those that say that an item was deleted.
fn opened(rows: Vec<Row>, opener: Option<&Opener>) -> Result<Vec<Row>> {
    let Some(opener) = opener else { return Ok(rows) };
    let open = |row: &Row| opener.open(row).transpose();
    Ok(rows.iter().filter_map(open).collect::<std::result::Result<_, _>>()?)
}
