//! Scalable targets and their policies, as they are stored: rows of a system table, so that every region knows all of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use geodynamo_replicator_core::Millis;
use geodynamo_table::{Access, TableError, given_name};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::ScalingError;

/// What is scaled: reads or writes of a table, or of one of its global indexes, in a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    #[serde(rename = "g")]
    pub(crate) region: String,
    /// As the catalog calls it.
    #[serde(rename = "t")]
    pub(crate) table: String,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<String>,
    /// Writes; else reads.
    #[serde(rename = "w")]
    pub(crate) write: bool,
}

/// How it is scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The table's id: a table that is made anew under the name has no targets.
    #[serde(rename = "t")]
    pub(crate) table: u64,
    #[serde(rename = "a")]
    pub(crate) min: u64,
    #[serde(rename = "z")]
    pub(crate) max: u64,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
    #[serde(rename = "s", default)]
    pub(crate) suspended: Suspended,
    #[serde(rename = "m", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Policy>,
}

/// What is not done for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Suspended {
    #[serde(rename = "i")]
    pub(crate) scale_in: bool,
    #[serde(rename = "o")]
    pub(crate) scale_out: bool,
    /// There are no scheduled actions; it is kept and shown.
    #[serde(rename = "s")]
    pub(crate) scheduled: bool,
}

/// A target that is tracked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Policy {
    #[serde(rename = "n")]
    pub(crate) name: String,
    /// Which part of the capacity is to be consumed, in percent.
    #[serde(rename = "v")]
    pub(crate) percent: f64,
    #[serde(rename = "d", default)]
    pub(crate) disable_scale_in: bool,
    /// Seconds.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) in_cooldown: Option<u32>,
    /// Seconds.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(crate) out_cooldown: Option<u32>,
    #[serde(rename = "c")]
    pub(crate) created_ms: Millis,
}

/// A stored row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Row {
    #[serde(rename = "t")]
    Target(Key, Target),
    /// What a region has consumed at most lately of capacity that all share, in units a second, and when that was written.
    #[serde(rename = "d")]
    Demand(Key, f64, Millis),
}

impl Row {
    pub(crate) fn place(&self) -> Bytes {
        let (kind, key) = match self {
            Self::Target(key, _) => ("t", key),
            Self::Demand(key, ..) => ("d", key),
        };
        key.place(kind)
    }

    pub(crate) fn pack(&self) -> Result<Bytes, TableError> {
        let packed = rmp_serde::to_vec_named(self);
        packed
            .map(Into::into)
            .map_err(|error| TableError::Corrupt(format!("a scaling target cannot be written: {error}")))
    }

    /// Reads a row; `None` if a newer release wrote it.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(value)
            .inspect_err(|error| tracing::warn!(%error, "a scaling target cannot be read"))
            .ok()
    }
}

impl Key {
    /// Where its row stands.
    pub(crate) fn place(&self, kind: &str) -> Bytes {
        let (region, resource, dimension) = (&self.region, self.resource_of(&self.table), self.dimension());
        format!("{kind}\0{region}\0{resource}\0{dimension}").into()
    }

    pub(crate) fn access(&self) -> Access {
        if self.write { Access::Write } else { Access::Read }
    }

    /// `table/NAME` or `table/NAME/index/NAME`.
    pub(crate) fn resource(&self) -> String {
        self.resource_of(given_name(&self.table))
    }

    fn resource_of(&self, table: &str) -> String {
        match &self.index {
            None => format!("table/{table}"),
            Some(index) => format!("table/{table}/index/{index}"),
        }
    }

