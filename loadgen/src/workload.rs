//! What is asked: items of one size under random keys of a key space, by themselves, four at a time in a transaction, or a
//! whole item collection in a query.

use std::io::Write;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// An operation of the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize)]
pub enum Operation {
    /// PutItem of a whole item.
    Put,
    /// GetItem, eventually consistent, of a key of the key space.
    Get,
    /// UpdateItem `SET payload = :p`: an item of the same size.
    Update,
    /// Query of the items of one partition key, eventually consistent. The workload must have item collections.
    Query,
    /// TransactWriteItems: four puts of whole items under different partition keys, with a client token as SDKs send it.
    Transact,
}

/// Items of a transaction.
pub const TRANSACTION_ITEMS: u64 = 4;

impl Operation {
    /// The X-Amz-Target header.
    pub fn target(self) -> &'static str {
        match self {
            Operation::Put => "DynamoDB_20120810.PutItem",
            Operation::Get => "DynamoDB_20120810.GetItem",
            Operation::Update => "DynamoDB_20120810.UpdateItem",
            Operation::Query => "DynamoDB_20120810.Query",
            Operation::Transact => "DynamoDB_20120810.TransactWriteItems",
        }
    }
}

/// How requests are made.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The table; its partition key is `pk` (S).
    pub table: String,
    /// The operations and their weights; a request picks one at random.
    pub mix: Vec<(Operation, u32)>,
    /// Items of the key space, each as likely. Their partition keys are `key-000000000000` and so on.
    pub keys: u64,
    /// How many of the items one partition key has, told apart by the sort key `sk` (S): `000000` and so on. None: one,
    /// and the table has no sort key.
    pub collection: Option<u64>,
    /// An item's size in bytes as DynamoDB counts it; at least 64.
    pub item_bytes: usize,
}

/// The partition key with its attribute's name.
const PARTITION_KEY_BYTES: usize = 2 + 16;
/// The sort key with its attribute's name.
const SORT_KEY_BYTES: usize = 2 + 6;
/// The other attribute's name, `payload`.
const NAME_BYTES: usize = 7;
/// The least an item may have.
const ITEM_BYTES_MIN: usize = 64;
/// Payloads are slices of one random text of this length.
const TEXT_BYTES: usize = 64 << 10;

/// Makes one connection's requests; the same seed gives the same requests. Only client tokens are always new: a server
/// remembers them longer than a run takes.
pub struct Requests {
    workload: Workload,
    weights: u32,
    payload_bytes: usize,
    text: Vec<u8>,
    random: StdRng,
    /// Which of how many connections: transactions keep to keys of their connection's own, so none meets another.
    place: (u64, u64),
    /// The last client token.
    token: u128,
    body: Vec<u8>,
}

impl Requests {
    /// A stream of requests. `seed` differs for each connection.
    pub fn new(workload: Workload, seed: u64) -> Requests {
        Requests::of_connection(workload, seed, 0, 1)
    }

    /// The stream of one of so many connections, whose transactions never have an item in common with another one's.
    pub fn of_connection(workload: Workload, seed: u64, number: u64, connections: u64) -> Requests {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
        let mut random = StdRng::seed_from_u64(seed);
        let sort_key_bytes = workload.collection.map_or(0, |_| SORT_KEY_BYTES);
        let payload_bytes = workload.item_bytes.max(ITEM_BYTES_MIN) - PARTITION_KEY_BYTES - sort_key_bytes - NAME_BYTES;
        let text = (0..TEXT_BYTES + payload_bytes)
            .map(|_| LETTERS[random.random_range(0..LETTERS.len())])
            .collect();
        let weights = workload.mix.iter().map(|(_, weight)| weight).sum();
        Requests {
            workload,
            weights,
            payload_bytes,
            text,
            random,
            place: (number, connections.max(1)),
            token: StdRng::from_os_rng().random(),
            body: Vec::new(),
        }
    }

