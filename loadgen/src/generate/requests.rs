//! What is asked: a connection's requests, one after the other.

use std::{fmt::Write as _, sync::Arc};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    keys::{KeyChoice, KeyChooser},
    newest::Newest,
    sizes::Sizes,
    verify::Version,
    workload::{BATCH_ITEMS, COLLECTION, Operation, QUERY_ITEMS, TRANSACTION_ITEMS, Workload},
};

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
    pub writes: Vec<(u64, Version)>,
    /// The number of the item that it adds.
    pub inserts: Option<u64>,
}

/// What a connection's requests are part of.
#[derive(Clone, Debug)]
pub struct Source {
    /// The run's tag, which tells its versions from others'.
    pub run: Arc<str>,
    /// The connection's number.
    pub connection: u64,
    /// The items that the run adds, of all connections.
    pub newest: Arc<Newest>,
}

impl Source {
    /// Of loading: its versions are told from every run's.
    pub fn load(items: u64) -> Self {
        Self {
            run: LOAD_TAG.into(),
            connection: 0,
            newest: Arc::new(Newest::new(items)),
        }
    }
}

/// The tag of versions that loading writes.
const LOAD_TAG: &str = "load";

/// Makes one connection's requests; the same seed gives the same requests, but for the run's tag and the numbers of new items.
#[derive(Debug)]
pub struct Requests {
    workload: Workload,
    table: String,
    chooser: KeyChooser,
    sizes: Sizes,
    /// Items that are asked for, of those that were there at the start.
    items: u64,
    source: Source,
    version: u64,
    weights: u32,
    text: String,
    random: StdRng,
}

/// Payloads are slices of one random text of this length and the longest payload's.
const TEXT_BYTES: usize = 64 << 10;
/// Different items are chosen in so many tries for each.
const CHOICES_MAX: u64 = 20;

