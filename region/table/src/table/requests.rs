//! What a table is to be, and what is to change of it, as requests say it.

use crate::{
    NewPolicy,
    schema::{Billing, IndexDefinition, IndexKind, KeySchema, Projection, StreamView, Tags, Throughput},
    table::throughput::{ReplicaUpdate, ThroughputUpdate},
};

/// What a table is to be. The api has resolved the attribute definitions and checked counts and names.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub keys: KeySchema,
    /// Its local indexes.
    pub local_indexes: Vec<NewIndex>,
    /// Its global indexes.
    pub global_indexes: Vec<NewIndex>,
    /// How it is billed.
    pub billing: Billing,
    /// More of its throughput, and of its global indexes'.
    pub throughput: ThroughputUpdate,
    /// Its stream.
    pub stream: Option<StreamView>,
    /// Whether it is protected from deletion.
    pub deletion_protection: bool,
    /// Its table class.
    pub table_class: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Its policy.
    pub resource_policy: Option<NewPolicy>,
    /// The master key that it is to be sealed under, as the key service calls it; none for a table without one.
    pub master_key: Option<String>,
}

/// What an index is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIndex {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub keys: KeySchema,
    /// What it copies.
    pub projection: Projection,
    /// Provisioned throughput, for a global index of a provisioned table.
    pub throughput: Option<Throughput>,
}

/// What is to change of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateTable {
    /// How it is billed.
    pub billing: Option<Billing>,
    /// The stream: `Some(None)` switches it off.
    pub stream: Option<Option<StreamView>>,
    /// Whether it is protected from deletion in this region.
    pub deletion_protection: Option<bool>,
    /// The table class in this region.
    pub table_class: Option<String>,
    /// Global indexes to add. One at most is added or removed at a time.
    pub index_creates: Vec<NewIndex>,
    /// Global indexes to remove.
    pub index_deletes: Vec<String>,
    /// More of the throughput, and that of global indexes.
    pub throughput: ThroughputUpdate,
    /// Regions to add a replica in.
    pub replica_creates: Vec<String>,
    /// What replicas, new ones too, get of their own.
    pub replica_updates: Vec<(String, ReplicaUpdate)>,
    /// Regions to remove the replica of.
    pub replica_deletes: Vec<String>,
    /// Whether this region is to leave the group, with all that it has.
    pub disassociate: bool,
    /// Whether it is protected from that.
    pub disassociation_protection: Option<bool>,
    /// Whether a regional table's settings are to be replicated: kept and shown.
    pub settings_mode: Option<bool>,
    /// The master key that it is to be sealed under in this region: `Some(None)` makes its rows plain.
    pub master_key: Option<Option<String>>,
    /// The master keys of replicas, new ones too, by their regions.
    pub replica_keys: Vec<(String, String)>,
}

impl NewIndex {
    pub(crate) fn into_definition(self, kind: IndexKind) -> IndexDefinition {
        let Self {
            name,
            keys,
            projection,
            throughput,
        } = self;
        IndexDefinition {
            name,
            kind,
            keys,
            projection,
            throughput,
        }
    }
}
