//! What a table is made of: keys, indexes, settings. These are what the catalog's registers hold.

pub(crate) mod accounts;
pub mod capacity;
pub(crate) mod date;

use std::collections::BTreeMap;

use geodynamo_item::{AttributeType, AttributeValue};
use serde::{Deserialize, Serialize};

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyType {
    /// `S`
    S,
    /// `N`
    N,
    /// `B`
    B,
}

impl KeyType {
    /// As an attribute type.
    pub fn attribute_type(self) -> AttributeType {
        match self {
            Self::S => AttributeType::S,
            Self::N => AttributeType::N,
            Self::B => AttributeType::B,
        }
    }

    /// DynamoDB's code.
    pub fn code(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// A key attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttribute {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Its type.
    #[serde(rename = "t")]
    pub kind: KeyType,
}

impl KeyAttribute {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A key schema: a partition key and, maybe, a sort key. Those of a global index may have several attributes each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySchema {
    /// `HASH`
    #[serde(rename = "h")]
    pub partition: KeyAttribute,
    /// `RANGE`
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<KeyAttribute>,
    /// Further attributes of the partition key.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub more_partition: Vec<KeyAttribute>,
    /// Further attributes of the sort key; none without a first one.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    pub more_sort: Vec<KeyAttribute>,
}

impl KeySchema {
    /// A schema of one attribute for each key.
    pub fn new(partition: KeyAttribute, sort: Option<KeyAttribute>) -> Self {
        Self {
            partition,
            sort,
            more_partition: Vec::new(),
            more_sort: Vec::new(),
        }
    }

    /// The partition key's attributes.
    pub fn partition_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.partition).chain(&self.more_partition)
    }

    /// The sort key's attributes, in the order that they sort by.
    pub fn sort_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.sort.iter().chain(&self.more_sort)
    }

    /// Whether a key has several attributes.
    pub fn has_several(&self) -> bool {
        !self.more_partition.is_empty() || !self.more_sort.is_empty()
    }

    /// The key attributes, those of the partition key first.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.partition_attributes().chain(self.sort_attributes())
    }

    /// The key attributes, and whether they are the partition key's.
    pub fn roles(&self) -> impl Iterator<Item = (&KeyAttribute, bool)> {
        let partition = self.partition_attributes().map(|attribute| (attribute, true));
        partition.chain(self.sort_attributes().map(|attribute| (attribute, false)))
    }

    /// Whether the attribute is part of the key.
    pub fn contains(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }
}

/// What an index copies of an item besides the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Projection {
    /// `ALL`
    All,
    /// `KEYS_ONLY`
    KeysOnly,
    /// `INCLUDE` with these attributes.
    Include(Vec<String>),
}

/// Read and write capacity units per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// Read capacity units.
    #[serde(rename = "r")]
    pub read: u64,
    /// Write capacity units.
    #[serde(rename = "w")]
    pub write: u64,
}

/// Whether an index is local to the partition key or global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IndexKind {
    /// A local secondary index; the number tells a table's local indexes apart (0 to 4).
    Local(u8),
    /// A global secondary index; the number is its owner id in engine keys, new for every index ever made.
    Global(u64),
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Local or global.
    #[serde(rename = "k")]
    pub kind: IndexKind,
    /// Its keys.
    #[serde(rename = "s")]
    pub keys: KeySchema,
    /// What it copies.
    #[serde(rename = "p")]
    pub projection: Projection,
    /// Provisioned throughput, for a global index of a provisioned table.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
}

impl IndexDefinition {
    /// Whether it is a global index.
    pub fn is_global(&self) -> bool {
        matches!(self.kind, IndexKind::Global(_))
    }
}

/// How far a replica's copy of an index has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexStatus {
    /// About to be filled from the items.
    Creating,
    /// Being filled from the items.
    Backfilling,
    /// Whole.
    Active,
    /// Its throughput is being changed.
    Updating,
    /// Being taken away.
    Deleting,
}

impl IndexStatus {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Creating | Self::Backfilling => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

/// How a table is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Billing {
    /// `PAY_PER_REQUEST`
    OnDemand,
    /// `PROVISIONED`
    Provisioned(Throughput),
}

/// What a stream's records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamView {
    /// `KEYS_ONLY`
    KeysOnly,
    /// `NEW_IMAGE`
    NewImage,
    /// `OLD_IMAGE`
    OldImage,
    /// `NEW_AND_OLD_IMAGES`
    NewAndOldImages,
}

impl StreamView {
    /// DynamoDB's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }

    /// Whether records carry the item as it was.
    pub fn old_image(self) -> bool {
        matches!(self, Self::OldImage | Self::NewAndOldImages)
    }

