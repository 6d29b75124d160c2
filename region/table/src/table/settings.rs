//! A table's settings as archives keep them, and the registers of backups and restores.

use std::collections::BTreeMap;

use geodynamo_replicator_core::Millis;
use serde::{Deserialize, Serialize};

use crate::{
    CreateTable, NewIndex, Table,
    schema::{Billing, IndexDefinition, IndexStatus, KeySchema, Stream, TimeToLive},
    table::throughput::{IndexUpdate, OnDemandLimits, OnDemandUpdate, ThroughputUpdate},
};

/// Whether a region's replica of a table has point-in-time recovery: a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointInTime {
    /// Whether it is on.
    #[serde(rename = "e")]
    pub enabled: bool,
    /// How far back it reaches at most, in days.
    #[serde(rename = "d")]
    pub period_days: u32,
    /// When it was last switched on or off, in milliseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub since_ms: Millis,
}

/// What a region's replica of a table was restored from: a register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The table it was restored from.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub source_table_arn: Option<String>,
    /// The backup it was restored from, if it was one.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub source_backup_arn: Option<String>,
    /// The moment, in milliseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub at_ms: Millis,
    /// Whether some of it is still missing. Until then the table is CREATING.
    #[serde(rename = "p")]
    pub in_progress: bool,
    /// Where it is read from, as whoever restores it knows it.
    #[serde(rename = "j", default, with = "serde_bytes")]
    pub job: Vec<u8>,
}

/// A table's settings as archives keep them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSettings {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Its id in engine keys.
    #[serde(rename = "i")]
    pub id: u64,
    /// Its id as clients see it.
    #[serde(rename = "u")]
    pub uuid: u128,
    /// When it was made, in milliseconds since the Unix epoch.
    #[serde(rename = "c")]
    pub created_ms: Millis,
    /// Its keys.
    #[serde(rename = "k")]
    pub keys: KeySchema,
    /// Its indexes, local ones first, with their throughput.
    #[serde(rename = "x", default)]
    pub indexes: Vec<IndexDefinition>,
    /// How it is billed.
    #[serde(rename = "b")]
    pub billing: Billing,
    /// Its maximums in on-demand mode.
    #[serde(rename = "o", default)]
    pub on_demand: Option<OnDemandLimits>,
    /// Those of its global indexes, by name.
    #[serde(rename = "y", default)]
    pub index_on_demand: BTreeMap<String, OnDemandLimits>,
    /// Its stream, if it is on.
    #[serde(rename = "s", default)]
    pub stream: Option<Stream>,
    /// Its time to live, if it is on.
    #[serde(rename = "l", default)]
    pub time_to_live: Option<TimeToLive>,
    /// Its table class, if one was ever set.
    #[serde(rename = "a", default)]
    pub table_class: Option<String>,
    /// The master key that it was sealed under, if it had one.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub master_key: Option<String>,
}

impl TableSettings {
    /// What makes a table like it. Streams, time to live, tags and protection from deletion are not restored, as in
    /// DynamoDB.
    pub fn create(&self, name: &str) -> CreateTable {
        let of_kind = |global: bool| {
            let indexes = self.indexes.iter().filter(move |index| index.is_global() == global);
            let new = indexes.map(|index| NewIndex {
                name: index.name.clone(),
                keys: index.keys.clone(),
                projection: index.projection.clone(),
                throughput: index.throughput,
            });
            new.collect()
        };
        let maximums = |limits: OnDemandLimits| OnDemandUpdate {
            read: limits.read.map(Some),
            write: limits.write.map(Some),
        };
        let index = |(name, limits): (&String, &OnDemandLimits)| {
            let update = IndexUpdate {
                on_demand: Some(maximums(*limits)),
                ..IndexUpdate::default()
            };
            (name.clone(), update)
        };
        CreateTable {
            name: name.to_owned(),
            keys: self.keys.clone(),
            local_indexes: of_kind(false),
            global_indexes: of_kind(true),
            billing: self.billing,
            throughput: ThroughputUpdate {
                on_demand: self.on_demand.map(maximums),
                warm: None,
                indexes: self.index_on_demand.iter().map(index).collect(),
            },
            stream: None,
            deletion_protection: false,
            table_class: self.table_class.clone(),
            tags: Default::default(),
            resource_policy: None,
            master_key: self.master_key.clone(),
        }
    }
}

impl Table {
    /// Its settings as archives keep them: those of a region.
    pub(crate) fn settings(&self, region: &str) -> TableSettings {
        let registers = &self.registers;
        let kept = |index: &&IndexDefinition| self.phases.status(index) != IndexStatus::Deleting;
        let indexes: Vec<_> = self.indexes().iter().filter(kept).cloned().collect();
        let limits = |index: &IndexDefinition| {
            let limits = self.index_capacity(index).and_then(|capacity| capacity.on_demand)?;
            Some((index.name.clone(), limits))
        };
        TableSettings {
            name: self.name().into(),
            id: self.id(),
            uuid: self.definition().uuid,
            created_ms: self.definition().created_ms,
            keys: self.keys().clone(),
            index_on_demand: indexes.iter().filter_map(limits).collect(),
            indexes,
            billing: registers.billing.unwrap_or(Billing::OnDemand),
            on_demand: registers.on_demand,
            stream: registers.stream.clone().filter(|stream| stream.enabled),
            time_to_live: registers.time_to_live.clone().filter(|ttl| ttl.enabled),
            table_class: registers.table_class.get(region).map(|class| class.class.clone()),
            master_key: registers
                .encryption
                .get(region)
                .and_then(|encryption| encryption.master.clone()),
        }
    }
}

/// That a region's replica of a table was, or is being, imported: a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Import {
    /// Whether some of it is still missing. Until then the table is CREATING.
    #[serde(rename = "p")]
    pub(crate) in_progress: bool,
}
