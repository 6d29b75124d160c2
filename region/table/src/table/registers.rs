//! The catalog's registers: what is known of one table, one last-writer-wins register per setting.
//!
//! A register is an item of the system table (table id 0): its key is `<table id, 16 hex digits>/<setting>`, its value the
//! setting in MessagePack with named fields, its version an ordinary one. So definitions travel and merge by the same
//! machinery as items, and two regions that change different settings at once both have their way.

mod apart;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use geodynamo_replicator_core::Millis;
use geodynamo_topology::partition::partition_hash;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Result, TableError,
    layout::index::ItemKey,
    schema::{
        Billing, Definition, IndexDefinition, ReplicaEntry, ReplicaRequest, Stream, TableClass, Tags, Throughput,
        TimeToLive,
    },
    table::{
        encryption::Encryption,
        insights::InsightsSettings,
        replicas::{self, Claim, Viewer},
        resource_policy::ResourcePolicy,
        settings::{Import, PointInTime, Restore},
        throughput::{IndexCapacity, OnDemandLimits, Overrides, ThroughputHistory},
    },
};

/// The system table's id.
pub(crate) const CATALOG: u64 = 0;

/// A setting of a table: which register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Setting {
    /// What is fixed when the table is made.
    Definition,
    /// Capacity mode and throughput.
    Billing,
    /// When throughput was changed.
    History,
    /// The maximums in on-demand mode.
    OnDemand,
    /// Warm throughput.
    Warm,
    /// The stream.
    Stream,
    /// When items expire.
    TimeToLive,
    /// A global index.
    GlobalIndex(String),
    /// The capacity of a global index, by its id.
    IndexCapacity(u64),
    /// What a region says of its replica.
    Replica(String),
    /// What the members last asked of a region's replica.
    Request(String),
    /// That a member holds its log for a newcomer: (newcomer, member).
    Admission(String, String),
    /// That a member is to fetch from another what that holds of a lost replica: (member, source).
    Relay(String, String),
    /// Deletion protection in a region.
    DeletionProtection(String),
    /// The table class in a region.
    TableClass(String),
    /// Throughput of a region's own.
    Overrides(String),
    /// Tags in a region.
    Tags(String),
    /// Point-in-time recovery in a region.
    PointInTime(String),
    /// Contributor insights in a region.
    Insights(String),
    /// The key of its own that a region's replica is sealed under.
    Encryption(String),
    /// What a region's replica was restored from.
    Restore(String),
    /// That a region's replica is being imported.
    Import(String),
    /// The table's policy in a region.
    ResourcePolicy(String),
    /// The policy of a stream in a region, by the stream's label.
    StreamPolicy(String, u64),
    /// That a region is to leave the group, since when.
    Leave(String),
    /// Which join of a region was taken out of the group, as it was out of reach for too long.
    Expelled(String),
    /// Whether a region's replica is protected from leaving the group.
    DisassociationProtection(String),
    /// Whether a regional table's settings are to be replicated, for groups of several accounts.
    SettingsMode,
    /// A setting that all regions share, as a region has it that has left the group.
    Apart(String, Box<Setting>),
}

