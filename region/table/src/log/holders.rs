//! Who needs records of the change logs besides links and streams.

use std::sync::{Arc, Weak};

use geodynamo_replicator_core::{LogId, Position};
use geodynamo_storage::Engine;
use parking_lot::RwLock;

use crate::{Table, log::Logs};

/// Somebody who reads change logs and must have read them before they are trimmed.
pub trait LogHolder: Send + Sync + 'static {
    /// Up to where a log of a table may be trimmed for his sake; none if he does not need it.
    fn releases(&self, table: &Table, log: LogId) -> Option<Position>;

    /// Whether the data of a table that is being removed may go. No write of it is under way any more, but the last of them
    /// may still be in its logs only.
    fn lets_go(&self, table: &Table) -> bool;
}

/// All holders of a region's logs. One that is dropped holds nothing any more.
#[derive(Default)]
pub(crate) struct Holders(RwLock<Vec<Weak<dyn LogHolder>>>);

impl Holders {
    pub(crate) fn add(&self, holder: &Arc<dyn LogHolder>) {
        let mut holders = self.0.write();
        holders.retain(|holder| holder.strong_count() > 0);
        holders.push(Arc::downgrade(holder));
    }

    /// Up to where a log may be trimmed for all of them; none if nobody needs it.
    pub(crate) fn release(&self, table: &Table, log: LogId) -> Option<Position> {
        let holders = self.0.read();
        let there = holders.iter().filter_map(Weak::upgrade);
        there.filter_map(|holder| holder.releases(table, log)).min()
    }

    pub(crate) fn let_go(&self, table: &Table) -> bool {
        let holders = self.0.read();
        let mut there = holders.iter().filter_map(Weak::upgrade);
        there.all(|holder| holder.lets_go(table))
    }
}

impl<E: Engine> Logs<E> {
    /// Adds somebody who needs records of the change logs, until he is dropped.
    pub fn add_holder(&self, holder: &std::sync::Arc<dyn LogHolder>) {
        self.holders.add(holder);
    }
}
