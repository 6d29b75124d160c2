//! One table, as a request sees it.

mod derived;
pub(crate) mod description;
pub(crate) mod encryption;
pub(crate) mod gate;
pub(crate) mod index_state;
pub(crate) mod insights;
pub(crate) mod key_presence;
pub(crate) mod lost;
pub(crate) mod registers;
pub(crate) mod replicas;
pub(crate) mod requests;
pub(crate) mod resource_policy;
pub(crate) mod settings;
pub(crate) mod stream_name;
pub(crate) mod throttle;
pub mod throughput;
pub(crate) mod throughput_changes;
pub(crate) mod usage;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use geodynamo_expression::Update;
use geodynamo_item::{AttributeValue, Item};
use geodynamo_topology::partition::PartitionMap;

use crate::{
    PARTITION_KEY_BYTES_MAX, Result, SORT_KEY_BYTES_MAX, TableError,
    layout::index::{ItemKey, key_value},
    schema::{
        Billing, Definition, IndexDefinition, IndexKind, IndexStatus, KeyAttribute, KeySchema, ReplicaEntry,
        ReplicaStatus, StreamView, Tags, key_len, key_max,
    },
    table::{
        gate::Gate,
        index_state::{IndexPhases, global_id},
        insights::{KeptInsights, TableInsights},
        key_presence::KeyPresence,
        registers::Registers,
        throttle::{Meters, Throttle},
        usage::Usage,
    },
};

/// How far a table has come in its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableStatus {
    /// Being made, or copied from another region.
    Creating,
    /// Serving, while a setting changes or a replica is added or taken away.
    Updating,
    /// Being removed.
    Deleting,
    /// Serving.
    Active,
    /// It takes no requests: the key that it is sealed under is away.
    Inaccessible,
}

impl TableStatus {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Active => "ACTIVE",
            Self::Inaccessible => "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        }
    }
}

/// A table as it is in this region: its definition and settings at one moment, and what is shared by all such moments.
#[derive(Debug)]
pub struct Table {
    id: u64,
    definition: Definition,
    indexes: Vec<IndexDefinition>,
    map: PartitionMap,
    pub(crate) registers: Registers,
    pub(crate) status: TableStatus,
    pub(crate) phases: IndexPhases,
    /// What its requests are held to, if to anything.
    pub(crate) throttle: Option<Box<Throttle>>,
    /// What is counted of its requests, if anything.
    pub(crate) insights: Option<Box<TableInsights>>,
    pub(crate) live: Arc<Live>,
}

/// What a table keeps while its settings change.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Where every write is inside for as long as it runs.
    pub(crate) gate: Gate,
    /// What the open stream shows; none while there is none. It changes only while no write is under way.
    pub(crate) view: parking_lot::RwLock<Option<StreamView>>,
    /// Whether every change carries the item as it became, for whoever archives the log. Read under the gate.
    images: AtomicBool,
    /// Whether every change carries the item as it was, too, for streaming destinations. Read under the gate.
    both_images: AtomicBool,
    /// Whether every change carries the item as it became, for copies kept elsewhere. Read under the gate.
    copied_images: AtomicBool,
    /// Of the table, then of its indexes.
    pub(crate) table: Arc<Stats>,
    pub(crate) indexes: parking_lot::RwLock<BTreeMap<IndexKind, Arc<Stats>>>,
    /// The attribute by which items expire. Whoever has passed the gate sees the newest, not his table's.
    pub(crate) expires_by: arc_swap::ArcSwapOption<String>,
    /// The indexes that writes maintain, whichever moment of the table they were begun with. Read under the gate: whoever
    /// passed the gate for writing after a change knows that every write goes by it.
    pub(crate) maintained: arc_swap::ArcSwap<Vec<IndexDefinition>>,
    /// What was consumed of it and its indexes.
    pub(crate) meters: Meters,
    /// What was counted of its requests.
    pub(crate) insights: KeptInsights,
    /// Whether the key that it is sealed under is there.
    pub(crate) key: KeyPresence,
    /// How it is used.
    pub(crate) usage: Arc<Usage>,
}

impl Live {
    /// Of a table that is counted there.
    pub(crate) fn counted(usage: Arc<Usage>) -> Self {
        Self {
            usage,
            ..Self::default()
        }
    }

    /// Whether every change carries the item as it became.
    pub(crate) fn keeps_images(&self) -> bool {
        self.images.load(Ordering::Relaxed)
    }

    /// Changes that: for all writes that begin from here on.
    pub(crate) fn keep_images(&self, keep: bool) {
        self.images.store(keep, Ordering::Relaxed);
    }

    /// Whether every change carries the item as it was and as it became.
    pub(crate) fn keeps_both_images(&self) -> bool {
        self.both_images.load(Ordering::Relaxed)
    }

