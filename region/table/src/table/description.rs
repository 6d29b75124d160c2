//! A table as DescribeTable shows it.

use std::collections::BTreeMap;

use geodynamo_replicator_core::Millis;

use crate::{
    EncryptionDescription, Table,
    schema::{
        Billing, IndexDefinition, IndexStatus, KeyAttribute, KeySchema, ReplicaEntry, ReplicaStatus, Stream,
        TableClass, Throughput, accounts::given_name,
    },
    table::{
        TableStatus,
        settings::Restore,
        throughput::{OnDemandLimits, Overrides, ThroughputHistory, warm},
    },
};

/// What DescribeTable shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The table's name.
    pub name: String,
    /// How far it has come.
    pub status: TableStatus,
    /// Its id as clients see it.
    pub uuid: u128,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: Millis,
    /// Its keys.
    pub keys: KeySchema,
    /// Its local indexes.
    pub local_indexes: Vec<IndexDescription>,
    /// Its global indexes.
    pub global_indexes: Vec<IndexDescription>,
    /// The attributes that keys use, each once, by name.
    pub attributes: Vec<KeyAttribute>,
    /// How it is billed.
    pub billing: Billing,
    /// When its throughput was changed.
    pub history: ThroughputHistory,
    /// How often it was decreased on this UTC day.
    pub decreases_today: u64,
    /// Its maximums in on-demand mode, if they were ever set.
    pub on_demand: Option<OnDemandLimits>,
    /// What it can take at once, in units per second.
    pub warm: Throughput,
    /// Read throughput that is this region's own.
    pub overrides: Overrides,
    /// Its stream, also one that was switched off.
    pub stream: Option<Stream>,
    /// Whether it is protected from deletion.
    pub deletion_protection: bool,
    /// Its table class, if one was ever set.
    pub table_class: Option<TableClass>,
    /// How many items it has.
    pub items: u64,
    /// Their size by DynamoDB's formula.
    pub bytes: u64,
    /// The replicas in other regions, by region.
    pub replicas: Vec<ReplicaDescription>,
    /// What it was restored from, if it was, in this region.
    pub restore: Option<Restore>,
    /// Whether this region's replica is protected from leaving the group.
    pub disassociation_protection: bool,
    /// Whether a regional table's settings are to be replicated, if that was ever said.
    pub settings_mode: Option<bool>,
    /// How it is encrypted, if it has a key of its own in this region.
    pub encryption: Option<EncryptionDescription>,
}

/// What DescribeTable shows of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexDescription {
    /// The index.
    pub definition: IndexDefinition,
    /// How far it has come.
    pub status: IndexStatus,
    /// Whether it was made with its table.
    pub with_table: bool,
    /// When its throughput was changed.
    pub history: ThroughputHistory,
    /// How often it was decreased on this UTC day.
    pub decreases_today: u64,
    /// Its maximums in on-demand mode, if they were ever set.
    pub on_demand: Option<OnDemandLimits>,
    /// What it can take at once, in units per second.
    pub warm: Throughput,
    /// How many entries it has.
    pub items: u64,
    /// Their size by DynamoDB's formula.
    pub bytes: u64,
}

/// What DescribeTable shows of another region's replica.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaDescription {
    /// The region.
    pub region: String,
    /// How far the replica has come.
    pub entry: ReplicaEntry,
    /// Read throughput of its own.
    pub overrides: Overrides,
    /// Its table class, if one was ever set.
    pub table_class: Option<TableClass>,
    /// Whether it is about to leave the group.
    pub leaving: bool,
    /// Whether its region has been out of reach for so long that it is to be told.
    pub out_of_reach: bool,
    /// The master key that it is sealed under, if it has one.
    pub master_key: Option<String>,
}

impl ReplicaDescription {
    /// Why the replica of a table could not be made, if it could not.
    pub fn failure_text(&self, table: &str) -> Option<String> {
        let failure = self
            .entry
            .failure
            .filter(|_| self.entry.status == ReplicaStatus::Failed);
        failure.map(|failure| failure.text(given_name(table)))
    }
}

