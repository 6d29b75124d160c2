//! The copies of tables that this replica is fetching, as they are kept.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::CopyMark;
use geodynamo_storage::Write;
use serde::{Deserialize, Serialize};

use crate::{
    Result, TableError,
    layout::keys,
    table::registers::{CATALOG, pack},
};

/// The system key that a copy's state is kept under, before the table's id.
pub(crate) const COPY_KEY: &str = "copy/";

/// The system key that says that the catalog was copied once.
const CATALOG_COPIED_KEY: &str = "catalog.copied";

/// The copies that this replica is fetching, by table.
pub(crate) type Copies = parking_lot::Mutex<BTreeMap<u64, CopyState>>;

/// How far a copy that this replica fetches has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CopyState {
    /// Which join it is for.
    #[serde(rename = "j")]
    pub(crate) join: u64,
    /// The last durable row.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<CopyMark>,
    /// Whether all of it is here.
    #[serde(rename = "d", default)]
    pub(crate) done: bool,
}

impl CopyState {
    /// Whether it is the state of this join or relay.
    pub(crate) fn is_of(&self, join: u64) -> bool {
        self.join == join
    }

    /// The last durable row.
    pub(crate) fn mark(&self) -> Option<CopyMark> {
        self.mark.clone()
    }

    /// The states that are stored among the system's keys.
    pub(crate) fn load(rows: Vec<(Bytes, Bytes)>) -> Result<BTreeMap<u64, Self>> {
        let mut states = BTreeMap::new();
        for (key, value) in rows {
            let name = keys::rest(&key);
            if name == CATALOG_COPIED_KEY.as_bytes() {
                states.insert(
                    CATALOG,
                    Self {
                        join: 0,
                        mark: None,
                        done: true,
                    },
                );
                continue;
            }
            let table = std::str::from_utf8(&name)
                .ok()
                .and_then(|name| name.strip_prefix(COPY_KEY));
            let Some(table) = table.and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
                continue;
            };
            let state = rmp_serde::from_slice(&value)
                .map_err(|error| TableError::Corrupt(format!("a copy's state cannot be read: {error}")))?;
            states.insert(table, state);
        }
        Ok(states)
    }

    pub(crate) fn write(&self, table: u64) -> Result<Write> {
        let key = if table == CATALOG {
            keys::system(CATALOG_COPIED_KEY)
        } else {
            copy_key(table)
        };
        Ok(Write::Put(key, pack(self)?))
    }
}

/// The system key of a table's copy.
pub(crate) fn copy_key(table: u64) -> Bytes {
    keys::system(&format!("{COPY_KEY}{table:016x}"))
}