    /// Changes that: for all writes that begin from here on.
    pub(crate) fn keep_both_images(&self, keep: bool) {
        self.both_images.store(keep, Ordering::Relaxed);
    }

    /// Whether every change carries the item as it became, for copies kept elsewhere.
    pub(crate) fn keeps_images_for_copies(&self) -> bool {
        self.copied_images.load(Ordering::Relaxed)
    }

    /// Changes that: for all writes that begin from here on.
    pub(crate) fn keep_images_for_copies(&self, keep: bool) {
        self.copied_images.store(keep, Ordering::Relaxed);
    }

    /// Whether writes maintain an index.
    pub(crate) fn maintains(&self, index: &IndexDefinition) -> bool {
        self.maintained.load().iter().any(|other| other.kind == index.kind)
    }
}

/// How many items and bytes there are.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    items: AtomicI64,
    bytes: AtomicI64,
}

impl Stats {
    /// Counts a change from one size to another; `None` is no item.
    pub(crate) fn count(&self, before: Option<usize>, after: Option<usize>) {
        let number = |size: Option<usize>| i64::from(size.is_some());
        let bytes = |size: Option<usize>| i64::try_from(size.unwrap_or(0)).unwrap_or(i64::MAX);
        self.items.fetch_add(number(after) - number(before), Ordering::Relaxed);
        self.bytes.fetch_add(bytes(after) - bytes(before), Ordering::Relaxed);
    }

    /// Starts with what was counted in an earlier process.
    pub(crate) fn preset(&self, counted: (u64, u64)) {
        self.correct((0, 0), counted);
    }

    /// Takes away what was shown so far and adds what was counted.
    pub(crate) fn correct(&self, shown: (u64, u64), counted: (u64, u64)) {
        let add = |to: &AtomicI64, from: u64, by: u64| {
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            to.fetch_add(number(by) - number(from), Ordering::Relaxed);
        };
        add(&self.items, shown.0, counted.0);
        add(&self.bytes, shown.1, counted.1);
    }

    /// Items and bytes.
    pub(crate) fn read(&self) -> (u64, u64) {
        let read = |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
        (read(&self.items), read(&self.bytes))
    }
}

