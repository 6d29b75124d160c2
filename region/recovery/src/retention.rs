//! Taking away what is too old, and nothing else.

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::recovery::{BACKUP_RETENTION_MS, RECOVERY_PERIOD_DAYS_MAX};

use crate::{
    Recoveries, Result,
    chain::Listing,
    layout::{self, MANIFEST},
};

/// A day, in milliseconds.
const DAY_MS: Millis = 24 * 60 * 60 * 1000;

impl<E: Engine> Recoveries<E> {
    /// Takes away what is too old: of each chain what no moment in its table's period needs, chains that ended before it or
    /// whose table has point-in-time recovery no more, and backups that have expired.
    pub async fn retain(&self) -> Result<()> {
        self.load_backups().await?;
        self.expire_backups().await?;
        self.drop_idle_copies().await?;
        let region = self.tables.region().to_owned();
        let now = self.tables.now_ms();
        for replica in self.archive.folders(&region).await? {
            let tables = layout::tables_of(&region, &replica);
            for folder in self.archive.folders(&tables).await? {
                if let Some((_, id)) = layout::read_table(&folder) {
                    let own = replica == format!("{:016x}", self.tables.replica().0);
                    self.retain_table(&format!("{tables}/{folder}"), id, own, now).await?;
                }
            }
        }
        Ok(())
    }

    async fn expire_backups(&self) -> Result<()> {
        let now = self.tables.now_ms();
        let expired: Vec<_> = {
            let backups = self.backups.lock();
            let old = backups
                .iter()
                .filter(|entry| entry.record.expires_ms.is_some_and(|ms| ms <= now));
            old.cloned().collect()
        };
        for entry in expired {
            let read = entry.job.as_ref().is_some_and(|job| self.is_read(&job.dir));
            if !read {
                self.remove_backup(&entry).await?;
            }
        }
        Ok(())
    }

    async fn retain_table(&self, folder: &str, id: u64, own: bool, now: Millis) -> Result<()> {
        let live = self.tables.local().table_with_id(id).filter(|_| own);
        let setting = live.as_ref().and_then(|table| self.tables.local().point_in_time(table));
        let period = setting.map_or(RECOVERY_PERIOD_DAYS_MAX, |setting| setting.period_days);
        let oldest_ms = now.saturating_sub(Millis::from(period) * DAY_MS);
        // A deleted table's chain is kept as long as its backup is.
        let kept = self
            .backups
            .lock()
            .iter()
            .any(|entry| entry.record.system && entry.record.settings.id == id);
        for chain in self.archive.folders(folder).await? {
            let dir = format!("{folder}/{chain}");
            if self.is_read(&dir) {
                continue;
            }
            let written = self.follower(id).and_then(|follower| follower.chain());
            let written = own && written.is_some_and(|(current, _)| current == dir);
            let switched_off = live.is_some() && !setting.is_some_and(|setting| setting.enabled);
            let listing = Listing::of(&self.archive, &dir).await?;
            let ended = listing.closed_ms().is_none_or(|closed_ms| {
                let unknown = BACKUP_RETENTION_MS.max(Millis::from(period) * DAY_MS);
                let oldest_ms = if live.is_some() {
                    oldest_ms
                } else {
                    now.saturating_sub(unknown)
                };
                closed_ms < oldest_ms
            });
            // A chain that begins just now shows nothing yet.
            let new = chain.parse::<Millis>().is_ok_and(|ms| ms > now.saturating_sub(DAY_MS));
            if !written && !kept && (switched_off || (ended && !new)) {
                self.remove_folder(&dir).await?;
                continue;
            }
            self.prune(&listing, id, oldest_ms).await?;
        }
        Ok(())
    }

    /// Takes away what lies before the last base that the oldest moment is made from.
    async fn prune(&self, listing: &Listing, id: u64, oldest_ms: Millis) -> Result<()> {
        let Some(first) = listing.base_for(oldest_ms) else {
            return Ok(());
        };
        let old = listing.bases.iter().filter(|base| base.cut_ms < first.cut_ms);
        for base in old {
            // The manifest first: what is left of a base without it is garbage.
            self.archive.delete(&[format!("{}/{MANIFEST}", base.dir)]).await?;
            self.remove_folder(&base.dir).await?;
        }
        let segments = listing
            .segments
            .iter()
            .filter(|segment| segment.reach_ms < first.cut_ms);
        let mut names: Vec<String> = segments.map(|segment| segment.name.clone()).collect();
        let settings = listing.settings.len().saturating_sub(1);
        names.extend(listing.settings.iter().take(settings).cloned());
        self.archive.delete(&names).await?;
        if let Some(follower) = self.follower(id) {
            self.begins_at(&follower, &listing.dir, Some(first.cut_ms));
        }
        Ok(())
    }
}