    /// The next request of the mix: its operation and JSON body.
    pub fn draw(&mut self) -> (Operation, &[u8]) {
        let operation = self.pick();
        self.body.clear();
        let key = self.random.random_range(0..self.workload.keys.max(1));
        match operation {
            Operation::Put => self.append_put(key),
            Operation::Get => {
                self.append(&["{\"TableName\":\""]);
                self.append_table();
                self.append(&["\",\"Key\":{"]);
                self.append_key(key);
                self.append(&["}}"]);
            }
            Operation::Update => {
                self.append(&["{\"TableName\":\""]);
                self.append_table();
                self.append(&["\",\"Key\":{"]);
                self.append_key(key);
                self.append(&[
                    "},\"UpdateExpression\":\"SET payload = :p\",\"ExpressionAttributeValues\":{\":p\":{\"S\":\"",
                ]);
                self.append_payload();
                self.append(&["\"}}}"]);
            }
            Operation::Query => {
                let partition = self.partition(key);
                self.append(&["{\"TableName\":\""]);
                self.append_table();
                self.append(&[
                    "\",\"KeyConditionExpression\":\"pk = :k\",\"ExpressionAttributeValues\":{\":k\":{\"S\":\"",
                ]);
                // Writing to a Vec cannot fail, here and below.
                let _ = write!(self.body, "key-{partition:012}\"}}}}}}");
            }
            Operation::Transact => self.append_transaction(),
        }
        (operation, &self.body)
    }

    /// A PutItem body for this very key, for loading a key space.
    pub fn put(&mut self, key: u64) -> &[u8] {
        self.body.clear();
        self.append_put(key);
        &self.body
    }

