//! What is asked: operations and their mix.

use std::{fmt::Write as _, str::FromStr};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

use super::{
    keys::{KeyChoice, KeyChooser},
    sizes::Sizes,
};

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
    /// TransactWriteItems of [`TRANSACTION_ITEMS`] items.
    Transact,
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
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Get, "get"),
        (Self::Put, "put"),
        (Self::Update, "update"),
        (Self::Insert, "insert"),
        (Self::Query, "query"),
        (Self::ReadModifyWrite, "read_modify_write"),
        (Self::BatchGet, "batch_get"),
        (Self::BatchWrite, "batch_write"),
        (Self::Transact, "transact"),
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
        use Operation::{BatchGet, BatchWrite, Delete, Get, Insert, Put, Query, ReadModifyWrite, Transact, Update};
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
            "transactions" => (vec![(Transact, 1)], KeyChoice::Uniform),
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

/// A request to send.
#[derive(Debug)]
pub struct Request {
    /// Its kind.
    pub operation: Operation,
    /// A read-modify-write's read, sent first.
    pub before: Option<String>,
    /// The JSON body.
    pub body: String,
    /// The items that it writes, with their versions, for who checks them afterwards; `None` as version: it is deleted.
    pub writes: Vec<(u64, Option<u64>)>,
}

/// Makes one connection's requests; the same seed gives the same requests.
#[derive(Debug)]
pub struct Requests {
    workload: Workload,
    table: String,
    chooser: KeyChooser,
    sizes: Sizes,
    /// Items that were there at the start.
    items: u64,
    /// Which of how many connections: new items' numbers differ among them.
    place: (u64, u64),
    inserted: u64,
    version: u64,
    weights: u32,
    text: String,
    random: StdRng,
}

/// Payloads are slices of one random text of this length and the longest payload's.
const TEXT_BYTES: usize = 64 << 10;

impl Requests {
    /// The requests of a connection, by its number among so many.
    pub fn new(
        workload: &Workload,
        table: &str,
        sizes: Sizes,
        chooser: KeyChooser,
        items: u64,
        place: (u64, u64),
        seed: u64,
    ) -> Self {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
        let mut random = StdRng::seed_from_u64(seed);
        let length = match sizes {
            Sizes::Constant(bytes) | Sizes::Uniform(_, bytes) => TEXT_BYTES + bytes,
            Sizes::Lognormal { .. } => TEXT_BYTES + super::sizes::ITEM_BYTES_MAX,
        };
        let text = (0..length)
            .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
            .collect();
        Self {
            weights: workload.mix.iter().map(|(_, weight)| weight).sum(),
            workload: workload.clone(),
            table: table.to_owned(),
            chooser,
            sizes,
            items,
            place,
            inserted: 0,
            version: 0,
            text,
            random,
        }
    }

    /// The next request of the mix.
    pub fn draw(&mut self) -> Request {
        let operation = self.pick();
        let mut writes = Vec::new();
        let mut before = None;
        let table = self.table.clone();
        let body = match operation {
            Operation::Get => {
                let key = self.choose();
                format!("{{\"TableName\":\"{table}\",\"Key\":{{{}}}}}", self.key(key))
            }
            Operation::Put | Operation::Insert => {
                let key = if operation == Operation::Insert {
                    self.insert()
                } else {
                    self.choose()
                };
                format!("{{\"TableName\":\"{table}\",\"Item\":{}}}", self.item(key, &mut writes))
            }
            Operation::ReadModifyWrite => {
                let key = self.choose();
                before = Some(format!("{{\"TableName\":\"{table}\",\"Key\":{{{}}}}}", self.key(key)));
                format!("{{\"TableName\":\"{table}\",\"Item\":{}}}", self.item(key, &mut writes))
            }
            Operation::Update => {
                let key = self.choose();
                let version = self.version(key, &mut writes);
                let payload = self.payload();
                format!(
                    "{{\"TableName\":\"{table}\",\"Key\":{{{}}},\"UpdateExpression\":\"SET version = :v, payload = :p\",\
                     \"ExpressionAttributeValues\":{{\":v\":{{\"S\":\"{version}\"}},\":p\":{{\"S\":\"{payload}\"}}}}}}",
                    self.key(key)
                )
            }
            Operation::Delete => {
                let key = self.choose();
                writes.push((key, None));
                format!("{{\"TableName\":\"{table}\",\"Key\":{{{}}}}}", self.key(key))
            }
            Operation::Query => {
                let (partition, sort) = partition(self.choose());
                let limit = self.random.random_range(1..=QUERY_ITEMS);
                format!(
                    "{{\"TableName\":\"{table}\",\"Limit\":{limit},\"KeyConditionExpression\":\"pk = :p AND sk >= :s\",\
                     \"ExpressionAttributeValues\":{{\":p\":{{\"S\":\"{partition}\"}},\":s\":{{\"S\":\"{sort}\"}}}}}}"
                )
            }
            Operation::BatchGet => {
                let keys = self
                    .several(BATCH_ITEMS)
                    .into_iter()
                    .map(|key| format!("{{{}}}", self.key(key)));
                format!(
                    "{{\"RequestItems\":{{\"{table}\":{{\"Keys\":[{}]}}}}}}",
                    keys.collect::<Vec<_>>().join(",")
                )
            }
            Operation::BatchWrite => {
                let mut puts = Vec::new();
                for key in self.several(BATCH_ITEMS) {
                    puts.push(format!(
                        "{{\"PutRequest\":{{\"Item\":{}}}}}",
                        self.item(key, &mut writes)
                    ));
                }
                format!("{{\"RequestItems\":{{\"{table}\":[{}]}}}}", puts.join(","))
            }
            Operation::Transact => {
                let mut puts = Vec::new();
                for key in self.several(TRANSACTION_ITEMS) {
                    puts.push(format!(
                        "{{\"Put\":{{\"TableName\":\"{table}\",\"Item\":{}}}}}",
                        self.item(key, &mut writes)
                    ));
                }
                format!("{{\"TransactItems\":[{}]}}", puts.join(","))
            }
        };
        Request {
            operation,
            before,
            body,
            writes,
        }
    }

