//! Tables that another node writes, and this one reads: what it must hear of, and what it makes of that.
//!
//! A node that stands by opens a region's tables on an engine that takes no commits ([`crate::Options::following`]), tells them
//! of the keys that were written since ([`Following::follow`]), and serves reads in between. It has the tables and their
//! indexes as they are stored; streams, links, back-fills, expiries and all else that writes by itself are the writer's.
//! A table that is sealed under a key of its own is inaccessible where the tables are opened without a key service.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use geodynamo_storage::Engine;

use crate::{
    Indexes, Result, SystemTable,
    catalog::Catalog,
    layout::keys::{self, space},
    local::Local,
    table::{
        index_state::is_state_key,
        registers::{CATALOG, Setting},
    },
};

/// What the tables have made of keys that were written elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Rows of [`SystemTable::Access`] that were written or taken away.
    pub access: Vec<Bytes>,
}

/// Whether a node that stands by must be told that a key of the engine was written: it is of the catalog, of how far an index
/// is, or of who may do what.
pub fn is_followed(key: &[u8]) -> bool {
    is_of(key, CATALOG) || is_of(key, SystemTable::Access.id()) || is_state_key(key)
}

fn is_of(key: &[u8], table: u64) -> bool {
    key.first() == Some(&space::ITEM) && keys::owner_of(key) == table
}

/// Keeps tables as the node that writes them has them.
pub struct Following<E: Engine> {
    local: Arc<Local<E>>,
    indexes: Arc<Indexes<E>>,
    catalog: Arc<Catalog<E>>,
}

impl<E: Engine> Following<E> {
    pub(crate) fn new(local: &Arc<Local<E>>, indexes: &Arc<Indexes<E>>, catalog: &Arc<Catalog<E>>) -> Self {
        Self {
            local: Arc::clone(local),
            indexes: Arc::clone(indexes),
            catalog: Arc::clone(catalog),
        }
    }

    /// Makes anew what depends on keys that another node has written; of those that [`is_followed`] is not true of, nothing does.
    ///
    /// # Errors
    /// If they cannot be read: the keys are to be given again.
    pub async fn follow(&self, written: &BTreeSet<Bytes>) -> Result<Followed> {
        let states: Vec<Bytes> = written.iter().filter(|key| is_state_key(key)).cloned().collect();
        let values = self.local.engine().get_each(&states).await?;
        let states = states.into_iter().zip(values);
        let mut changed = self.indexes.index_states.follow(states)?;
        let of_catalog = written.iter().filter(|key| is_of(key, CATALOG));
        changed.extend(of_catalog.filter_map(|key| Setting::parse(&keys::rest(key)).map(|(table, _)| table)));
        for table in changed {
            self.catalog.follow(table).await?;
        }
        let of_access = written.iter().filter(|key| is_of(key, SystemTable::Access.id()));
        Ok(Followed {
            access: of_access.map(keys::rest).collect(),
        })
    }
}