impl Setting {
    /// The register's key.
    pub(crate) fn key(&self, table: u64) -> ItemKey {
        ItemKey {
            route: register_route(table),
            bytes: format!("{table:016x}/{}", self.name()).into_bytes().into(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Definition => "definition".into(),
            Self::Billing => "billing".into(),
            Self::History => "throughput-history".into(),
            Self::OnDemand => "on-demand".into(),
            Self::Warm => "warm".into(),
            Self::Stream => "stream".into(),
            Self::TimeToLive => "ttl".into(),
            Self::GlobalIndex(index) => format!("index/{index}"),
            Self::IndexCapacity(index) => format!("index-capacity/{index:016x}"),
            Self::Replica(region) => format!("replica/{region}"),
            Self::Request(region) => format!("replica-request/{region}"),
            Self::Admission(newcomer, member) => format!("admission/{newcomer}/{member}"),
            Self::Relay(member, source) => format!("relay/{member}/{source}"),
            Self::DeletionProtection(region) => format!("deletion-protection/{region}"),
            Self::TableClass(region) => format!("class/{region}"),
            Self::Overrides(region) => format!("overrides/{region}"),
            Self::Tags(region) => format!("tags/{region}"),
            Self::PointInTime(region) => format!("point-in-time/{region}"),
            Self::Insights(region) => format!("insights/{region}"),
            Self::Encryption(region) => format!("encryption/{region}"),
            Self::Restore(region) => format!("restore/{region}"),
            Self::Import(region) => format!("import/{region}"),
            Self::ResourcePolicy(region) => format!("policy/{region}"),
            Self::StreamPolicy(region, label) => format!("stream-policy/{region}/{label}"),
            Self::Leave(region) => format!("leave/{region}"),
            Self::Expelled(region) => format!("expelled/{region}"),
            Self::DisassociationProtection(region) => format!("disassociation-protection/{region}"),
            Self::SettingsMode => "settings-mode".into(),
            Self::Apart(region, setting) => format!("apart/{region}/{}", setting.name()),
        }
    }

    /// Whether it concerns one region only, this one, or a pair of which this is one.
    pub(crate) fn concerns(&self, region: &str) -> bool {
        match self {
            Setting::Replica(of)
            | Setting::Request(of)
            | Setting::DeletionProtection(of)
            | Setting::TableClass(of)
            | Setting::Overrides(of)
            | Setting::Tags(of)
            | Setting::PointInTime(of)
            | Setting::Insights(of)
            | Setting::Encryption(of)
            | Setting::Restore(of)
            | Setting::Import(of)
            | Setting::ResourcePolicy(of)
            | Setting::Leave(of)
            | Setting::Expelled(of)
            | Setting::DisassociationProtection(of)
            | Setting::StreamPolicy(of, _) => of == region,
            Setting::Admission(newcomer, member) => newcomer == region || member == region,
            Setting::Relay(member, source) => member == region || source == region,
            Setting::Definition
            | Setting::Billing
            | Setting::History
            | Setting::OnDemand
            | Setting::Warm
            | Setting::Stream
            | Setting::TimeToLive
            | Setting::GlobalIndex(_)
            | Setting::IndexCapacity(_)
            | Setting::SettingsMode
            | Setting::Apart(..) => false,
        }
    }

    /// Whether it is one of all regions that have the table.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(
            self,
            Self::Definition
                | Self::Billing
                | Self::History
                | Self::OnDemand
                | Self::Warm
                | Self::Stream
                | Self::TimeToLive
                | Self::GlobalIndex(_)
                | Self::IndexCapacity(_)
                | Self::SettingsMode
        )
    }

    /// Reads a register's key; `None` for one that a newer release wrote.
    pub(crate) fn parse(key: &[u8]) -> Option<(u64, Self)> {
        let (table, name) = std::str::from_utf8(key).ok()?.split_once('/')?;
        let table = u64::from_str_radix(table, 16).ok()?;
        Some((table, Self::parse_name(name)?))
    }

    fn parse_name(name: &str) -> Option<Self> {
        let setting = match name.split_once('/') {
            None => match name {
                "definition" => Self::Definition,
                "billing" => Self::Billing,
                "throughput-history" => Self::History,
                "on-demand" => Self::OnDemand,
                "warm" => Self::Warm,
                "stream" => Self::Stream,
                "ttl" => Self::TimeToLive,
                "settings-mode" => Self::SettingsMode,
                _ => return None,
            },
            Some(("index", index)) => Self::GlobalIndex(index.into()),
            Some(("index-capacity", index)) => Self::IndexCapacity(u64::from_str_radix(index, 16).ok()?),
            Some(("replica", region)) => Self::Replica(region.into()),
            Some(("replica-request", region)) => Self::Request(region.into()),
            Some(("admission", regions)) => {
                let (newcomer, member) = regions.split_once('/')?;
                Self::Admission(newcomer.into(), member.into())
            }
            Some(("relay", regions)) => {
                let (member, source) = regions.split_once('/')?;
                Self::Relay(member.into(), source.into())
            }
            Some(("deletion-protection", region)) => Self::DeletionProtection(region.into()),
            Some(("class", region)) => Self::TableClass(region.into()),
            Some(("overrides", region)) => Self::Overrides(region.into()),
            Some(("tags", region)) => Self::Tags(region.into()),
            Some(("point-in-time", region)) => Self::PointInTime(region.into()),
            Some(("insights", region)) => Self::Insights(region.into()),
            Some(("encryption", region)) => Self::Encryption(region.into()),
            Some(("restore", region)) => Self::Restore(region.into()),
            Some(("import", region)) => Self::Import(region.into()),
            Some(("policy", region)) => Self::ResourcePolicy(region.into()),
            Some(("stream-policy", stream)) => {
                let (region, label) = stream.split_once('/')?;
                Self::StreamPolicy(region.into(), label.parse().ok()?)
            }
            Some(("leave", region)) => Self::Leave(region.into()),
            Some(("expelled", region)) => Self::Expelled(region.into()),
            Some(("disassociation-protection", region)) => Self::DisassociationProtection(region.into()),
            Some(("apart", rest)) => {
                let (region, name) = rest.split_once('/')?;
                // Only what is shared is told apart: nothing is twice.
                let setting = Self::parse_name(name).filter(Self::is_shared)?;
                Self::Apart(region.into(), Box::new(setting))
            }
            Some(_) => return None,
        };
        Some(setting)
    }
}