    pub(crate) fn dimension(&self) -> &'static str {
        match (&self.index, self.write) {
            (None, false) => "dynamodb:table:ReadCapacityUnits",
            (None, true) => "dynamodb:table:WriteCapacityUnits",
            (Some(_), false) => "dynamodb:index:ReadCapacityUnits",
            (Some(_), true) => "dynamodb:index:WriteCapacityUnits",
        }
    }

    /// What its policies measure.
    pub(crate) fn metric(&self) -> &'static str {
        if self.write {
            "DynamoDBWriteCapacityUtilization"
        } else {
            "DynamoDBReadCapacityUtilization"
        }
    }

    /// `read` or `write`.
    pub(crate) fn units(&self) -> &'static str {
        if self.write { "write" } else { "read" }
    }

    /// What a resource and a dimension name, in a region.
    pub(crate) fn parse(region: &str, resource: &str, dimension: &str) -> Result<Self, ScalingError> {
        let unfit = || {
            ScalingError::validation(format!(
                "Unsupported service namespace, resource type or scalable dimension: dynamodb, {resource}, {dimension}"
            ))
        };
        let (of_index, write) = match dimension {
            "dynamodb:table:ReadCapacityUnits" => (false, false),
            "dynamodb:table:WriteCapacityUnits" => (false, true),
            "dynamodb:index:ReadCapacityUnits" => (true, false),
            "dynamodb:index:WriteCapacityUnits" => (true, true),
            _ => return Err(unfit()),
        };
        let rest = resource.strip_prefix("table/").ok_or_else(unfit)?;
        let (table, index) = match (of_index, rest.split_once("/index/")) {
            (false, None) => (rest, None),
            (true, Some((table, index))) => (table, Some(index.to_owned())),
            _ => return Err(unfit()),
        };
        if table.is_empty() || table.contains('/') || index.as_ref().is_some_and(|index| index.contains('/')) {
            return Err(unfit());
        }
        Ok(Self {
            region: region.to_owned(),
            table: table.to_owned(),
            index,
            write,
        })
    }

    /// A number that is this target's.
    fn number(&self) -> u128 {
        xxh3_128(&self.place("t"))
    }

    pub(crate) fn arn(&self, account: &str) -> String {
        let (region, number) = (&self.region, self.number());
        format!(
            "arn:aws:application-autoscaling:{region}:{account}:scalable-target/0ec5{:028x}",
            number & ((1 << 112) - 1)
        )
    }

    pub(crate) fn policy_arn(&self, account: &str, name: &str) -> String {
        let (region, resource, id) = (&self.region, self.resource(), uuid(self.number()));
        format!(
            "arn:aws:autoscaling:{region}:{account}:scalingPolicy:{id}:resource/dynamodb/{resource}:policyName/{name}"
        )
    }
}

/// A number in the form of a UUID.
pub(crate) fn uuid(number: u128) -> String {
    let hex = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default().to_owned());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_and_written() {
        for (resource, dimension) in [
            ("table/a.b-c", "dynamodb:table:ReadCapacityUnits"),
            ("table/a", "dynamodb:table:WriteCapacityUnits"),
            ("table/a/index/b", "dynamodb:index:ReadCapacityUnits"),
            ("table/a/index/b", "dynamodb:index:WriteCapacityUnits"),
        ] {
            let key = Key::parse("here", resource, dimension).unwrap();
            assert_eq!((key.resource().as_str(), key.dimension()), (resource, dimension));
        }
        for (resource, dimension) in [
            ("table/", "dynamodb:table:ReadCapacityUnits"),
            ("a", "dynamodb:table:ReadCapacityUnits"),
            ("table/a/index/b", "dynamodb:table:ReadCapacityUnits"),
            ("table/a", "dynamodb:index:ReadCapacityUnits"),
            ("table/a/b", "dynamodb:table:ReadCapacityUnits"),
            ("table/a", "ecs:service:DesiredCount"),
        ] {
            assert!(
                Key::parse("here", resource, dimension).is_err(),
                "{resource} {dimension}"
            );
        }
    }

    #[test]
    fn stored_forms() {
        let key = Key::parse("r", "table/t", "dynamodb:table:WriteCapacityUnits").unwrap();
        let target = Target {
            table: 7,
            min: 1,
            max: 9,
            role: None,
            created_ms: 5,
            suspended: Suspended::default(),
            tags: BTreeMap::new(),
            policy: Some(Policy {
                name: "p".into(),
                percent: 70.0,
                disable_scale_in: false,
                in_cooldown: None,
                out_cooldown: Some(3),
                created_ms: 6,
            }),
        };
        let row = Row::Target(key.clone(), target);
        assert_eq!(Row::read(&row.pack().unwrap()), Some(row.clone()));
        let golden = b"\x81\xa1t\x92\x83\xa1g\xa1r\xa1t\xa1t\xa1w\xc3\x86\xa1t\x07\xa1a\x01\xa1z\x09\xa1c\x05\xa1s\x83\xa1i\xc2\xa1o\xc2\
            \xa1s\xc2\xa1p\x85\xa1n\xa1p\xa1v\xcb\x40\x51\x80\x00\x00\x00\x00\x00\xa1d\xc2\xa1o\x03\xa1c\x06";
        assert_eq!(row.pack().unwrap().as_ref(), &golden[..]);
        let demand = Row::Demand(key, 2.5, 9);
        assert_eq!(Row::read(&demand.pack().unwrap()), Some(demand));
        assert_eq!(Row::read(b"x"), None);
    }
}
