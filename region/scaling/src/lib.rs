//! Auto scaling of provisioned capacity: what Application Auto Scaling does for DynamoDB, and what DynamoDB's own operations for
//! global tables set of it.
//!
//! A scalable target is the read or write capacity of a table, or of one of its global indexes, in a region. Targets and their
//! policies are rows of a system table ([`SystemTable::Scaling`]), so every region knows all of them; each region scales its own.
//! Write capacity is one setting of all regions of a global table: its targets are kept alike in all of them, any region may
//! add to it, and it is taken away only by who knows that the others do not need it (see `runner.rs`).
//!
//! How much to provision is decided in `tracking`, a pure function. Sources of behaviour: the API reference of Application Auto
//! Scaling, and "Managing throughput capacity automatically with DynamoDB auto scaling" in DynamoDB's developer guide.

mod check;
mod error;
mod generated;
mod policies;
mod replicas;
mod runner;
mod service;
mod tags;
mod target;
mod tracking;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{SystemTable, TableError, Tables};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub use crate::{
    error::ScalingError,
    service::{Authorization, Call, Reply, SERVICE, is_target, operation, operation_names},
    tracking::Rules,
};
use crate::{
    runner::Runner,
    target::{Key, Row, Target},
};

/// The most scalable targets of a region.
pub const TARGETS_MAX: usize = 5_000;
/// The most activities that are remembered.
const ACTIVITIES_MAX: usize = 1_000;

/// How capacity is scaled.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What consumption is counted by; a minute, as with DynamoDB.
    pub period: Duration,
    /// How many of them it takes.
    pub rules: Rules,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(60),
            rules: Rules::default(),
        }
    }
}

/// A region's auto scaling. Cheap to clone.
pub struct Scaling<E: Engine>(Arc<Shared<E>>);

impl<E: Engine> Clone for Scaling<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(crate) struct Shared<E: Engine> {
    tables: Arc<Tables<E>>,
    options: Options,
    known: Mutex<Known>,
    /// Held by whoever changes targets, from reading them to the commit.
    changing: tokio::sync::Mutex<()>,
    /// Targets were changed: bounds may hold no more.
    changed: Notify,
}

/// The rows of all regions, and what has been done here.
#[derive(Debug, Default)]
struct Known {
    targets: BTreeMap<Key, Target>,
    demands: BTreeMap<Key, (f64, Millis)>,
    /// By where their rows stand, for rows that go.
    places: BTreeMap<Bytes, Key>,
    /// The latest last.
    activities: VecDeque<Activity>,
    /// Activities ever.
    counted: u64,
}

/// Capacity was changed, or should have been.
#[derive(Clone, Debug, PartialEq)]
struct Activity {
    id: String,
    key: Key,
    description: String,
    cause: String,
    start_ms: Millis,
    end_ms: Millis,
    /// Why it failed, if it did.
    failure: Option<String>,
}

impl Known {
    fn put(&mut self, place: Bytes, row: Row) {
        match row {
            Row::Target(key, target) => {
                self.places.insert(place, key.clone());
                self.targets.insert(key, target);
            }
            Row::Demand(key, units, at_ms) => {
                self.places.insert(place, key.clone());
                self.demands.insert(key, (units, at_ms));
            }
        }
    }

    fn remove(&mut self, place: &Bytes) {
        if let Some(key) = self.places.remove(place) {
            if *place == key.place("t") {
                self.targets.remove(&key);
            } else {
                self.demands.remove(&key);
            }
        }
    }

    fn note(&mut self, activity: Activity) {
        self.counted += 1;
        self.activities.push_back(activity);
        if self.activities.len() > ACTIVITIES_MAX {
            self.activities.pop_front();
        }
    }
}

impl<E: Engine> Scaling<E> {
    /// Reads what is stored, and scales until `stop` says true.
    pub async fn start(
        tables: Arc<Tables<E>>,
        options: Options,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, TableError> {
        let changes = tables.rows().system_changes(SystemTable::Scaling);
        let mut known = Known::default();
        for (place, value) in tables.rows().system_rows(SystemTable::Scaling).await? {
            if let Some(row) = Row::read(&value) {
                known.put(place, row);
            }
        }
        let shared = Arc::new(Shared {
            tables,
            options,
            known: Mutex::new(known),
            changing: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        });
        tokio::spawn(follow(Arc::clone(&shared), changes, stop.clone()));
        tokio::spawn(Runner::new(Arc::clone(&shared)).run(stop));
        Ok(Self(shared))
    }
}

/// Takes what other regions changed.
async fn follow<E: Engine>(shared: Arc<Shared<E>>, mut changes: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
    loop {
        let places = shared.tables.rows().system_merged(SystemTable::Scaling);
        if !places.is_empty() {
            match shared.tables.rows().system_get(SystemTable::Scaling, &places).await {
                Ok(values) => shared.take(places, values),
                Err(error) => tracing::warn!(%error, "what other regions changed of auto scaling cannot be read"),
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

impl<E: Engine> Shared<E> {
    fn take(&self, places: Vec<Bytes>, values: Vec<Option<Bytes>>) {
        let mut known = self.known.lock();
        for (place, value) in places.into_iter().zip(values) {
            match value.as_deref().map(Row::read) {
                None => known.remove(&place),
                Some(None) => {}
                Some(Some(row)) => known.put(place, row),
            }
        }
        drop(known);
        self.changed.notify_one();
    }

    /// Changes rows, all or none; `None` takes one away. Its future must run to its end.
    async fn commit(&self, rows: Vec<Row>, gone: Vec<Bytes>) -> Result<(), TableError> {
        let mut changes = Vec::with_capacity(rows.len() + gone.len());
        for row in &rows {
            changes.push((row.place(), Some(row.pack()?)));
        }
        changes.extend(gone.iter().map(|place| (place.clone(), None)));
        self.tables.rows().system_commit(SystemTable::Scaling, changes).await?;
        let mut known = self.known.lock();
        gone.iter().for_each(|place| known.remove(place));
        for row in rows {
            known.put(row.place(), row);
        }
        Ok(())
    }

    fn target(&self, key: &Key) -> Option<Target> {
        let known = self.known.lock();
        let target = known.targets.get(key)?;
        // One of a table that had the name before is none.
        let there = self.tables.table_named(&key.table).ok();
        there.filter(|table| table.id() == target.table).map(|_| target.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_and_go() {
        let key = Key::parse("r", "table/t", "dynamodb:table:WriteCapacityUnits").unwrap();
        let mut known = Known::default();
        let demand = Row::Demand(key.clone(), 3.0, 4);
        known.put(demand.place(), demand.clone());
        assert_eq!(known.demands.get(&key), Some(&(3.0, 4)));
        known.remove(&key.place("t"));
        assert_eq!(known.demands.len(), 1);
        known.remove(&demand.place());
        assert!(known.demands.is_empty() && known.places.is_empty());
    }
}