/// The route of a table's registers: they are one group.
pub(crate) fn register_route(table: u64) -> u64 {
    partition_hash(&table.to_be_bytes())
}

/// A register's value.
pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Bytes> {
    let packed = rmp_serde::to_vec_named(value);
    packed
        .map(Bytes::from)
        .map_err(|error| TableError::Corrupt(format!("a register cannot be written: {error}")))
}

/// All that is known of one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Registers {
    pub(crate) definition: Option<Definition>,
    pub(crate) billing: Option<Billing>,
    pub(crate) history: Option<ThroughputHistory>,
    pub(crate) on_demand: Option<OnDemandLimits>,
    pub(crate) warm: Option<Throughput>,
    pub(crate) stream: Option<Stream>,
    pub(crate) time_to_live: Option<TimeToLive>,
    pub(crate) global_indexes: BTreeMap<String, IndexDefinition>,
    pub(crate) index_capacity: BTreeMap<u64, IndexCapacity>,
    /// What each region says of its replica.
    pub(crate) answers: BTreeMap<String, ReplicaEntry>,
    /// What was last asked of each region.
    pub(crate) requests: BTreeMap<String, ReplicaRequest>,
    /// The replicas as that makes them: see [`replicas::replicas`]. Made by [`Registers::show_replicas`].
    pub(crate) replicas: BTreeMap<String, ReplicaEntry>,
    pub(crate) admissions: BTreeMap<(String, String), u64>,
    pub(crate) relays: BTreeMap<(String, String), u64>,
    pub(crate) deletion_protection: BTreeMap<String, bool>,
    pub(crate) table_class: BTreeMap<String, TableClass>,
    pub(crate) overrides: BTreeMap<String, Overrides>,
    pub(crate) tags: BTreeMap<String, Tags>,
    pub(crate) point_in_time: BTreeMap<String, PointInTime>,
    pub(crate) insights: BTreeMap<String, InsightsSettings>,
    pub(crate) encryption: BTreeMap<String, Encryption>,
    pub(crate) restores: BTreeMap<String, Restore>,
    pub(crate) imports: BTreeMap<String, Import>,
    pub(crate) resource_policies: BTreeMap<String, Arc<ResourcePolicy>>,
    pub(crate) stream_policies: BTreeMap<(String, u64), Arc<ResourcePolicy>>,
    /// The regions that are to leave the group, and since when.
    pub(crate) leaving: BTreeMap<String, Millis>,
    /// The joins that were taken out of the group, by region.
    pub(crate) expelled: BTreeMap<String, u64>,
    pub(crate) disassociation_protection: BTreeMap<String, bool>,
    pub(crate) settings_mode: Option<bool>,
    /// What regions have left the group with; see [`Registers::seen_from`].
    pub(crate) apart: BTreeMap<String, Registers>,
    /// Whether the region that looks has left the group.
    pub(crate) is_apart: bool,
}

