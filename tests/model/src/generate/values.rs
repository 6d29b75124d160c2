//! Random keys, values and items, from small pools, so that they meet often.

use super::{Generator, Item, Keys, NAMES, Value};
use crate::number::Number;

const KEY_STRINGS: &[&str] = &["a", "ab", "b", "é", "a\u{0}", "a\u{0}b", "zz"];
const STRINGS: &[&str] = &["", "a", "ab", "abcab", "b", "é", "é𝄞", "日本", "ünü", "S", "\"\\\n"];
const KEY_NUMBERS: &[&str] = &["0", "1", "-1", "2", "10", "0.5", "-0.5"];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "10",
    "100",
    "0.5",
    "-0.5",
    "0.1",
    "1E37",
    "1E38",
    "1E50",
    "1.00000000000000007629769841092E+50",
    "-1.5E60",
    "1E-130",
    "-1E-130",
    "9.9999999999999999999999999999999999999E125",
    "-9.9999999999999999999999999999999999999E125",
    "12345678901234567890123456789012345678",
    "0.00001234",
    "9007199254740993",
];
const KEY_BINARIES: &[&[u8]] = &[&[0], &[0, 0], &[0, 255], &[0, 1], &[1], &[255], &[97, 98]];
const BINARIES: &[&[u8]] = &[&[], &[0], &[0, 255], &[1], &[97], &[97, 98], &[255, 255]];

pub(super) fn number(text: &str) -> Value {
    Number::parse(text).map_or(Value::Null, Value::N)
}

