//! What a service above keeps in the archive beside backups, so that it outlives the data directory: a register has one value,
//! and each value is an object of its own.

use bytes::Bytes;
use geodynamo_storage::Engine;

use crate::{Recoveries, Result, chain::content, codec::kind, layout};

impl<E: Engine> Recoveries<E> {
    /// Sets a register, durably. Its name is a path's segment. Registers of one name are not set at the same time.
    ///
    /// # Errors
    /// If the archive cannot be used; then it may have either value.
    pub async fn set_register(&self, name: &str, value: Bytes) -> Result<()> {
        let folder = layout::register(self.tables.region(), name);
        let older = self.archive.list(&folder).await?;
        let newest_ms = older.iter().filter_map(|found| moment(&found.name)).max();
        // A clock that was put back makes no older value of it.
        let at_ms = self.tables.now_ms().max(newest_ms.map_or(0, |ms| ms + 1));
        let object = format!("{folder}/{}", layout::stamped(at_ms));
        self.archive.put(&object, kind::REGISTER, value).await?;
        let older: Vec<String> = older.into_iter().map(|found| found.name).collect();
        Ok(self.archive.delete(&older).await?)
    }

    /// A register's value, if it has one.
    ///
    /// # Errors
    /// If the archive cannot be read, or the value is damaged.
    pub async fn register(&self, name: &str) -> Result<Option<Bytes>> {
        let folder = layout::register(self.tables.region(), name);
        match self.archive.list(&folder).await?.last() {
            Some(newest) => Ok(Some(content(&self.archive, &newest.name, kind::REGISTER).await?)),
            None => Ok(None),
        }
    }

    /// Takes a register away.
    ///
    /// # Errors
    /// If the archive cannot be used.
    pub async fn remove_register(&self, name: &str) -> Result<()> {
        self.remove_folder(&layout::register(self.tables.region(), name)).await
    }
}

fn moment(name: &str) -> Option<u64> {
    layout::read_stamped(name.rsplit('/').next()?)
}