impl Registers {
    /// Takes in one register. A value that cannot be read is an error: it was written by a release that this one does not
    /// understand, and going on without it could lose data.
    pub(crate) fn read(&mut self, setting: Setting, value: &[u8]) -> Result<()> {
        match setting {
            Setting::Definition => self.definition = Some(unpack(value)?),
            Setting::Billing => self.billing = Some(unpack(value)?),
            Setting::History => self.history = Some(unpack(value)?),
            Setting::OnDemand => self.on_demand = Some(unpack(value)?),
            Setting::Warm => self.warm = Some(unpack(value)?),
            Setting::Stream => self.stream = Some(unpack(value)?),
            Setting::TimeToLive => self.time_to_live = Some(unpack(value)?),
            Setting::GlobalIndex(name) => drop(self.global_indexes.insert(name, unpack(value)?)),
            Setting::IndexCapacity(index) => drop(self.index_capacity.insert(index, unpack(value)?)),
            Setting::Replica(region) => drop(self.answers.insert(region, unpack(value)?)),
            Setting::Request(region) => drop(self.requests.insert(region, unpack(value)?)),
            Setting::Admission(newcomer, member) => drop(self.admissions.insert((newcomer, member), unpack(value)?)),
            Setting::Relay(member, source) => drop(self.relays.insert((member, source), unpack(value)?)),
            Setting::DeletionProtection(region) => drop(self.deletion_protection.insert(region, unpack(value)?)),
            Setting::TableClass(region) => {
                // It once was the name alone.
                let class = unpack::<TableClass>(value).or_else(|_| {
                    let class = unpack::<String>(value)?;
                    Ok::<_, TableError>(TableClass { class, since_ms: None })
                });
                self.table_class.insert(region, class?);
            }
            Setting::Overrides(region) => drop(self.overrides.insert(region, unpack(value)?)),
            Setting::Tags(region) => drop(self.tags.insert(region, unpack(value)?)),
            Setting::PointInTime(region) => drop(self.point_in_time.insert(region, unpack(value)?)),
            Setting::Insights(region) => drop(self.insights.insert(region, unpack(value)?)),
            Setting::Encryption(region) => drop(self.encryption.insert(region, unpack(value)?)),
            Setting::Restore(region) => drop(self.restores.insert(region, unpack(value)?)),
            Setting::Import(region) => drop(self.imports.insert(region, unpack(value)?)),
            Setting::ResourcePolicy(region) => drop(self.resource_policies.insert(region, Arc::new(unpack(value)?))),
            Setting::StreamPolicy(region, label) => {
                self.stream_policies.insert((region, label), Arc::new(unpack(value)?));
            }
            Setting::Leave(region) => drop(self.leaving.insert(region, unpack(value)?)),
            Setting::Expelled(region) => drop(self.expelled.insert(region, unpack(value)?)),
            Setting::DisassociationProtection(region) => {
                self.disassociation_protection.insert(region, unpack(value)?);
            }
            Setting::SettingsMode => self.settings_mode = Some(unpack(value)?),
            Setting::Apart(region, setting) => self.apart.entry(region).or_default().read(*setting, value)?,
        }
        Ok(())
    }

    /// Makes the replicas of what was asked and answered, as far as that counts for a region that looks. To be called once all registers have been taken in.
    pub(crate) fn show_replicas(&mut self, viewer: Viewer<'_>) {
        self.replicas = replicas::replicas(self, viewer);
    }

    /// Whether a region holds the table; see [`replicas`].
    pub(crate) fn is_held(&self, region: &str, incarnation: u64) -> bool {
        let claim = self.replicas.get(region).and_then(|own| Claim::of(own, incarnation));
        claim.is_some_and(|claim| claim >= Claim::Leaving)
    }

    /// Every register that is set, to take them all away when the table's last replica goes.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        settings.extend(self.definition.is_some().then_some(Setting::Definition));
        settings.extend(self.billing.is_some().then_some(Setting::Billing));
        settings.extend(self.history.is_some().then_some(Setting::History));
        settings.extend(self.on_demand.is_some().then_some(Setting::OnDemand));
        settings.extend(self.warm.is_some().then_some(Setting::Warm));
        settings.extend(self.stream.is_some().then_some(Setting::Stream));
        settings.extend(self.time_to_live.is_some().then_some(Setting::TimeToLive));
        settings.extend(self.global_indexes.keys().cloned().map(Setting::GlobalIndex));
        settings.extend(self.index_capacity.keys().copied().map(Setting::IndexCapacity));
        settings.extend(self.answers.keys().cloned().map(Setting::Replica));
        settings.extend(self.requests.keys().cloned().map(Setting::Request));
        settings.extend(
            self.admissions
                .keys()
                .cloned()
                .map(|(newcomer, member)| Setting::Admission(newcomer, member)),
        );
        let relays = self.relays.keys().cloned();
        settings.extend(relays.map(|(member, source)| Setting::Relay(member, source)));
        settings.extend(
            self.deletion_protection
                .keys()
                .cloned()
                .map(Setting::DeletionProtection),
        );
        settings.extend(self.table_class.keys().cloned().map(Setting::TableClass));
        settings.extend(self.overrides.keys().cloned().map(Setting::Overrides));
        settings.extend(self.tags.keys().cloned().map(Setting::Tags));
        settings.extend(self.point_in_time.keys().cloned().map(Setting::PointInTime));
        settings.extend(self.insights.keys().cloned().map(Setting::Insights));
        settings.extend(self.encryption.keys().cloned().map(Setting::Encryption));
        settings.extend(self.restores.keys().cloned().map(Setting::Restore));
        settings.extend(self.imports.keys().cloned().map(Setting::Import));
        settings.extend(self.resource_policies.keys().cloned().map(Setting::ResourcePolicy));
        let streams = self.stream_policies.keys().cloned();
        settings.extend(streams.map(|(region, label)| Setting::StreamPolicy(region, label)));
        settings.extend(self.leaving.keys().cloned().map(Setting::Leave));
        settings.extend(self.expelled.keys().cloned().map(Setting::Expelled));
        let protected = self.disassociation_protection.keys().cloned();
        settings.extend(protected.map(Setting::DisassociationProtection));
        settings.extend(self.settings_mode.is_some().then_some(Setting::SettingsMode));
        settings
    }

    /// Whether some of a region's replica is still missing, because it is being restored or imported.
    pub(crate) fn is_being_filled(&self, region: &str) -> bool {
        self.restores.get(region).is_some_and(|restore| restore.in_progress) || self.is_being_imported(region)
    }

    /// Whether a region's replica is being imported.
    pub(crate) fn is_being_imported(&self, region: &str) -> bool {
        self.imports.get(region).is_some_and(|import| import.in_progress)
    }

    /// The settings that concern one region only.
    pub(crate) fn settings_of(&self, region: &str) -> Vec<Setting> {
        let mut settings = self.settings();
        settings.retain(|setting| setting.concerns(region));
        settings
    }
}

