//! Deltas from too far ahead, waiting for their time.
//!
//! They are durable: each stands under a key of its own, put in the same commit as the cursor that counts it, and is
//! taken away in the commit that merges it. This is the index over them that the process keeps in memory, within the
//! limits of the parking space.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::{
    Delta, LogId, LogInfo, Millis, Position, ReplicaId, Stamp, Version,
    parking::{ParkingLimits, ParkingUse},
};
use geodynamo_storage::Write;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Result, TableError,
    layout::{index::ItemKey, keys},
    local::system::{is_system, row_key},
};

/// How many parked deltas are merged at a time.
const RELEASE_MAX: usize = 256;

/// A parked delta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parked {
    #[serde(rename = "t")]
    pub(crate) table: u64,
    #[serde(rename = "k", with = "serde_bytes_field")]
    pub(crate) key: Bytes,
    #[serde(rename = "v")]
    pub(crate) version: Version,
    #[serde(rename = "l")]
    pub(crate) log: LogInfo,
    /// Where the stretch of the log that it came with begins.
    #[serde(rename = "a")]
    pub(crate) after: Position,
}

impl Parked {
    /// Where it is stored.
    pub(crate) fn engine_key(&self) -> Result<Bytes> {
        let route = if is_system(self.table) {
            row_key(self.table, &self.key)?.route
        } else {
            ItemKey::from_bytes(self.key.clone())?.route
        };
        Ok(keys::parked(self.table, route, self.version.stamp, &self.key))
    }

    /// The write that stores it.
    pub(crate) fn put(&self) -> Result<Write> {
        let value = rmp_serde::to_vec_named(self)
            .map_err(|error| TableError::Corrupt(format!("a parked delta cannot be written: {error}")))?;
        Ok(Write::Put(self.engine_key()?, value.into()))
    }

    /// Reads a stored one.
    pub(crate) fn read(value: &[u8]) -> Result<Self> {
        rmp_serde::from_slice(value)
            .map_err(|error| TableError::Corrupt(format!("a parked delta cannot be read: {error}")))
    }

    /// In the unit of [`geodynamo_replicator_core::Delta::weight`], as it was when it was admitted.
    fn weight(&self) -> u64 {
        Delta::version_weight(&self.key, &self.version) as u64
    }
}

/// All parked deltas, in the order of their stamps.
#[derive(Debug)]
pub(crate) struct Parking {
    limits: ParkingLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<(Stamp, u64, Bytes), Parked>,
    used: BTreeMap<ReplicaId, ParkingUse>,
}

impl Parking {
    pub(crate) fn new(limits: ParkingLimits, stored: Vec<Parked>) -> Self {
        let parking = Self {
            limits,
            state: Mutex::default(),
        };
        parking.add(stored);
        parking
    }

    pub(crate) fn limits(&self) -> &ParkingLimits {
        &self.limits
    }

    /// What an origin has parked.
    pub(crate) fn used(&self, origin: ReplicaId) -> ParkingUse {
        self.state.lock().used.get(&origin).copied().unwrap_or_default()
    }

    /// Whether this version is parked.
    pub(crate) fn holds(&self, table: u64, key: &Bytes, stamp: Stamp) -> bool {
        self.state.lock().waiting.contains_key(&(stamp, table, key.clone()))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Whether something is parked that may have come with a log up to a position.
    pub(crate) fn holds_of(&self, log: LogId, up_to: Position) -> bool {
        let state = self.state.lock();
        let mut waiting = state.waiting.values();
        waiting.any(|parked| parked.log.log == log && parked.after < up_to)
    }

    /// Those of a table.
    pub(crate) fn of_table(&self, table: u64) -> Vec<Parked> {
        self.state
            .lock()
            .waiting
            .values()
            .filter(|parked| parked.table == table)
            .cloned()
            .collect()
    }

    /// The least stamp of those of a table.
    pub(crate) fn oldest_of(&self, table: u64) -> Option<Stamp> {
        let state = self.state.lock();
        let mut of_table = state.waiting.values().filter(|parked| parked.table == table);
        of_table.next().map(|parked| parked.version.stamp)
    }

    /// They have become durable.
    pub(crate) fn add(&self, parked: Vec<Parked>) {
        let mut state = self.state.lock();
        for parked in parked {
            let place = (parked.version.stamp, parked.table, parked.key.clone());
            let (origin, weight) = (parked.log.origin, parked.weight());
            if state.waiting.insert(place, parked).is_none() {
                let used = state.used.entry(origin).or_default();
                *used = used.with(weight);
            }
        }
    }

    /// It was merged, or its table is gone.
    pub(crate) fn remove(&self, parked: &Parked) {
        let mut state = self.state.lock();
        if let Some(parked) = state
            .waiting
            .remove(&(parked.version.stamp, parked.table, parked.key.clone()))
        {
            let used = state.used.entry(parked.log.origin).or_default();
            *used = used.without(parked.weight());
        }
    }

    /// Those whose stamps local time has reached, oldest first.
    pub(crate) fn due(&self, now: Millis) -> Vec<Parked> {
        let state = self.state.lock();
        let due = state
            .waiting
            .values()
            .take_while(|parked| parked.version.stamp.time.millis() <= now);
        due.take(RELEASE_MAX).cloned().collect()
    }
}

/// `Bytes` as MessagePack binary.
mod serde_bytes_field {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Ok(Bytes::from(bytes))
    }
}
