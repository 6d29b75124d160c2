//! How far the copies have come that this replica is fetching.

use geodynamo_storage::Engine;

use crate::{local::system::is_system, merge::Merge};

/// A copy of a table that is being fetched, or is about to be.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyUnderWay {
    /// The table's name.
    pub table: String,
    /// The region that it is fetched from.
    pub source: String,
    /// Which part of it is here, from 0 to 1. Rows come in the order of their partition keys' hashes, which are spread
    /// evenly, so the last one's tells it.
    pub share: f64,
}

impl<E: Engine> Merge<E> {
    /// The copies of tables that this replica is fetching, by the tables' names; system tables are not among them.
    pub fn copies_under_way(&self) -> Vec<CopyUnderWay> {
        let orders = self.copies_due().into_iter();
        let mut all: Vec<_> = orders
            .filter(|order| !is_system(order.table.0))
            .filter_map(|order| {
                Some(CopyUnderWay {
                    table: self.local.replicated(order.table.0)?.name().into(),
                    source: order.source,
                    share: order.after.map_or(0.0, |mark| mark.0 as f64 / u64::MAX as f64),
                })
            })
            .collect();
        all.sort_by(|a, b| a.table.cmp(&b.table));
        all
    }
}
