//! Which of a receiver's tables are being applied.

use std::collections::BTreeMap;

use crate::ids::TableId;

/// How many batches of each table are being applied.
#[derive(Debug, Default)]
pub(super) struct Rounds(BTreeMap<TableId, usize>);

impl Rounds {
    /// A batch of a table begins.
    pub(super) fn begin(&mut self, table: TableId) {
        *self.0.entry(table).or_insert(0) += 1;
    }

    /// A batch that began is done.
    pub(super) fn end(&mut self, table: TableId) {
        if let Some(batches) = self.0.get_mut(&table) {
            *batches -= 1;
            if *batches == 0 {
                self.0.remove(&table);
            }
        }
    }

    /// Whether something of a table is being applied.
    pub(super) fn has(&self, table: TableId) -> bool {
        self.0.contains_key(&table)
    }
}