    /// Whether records carry the item as it became.
    pub fn new_image(self) -> bool {
        matches!(self, Self::NewImage | Self::NewAndOldImages)
    }
}

/// A table's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Whether it is on. A stream that was switched off keeps its label.
    #[serde(rename = "e")]
    pub enabled: bool,
    /// What its records show.
    #[serde(rename = "v")]
    pub view: StreamView,
    /// When it was switched on, in milliseconds since the Unix epoch: the stream's label in the region that did so. The other
    /// regions' streams have labels of their own.
    #[serde(rename = "l")]
    pub label_ms: u64,
    /// The region that switched it on; `None` if that was before streams had labels of their own, so that all have this one.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// Whether a table's items expire, and by which attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeToLive {
    /// Whether they do.
    #[serde(rename = "e")]
    pub enabled: bool,
    /// The attribute that says when: a number, in seconds since the Unix epoch. 1 to 255 characters.
    #[serde(rename = "a")]
    pub attribute: String,
    /// When this was last changed, in milliseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub changed_ms: u64,
}

/// What is fixed when a table is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The table's name.
    #[serde(rename = "n")]
    pub name: String,
    /// When it was made, in milliseconds since the Unix epoch.
    #[serde(rename = "c")]
    pub created_ms: u64,
    /// Its keys.
    #[serde(rename = "k")]
    pub keys: KeySchema,
    /// Its local indexes.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub local_indexes: Vec<IndexDefinition>,
    /// How many partitions its key space has.
    #[serde(rename = "p")]
    pub partitions: u16,
    /// The table's 128-bit id as clients see it.
    #[serde(rename = "u")]
    pub uuid: u128,
}

/// How far a replica has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaStatus {
    /// Being copied from another region.
    Creating,
    /// Serving.
    Active,
    /// Being removed.
    Deleting,
    /// Could not be made.
    Failed,
}

impl ReplicaStatus {
    /// DynamoDB's name of a replica's status.
    pub fn code(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Deleting => "DELETING",
            Self::Failed => "CREATION_FAILED",
        }
    }
}

/// A region's replica of a table, as every region sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaEntry {
    /// How far it has come.
    #[serde(rename = "s")]
    pub status: ReplicaStatus,
    /// Tells this join from an earlier one of the same region.
    #[serde(rename = "j")]
    pub join: u64,
    /// The region that asked for it, whose copy it is made from if that can be; `None` for the region that made the table.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The incarnation that holds it; `None` as long as its region has only been asked to.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// The last change of its status, in milliseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub since_ms: u64,
    /// Why it could not be made.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a replica could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// Its region has a table of that name.
    NameTaken,
    /// No replica was left that it could be copied from.
    NoSource,
}

impl Failure {
    /// As `ReplicaStatusDescription` shows it; `table` is the table's name.
    pub fn text(self, table: &str) -> String {
        match self {
            Self::NameTaken => name_taken(table),
            Self::NoSource => format!(
                "Failed to create a new replica of table with name: '{table}' because no replica is left to copy it from."
            ),
        }
    }
}

/// What DynamoDB says of a region that cannot have a replica because it has a table of that name, whoever's that is.
pub(crate) fn name_taken(table: &str) -> String {
    format!(
        "Failed to create a the new replica of table with name: '{table}' because one or more replicas already existed as \
         tables."
    )
}

/// What the regions that have a table last asked of another region's replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRequest {
    /// What was asked for.
    #[serde(rename = "a")]
    pub action: ReplicaAction,
    /// Which join is asked for, or is to end.
    #[serde(rename = "j")]
    pub join: u64,
    /// The region that asked.
    #[serde(rename = "f")]
    pub by: String,
    /// When, in milliseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub since_ms: u64,
}

/// What can be asked of a region's replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaAction {
    /// To be made.
    Create,
    /// To be removed.
    Delete,
}

/// A replica's table class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableClass {
    /// `STANDARD` or `STANDARD_INFREQUENT_ACCESS`
    #[serde(rename = "c")]
    pub class: String,
    /// When it was changed, in milliseconds since the Unix epoch; `None` if it is as the table was made.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

/// A table's tags, which stay in their region.
pub type Tags = BTreeMap<String, String>;

/// The longest partition key, in bytes.
pub const PARTITION_KEY_BYTES_MAX: usize = 2048;

/// The longest sort key, in bytes.
pub const SORT_KEY_BYTES_MAX: usize = 1024;

/// The length of a key in bytes; a number's is never at fault.
pub(crate) fn key_len(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.len(),
        _ => 1,
    }
}

/// The longest key in bytes.
pub(crate) fn key_max(partition: bool) -> usize {
    if partition {
        PARTITION_KEY_BYTES_MAX
    } else {
        SORT_KEY_BYTES_MAX
    }
}