impl Table {
    /// As DescribeTable shows it.
    pub(crate) fn describe(&self, region: &str, now: Millis) -> Description {
        let (items, bytes) = self.live.table.read();
        let registers = &self.registers;
        let billing = registers.billing.unwrap_or(Billing::OnDemand);
        let of_kind = |global: bool| {
            let indexes = self.indexes().iter().filter(move |index| index.is_global() == global);
            indexes.map(|index| self.describe_index(index, billing, now))
        };
        let leaving = self.phases.leaving.iter().map(|index| IndexDescription {
            status: IndexStatus::Deleting,
            with_table: true,
            items: 0,
            bytes: 0,
            ..self.describe_index(index, billing, now)
        });
        Description {
            name: self.name().into(),
            status: self.status,
            uuid: self.definition().uuid,
            created_ms: self.definition().created_ms,
            keys: self.keys().clone(),
            local_indexes: of_kind(false).collect(),
            global_indexes: of_kind(true).chain(leaving).collect(),
            attributes: self.key_attributes(),
            billing,
            decreases_today: registers
                .history
                .as_ref()
                .map_or(0, |history| history.decreases_on(now)),
            history: registers.history.clone().unwrap_or_default(),
            on_demand: registers.on_demand,
            warm: warm(billing, registers.warm),
            overrides: registers.overrides.get(region).cloned().unwrap_or_default(),
            stream: registers.stream.clone(),
            deletion_protection: registers.deletion_protection.get(region).copied().unwrap_or(false),
            table_class: registers.table_class.get(region).cloned(),
            items,
            bytes,
            restore: registers.restores.get(region).cloned(),
            disassociation_protection: registers.disassociation_protection.get(region).copied().unwrap_or(true),
            settings_mode: registers.settings_mode,
            encryption: self.describe_encryption(region),
            replicas: self
                .other_replicas(region)
                .map(|(name, entry)| ReplicaDescription {
                    region: name.clone(),
                    entry: entry.clone(),
                    overrides: registers.overrides.get(name).cloned().unwrap_or_default(),
                    table_class: registers.table_class.get(name).cloned(),
                    leaving: registers.leaving.contains_key(name),
                    out_of_reach: false,
                    master_key: registers
                        .encryption
                        .get(name)
                        .and_then(|encryption| encryption.master.clone()),
                })
                .collect(),
        }
    }

    fn describe_index(&self, index: &IndexDefinition, billing: Billing, now: Millis) -> IndexDescription {
        let stats = self.live.indexes.read().get(&index.kind).map(|stats| stats.read());
        let (items, bytes) = stats.unwrap_or((0, 0));
        let capacity = self.index_capacity(index).cloned().unwrap_or_default();
        let billing = match billing {
            Billing::OnDemand => Billing::OnDemand,
            Billing::Provisioned(_) => Billing::Provisioned(index.throughput.unwrap_or_default()),
        };
        IndexDescription {
            definition: index.clone(),
            status: self.phases.status(index),
            with_table: self.phases.with_table(index),
            decreases_today: capacity.history.decreases_on(now),
            history: capacity.history,
            on_demand: capacity.on_demand,
            warm: warm(billing, capacity.warm),
            items,
            bytes,
        }
    }

    /// The attributes that keys use, each once, by name; those of indexes that are being taken away, too.
    fn key_attributes(&self) -> Vec<KeyAttribute> {
        let indexes = self.phases.leaving.iter().chain(self.indexes());
        let of_indexes = indexes.flat_map(|index| index.keys.attributes());
        let mut attributes = BTreeMap::new();
        for attribute in of_indexes.chain(self.keys().attributes()) {
            attributes.insert(attribute.name.clone(), attribute.clone());
        }
        attributes.into_values().collect()
    }
}
