//! What is stored beside an item, and follows from it.

use geodynamo_item::Item;
use geodynamo_storage::Write;

use crate::{
    Result, Table,
    layout::{
        expiry::{self, Sweeper},
        index::{self, ItemKey},
        record::Record,
    },
};

impl Table {
    /// Adds the index entries of a version of an item, and the entry that says when it is due to expire, as if there had been
    /// none before. `item` is the record's, decoded.
    pub(crate) fn derive(
        &self,
        at: &ItemKey,
        record: &Record,
        item: Option<&Item>,
        sweeper: Sweeper,
        writes: &mut Vec<Write>,
    ) -> Result<()> {
        let maintained = self.live.maintained.load();
        index::maintain(self.id(), self.keys(), &maintained, at, None, item, writes);
        if let Some(attribute) = self.live.expires_by.load().as_deref() {
            expiry::maintain(self.id(), at, None, record, attribute, sweeper, writes)?;
        }
        Ok(())
    }

    /// Takes away the index entries of what an item was.
    pub(crate) fn drop_entries(&self, at: &ItemKey, item: &Item, writes: &mut Vec<Write>) {
        let maintained = self.live.maintained.load();
        index::maintain(self.id(), self.keys(), &maintained, at, Some(item), None, writes);
    }
}