impl Table {
    /// A table from its registers; `None` if they do not make one (yet).
    pub(crate) fn new(
        id: u64,
        registers: Registers,
        status: TableStatus,
        phases: IndexPhases,
        live: Arc<Live>,
    ) -> Option<Self> {
        let definition = registers.definition.clone()?;
        let map = PartitionMap::uniform(definition.partitions)?;
        let mut indexes = definition.local_indexes.clone();
        indexes.extend(registers.global_indexes.values().cloned().map(|mut index| {
            let capacity = global_id(&index).and_then(|id| registers.index_capacity.get(&id));
            let provisioned = matches!(registers.billing, Some(Billing::Provisioned(_)));
            let throughput = capacity.and_then(|capacity| capacity.provisioned).or(index.throughput);
            index.throughput = throughput.filter(|_| provisioned);
            index
        }));
        let expires = registers.time_to_live.as_ref().filter(|ttl| ttl.enabled);
        live.expires_by
            .store(expires.map(|ttl| Arc::new(ttl.attribute.clone())));
        {
            let mut stats = live.indexes.write();
            stats.retain(|kind, _| indexes.iter().any(|index| index.kind == *kind));
            for index in &indexes {
                stats.entry(index.kind).or_default();
            }
        }
        live.maintained.store(Arc::new(indexes.clone()));
        Some(Self {
            id,
            definition,
            indexes,
            map,
            registers,
            status,
            phases,
            throttle: None,
            insights: None,
            live,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// What was fixed when it was made.
    pub(crate) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Its id in engine keys and deltas.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its keys.
    pub fn keys(&self) -> &KeySchema {
        &self.definition.keys
    }

    /// Its indexes, local ones first.
    pub fn indexes(&self) -> &[IndexDefinition] {
        &self.indexes
    }

    /// An index by name.
    pub fn index(&self, name: &str) -> Result<&IndexDefinition> {
        let found = self.indexes.iter().find(|index| index.name == name);
        found.ok_or_else(|| TableError::Validation(format!("The table does not have the specified index: {name}")))
    }

    /// An index by name that can be read.
    pub fn readable_index(&self, name: &str) -> Result<&IndexDefinition> {
        let index = self.index(name)?;
        if self.phases.status(index) == IndexStatus::Active {
            return Ok(index);
        }
        Err(TableError::Validation(format!(
            "Cannot read from backfilling global secondary index: {name}"
        )))
    }

    /// How far it has come.
    pub fn status(&self) -> TableStatus {
        self.status
    }

    /// When it was made, in milliseconds since the Unix epoch.
    pub(crate) fn created_ms(&self) -> u64 {
        self.definition.created_ms
    }

    /// Whether every change of it carries the item as it became, for whoever archives its change logs: whether it has
    /// point-in-time recovery.
    pub fn is_archived(&self) -> bool {
        self.live.keeps_images()
    }

    /// How many items it has, and their size by DynamoDB's formula.
    pub fn counts(&self) -> (u64, u64) {
        self.live.table.read()
    }

    /// Whether requests may be throttled.
    pub fn is_throttled(&self) -> bool {
        self.throttle.as_ref().is_some_and(|throttle| throttle.limits())
    }

    /// Whether anybody wants to know where requests read and write.
    pub(crate) fn is_metered(&self) -> bool {
        self.is_throttled() || self.insights.is_some()
    }

    /// Its partitions.
    pub fn partitions(&self) -> PartitionMap {
        self.map
    }

    /// What its change records show besides keys; `None` while its stream is off. To be asked by whoever holds the gate.
    pub(crate) fn view(&self) -> Option<StreamView> {
        *self.live.view.read()
    }

    /// Its tags in a region.
    pub(crate) fn tags(&self, region: &str) -> Tags {
        self.registers.tags.get(region).cloned().unwrap_or_default()
    }

    /// Its tags in a region, without a copy.
    pub fn tags_in(&self, region: &str) -> Option<&Tags> {
        self.registers.tags.get(region)
    }

    /// The replicas in other regions.
    pub(crate) fn other_replicas(&self, region: &str) -> impl Iterator<Item = (&String, &ReplicaEntry)> {
        self.registers.replicas.iter().filter(move |(name, _)| *name != region)
    }

    /// Whether another region has, or is about to have, a replica that takes deltas.
    pub(crate) fn replicates_to(&self, region: &str) -> bool {
        let takes = |entry: &ReplicaEntry| matches!(entry.status, ReplicaStatus::Creating | ReplicaStatus::Active);
        self.registers.replicas.get(region).is_some_and(takes)
    }

    /// Where a request's `Key` stands. It must be the key attributes and nothing else.
    pub fn key_of(&self, key: &Item) -> Result<ItemKey> {
        let attributes = self.keys().attributes().count();
        let fits = key.len() == attributes
            && self
                .keys()
                .attributes()
                .all(|attribute| key_value(attribute, key).is_some());
        if !fits {
            return Err(TableError::Validation(
                "The provided key element does not match the schema".into(),
            ));
        }
        self.check_key_values(key)?;
        self.key_of_item(key)
    }

    /// Where an item stands; its keys have been checked.
    pub(crate) fn key_of_item(&self, item: &Item) -> Result<ItemKey> {
        ItemKey::of(self.keys(), item)
            .ok_or_else(|| TableError::Validation("The provided key element does not match the schema".into()))
    }

    /// Checks an item that is about to be written: its keys, and the attributes that are keys of an index.
    ///
    /// # Errors
    /// [`TableError::Validation`] with DynamoDB's text, of the first key that is missing, of a wrong type, empty or too long.
    pub fn check_item(&self, item: &Item) -> Result<()> {
        for attribute in self.keys().attributes() {
            match item.get(&attribute.name) {
                None => {
                    return Err(TableError::invalid(format!(
                        "Missing the key {} in the item",
                        attribute.name
                    )));
                }
                Some(value) if value.kind() != attribute.kind.attribute_type() => {
                    return Err(TableError::invalid(format!(
                        "Type mismatch for key {} expected: {} actual: {}",
                        attribute.name,
                        attribute.kind.code(),
                        value.kind().code()
                    )));
                }
                Some(_) => {}
            }
        }
        self.check_key_values(item)?;
        self.check_index_keys(item)
    }

    /// The indexes whose keys must be right in every write: all but those that are being added. Until their back-fill has
    /// ended what does not fit them stays out of them, whenever it was written.
    ///
    /// Source: AWS developer guide, "Detecting and correcting index key violations": "After the backfilling phase completes,
    /// all writes to items that violate the new index's key schema will be rejected."
    fn demanding_indexes(&self) -> impl Iterator<Item = &IndexDefinition> {
        let added = |index: &&IndexDefinition| {
            self.phases.status(index) != IndexStatus::Active && !self.phases.with_table(index)
        };
        self.indexes.iter().filter(move |index| !added(index))
    }

    /// Checks the attributes that are keys of an index: of the right type, not empty, not too long.
    fn check_index_keys(&self, item: &Item) -> Result<()> {
        self.check_index_keys_of(item, WrittenBy::Put)
    }

    /// The same of an item that an update made.
    pub(crate) fn check_updated_index_keys(&self, item: &Item, update: Option<&Update>) -> Result<()> {
        self.check_index_keys_of(item, WrittenBy::Update(update))
    }

    fn check_index_keys_of(&self, item: &Item, by: WrittenBy<'_>) -> Result<()> {
        for index in self.demanding_indexes() {
            for (attribute, partition) in index.keys.roles() {
                let Some(value) = item.get(&attribute.name) else {
                    continue;
                };
                if value.kind() != attribute.kind.attribute_type() {
                    return Err(by.wrong_type(index, attribute, value));
                }
                check_index_key_value(index, attribute, value, partition, by)?;
            }
        }
        Ok(())
    }

    /// Checks of the attributes that are keys of an index only that they are not empty and not too long.
    pub(crate) fn check_index_key_values(&self, item: &Item) -> Result<()> {
        for index in self.demanding_indexes() {
            for (attribute, partition) in index.keys.roles() {
                if let Some(value) = item.get(&attribute.name) {
                    check_index_key_value(index, attribute, value, partition, WrittenBy::Put)?;
                }
            }
        }
        Ok(())
    }

    /// Checks that the key attributes are not empty and not too long.
    pub(crate) fn check_key_values(&self, item: &Item) -> Result<()> {
        for (attribute, partition) in self.keys().roles() {
            let Some(value) = item.get(&attribute.name) else {
                continue;
            };
            let len = key_len(value);
            if len == 0 {
                return Err(TableError::Validation(format!(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
                     empty {} value. Key: {}",
                    kind_word(value),
                    attribute.name
                )));
            }
            if len > key_max(partition) {
                return Err(too_long(partition));
            }
        }
        Ok(())
    }
}

/// What made an item: refusals of its index keys are in words of their own for each. Those of updates are among the reasons
/// of TransactionCanceledException in the API reference.
#[derive(Clone, Copy)]
enum WrittenBy<'a> {
    Put,
    Update(Option<&'a Update>),
}

impl WrittenBy<'_> {
    /// A value of the request is told as a put's is, one that the update takes from the item in the update's own words.
    fn wrong_type(self, index: &IndexDefinition, attribute: &KeyAttribute, value: &AttributeValue) -> TableError {
        match self {
            Self::Update(update) if !update.is_some_and(|update| update.tells_type_of(&attribute.name)) => {
                TableError::Validation(
                    "The update expression attempted to update the secondary index key to unsupported type".into(),
                )
            }
            Self::Put | Self::Update(_) => TableError::invalid(format!(
                "Type mismatch for Index Key {} Expected: {} Actual: {} IndexName: {}",
                attribute.name,
                attribute.kind.code(),
                value.kind().code(),
                index.name
            )),
        }
    }

    fn empty(self, index: &IndexDefinition, attribute: &KeyAttribute, value: &AttributeValue) -> TableError {
        let kind = kind_word(value);
        TableError::Validation(match self {
            Self::Put => format!(
                "One or more parameter values are not valid. A value specified for a secondary index key is not \
                 supported. The AttributeValue for a key attribute cannot contain an empty {kind} value. IndexName: {}, \
                 IndexKey: {}",
                index.name, attribute.name
            ),
            Self::Update(_) => format!(
                "One or more parameter values are not valid. The update expression attempted to update a secondary index \
                 key to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty \
                 {kind} value."
            ),
        })
    }

    /// Of a put, as the service is quoted (wellcomecollection/platform, issue 2285).
    fn too_long(self, index: &IndexDefinition, attribute: &KeyAttribute, bytes: usize, bytes_max: usize) -> TableError {
        match self {
            Self::Put => TableError::invalid(format!(
                "Size limit exceeded for Index Key {} Actual Size: {bytes} bytes Max Size: {bytes_max} bytes IndexName: {}",
                attribute.name, index.name
            )),
            Self::Update(_) => TableError::Validation(
                "The update expression attempted to update the secondary index key beyond allowed size limits".into(),
            ),
        }
    }
}

fn check_index_key_value(
    index: &IndexDefinition,
    attribute: &KeyAttribute,
    value: &AttributeValue,
    partition: bool,
    by: WrittenBy<'_>,
) -> Result<()> {
    let (len, max) = (key_len(value), key_max(partition));
    if len == 0 {
        return Err(by.empty(index, attribute, value));
    }
    if len > max {
        return Err(by.too_long(index, attribute, len, max));
    }
    Ok(())
}

fn too_long(partition: bool) -> TableError {
    if partition {
        TableError::invalid(format!(
            "Size of hashkey has exceeded the maximum size limit of{PARTITION_KEY_BYTES_MAX} bytes"
        ))
    } else {
        TableError::invalid(format!(
            "Aggregated size of all range keys has exceeded the size limit of {SORT_KEY_BYTES_MAX} bytes"
        ))
    }
}

fn kind_word(value: &AttributeValue) -> &'static str {
    if matches!(value, AttributeValue::B(_)) {
        "binary"
    } else {
        "string"
    }
}
