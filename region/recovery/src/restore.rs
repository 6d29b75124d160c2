//! Restoring tables: from the archive, through the table layer, in bulk.
//!
//! What is to be restored stands in a register of the new table, and how far it is in a mark that never is ahead of what was
//! loaded. So a restore goes on after a crash where it was, and no table is ACTIVE with less than it should have.

use std::{sync::atomic::Ordering, time::Duration};

use geodynamo_storage::{Engine, Health, StorageError};
use geodynamo_table::{
    TableError,
    recovery::{Opener, Restoring, Row},
};
use tokio::sync::mpsc;

use crate::{Error, Job, Moment, Recoveries, Result, codec::unpack, root::RestoreProgress};

/// The most items that are put at once, and about how many bytes of them, where they are committed: with their index entries they
/// are within what a commit may have.
const COMMITTED: (usize, usize) = (400, 1 << 20);
/// Likewise where they go into files, which cost the less the more come at once.
const FILED: (usize, usize) = (4_000, 4 << 20);
/// How often so many are read ahead of what is put.
const AHEAD: usize = 3;
/// The pause before a restore that was broken off is tried again: the first one, and the longest that it grows to.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// For how long it waits at most, beyond that, for a store that takes no writes.
const WRITABLE_WITHIN: Duration = Duration::from_secs(5 * 60);

impl<E: Engine> Recoveries<E> {
    /// Restores everything that is to be restored; returns when it is done. The first error, if there was one.
    pub async fn restore_all(&self) -> Result<()> {
        let mut result = Ok(());
        for restoring in self.tables.loads().restoring() {
            if self.take(&restoring) {
                let restored = self.restore_one(&restoring).await;
                self.restoring.lock().remove(&restoring.table);
                result = result.and(restored);
            }
        }
        result
    }

    /// The same in the background, again and again until it is done or cannot be.
    pub(crate) fn restore_in_background(&self) {
        for restoring in self.tables.loads().restoring() {
            if !self.take(&restoring) {
                continue;
            }
            let this = self.clone();
            tokio::spawn(async move {
                let mut pause = RETRY.0;
                while let Err(error) = this.restore_one(&restoring).await
                    && error.may_pass()
                {
                    this.report("restoring a table", Err(error));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                    // What is tried meanwhile would end where this one did.
                    let writable = Health::wait_writable(this.tables.engine().health());
                    let _ = tokio::time::timeout(WRITABLE_WITHIN, writable).await;
                }
                this.restoring.lock().remove(&restoring.table);
            });
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
            Err(error) if error.may_pass() => {}
            Err(error) => {
                self.counters.restores_failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(table = restoring.name, %error, "a table cannot be restored: it is removed");
                // Gone already, perhaps.
                let _ = self.tables.loads().abandon_restore(restoring.table).await;
            }
        }
        result.map(drop)
    }

    async fn load(&self, restoring: &Restoring) -> Result<u64> {
        // The semaphore is never closed.
        let _turn = self.load_turn.acquire().await.ok();
        let table = restoring.table;
        let job: Job = unpack("a restore", &restoring.restore.job)?;
        let (mut load, mut mark) = self.tables.loads().take_up_restore(table).await?;
        let moment = Moment::open(&self.archive, &job, mark.last(), self.options.overlay_bytes_max).await?;
        let of = moment.manifest().items;
        let opener = match &moment.manifest().sealed {
            Some(sealed) => Some(self.tables.loads().opener(sealed).await?),
            None => None,
        };
        let mut ahead = Ahead::of(moment, if load.is_in_bulk() { FILED } else { COMMITTED });
        while let Some(rows) = ahead.next().await? {
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

/// Items of a moment, read and decoded while those before them are put.
struct Ahead {
    read: mpsc::Receiver<Result<Option<Vec<Row>>>>,
}

impl Ahead {
    /// Begins to read: so many rows, of about so many bytes, at a time.
    fn of(mut moment: Moment, (rows_max, bytes_max): (usize, usize)) -> Self {
        let (send, read) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                let rows = moment.next_rows(rows_max, bytes_max).await;
                let is_last = !matches!(rows, Ok(Some(_)));
                // Nobody hears it any more if the restore was broken off.
                if send.send(rows).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self { read }
    }

    /// The next rows; none at the end.
    async fn next(&mut self) -> Result<Option<Vec<Row>>> {
        // Whoever reads says when it is at the end; without that it is not.
        let closed = || Err(Error::Table(TableError::Storage(StorageError::Closed)));
        self.read.recv().await.unwrap_or_else(closed)
    }
}

/// Rows that may have been kept sealed, without those that say that an item was deleted.
fn opened(rows: Vec<Row>, opener: Option<&Opener>) -> Result<Vec<Row>> {
    let Some(opener) = opener else { return Ok(rows) };
    let open = |row: &Row| opener.open(row).transpose();
    Ok(rows.iter().filter_map(open).collect::<std::result::Result<_, _>>()?)
}
