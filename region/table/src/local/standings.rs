//! What is known of how this replica and others stand with tables: up to where what each wrote is applied, what they have agreed
//! to forget, and what is therefore gone here.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{
    Hlc, Past, ReplicaId, Stamp,
    collect::Marks,
    verify::{Horizons, Standing},
};
use geodynamo_storage::Engine;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Result, Table, TableError,
    layout::keys,
    local::{Local, system::is_system},
};

/// The system key of what is kept of a table, before its id.
const KEPT_KEY: &str = "standing/";

/// How this replica and others stand with tables.
#[derive(Debug, Default)]
pub(crate) struct Standings(pub(crate) Mutex<BTreeMap<u64, OfTable>>);

#[derive(Debug, Default)]
pub(crate) struct OfTable {
    pub(crate) marks: Marks,
    /// Up to where what this replica wrote is applied everywhere.
    pub(crate) everywhere: Hlc,
    /// What other replicas have told.
    pub(crate) told: BTreeMap<ReplicaId, Standing>,
    pub(crate) kept: Kept,
}

/// What outlives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What this replica has agreed to.
    #[serde(rename = "a")]
    pub(crate) agreed: Hlc,
    /// Up to where tombstones may have been collected.
    #[serde(rename = "t")]
    pub(crate) collected: Hlc,
    /// Up to where conflict records may have been dropped.
    #[serde(rename = "c")]
    pub(crate) dropped: Hlc,
}

pub(crate) fn kept_key(table: u64) -> Bytes {
    keys::system(&format!("{KEPT_KEY}{table:016x}"))
}

impl Standings {
    /// From the system's keys.
    pub(crate) fn load(rows: &[(Bytes, Bytes)]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (key, value) in rows {
            let name = keys::rest(key);
            let table = std::str::from_utf8(&name)
                .ok()
                .and_then(|name| name.strip_prefix(KEPT_KEY));
            let Some(table) = table.and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
                continue;
            };
            let kept = rmp_serde::from_slice(value)
                .map_err(|error| TableError::Corrupt(format!("a table's standing cannot be read: {error}")))?;
            let of = OfTable {
                kept,
                ..OfTable::default()
            };
            all.insert(table, of);
        }
        Ok(Self(Mutex::new(all)))
    }

    /// The greatest stamp that was agreed to, of any table.
    pub(crate) fn agreed(&self) -> Hlc {
        let all = self.0.lock();
        all.values().map(|of| of.kept.agreed).max().unwrap_or_default()
    }

    /// A replica has told how it stands. What it says only grows.
    pub(crate) fn heard(&self, table: u64, replica: ReplicaId, standing: &Standing) {
        let mut all = self.0.lock();
        let known = all.entry(table).or_default().told.entry(replica).or_default();
        known.stamp = known.stamp.max(standing.stamp);
        known.everywhere = known.everywhere.max(standing.everywhere);
        known.settled = known.settled.max(standing.settled);
        known.agreed = known.agreed.max(standing.agreed);
    }

    pub(crate) fn forget(&self, table: u64) {
        self.0.lock().remove(&table);
    }

    /// What is kept of a table.
    pub(crate) fn kept(&self, table: u64) -> Kept {
        self.0.lock().get(&table).map(|of| of.kept).unwrap_or_default()
    }
}

impl OfTable {
    /// What every member has told: others, and this replica itself.
    pub(crate) fn standings<'a>(
        &'a self,
        others: &'a [ReplicaId],
        own: &'a Standing,
    ) -> impl Iterator<Item = Option<&'a Standing>> {
        others.iter().map(|member| self.told.get(member)).chain([Some(own)])
    }
}

impl<E: Engine> Local<E> {
    /// What may have been taken away here.
    pub(crate) fn horizons(&self, table: u64) -> Horizons {
        let kept = self.standings().kept(table);
        Horizons {
            collected: kept.collected,
            dropped: kept.dropped,
        }
    }

    /// The past of a write to a key of which nothing is held here.
    pub(crate) fn past_of_nothing(&self, table: &Table) -> Past {
        Past::forgotten(self.horizons(table.id()).collected)
    }

    /// Whether the record of a conflict that another region found is too old to be kept.
    pub(crate) fn is_dropped(&self, table: &Table, loser: Stamp) -> bool {
        loser.time <= self.horizons(table.id()).dropped
    }

    /// Whether a version that a link brings, of a key of which nothing is held, is one that a tombstone that was collected
    /// here had won over: everything up to there was applied here once.
    pub(crate) fn is_bygone(&self, table: &Table, stamp: Stamp) -> bool {
        !is_system(table.id()) && stamp.time <= self.horizons(table.id()).collected
    }
}