impl Generator<'_> {
    /// A key of an item that is there, or of none.
    pub(super) fn key(&mut self, table: usize) -> Item {
        let keys = self.schema(table).keys.clone();
        let mut item = self.some_item(table, 55);
        item.retain(|name, _| keys.has(name));
        if item.is_empty() {
            item = keys
                .attributes()
                .map(|key| (key.name.clone(), self.key_value(key.kind)))
                .collect();
        }
        if self.rng.below(70) == 0 {
            self.spoil_key(&mut item);
        }
        item
    }

    /// An item to put.
    pub(super) fn item(&mut self, table: usize) -> Item {
        let mut item = self.key(table);
        // Keys of several attributes need them all, and seldom meet if each is chosen for itself.
        let (indexed, alike) = self.rng.pick(&[(70, 0), (70, 50), (100, 80), (100, 95)]);
        let neighbour = self.some_item(table, 100);
        for key in self.schema(table).clone().key_attributes() {
            if !item.contains_key(&key.name) && key.name.starts_with("ix") && self.rng.percent(indexed) {
                let value = match neighbour.get(&key.name) {
                    Some(value) if value.kind() == key.kind && self.rng.percent(alike) => value.clone(),
                    _ => self.index_value(key.kind),
                };
                item.insert(key.name.clone(), value);
            }
        }
        // What an index may come to go by has any type until then.
        for name in super::tables::INDEXED {
            let defined = self.schema(table).key_attributes().iter().any(|key| key.name == *name);
            if !defined && self.rng.percent(12) {
                let value = match self.rng.below(4) {
                    0 => self.value(1),
                    1 => Value::S(String::new()),
                    _ => {
                        let kind = self.rng.pick(super::tables::KINDS);
                        self.key_value(kind)
                    }
                };
                item.insert((*name).into(), value);
            }
        }
        for _ in 0..self.rng.below(5) {
            let name = self.rng.pick(NAMES);
            let value = self.value(2);
            item.insert(name.into(), value);
        }
        let ttl = self.model.phases.get(table).and_then(|phases| phases.ttl.as_ref());
        let time = ttl.map_or("e1", |ttl| ttl.attribute.as_str()).to_owned();
        if self.rng.percent(if ttl.is_some() { 35 } else { 5 }) {
            let value = self.time();
            item.insert(time, value);
        }
        self.swell(&mut item);
        if self.rng.below(150) == 0 {
            let value = self.value(1);
            item.insert(String::new(), value);
        }
        item
    }

    /// Seconds since the Unix epoch: before or after now, or long ago.
    fn time(&mut self) -> Value {
        const YEAR: i64 = 365 * 24 * 3600;
        let offset = self.rng.pick(&[-100, -1, 1, 30, 400, 4000, -4 * YEAR, -6 * YEAR]);
        number(&(self.model.now as i64 / 1000 + offset).to_string())
    }

    /// An item of the table, in so many of a hundred.
    pub(super) fn some_item(&mut self, table: usize, percent: usize) -> Item {
        let Some(items) = self.model.tables.get(table) else {
            return Item::new();
        };
        let at = self.rng.below(items.len());
        if self.rng.percent(percent) {
            items.values().nth(at).cloned().unwrap_or_default()
        } else {
            Item::new()
        }
    }

    /// An item to ask about, mostly one that has these keys.
    pub(super) fn item_with(&mut self, table: usize, keys: &Keys) -> Item {
        let mut item = self.some_item(table, 90);
        for _ in 0..3 {
            if keys.fit(&item) {
                break;
            }
            item = self.some_item(table, 90);
        }
        item
    }

    pub(super) fn key_value(&mut self, kind: &str) -> Value {
        match kind {
            "S" => Value::S(self.rng.pick(KEY_STRINGS).into()),
            "N" => number(self.rng.pick(KEY_NUMBERS)),
            _ => Value::B(self.rng.pick(KEY_BINARIES).to_vec()),
        }
    }

    /// A value for an attribute that an index goes by; seldom one that it cannot have.
    pub(super) fn index_value(&mut self, kind: &str) -> Value {
        if self.rng.below(90) == 0 {
            return self.value(1);
        }
        self.key_value(kind)
    }

    /// Any value, so many levels deep.
    pub(super) fn value(&mut self, depth: usize) -> Value {
        let kinds = if depth == 0 { 8 } else { 12 };
        match self.rng.below(kinds) {
            0 | 1 => Value::S(self.rng.pick(STRINGS).into()),
            2 | 3 => number(self.rng.pick(NUMBERS)),
            4 => Value::B(self.rng.pick(BINARIES).to_vec()),
            5 => Value::Bool(self.rng.percent(50)),
            6 => Value::Null,
            7 => {
                let kind = self.rng.pick(&["SS", "NS", "BS"]);
                self.set(kind)
            }
            8 | 9 => Value::L((0..self.rng.between(1, 5)).map(|_| self.value(depth - 1)).collect()),
            _ => {
                let mut map = Item::new();
                for _ in 0..self.rng.below(4) {
                    // There a name may be empty.
                    let name = if self.rng.percent(1) { "" } else { self.rng.pick(NAMES) };
                    let value = self.value(depth - 1);
                    map.insert(name.into(), value);
                }
                Value::M(map)
            }
        }
    }

    /// A set that is not empty.
    pub(super) fn set(&mut self, kind: &str) -> Value {
        let count = self.rng.between(1, 3);
        match kind {
            "SS" => Value::Ss((0..count).map(|_| self.rng.pick(STRINGS).into()).collect()),
            "NS" => Value::Ns(
                (0..count)
                    .filter_map(|_| Number::parse(self.rng.pick(NUMBERS)))
                    .collect(),
            ),
            _ => Value::Bs((0..count).map(|_| self.rng.pick(BINARIES).to_vec()).collect()),
        }
    }

    /// Makes some items cost more than a unit, and in a heavy world so large that a page ends at them.
    fn swell(&mut self, item: &mut Item) {
        let bytes = match self.rng.below(1000) {
            0..30 => self.rng.between(900, 9000),
            30..130 if self.heavy => self.rng.between(60_000, 300_000),
            130..133 if self.heavy => self.rng.between(409_000, 410_000),
            _ => return,
        };
        item.insert("d".into(), Value::S("x".repeat(bytes)));
    }

    pub(super) fn spoil_key(&mut self, key: &mut Item) {
        let names: Vec<_> = key.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = self.rng.choose(&names).clone();
        match self.rng.below(4) {
            0 => drop(key.remove(&name)),
            1 => drop(key.insert(name, Value::Bool(true))),
            2 => drop(key.insert(name, Value::S(String::new()))),
            _ => drop(key.insert("a".into(), Value::S("a".into()))),
        }
    }
}
