//! Contributor insights: the keys of a table or a global index that are accessed most, and those that are throttled most.
//!
//! Where they are switched on, what lets a request in and what consumes capacity ([`crate::throttle`]) also counts the key, in
//! bounded memory ([`sketch`], [`windows`]). They are a region's own, and what was counted ends with the process, as it does
//! with a change of the setting.
//!
//! A query counts each item that it reads, with what its page consumed on reaching it; capacity is rounded up over a page, so an
//! item's share is not the same each time, while its partition key's is. A local index counts partition keys only.

mod sketch;
mod windows;

use std::{collections::BTreeMap, sync::Arc};

use geodynamo_item::{Item, key};
use geodynamo_replicator_core::Millis;
use serde::{Deserialize, Serialize};

use self::windows::Windows;
use crate::{
    Result, Table, TableError, TimeSource,
    layout::{index::ItemKey, keys},
    schema::{IndexDefinition, IndexKind, KeyAttribute, KeySchema},
    table::throttle::Clock,
};

pub use self::windows::{INSIGHTS_KEYS_MAX, INSIGHTS_MINUTES_MAX, InsightsKind};

/// Which requests are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InsightsMode {
    /// All.
    #[serde(rename = "all")]
    AccessedAndThrottledKeys,
    /// Those that were throttled.
    #[serde(rename = "throttled")]
    ThrottledKeys,
}

impl InsightsMode {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::AccessedAndThrottledKeys => "ACCESSED_AND_THROTTLED_KEYS",
            Self::ThrottledKeys => "THROTTLED_KEYS",
        }
    }

    /// The mode that DynamoDB calls so.
    pub fn from_code(code: &str) -> Option<Self> {
        let modes = [Self::AccessedAndThrottledKeys, Self::ThrottledKeys];
        modes.into_iter().find(|mode| mode.code() == code)
    }
}

/// How contributor insights of a table or an index are set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InsightsSetting {
    /// Whether they are on.
    #[serde(rename = "e")]
    pub enabled: bool,
    /// Which requests are counted while they are.
    #[serde(rename = "m")]
    pub mode: InsightsMode,
    /// When they were last switched on, in milliseconds since the Unix epoch.
    #[serde(rename = "s")]
    pub since_ms: Millis,
    /// When the setting was last changed.
    #[serde(rename = "u")]
    pub updated_ms: Millis,
}

/// The settings of a table in one region: by an index's name, the table's own under the empty one.
pub(crate) type InsightsSettings = BTreeMap<String, InsightsSetting>;

/// The heaviest keys of one kind.
#[derive(Clone, PartialEq, Debug)]
pub struct InsightsReport {
    /// What was counted.
    pub kind: InsightsKind,
    /// The keys as items, with their weight: capacity units that were consumed, or throttled requests. The heaviest first.
    pub keys: Vec<(Item, f64)>,
    /// The weight of all keys.
    pub total: f64,
    /// By how much a key's weight may be told too high.
    pub error: f64,
}

/// Where a request reads or writes: a route of a table or an index, and the key there, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) route: u64,
    /// The key, behind owner and route.
    key: &'a [u8],
}

impl<'a> From<&'a ItemKey> for Place<'a> {
    fn from(at: &'a ItemKey) -> Self {
        Self {
            route: at.route,
            key: &at.bytes,
        }
    }
}

impl<'a> Place<'a> {
    /// The place of an engine key, or of one end of a range.
    pub(crate) fn of_engine_key(key: &'a [u8]) -> Self {
        Self {
            route: keys::route_of(key),
            key: keys::rest_of(key),
        }
    }

    /// A route, of no key in particular.
    pub(crate) fn of_route(route: u64) -> Self {
        Self { route, key: &[] }
    }
}

/// What is counted of a table and its indexes, as it is set now.
#[derive(Debug)]
pub(crate) struct TableInsights {
    table: Option<Arc<Insights>>,
    /// In the order of the table's indexes.
    indexes: Vec<Option<Arc<Insights>>>,
}

/// What is kept of insights while a table's settings change: those of the table, and of indexes by their ids.
#[derive(Debug, Default)]
pub(crate) struct KeptInsights(parking_lot::Mutex<BTreeMap<Option<u64>, Arc<Insights>>>);

/// The counts of one table or index.
#[derive(Debug)]
pub(crate) struct Insights {
    pub(crate) setting: InsightsSetting,
    /// How many attributes there are in a partition key, and in a whole one; of items whose last one ends with the key.
    shape: Shape,
    pub(crate) time: Clock,
    windows: parking_lot::Mutex<Windows>,
}