fn unpack<T: DeserializeOwned>(value: &[u8]) -> Result<T> {
    rmp_serde::from_slice(value).map_err(|error| TableError::Corrupt(format!("a register cannot be read: {error}")))
}

/// A register's new value; `None` takes it away.
pub(crate) type Change = (Setting, Option<Bytes>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let settings = [
            Setting::Definition,
            Setting::Billing,
            Setting::History,
            Setting::OnDemand,
            Setting::Warm,
            Setting::Stream,
            Setting::TimeToLive,
            Setting::GlobalIndex("by-date".into()),
            Setting::IndexCapacity(0x1234),
            Setting::Replica("eu-west-1".into()),
            Setting::Request("eu-west-1".into()),
            Setting::Admission("eu-west-1".into(), "us-east-1".into()),
            Setting::Relay("eu-west-1".into(), "us-east-1".into()),
            Setting::DeletionProtection("eu-west-1".into()),
            Setting::TableClass("eu-west-1".into()),
            Setting::Overrides("eu-west-1".into()),
            Setting::Tags("eu-west-1".into()),
            Setting::PointInTime("eu-west-1".into()),
            Setting::Insights("eu-west-1".into()),
            Setting::Encryption("eu-west-1".into()),
            Setting::Restore("eu-west-1".into()),
            Setting::Import("eu-west-1".into()),
            Setting::ResourcePolicy("eu-west-1".into()),
            Setting::StreamPolicy("eu-west-1".into(), 1_700_000_000_000),
            Setting::Leave("eu-west-1".into()),
            Setting::Expelled("eu-west-1".into()),
            Setting::DisassociationProtection("eu-west-1".into()),
            Setting::SettingsMode,
            Setting::Apart("eu-west-1".into(), Box::new(Setting::GlobalIndex("by-date".into()))),
            Setting::Apart("eu-west-1".into(), Box::new(Setting::Definition)),
        ];
        for setting in settings {
            let key = setting.key(0xabc);
            assert_eq!(Setting::parse(&key.bytes), Some((0xabc, setting)));
        }
        assert_eq!(Setting::parse(b"0000000000000abc/from-the-future"), None);
        assert_eq!(Setting::parse(b"\xff"), None);
        assert_eq!(Setting::parse(b"0000000000000abc/apart/eu-west-1/tags/eu-west-1"), None);
    }

    #[test]
    fn a_table_class_of_an_older_release_is_read() {
        let mut registers = Registers::default();
        let setting = || Setting::TableClass("eu-west-1".into());
        registers.read(setting(), &pack(&"STANDARD").unwrap()).unwrap();
        let class = TableClass {
            class: "STANDARD".into(),
            since_ms: None,
        };
        assert_eq!(registers.table_class["eu-west-1"], class);
        registers.read(setting(), &pack(&class).unwrap()).unwrap();
        assert_eq!(registers.table_class["eu-west-1"], class);
    }
}
