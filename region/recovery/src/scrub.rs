//! Reading the archive, over and over, so that damage is found before somebody needs what is damaged.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use geodynamo_archive::ArchiveError;
use geodynamo_storage::Engine;

use crate::{Recoveries, Result};

/// How long is waited after all of it has been read.
const PAUSE: Duration = Duration::from_secs(60 * 60);
/// How long is waited if the archive cannot be read.
const RETRY: Duration = Duration::from_secs(60);
/// The most damaged objects whose names are remembered.
const DAMAGED_MAX: usize = 10_000;

impl<E: Engine> Recoveries<E> {
    /// Reads all of this region's objects, again and again, at [`crate::Options::scrub_bytes_per_second`].
    pub(crate) async fn scrub_for_ever(&self) {
        loop {
            let read = self.scrub().await;
            let wait = if read.is_ok() { PAUSE } else { RETRY };
            self.report("reading the archive", read);
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads all of this region's objects once, and holds each against its checksum. What is damaged is told in the log, and
    /// counted in [`crate::Status::damaged_objects`] until it is whole again or gone.
    ///
    /// # Errors
    /// If the archive cannot be read.
    pub async fn scrub(&self) -> Result<()> {
        let all = self.archive.list(self.tables.region()).await?;
        let names: BTreeSet<&str> = all.iter().map(|found| found.name.as_str()).collect();
        self.damaged.lock().retain(|name| names.contains(name.as_str()));
        for found in &all {
            match self.archive.get(&found.name).await {
                // What another key has sealed is whole, as its checksum says.
                Ok(_) | Err(ArchiveError::Sealed(..)) => {
                    self.damaged.lock().remove(&found.name);
                }
                // Taken away meanwhile.
                Err(ArchiveError::Missing(_)) => {}
                Err(error) if error.may_pass() => return Err(error.into()),
                Err(error) => {
                    let mut damaged = self.damaged.lock();
                    if damaged.len() < DAMAGED_MAX && damaged.insert(found.name.clone()) {
                        tracing::error!(%error, "an object of the archive is damaged");
                    }
                }
            }
            self.counters.scrubbed_bytes.fetch_add(found.bytes, Ordering::Relaxed);
            if let Some(wait) = found
                .bytes
                .saturating_mul(1000)
                .checked_div(self.options.scrub_bytes_per_second)
            {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        }
        Ok(())
    }
}