    /// A BatchWriteItem body that puts the keys of `range`; DynamoDB takes 25 at most.
    pub fn batch_put(&mut self, range: std::ops::Range<u64>) -> &[u8] {
        self.body.clear();
        self.append(&["{\"RequestItems\":{\""]);
        self.append_table();
        self.append(&["\":["]);
        for (place, key) in range.enumerate() {
            let comma = if place == 0 { "" } else { "," };
            self.append(&[comma, "{\"PutRequest\":{\"Item\":"]);
            self.append_item(key);
            self.append(&["}}"]);
        }
        self.append(&["]}}"]);
        &self.body
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

    fn append_put(&mut self, key: u64) {
        self.append(&["{\"TableName\":\""]);
        self.append_table();
        self.append(&["\",\"Item\":"]);
        self.append_item(key);
        self.append(&["}"]);
    }

    /// Four items, each of a quarter of the keys, so that they differ; of those, a key of this connection's own.
    fn append_transaction(&mut self) {
        let (number, connections) = self.place;
        let quarter = self.workload.keys / TRANSACTION_ITEMS;
        let turns = (quarter / connections).max(1);
        self.token = self.token.wrapping_add(1);
        let _ = write!(
            self.body,
            "{{\"ClientRequestToken\":\"{:032x}\",\"TransactItems\":[",
            self.token
        );
        for place in 0..TRANSACTION_ITEMS {
            let key = place * quarter + self.random.random_range(0..turns) * connections + number;
            let comma = if place == 0 { "" } else { "," };
            self.append(&[comma, "{\"Put\":"]);
            self.append_put(key);
            self.append(&["}"]);
        }
        self.append(&["]}"]);
    }

    fn append_item(&mut self, key: u64) {
        self.append(&["{"]);
        self.append_key(key);
        self.append(&[",\"payload\":{\"S\":\""]);
        self.append_payload();
        self.append(&["\"}}"]);
    }

    /// The key attributes, without braces.
    fn append_key(&mut self, key: u64) {
        let partition = self.partition(key);
        let _ = write!(self.body, "\"pk\":{{\"S\":\"key-{partition:012}\"}}");
        if let Some(collection) = self.workload.collection {
            let sort = key % collection.max(1);
            let _ = write!(self.body, ",\"sk\":{{\"S\":\"{sort:06}\"}}");
        }
    }

    fn append_payload(&mut self) {
        let from = self.random.random_range(0..TEXT_BYTES);
        self.body.extend_from_slice(&self.text[from..from + self.payload_bytes]);
    }

    fn append_table(&mut self) {
        self.body.extend_from_slice(self.workload.table.as_bytes());
    }

    fn append(&mut self, parts: &[&str]) {
        for part in parts {
            self.body.extend_from_slice(part.as_bytes());
        }
    }

    /// The number of an item's partition key.
    fn partition(&self, key: u64) -> u64 {
        key / self.workload.collection.unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn workload(mix: Vec<(Operation, u32)>, keys: u64, collection: Option<u64>) -> Workload {
        Workload {
            table: "t".into(),
            mix,
            keys,
            collection,
            item_bytes: 300,
        }
    }

    fn size(item: &Value) -> usize {
        let attributes = item.as_object().unwrap().iter();
        attributes
            .map(|(name, value)| name.len() + value["S"].as_str().unwrap().len())
            .sum()
    }

    #[test]
    fn items_have_the_size_that_was_asked_for() {
        for (collection, pk, sk) in [
            (None, "key-000000000123", None),
            (Some(100), "key-000000000001", Some("000023")),
        ] {
            let mut requests = Requests::new(workload(vec![(Operation::Put, 1)], 1_000, collection), 7);
            let body: Value = serde_json::from_slice(requests.put(123)).unwrap();
            let item = &body["Item"];
            assert_eq!(item["pk"]["S"], pk);
            assert_eq!(item["sk"]["S"].as_str(), sk);
            assert_eq!(size(item), 300);
        }
    }

    #[test]
    fn bodies_are_json() {
        for operation in <Operation as clap::ValueEnum>::value_variants() {
            let mut requests = Requests::new(workload(vec![(*operation, 1)], 1_000, Some(100)), 7);
            let (picked, body) = requests.draw();
            assert_eq!(picked, *operation);
            let body: Value = serde_json::from_slice(body).unwrap();
            assert!(*operation == Operation::Transact || body["TableName"] == "t", "{body}");
        }
        let mut requests = Requests::new(workload(vec![], 1_000, None), 7);
        let batch: Value = serde_json::from_slice(requests.batch_put(5..30)).unwrap();
        assert_eq!(batch["RequestItems"]["t"].as_array().unwrap().len(), 25);
    }

    #[test]
    fn transactions_have_four_items_and_meet_no_other_connections() {
        const CONNECTIONS: u64 = 8;
        let mut taken: Vec<BTreeSet<String>> = Vec::new();
        for number in 0..CONNECTIONS {
            let workload = workload(vec![(Operation::Transact, 1)], 1_000, None);
            let mut requests = Requests::of_connection(workload, 7 + number, number, CONNECTIONS);
            let mut keys = BTreeSet::new();
            for _ in 0..100 {
                let body: Value = serde_json::from_slice(requests.draw().1).unwrap();
                let items = body["TransactItems"].as_array().unwrap();
                let of_this: BTreeSet<String> = items
                    .iter()
                    .map(|item| item["Put"]["Item"]["pk"]["S"].as_str().unwrap().to_owned())
                    .collect();
                assert_eq!((items.len(), of_this.len()), (4, 4));
                assert!(of_this.iter().all(|key| key.as_str() < "key-000000001000"));
                keys.extend(of_this);
            }
            assert!(taken.iter().all(|other| other.is_disjoint(&keys)));
            taken.push(keys);
        }
    }

    #[test]
    fn the_mix_is_kept() {
        let mut requests = Requests::new(workload(vec![(Operation::Put, 1), (Operation::Get, 3)], 10, None), 7);
        let puts = (0..4_000).filter(|_| requests.draw().0 == Operation::Put).count();
        assert!((800..1_200).contains(&puts), "{puts}");
    }
}
