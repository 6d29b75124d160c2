//! Random queries and scans.

use super::{Generator, Index, Item, KeyCondition, KeyTests, Keys, Read, Value};
use crate::schema::Projection;

impl Generator<'_> {
    pub(super) fn query(&mut self) -> Read {
        let (mut read, keys, item) = self.read(false);
        let tests = self.key_tests(&keys, &item);
        read.forward = self.rng.pick(&[None, Some(true), Some(false), Some(false)]);
        if let Some(mut start) = self.start(&read) {
            // A start outside of what is asked for is refused: seldom wanted.
            for (name, test) in &tests {
                if let Some(value) = test.equal().filter(|_| !self.rng.percent(4)) {
                    start.insert(name.clone(), value.clone());
                }
            }
            read.start = Some(start);
        }
        read.query = Some(tests);
        read
    }

    /// What a query asks of keys: `=` of the partition key's attributes and of the sort key's first ones, anything of the
    /// last of those.
    fn key_tests(&mut self, keys: &Keys, item: &Item) -> KeyTests {
        let mut tests = KeyTests::new();
        let sorts = match keys.sort.len() {
            0 => 0,
            1 if self.rng.percent(60) => 1,
            len if len > 1 => self.rng.below(len + 1).min(self.rng.below(len + 1)),
            _ => 0,
        };
        let equals = keys.partition.len() + sorts.saturating_sub(1);
        for (at, key) in keys.attributes().take(keys.partition.len() + sorts).enumerate() {
            let there = item.get(&key.name).cloned();
            let test = if at < equals {
                KeyCondition::Compare(
                    "=",
                    match there {
                        Some(value) => value,
                        None if self.rng.below(40) == 0 => self.value(0),
                        None => self.key_value(key.kind),
                    },
                )
            } else {
                self.key_condition(key.kind, there)
            };
            tests.push((key.name.clone(), test));
        }
        if keys.has_several() && self.rng.percent(6) {
            self.spoil_tests(&mut tests);
        }
        tests
    }

    /// Makes it something that is mostly refused: with a gap, another operator than `=`, or one attribute twice.
    fn spoil_tests(&mut self, tests: &mut KeyTests) {
        let at = self.rng.below(tests.len());
        let (name, test) = tests[at].clone();
        match (self.rng.below(3), test) {
            (0, _) => drop(tests.remove(at)),
            (1, KeyCondition::Compare(_, value)) => tests[at].1 = KeyCondition::Compare(">=", value),
            (_, test) => tests.push((name, test)),
        }
    }

    pub(super) fn scan(&mut self) -> Read {
        let (mut read, _, _) = self.read(true);
        if self.rng.percent(30) {
            let total = self.rng.between(1, 5);
            let segment = self.rng.below(total) + usize::from(self.rng.percent(2)) * total;
            read.segment = Some((segment, total));
        }
        read.start = self.start(&read);
        read
    }

    /// What both have, with the keys that it goes by, and an item to ask about.
    fn read(&mut self, scans: bool) -> (Read, Keys, Item) {
        let table = self.table();
        let schema = self.schema(table).clone();
        let index: Option<Index> =
            (!schema.indexes.is_empty() && self.rng.percent(55)).then(|| self.rng.choose(&schema.indexes).clone());
        let keys = index.as_ref().map_or(&schema.keys, |index| &index.keys).clone();
        let item = self.item_with(table, &keys);
        // A query's filter on its keys is refused, and on what the index does not have: seldom wanted. In scans that counts as
        // missing.
        let filter = self.rng.percent(45).then(|| {
            let lax = self.rng.percent(8);
            let misses = scans && self.rng.percent(40);
            let fits = |name: &str| misses || index.as_ref().is_none_or(|index| index.projects(&schema.keys, name));
            self.fitting(1, &item, &keys, |path| keys.has(&path.root) && !lax, fits)
        });
        let filter = filter.flatten();
        let projection = self.rng.percent(25).then(|| {
            let mut projection = self.projection(Some(&item));
            if let Some(index) = index.as_ref().filter(|index| index.global && !self.rng.percent(3)) {
                projection.retain(|path| index.projects(&schema.keys, &path.root));
            }
            projection
        });
        let projection = projection.filter(|paths| !paths.is_empty());
        let good: &[Option<&str>] = match (&projection, &index) {
            (Some(_), _) => &[None, None, Some("SPECIFIC_ATTRIBUTES")],
            (None, Some(index)) if index.global && index.projection != Projection::All => {
                &[None, None, Some("COUNT"), Some("ALL_PROJECTED_ATTRIBUTES")]
            }
            (None, Some(_)) => &[
                None,
                Some("COUNT"),
                Some("ALL_PROJECTED_ATTRIBUTES"),
                Some("ALL_ATTRIBUTES"),
            ],
            (None, None) => &[None, None, Some("COUNT"), Some("ALL_ATTRIBUTES")],
        };
        let any = &[
            Some("COUNT"),
            Some("ALL_PROJECTED_ATTRIBUTES"),
            Some("ALL_ATTRIBUTES"),
            Some("SPECIFIC_ATTRIBUTES"),
        ];
        let select = if self.rng.percent(4) {
            self.rng.pick(any)
        } else {
            self.rng.pick(good)
        };
        let global = index.as_ref().is_some_and(|index| index.global);
        let name = index.map(|index| index.name);
        let read = Read {
            table,
            index: if self.rng.below(150) == 0 {
                Some("nope".into())
            } else {
                name
            },
            query: None,
            filter,
            projection,
            select,
            limit: self.rng.percent(60).then(|| self.rng.between(1, 6)),
            forward: None,
            consistent: self.rng.percent(if global { 2 } else { 40 }),
            start: None,
            segment: None,
            pages: self.rng.pick(&[1, 1, 3, 20]),
        };
        (read, keys, item)
    }

    pub(super) fn key_condition(&mut self, kind: &str, there: Option<Value>) -> KeyCondition {
        let mut value = match there {
            Some(value) if self.rng.percent(60) => value,
            _ => self.key_value(kind),
        };
        if self.rng.below(60) == 0 {
            value = self.value(1);
        }
        match self.rng.below(8) {
            at @ 0..5 => KeyCondition::Compare(["=", "<", "<=", ">", ">="][at], value),
            5..7 => {
                let mut other = self.key_value(kind);
                if value.order(&other).is_some_and(std::cmp::Ordering::is_gt) && !self.rng.percent(4) {
                    std::mem::swap(&mut value, &mut other);
                }
                KeyCondition::Between(value, other)
            }
            _ => match value {
                Value::S(text) => KeyCondition::BeginsWith(Value::S(text.chars().take(1).collect())),
                Value::B(bytes) => KeyCondition::BeginsWith(Value::B(bytes.into_iter().take(1).collect())),
                value if self.rng.percent(5) => KeyCondition::BeginsWith(value),
                value => KeyCondition::Compare("<=", value),
            },
        }
    }

    /// A key to start behind: of something there, or of nothing, seldom one that cannot be.
    fn start(&mut self, read: &Read) -> Option<Item> {
        if !self.rng.percent(12) {
            return None;
        }
        let schema = self.schema(read.table).clone();
        let index = read
            .index
            .as_ref()
            .and_then(|name| schema.index(name))
            .map(|index| &index.keys);
        let mut start = self.some_item(read.table, 80);
        let keys: Vec<_> = schema
            .keys
            .attributes()
            .chain(index.into_iter().flat_map(Keys::attributes))
            .collect();
        start.retain(|name, _| keys.iter().any(|key| key.name == *name));
        for key in keys {
            if start.get(&key.name).is_none_or(|value| value.kind() != key.kind) {
                start.insert(key.name.clone(), self.key_value(key.kind));
            }
        }
        if self.rng.percent(4) {
            start.pop_first();
        }
        if self.rng.percent(2) {
            start.insert("a".into(), Value::Null);
        }
        Some(start)
    }
}
