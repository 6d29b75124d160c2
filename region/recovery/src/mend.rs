//! Giving a table back what was in a damaged file of its store, where no other region has it.

use bytes::Bytes;
use geodynamo_storage::Engine;
use geodynamo_table::{Table, recovery::Row};

use crate::{Error, Moment, Recoveries, Result};

/// The most items that are put back at once, and about how many bytes.
const ROWS_MAX: usize = 400;
const ROWS_BYTES: usize = 1 << 20;

impl<E: Engine> Recoveries<E> {
    /// Puts the items back that a table has lost, as they are at the last moment that can be restored, and has the table trust
    /// them. No client can have written them since they were lost, so once its logs are shipped that moment has all of them as
    /// they were. Gives false if there is nothing to put back, or the table has no point-in-time recovery.
    ///
    /// Broken off, it is done once more: an item that is there is left as it is.
    ///
    /// # Errors
    /// If the logs cannot be shipped, as when they have lost records, too; or the archive cannot be read.
    pub async fn mend(&self, id: u64) -> Result<bool> {
        let ranges = self.tables.verify().unmended_rows(id);
        let followed = self.followed().into_iter().find(|(_, table)| table.id() == id);
        let Some((follower, table)) = followed.filter(|_| !ranges.is_empty()) else {
            return Ok(false);
        };
        let due = self.ship_table(&follower, &table).await?;
        let mended = self.put_back(&table, &ranges).await;
        if due {
            self.make_base(&follower, &table).await?;
        }
        mended
    }

    async fn put_back(&self, table: &Table, ranges: &[(Bytes, Bytes)]) -> Result<bool> {
        let id = table.id();
        let job = self.job_of(table.name(), None).await.map_err(|error| Error::Gap {
            table: table.name().into(),
            reason: error.to_string(),
        })?;
        let mut moment = Moment::open(&self.archive, &job.1, None, self.options.overlay_bytes_max).await?;
        if moment.manifest().sealed.is_some() {
            return Ok(false);
        }
        let mut count = 0;
        while let Some(mut rows) = moment.next_rows(ROWS_MAX, ROWS_BYTES).await? {
            rows.retain(|row: &Row| self.tables.verify().is_unmended(id, row));
            if !rows.is_empty() {
                count += self.tables.verify().bring_back(id, rows).await?;
            }
        }
        self.tables.verify().mended(id, ranges).await?;
        tracing::warn!(
            table = table.name(),
            count,
            "items that were in a damaged file are back, from the archive"
        );
        Ok(true)
    }
}