    /// A BatchWriteItem of the items of a range, for loading.
    pub fn load(&mut self, range: std::ops::Range<u64>) -> String {
        let mut puts = Vec::new();
        for key in range {
            puts.push(format!(
                "{{\"PutRequest\":{{\"Item\":{}}}}}",
                self.item(key, &mut Vec::new())
            ));
        }
        format!("{{\"RequestItems\":{{\"{}\":[{}]}}}}", self.table, puts.join(","))
    }

    fn pick(&mut self) -> Operation {
        let mut ticket = self.random.random_range(0..self.weights.max(1));
        for (operation, weight) in &self.workload.mix {
            if ticket < *weight {
                return *operation;
            }
            ticket -= weight;
        }
        Operation::Get
    }

    fn choose(&mut self) -> u64 {
        if self.workload.name == "conflicts" {
            return self.random.random_range(0..CONFLICT_KEYS.min(self.items.max(1)));
        }
        self.chooser.choose(self.items, &mut self.random)
    }

    /// A new item's number: this connection's next.
    fn insert(&mut self) -> u64 {
        let (number, connections) = self.place;
        let key = self.items + self.inserted * connections + number;
        self.inserted += 1;
        key
    }

    /// Different items.
    fn several(&mut self, wanted: u64) -> Vec<u64> {
        let mut keys = std::collections::BTreeSet::new();
        while (keys.len() as u64) < wanted.min(self.items.max(1)) {
            keys.insert(self.random.random_range(0..self.items.max(1)));
        }
        keys.into_iter().collect()
    }

    fn key(&self, key: u64) -> String {
        key_json(key, self.workload.collections)
    }

    fn item(&mut self, key: u64, writes: &mut Vec<(u64, Option<u64>)>) -> String {
        let version = self.version(key, writes);
        let key = self.key(key);
        format!(
            "{{{key},\"version\":{{\"S\":\"{version}\"}},\"payload\":{{\"S\":\"{}\"}}}}",
            self.payload()
        )
    }

    /// Notes a write and gives its version's text: the connection and a number that grows.
    fn version(&mut self, key: u64, writes: &mut Vec<(u64, Option<u64>)>) -> String {
        self.version += 1;
        writes.push((key, Some(self.version)));
        version_text(self.place.0, self.version)
    }

    fn payload(&mut self) -> String {
        // Key, version and names take about as much as the smallest item has.
        let bytes = self.sizes.draw(&mut self.random) - super::sizes::ITEM_BYTES_MIN + 1;
        let from = self.random.random_range(0..TEXT_BYTES);
        self.text[from..from + bytes].to_owned()
    }
}

/// An item's key attributes as JSON, without braces.
pub fn key_json(key: u64, collections: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = if collections {
        let (partition, sort) = partition(key);
        write!(text, "\"pk\":{{\"S\":\"{partition}\"}},\"sk\":{{\"S\":\"{sort}\"}}")
    } else {
        write!(text, "\"pk\":{{\"S\":\"user{key:012}\"}}")
    };
    text
}

/// How a version stands in an item.
pub fn version_text(connection: u64, version: u64) -> String {
    format!("{connection}/{version}")
}

fn partition(key: u64) -> (String, String) {
    (
        format!("user{:012}", key / COLLECTION),
        format!("{:04}", key % COLLECTION),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_workload_makes_json() {
        for name in Workload::NAMES {
            let workload: Workload = name.parse().unwrap();
            let chooser = KeyChooser::new(workload.keys, 1_000);
            let mut requests = Requests::new(&workload, "t", Sizes::Constant(300), chooser, 1_000, (0, 4), 1);
            for _ in 0..100 {
                let request = requests.draw();
                let body: Value = serde_json::from_str(&request.body).unwrap();
                assert!(body.is_object());
                let writes = !matches!(
                    request.operation,
                    Operation::Get | Operation::Query | Operation::BatchGet
                );
                assert_eq!(writes, !request.writes.is_empty());
            }
        }
    }

    #[test]
    fn mixes() {
        let mix = |text: &str| text.parse::<Workload>().map(|workload| workload.mix);
        assert_eq!(mix("get=95,put=5"), Ok(vec![(Operation::Get, 95), (Operation::Put, 5)]));
        for bad in ["", "ycsb-z", "get", "get=x", "get=0", "fly=1"] {
            assert!(mix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn new_items_differ_among_connections() {
        let workload: Workload = "insert=1".parse().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..3 {
            let chooser = KeyChooser::new(workload.keys, 10);
            let mut requests = Requests::new(&workload, "t", Sizes::Constant(100), chooser, 10, (number, 3), number);
            for _ in 0..20 {
                assert!(seen.insert(requests.draw().writes[0].0));
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), (10..70).collect::<Vec<_>>());
    }
}
