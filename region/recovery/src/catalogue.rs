//! What tables an archive holds, whoever wrote it.

use geodynamo_archive::Archive;
use geodynamo_replicator_core::Millis;
use geodynamo_table::recovery::TableSettings;

use crate::{Error, Job, Result, chain::Listing, layout};

/// A chain of a table in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The table's name.
    pub name: String,
    /// The table's id, which no other table ever had.
    pub id: u64,
    listing: Listing,
    earliest_ms: Millis,
    closed_ms: Millis,
}

/// The chains of a region's tables in an archive that something can be restored from, oldest first. With a name, only of
/// tables of that name.
pub async fn archived_tables(archive: &Archive, region: &str, name: Option<&str>) -> Result<Vec<Archived>> {
    let mut all = Vec::new();
    for replica in archive.folders(region).await? {
        let tables = layout::tables_of(region, &replica);
        for folder in archive.folders(&tables).await? {
            let Some((of, id)) = layout::read_table(&folder) else {
                continue;
            };
            if name.is_some_and(|name| name != of) {
                continue;
            }
            for chain in archive.folders(&format!("{tables}/{folder}")).await? {
                let listing = Listing::of(archive, &format!("{tables}/{folder}/{chain}")).await?;
                if let Some((earliest_ms, closed_ms)) = listing.earliest_ms().zip(listing.closed_ms()) {
                    all.push(Archived {
                        name: of.into(),
                        id,
                        listing,
                        earliest_ms,
                        closed_ms,
                    });
                }
            }
        }
    }
    all.sort_by_key(|chain| (chain.earliest_ms, chain.closed_ms));
    Ok(all)
}

impl Archived {
    /// The first and the last moment that can be restored, in milliseconds since the Unix epoch.
    pub fn window(&self) -> (Millis, Millis) {
        // What was committed at the last moment itself may not all be there; a base at least is.
        (self.earliest_ms, self.closed_ms.saturating_sub(1).max(self.earliest_ms))
    }

    /// The settings that the table had last.
    pub async fn settings(&self, archive: &Archive) -> Result<TableSettings> {
        let settings = self.listing.newest_settings(archive).await?;
        settings.ok_or_else(|| Error::damaged(&self.listing.dir, "it tells of no settings"))
    }

    /// What to read to have the table as it was at a moment; none if the moment is not in the window.
    pub fn job(&self, at_ms: Millis) -> Option<Job> {
        let (first, last) = self.window();
        if !(first..=last).contains(&at_ms) {
            return None;
        }
        self.job_with(at_ms, Vec::new())
    }

    /// The same, of a moment that is known to be there, up to these ends of the logs.
    pub(crate) fn job_with(&self, at_ms: Millis, ends: Vec<u64>) -> Option<Job> {
        let base = self.listing.base_for(at_ms)?;
        Some(Job {
            dir: self.listing.dir.clone(),
            base: base.dir.clone(),
            base_ms: base.cut_ms,
            at_ms: Some(at_ms),
            ends,
        })
    }

    /// Its folder.
    pub fn dir(&self) -> &str {
        &self.listing.dir
    }
}
