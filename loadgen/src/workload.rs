//! What is asked: PutItem, GetItem and UpdateItem of items of one size under random keys of a key space.

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
}

impl Operation {
    /// The X-Amz-Target header.
    pub fn target(self) -> &'static str {
        match self {
            Operation::Put => "DynamoDB_20120810.PutItem",
            Operation::Get => "DynamoDB_20120810.GetItem",
            Operation::Update => "DynamoDB_20120810.UpdateItem",
        }
    }
}

/// How requests are made.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The table; its partition key is `pk` (S), it has no sort key.
    pub table: String,
    /// The operations and their weights; a request picks one at random.
    pub mix: Vec<(Operation, u32)>,
    /// Keys are `key-000000000000` to `key-<keys - 1>`, each as likely.
    pub keys: u64,
    /// An item's size in bytes as DynamoDB counts it; at least 64.
    pub item_bytes: usize,
}

/// Attribute names and the key: `pk` (2) + 16, `payload` (7).
const FIXED_BYTES: usize = 2 + 16 + 7;
/// Payloads are slices of one random text of this length.
const TEXT_BYTES: usize = 64 << 10;

/// Makes one connection's requests; the same seed gives the same requests.
pub struct Requests {
    workload: Workload,
    weights: u32,
    payload_bytes: usize,
    text: Vec<u8>,
    random: StdRng,
    body: Vec<u8>,
}

impl Requests {
    /// A stream of requests. `seed` differs for each connection.
    pub fn new(workload: Workload, seed: u64) -> Requests {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
        let mut random = StdRng::seed_from_u64(seed);
        let payload_bytes = workload.item_bytes.max(64) - FIXED_BYTES;
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
            body: Vec::new(),
        }
    }

    /// The next request of the mix: its operation and JSON body.
    pub fn draw(&mut self) -> (Operation, &[u8]) {
        let operation = self.pick();
        let key = self.random.random_range(0..self.workload.keys.max(1));
        (operation, self.body_for(operation, key))
    }

    /// A PutItem body for this very key, for loading a key space.
    pub fn put(&mut self, key: u64) -> &[u8] {
        self.body_for(Operation::Put, key)
    }

    /// A BatchWriteItem body that puts the keys of `range`; DynamoDB takes 25 at most.
    pub fn batch_put(&mut self, range: std::ops::Range<u64>) -> &[u8] {
        self.body.clear();
        let _ = write!(self.body, r#"{{"RequestItems":{{"{}":["#, self.workload.table);
        for (place, key) in range.enumerate() {
            let from = self.random.random_range(0..TEXT_BYTES);
            let comma = if place == 0 { "" } else { "," };
            let _ = write!(
                self.body,
                r#"{comma}{{"PutRequest":{{"Item":{{"pk":{{"S":"key-{key:012}"}},"payload":{{"S":""#
            );
            self.body.extend_from_slice(&self.text[from..from + self.payload_bytes]);
            self.body.extend_from_slice(br#""}}}}"#);
        }
        self.body.extend_from_slice(b"]}}");
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

    fn body_for(&mut self, operation: Operation, key: u64) -> &[u8] {
        let table = &self.workload.table;
        let from = self.random.random_range(0..TEXT_BYTES);
        let payload = &self.text[from..from + self.payload_bytes];
        let body = &mut self.body;
        body.clear();
        // Writing to a Vec cannot fail.
        match operation {
            Operation::Put => {
                let _ = write!(
                    body,
                    r#"{{"TableName":"{table}","Item":{{"pk":{{"S":"key-{key:012}"}},"payload":{{"S":""#
                );
                body.extend_from_slice(payload);
                body.extend_from_slice(br#""}}}"#);
            }
            Operation::Get => {
                let _ = write!(
                    body,
                    r#"{{"TableName":"{table}","Key":{{"pk":{{"S":"key-{key:012}"}}}}}}"#
                );
            }
            Operation::Update => {
                let _ = write!(
                    body,
                    r#"{{"TableName":"{table}","Key":{{"pk":{{"S":"key-{key:012}"}}}},"UpdateExpression":"SET payload = :p","ExpressionAttributeValues":{{":p":{{"S":""#
                );
                body.extend_from_slice(payload);
                body.extend_from_slice(br#""}}}"#);
            }
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(mix: Vec<(Operation, u32)>) -> Requests {
        Requests::new(
            Workload {
                table: "t".into(),
                mix,
                keys: 10,
                item_bytes: 300,
            },
            7,
        )
    }

    #[test]
    fn items_have_the_size_that_was_asked_for() {
        let mut requests = requests(vec![(Operation::Put, 1)]);
        let body: serde_json::Value = serde_json::from_slice(requests.put(3)).unwrap();
        let item = body["Item"].as_object().unwrap();
        assert_eq!(item["pk"]["S"], "key-000000000003");
        let size: usize = item
            .iter()
            .map(|(name, value)| name.len() + value["S"].as_str().unwrap().len())
            .sum();
        assert_eq!(size, 300);
    }

    #[test]
    fn bodies_are_json() {
        for operation in [Operation::Put, Operation::Get, Operation::Update] {
            let mut requests = requests(vec![(operation, 1)]);
            let (picked, body) = requests.draw();
            assert_eq!(picked, operation);
            serde_json::from_slice::<serde_json::Value>(body).unwrap();
        }
        let mut requests = requests(vec![(Operation::Put, 1)]);
        let batch: serde_json::Value = serde_json::from_slice(requests.batch_put(5..30)).unwrap();
        assert_eq!(batch["RequestItems"]["t"].as_array().unwrap().len(), 25);
    }

    #[test]
    fn the_mix_is_kept() {
        let mut requests = requests(vec![(Operation::Put, 1), (Operation::Get, 3)]);
        let puts = (0..4_000).filter(|_| requests.draw().0 == Operation::Put).count();
        assert!((800..1_200).contains(&puts), "{puts}");
    }
}
