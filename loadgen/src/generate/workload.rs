//! Workloads: operations and their mix, and of which items.

use std::str::FromStr;

use serde::Serialize;

use super::keys::KeyChoice;

/// An operation of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// GetItem, eventually consistent.
    Get,
    /// PutItem of an item that is there.
    Put,
    /// UpdateItem of an item that is there.
    Update,
    /// PutItem of a new item.
    Insert,
    /// Query of up to [`QUERY_ITEMS`] items of one partition key.
    Query,
    /// GetItem and then PutItem of the same item, measured as one.
    ReadModifyWrite,
    /// BatchGetItem of [`BATCH_ITEMS`] items.
    BatchGet,
    /// BatchWriteItem of [`BATCH_ITEMS`] items.
    BatchWrite,
    /// TransactWriteItems of [`TRANSACTION_ITEMS`] items: puts, an update, and a check that an item is there.
    Transact,
    /// TransactGetItems of [`TRANSACTION_ITEMS`] items.
    TransactGet,
    /// DeleteItem.
    Delete,
}

/// The most items of a query: YCSB's longest scan.
pub const QUERY_ITEMS: u64 = 100;
/// Items of a batch.
pub const BATCH_ITEMS: u64 = 10;
/// Items of a transaction.
pub const TRANSACTION_ITEMS: u64 = 4;
/// Items that one partition key has in workloads with queries.
pub const COLLECTION: u64 = 100;
/// The keys that a conflict mix writes in all regions.
pub const CONFLICT_KEYS: u64 = 100;

impl Operation {
    /// All of them, with their names on the command line and in results.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Get, "get"),
        (Self::Put, "put"),
        (Self::Update, "update"),
        (Self::Insert, "insert"),
        (Self::Query, "query"),
        (Self::ReadModifyWrite, "read_modify_write"),
        (Self::BatchGet, "batch_get"),
        (Self::BatchWrite, "batch_write"),
        (Self::Transact, "transact"),
        (Self::TransactGet, "transact_get"),
        (Self::Delete, "delete"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(other, _)| *other == self)
            .map_or("", |(_, name)| name)
    }

    /// The operation of the API; of a read-modify-write, the write.
    pub fn api(self) -> &'static str {
        match self {
            Self::Get => "GetItem",
            Self::Put | Self::Insert | Self::ReadModifyWrite => "PutItem",
            Self::Update => "UpdateItem",
            Self::Query => "Query",
            Self::BatchGet => "BatchGetItem",
            Self::BatchWrite => "BatchWriteItem",
            Self::Transact => "TransactWriteItems",
            Self::TransactGet => "TransactGetItems",
            Self::Delete => "DeleteItem",
        }
    }
}

/// A workload: what is asked of which items.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Operations and their weights.
    pub mix: Vec<(Operation, u32)>,
    /// How items are chosen.
    pub keys: KeyChoice,
    /// Whether the table has a sort key, [`COLLECTION`] items to a partition key.
    pub collections: bool,
}

impl Workload {
    /// The named workloads: YCSB's by their letters, and DynamoDB's own kinds.
    pub fn named(name: &str) -> Option<Self> {
        use Operation::{
            BatchGet, BatchWrite, Delete, Get, Insert, Put, Query, ReadModifyWrite, Transact, TransactGet, Update,
        };
        let (mix, keys): (Vec<_>, _) = match name {
            // Brian F. Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", SoCC 2010.
            "ycsb-a" => (vec![(Get, 50), (Update, 50)], KeyChoice::Zipfian),
            "ycsb-b" => (vec![(Get, 95), (Update, 5)], KeyChoice::Zipfian),
            "ycsb-c" => (vec![(Get, 100)], KeyChoice::Zipfian),
            "ycsb-d" => (vec![(Get, 95), (Insert, 5)], KeyChoice::Latest),
            "ycsb-e" => (vec![(Query, 95), (Insert, 5)], KeyChoice::Zipfian),
            "ycsb-f" => (vec![(Get, 50), (ReadModifyWrite, 50)], KeyChoice::Zipfian),
            "puts" => (vec![(Put, 1)], KeyChoice::Uniform),
            "gets" => (vec![(Get, 1)], KeyChoice::Uniform),
            "updates" => (vec![(Update, 1)], KeyChoice::Uniform),
            "queries" => (vec![(Query, 1)], KeyChoice::Uniform),
            "batches" => (vec![(BatchGet, 1), (BatchWrite, 1)], KeyChoice::Uniform),
            "transactions" => (vec![(Transact, 1), (TransactGet, 1)], KeyChoice::Uniform),
            // The same few items, written in every region.
            "conflicts" => (vec![(Put, 4), (Update, 4), (Delete, 1)], KeyChoice::Uniform),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            collections: mix.iter().any(|(operation, _)| *operation == Query),
            mix,
            keys,
        })
    }

    /// How many of a table's items it asks for: the first so many, and those it adds.
    pub fn item_count(&self, items: u64) -> u64 {
        let items = items.max(1);
        if self.name == "conflicts" {
            items.min(CONFLICT_KEYS)
        } else {
            items
        }
    }

    /// The names that [`Workload::named`] knows.
    pub const NAMES: [&'static str; 13] = [
        "ycsb-a",
        "ycsb-b",
        "ycsb-c",
        "ycsb-d",
        "ycsb-e",
        "ycsb-f",
        "puts",
        "gets",
        "updates",
        "queries",
        "batches",
        "transactions",
        "conflicts",
    ];
}

impl FromStr for Workload {
    type Err = String;

    /// A name, or a mix such as `get=95,put=5`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(named) = Self::named(text) {
            return Ok(named);
        }
        let wrong = || {
            format!(
                "'{text}' is no workload: {}, or a mix such as get=95,put=5",
                Self::NAMES.join(", ")
            )
        };
        let part = |part: &str| {
            let (name, weight) = part.split_once('=').ok_or_else(wrong)?;
            let found = Operation::ALL
                .iter()
                .find(|(_, known)| *known == name)
                .ok_or_else(wrong)?;
            Ok((found.0, weight.parse::<u32>().map_err(|_| wrong())?))
        };
        let mix = text.split(',').map(part).collect::<Result<Vec<_>, String>>()?;
        if mix.iter().all(|(_, weight)| *weight == 0) {
            return Err(wrong());
        }
        Ok(Self {
            name: text.to_owned(),
            collections: mix.iter().any(|(operation, _)| *operation == Operation::Query),
            mix,
            keys: KeyChoice::Zipfian,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes() {
        let mix = |text: &str| text.parse::<Workload>().map(|workload| workload.mix);
        assert_eq!(mix("get=95,put=5"), Ok(vec![(Operation::Get, 95), (Operation::Put, 5)]));
        for bad in ["", "ycsb-z", "get", "get=x", "get=0", "fly=1"] {
            assert!(mix(bad).is_err(), "{bad}");
        }
    }
}