/// How keys are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    /// Terminated values of the partition key.
    partition: usize,
    /// Terminated values of the sort key that follow; `None` if the rest of the key is the sort key.
    sort: Option<usize>,
    pub(crate) has_sort: bool,
}

impl Shape {
    fn of_table(schema: &KeySchema) -> Self {
        Self {
            partition: 1,
            sort: None,
            has_sort: schema.sort.is_some(),
        }
    }

    fn of_index(index: &IndexDefinition) -> Self {
        let sort = index.keys.sort_attributes().count();
        Self {
            partition: index.keys.partition_attributes().count(),
            sort: Some(sort),
            has_sort: sort > 0,
        }
    }

    /// The partition key and the whole key in a key, as far as they are there.
    fn split(self, key: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        let partition = terminated(key, self.partition)?;
        let whole = match self.sort {
            _ if !self.has_sort => None,
            None => Some(key.len()).filter(|length| *length > partition),
            Some(values) => terminated(&key[partition..], values).map(|length| partition + length),
        };
        Some((&key[..partition], whole.map(|length| &key[..length])))
    }
}

/// The length of so many terminated values that a key begins with.
fn terminated(key: &[u8], values: usize) -> Option<usize> {
    let (mut at, mut left) = (0, values);
    while left > 0 {
        at += key.get(at..)?.iter().position(|byte| *byte == 0)?;
        // A zero byte within a value is followed by 0xFF, the end of one by 0x01.
        left -= usize::from(*key.get(at + 1)? == 1);
        at += 2;
    }
    Some(at)
}

impl Insights {
    /// Counts a request for a key: what it consumed, or that it was throttled.
    fn count(&self, at: Place<'_>, units: Option<f64>) {
        let throttled = units.is_none();
        let weight = units.unwrap_or(1.0);
        if !throttled && self.setting.mode == InsightsMode::ThrottledKeys {
            return;
        }
        let Some((partition, whole)) = self.shape.split(at.key) else {
            return;
        };
        let (of_partitions, of_items) = if throttled {
            (InsightsKind::ThrottledPartitions, InsightsKind::ThrottledItems)
        } else {
            (InsightsKind::AccessedPartitions, InsightsKind::AccessedItems)
        };
        let now = self.time.now();
        let mut windows = self.windows.lock();
        windows.add(now, of_partitions, partition, weight);
        if let Some(whole) = whole {
            windows.add(now, of_items, whole, weight);
        }
    }
}

impl TableInsights {
    /// What is counted of a table; `None` if nothing is.
    pub(crate) fn of(table: &Table, region: &str, time: &Arc<dyn TimeSource>) -> Option<Box<Self>> {
        let settings = table.registers.insights.get(region);
        let mut kept = table.live.insights.0.lock();
        let mut here = |owner: Option<u64>, name: &str, shape: Shape| {
            let setting = settings.and_then(|settings| settings.get(name));
            let Some(setting) = setting.filter(|setting| setting.enabled) else {
                kept.remove(&owner);
                return None;
            };
            if let Some(known) = kept.get(&owner).filter(|known| known.setting == *setting) {
                return Some(Arc::clone(known));
            }
            let time = Clock::new(time);
            let insights = Arc::new(Insights {
                setting: *setting,
                shape,
                windows: parking_lot::Mutex::new(Windows::new(time.now())),
                time,
            });
            kept.insert(owner, Arc::clone(&insights));
            Some(insights)
        };
        let own = here(None, "", Shape::of_table(table.keys()));
        let index = |index: &IndexDefinition| match index.kind {
            // Its capacity is the table's, and so are its partition keys; where its entries stand is nothing of the table's.
            IndexKind::Local(_) => None,
            IndexKind::Global(id) => here(Some(id), &index.name, Shape::of_index(index)),
        };
        let indexes: Vec<_> = table.indexes().iter().map(index).collect();
        let is_there = |owner: &Option<u64>| {
            owner.is_none_or(|owner| {
                table
                    .indexes()
                    .iter()
                    .any(|index| index.kind == IndexKind::Global(owner))
            })
        };
        kept.retain(|owner, _| is_there(owner));
        let any = own.is_some() || indexes.iter().any(Option::is_some);
        any.then(|| Box::new(Self { table: own, indexes }))
    }