impl Requests {
    /// The requests of a connection; `chooser` is one of [`Workload::item_count`] items.
    pub fn new(
        workload: &Workload,
        table: &str,
        sizes: Sizes,
        chooser: KeyChooser,
        items: u64,
        source: Source,
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
            items: workload.item_count(items),
            workload: workload.clone(),
            table: table.to_owned(),
            chooser,
            sizes,
            source,
            version: 0,
            text,
            random,
        }
    }

    /// The next request of the mix.
    pub fn draw(&mut self) -> Request {
        let operation = self.pick();
        let mut request = Request {
            operation,
            before: None,
            body: String::new(),
            writes: Vec::new(),
            inserts: None,
        };
        let table = self.table.clone();
        request.body = match operation {
            Operation::Get => {
                let key = self.choose();
                self.with_key(key)
            }
            Operation::Put => {
                let key = self.choose();
                self.put(key, &mut request.writes)
            }
            Operation::Insert => {
                let key = self.source.newest.insert();
                request.inserts = Some(key);
                self.put(key, &mut request.writes)
            }
            Operation::ReadModifyWrite => {
                let key = self.choose();
                request.before = Some(self.with_key(key));
                self.put(key, &mut request.writes)
            }
            Operation::Update => {
                let key = self.choose();
                format!("{{{}}}", self.update(key, &mut request.writes))
            }
            Operation::Delete => {
                let key = self.choose();
                request.writes.push((key, None));
                self.with_key(key)
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
                let keys = self.several(BATCH_ITEMS);
                let keys: Vec<_> = keys.into_iter().map(|key| format!("{{{}}}", self.key(key))).collect();
                format!("{{\"RequestItems\":{{\"{table}\":{{\"Keys\":[{}]}}}}}}", keys.join(","))
            }
            Operation::BatchWrite => {
                let keys = self.several(BATCH_ITEMS);
                self.batch_write(keys, &mut request.writes)
            }
            Operation::Transact => self.transact(&mut request.writes),
            Operation::TransactGet => {
                let keys = self.several(TRANSACTION_ITEMS);
                let gets: Vec<_> = keys
                    .into_iter()
                    .map(|key| format!("{{\"Get\":{}}}", self.with_key(key)))
                    .collect();
                format!("{{\"TransactItems\":[{}]}}", gets.join(","))
            }
        };
        request
    }

    /// An insert has ended.
    pub fn inserted(&self, number: u64) {
        self.source.newest.inserted(number);
    }

    /// The next request's kind alone, for one that is not sent any more.
    pub fn skip(&mut self) -> Operation {
        self.pick()
    }

    /// A BatchWriteItem of the items of a range, for loading.
    pub fn load(&mut self, range: std::ops::Range<u64>) -> String {
        self.batch_write(range, &mut Vec::new())
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
        let count = match self.workload.keys {
            KeyChoice::Latest => self.items + self.source.newest.added(),
            _ => self.items,
        };
        self.chooser.choose(count, &mut self.random)
    }

    /// Different items, chosen as the workload chooses. Where the choice gives hardly any others, those behind them.
    fn several(&mut self, wanted: u64) -> Vec<u64> {
        let mut keys = std::collections::BTreeSet::new();
        let wanted = wanted.min(self.items);
        let mut tries = wanted * CHOICES_MAX;
        let mut next = None;
        while (keys.len() as u64) < wanted {
            let key = match next {
                None => self.choose(),
                Some(key) => key,
            };
            keys.insert(key);
            tries = tries.saturating_sub(1);
            next = (tries == 0).then(|| (key + 1) % self.items);
        }
        keys.into_iter().collect()
    }

    /// A request that names one item.
    fn with_key(&self, key: u64) -> String {
        format!("{{\"TableName\":\"{}\",\"Key\":{{{}}}}}", self.table, self.key(key))
    }

    fn put(&mut self, key: u64, writes: &mut Vec<(u64, Version)>) -> String {
        let item = self.item(key, writes);
        format!("{{\"TableName\":\"{}\",\"Item\":{item}}}", self.table)
    }

    /// An update's members.
    fn update(&mut self, key: u64, writes: &mut Vec<(u64, Version)>) -> String {
        let version = self.version(key, writes);
        let payload = self.payload();
        format!(
            "\"TableName\":\"{}\",\"Key\":{{{}}},\"UpdateExpression\":\"SET version = :v, payload = :p\",\
             \"ExpressionAttributeValues\":{{\":v\":{{\"S\":\"{version}\"}},\":p\":{{\"S\":\"{payload}\"}}}}",
            self.table,
            self.key(key)
        )
    }

    fn batch_write(&mut self, keys: impl IntoIterator<Item = u64>, writes: &mut Vec<(u64, Version)>) -> String {
        let mut puts = Vec::new();
        for key in keys {
            puts.push(format!("{{\"PutRequest\":{{\"Item\":{}}}}}", self.item(key, writes)));
        }
        format!("{{\"RequestItems\":{{\"{}\":[{}]}}}}", self.table, puts.join(","))
    }

    /// By turns a put, an update, a put, and a check.
    fn transact(&mut self, writes: &mut Vec<(u64, Version)>) -> String {
        let mut actions = Vec::new();
        for (place, key) in self.several(TRANSACTION_ITEMS).into_iter().enumerate() {
            actions.push(match place {
                1 => format!("{{\"Update\":{{{}}}}}", self.update(key, writes)),
                3 => format!(
                    "{{\"ConditionCheck\":{{\"TableName\":\"{}\",\"Key\":{{{}}},\
                     \"ConditionExpression\":\"attribute_exists(pk)\"}}}}",
                    self.table,
                    self.key(key)
                ),
                _ => format!("{{\"Put\":{}}}", self.put(key, writes)),
            });
        }
        format!("{{\"TransactItems\":[{}]}}", actions.join(","))
    }

    fn key(&self, key: u64) -> String {
        key_json(key, self.workload.collections)
    }

    fn item(&mut self, key: u64, writes: &mut Vec<(u64, Version)>) -> String {
        let version = self.version(key, writes);
        let key = self.key(key);
        format!(
            "{{{key},\"version\":{{\"S\":\"{version}\"}},\"payload\":{{\"S\":\"{}\"}}}}",
            self.payload()
        )
    }

    /// Notes a write and gives its version's text: the connection and a number that grows.
    fn version(&mut self, key: u64, writes: &mut Vec<(u64, Version)>) -> String {
        self.version += 1;
        writes.push((key, Some(self.version)));
        version_text(&self.source.run, self.source.connection, self.version)
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

/// How a version stands in an item: who wrote it, and a number that grows.
pub fn version_text(run: &str, connection: u64, version: u64) -> String {
    format!("{run}-{connection}/{version}")
}

fn partition(key: u64) -> (String, String) {
    (
        format!("user{:012}", key / COLLECTION),
        format!("{:04}", key % COLLECTION),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_workload_makes_json() {
        for name in Workload::NAMES {
            let workload: Workload = name.parse().unwrap();
            let mut requests = requests(&workload, 1_000, &Arc::new(Newest::new(1_000)), 0);
            for _ in 0..100 {
                let request = requests.draw();
                let body: Value = serde_json::from_str(&request.body).unwrap();
                assert!(body.is_object());
                let writes = !matches!(
                    request.operation,
                    Operation::Get | Operation::Query | Operation::BatchGet | Operation::TransactGet
                );
                assert_eq!(writes, !request.writes.is_empty());
            }
        }
    }

    #[test]
    fn new_items_differ_among_connections() {
        let workload: Workload = "insert=1".parse().unwrap();
        let (mut seen, newest) = (BTreeSet::new(), Arc::new(Newest::new(10)));
        for number in 0..3 {
            let mut requests = requests(&workload, 10, &newest, number);
            for _ in 0..20 {
                assert!(seen.insert(requests.draw().writes[0].0));
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), (10..70).collect::<Vec<_>>());
    }

    /// The items that requests name, with how often.
    fn named(requests: &mut Requests, draws: usize) -> BTreeMap<u64, u64> {
        let mut named = BTreeMap::new();
        for _ in 0..draws {
            let body = requests.draw().body;
            for rest in body.split("\"S\":\"user").skip(1) {
                *named.entry(rest[..12].parse().unwrap()).or_default() += 1;
            }
        }
        named
    }

    #[test]
    fn the_latest_are_those_that_other_connections_have_just_added() {
        let workload = Workload {
            mix: vec![(Operation::Get, 1)],
            ..Workload::named("ycsb-d").unwrap()
        };
        let newest = Arc::new(Newest::new(1_000));
        let mut requests = requests(&workload, 1_000, &newest, 0);
        assert!(named(&mut requests, 500).into_keys().all(|key| key < 1_000));
        let added: Vec<u64> = (0..200).map(|_| newest.insert()).collect();
        // On their way: nobody asks for them yet.
        assert!(named(&mut requests, 500).into_keys().all(|key| key < 1_000));
        added.into_iter().for_each(|number| newest.inserted(number));
        let found = named(&mut requests, 2_000);
        let of_new: u64 = found.range(1_000..).map(|(_, count)| count).sum();
        assert!(of_new > 1_200, "{of_new}");
        assert!(found[&1_199] > found.get(&999).copied().unwrap_or(0));
    }

    #[test]
    fn every_workload_chooses_as_it_is_told() {
        for name in ["batches", "transactions", "conflicts"] {
            let share = |keys| {
                let workload = Workload {
                    keys,
                    ..Workload::named(name).unwrap()
                };
                let found = named(&mut requests(&workload, 100, &Arc::new(Newest::new(100)), 0), 2_000);
                let hot: u64 = found.range(..20).map(|(_, count)| count).sum();
                hot as f64 / found.values().sum::<u64>() as f64
            };
            let (uniform, hotspot) = (share(KeyChoice::Uniform), share(KeyChoice::Hotspot));
            assert!((uniform - 0.2).abs() < 0.04, "{name} {uniform}");
            assert!(hotspot > 0.6, "{name} {hotspot}");
        }
    }

    #[test]
    fn transactions_put_update_check_and_read() {
        let workload = Workload::named("transactions").unwrap();
        let mut requests = requests(&workload, 100, &Arc::new(Newest::new(100)), 0);
        let mut kinds = BTreeSet::new();
        for _ in 0..20 {
            let body: Value = serde_json::from_str(&requests.draw().body).unwrap();
            for action in body["TransactItems"].as_array().unwrap() {
                kinds.extend(action.as_object().unwrap().keys().cloned());
            }
        }
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            ["ConditionCheck", "Get", "Put", "Update"]
        );
    }

    #[test]
    fn different_items_are_found_where_the_choice_gives_hardly_any() {
        let workload: Workload = "batch_get=1".parse().unwrap();
        for items in [1, 3, 10, 11] {
            let mut requests = requests(&workload, items, &Arc::new(Newest::new(items)), 0);
            assert_eq!(named(&mut requests, 1).len() as u64, items.min(BATCH_ITEMS));
        }
    }

    fn requests(workload: &Workload, items: u64, newest: &Arc<Newest>, connection: u64) -> Requests {
        let chooser = KeyChooser::new(workload.keys, workload.item_count(items));
        let source = Source {
            run: "r".into(),
            connection,
            newest: newest.clone(),
        };
        Requests::new(workload, "t", Sizes::Constant(300), chooser, items, source, connection)
    }
}