    /// Counts a request: what it consumed, or that it was throttled. `index` is the place of the index among the table's.
    pub(crate) fn count(&self, table: &Table, index: Option<usize>, at: Place<'_>, units: Option<f64>) {
        let definition = index.and_then(|index| table.indexes().get(index));
        let index_insights = index.and_then(|index| self.indexes.get(index)).unwrap_or(&None);
        let (insights, at) = match definition {
            None => (&self.table, at),
            Some(index) if index.is_global() => (index_insights, at),
            Some(_) => {
                let key = terminated(at.key, 1).map_or(&[][..], |length| &at.key[..length]);
                (&self.table, Place { key, ..at })
            }
        };
        if let Some(insights) = insights {
            insights.count(at, units);
        }
    }
}

impl Table {
    /// Counts for contributor insights, if they are on.
    pub(crate) fn contribute(&self, index: Option<usize>, at: Place<'_>, units: Option<f64>) {
        if let Some(insights) = &self.insights {
            insights.count(self, index, at, units);
        }
    }

    pub(crate) fn insights_of(&self, index: Option<&str>) -> Result<(Option<&Arc<Insights>>, &str)> {
        let Some(name) = index else {
            return Ok((self.insights.as_ref().and_then(|insights| insights.table.as_ref()), ""));
        };
        let place = self.global_index(name)?;
        let insights = self.insights.as_ref().and_then(|insights| insights.indexes.get(place));
        Ok((insights.and_then(Option::as_ref), &self.indexes()[place].name))
    }

    /// The place of a global index among the table's.
    pub(crate) fn global_index(&self, name: &str) -> Result<usize> {
        let is = |index: &IndexDefinition| index.is_global() && index.name == name;
        let found = self.indexes().iter().position(is);
        found.ok_or_else(|| {
            TableError::ResourceNotFound(format!("Requested resource not found: Index: {name} not found"))
        })
    }
}

impl Insights {
    /// What was counted in the last minutes, of the table's keys or of an index's.
    pub(crate) fn report(
        &self,
        keys: &KeySchema,
        index: Option<&IndexDefinition>,
        minutes: u64,
    ) -> Result<Vec<InsightsReport>> {
        let report = |kind: InsightsKind| {
            let mut windows = self.windows.lock();
            let counted = windows.counted(self.time.now(), kind, minutes.clamp(1, INSIGHTS_MINUTES_MAX));
            drop(windows);
            let found = counted.keys.iter().map(|(key, weight)| {
                let key = match index {
                    None => read_key(keys, kind.is_of_items(), key),
                    Some(index) => read_entry_key(index, kind.is_of_items(), key),
                };
                Ok((key?, *weight))
            });
            Ok(InsightsReport {
                kind,
                keys: found.collect::<Result<_>>()?,
                total: counted.total,
                error: counted.error,
            })
        };
        let kinds = self.setting.kinds(self.shape.has_sort);
        kinds.into_iter().map(report).collect()
    }
}

impl InsightsSetting {
    /// What is counted.
    pub fn kinds(&self, has_sort_key: bool) -> Vec<InsightsKind> {
        let mut kinds = InsightsKind::ALL.to_vec();
        kinds.retain(|kind| {
            (has_sort_key || !kind.is_of_items())
                && (self.mode != InsightsMode::ThrottledKeys || kind.is_of_throttled())
        });
        kinds
    }
}

fn read_key(schema: &KeySchema, whole: bool, bytes: &[u8]) -> Result<Item> {
    if whole {
        return ItemKey::decode(schema, bytes);
    }
    read_values(std::iter::once(&schema.partition), bytes)
}

fn read_entry_key(index: &IndexDefinition, whole: bool, bytes: &[u8]) -> Result<Item> {
    let sort = index.keys.sort_attributes().filter(|_| whole);
    read_values(index.keys.partition_attributes().chain(sort), bytes)
}

/// Terminated values, by their attributes.
fn read_values<'a>(attributes: impl Iterator<Item = &'a KeyAttribute>, mut bytes: &[u8]) -> Result<Item> {
    let mut item = Item::new();
    for attribute in attributes {
        let read = key::read_terminated(bytes, attribute.kind.attribute_type());
        let (value, rest) = read.map_err(|_| TableError::Corrupt("a counted key cannot be read".into()))?;
        item.insert(attribute.name.as_str().into(), value);
        bytes = rest;
    }
    Ok(item)
}
