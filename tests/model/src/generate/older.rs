//! Random requests with the parameters that expressions replaced.

use super::{Action, Generator, Item, NAMES, Path, Value, Write, values::number};
use crate::{
    older,
    request::older::{Change, Older, Test},
};

const OPERATORS: &[&str] = &[
    "EQ",
    "EQ",
    "NE",
    "LT",
    "LE",
    "GT",
    "GE",
    "BETWEEN",
    "IN",
    "NULL",
    "NOT_NULL",
    "BEGINS_WITH",
    "CONTAINS",
    "NOT_CONTAINS",
];

impl Generator<'_> {
    /// Replaces an action's expressions by older parameters; seldom leaves one of them, which is refused.
    pub(super) fn aged(&mut self, action: &mut Action) -> Option<Older> {
        let mut older = Older {
            keys_operator: "EQ",
            ..Older::default()
        };
        match action {
            Action::Get { projection, .. } => {
                self.flatten(projection.as_mut()?);
                older.attributes = true;
            }
            Action::BatchGet(list) => {
                for wanted in list {
                    if let Some(paths) = &mut wanted.projection {
                        self.flatten(paths);
                        wanted.attributes = true;
                    }
                }
                return None;
            }
            Action::Write {
                table,
                write,
                condition,
                ..
            } => {
                let old = self.found(*table, write.item());
                if condition.is_some() || self.rng.percent(30) {
                    self.tests(&mut older, old.as_ref(), true, &[]);
                    if self.rng.percent(97) {
                        *condition = None;
                    }
                }
                if let Write::Update(key, Some(_)) = &**write
                    && (!older.tests.is_empty() || self.rng.percent(80))
                {
                    let changes = self.changes(*table, old.as_ref());
                    **write = Write::Older(key.clone(), changes);
                }
            }
            Action::Read(read) => {
                let item = self.some_item(read.table, 90);
                let schema = self.schema(read.table).clone();
                let index = read.index.as_ref().and_then(|name| schema.index(name));
                let keys = index.map_or(&schema.keys, |index| &index.keys);
                // AWS's documents tell of KeyConditions with one attribute of each key only.
                if read.query.is_some() && keys.has_several() {
                    return None;
                }
                if let Some(paths) = &mut read.projection {
                    self.flatten(paths);
                    older.attributes = self.rng.percent(90);
                }
                if read.filter.is_some() || self.rng.percent(50) {
                    let mut unfit: Vec<String> = Vec::new();
                    if read.query.is_some() {
                        unfit.extend(keys.attributes().map(|key| key.name.clone()));
                    }
                    if let Some(index) = index {
                        let names = item.keys().map(String::as_str).chain(NAMES.iter().copied());
                        let lacks = names.filter(|name| !index.projects(&schema.keys, name));
                        // In scans they count as missing.
                        if read.query.is_some() || self.rng.percent(50) {
                            unfit.extend(lacks.map(str::to_owned));
                        }
                    }
                    self.tests(&mut older, Some(&item), false, &unfit);
                    if self.rng.percent(95) {
                        read.filter = None;
                    }
                }
                older.keys = read.query.is_some() && self.rng.percent(97);
                if self.rng.percent(2) {
                    older.keys_operator = "NE";
                }
            }
            _ => return None,
        }
        Some(older)
    }

    /// Tests of attributes, mostly ones that the item has and seldom unfit ones.
    fn tests(&mut self, older: &mut Older, item: Option<&Item>, expected: bool, unfit: &[String]) {
        for _ in 0..self.rng.between(1, 3) {
            let mut name = self.path(item).root;
            for _ in 0..8 {
                if !unfit.contains(&name) || self.rng.percent(2) {
                    break;
                }
                name = self.path(item).root;
            }
            if older.tests.iter().all(|(other, _)| *other != name) {
                let there = item.and_then(|item| item.get(&name));
                let mut test = self.test(there, expected);
                for _ in 0..6 {
                    if older::test_refusals(&name, &test).is_empty() || self.rng.percent(2) {
                        break;
                    }
                    test = self.test(there, expected);
                }
                older.tests.push((name, test));
            }
        }
        older.operator = match older.tests.len() {
            0 | 1 if !self.rng.percent(2) => None,
            _ => self.rng.pick(&[None, Some("AND"), Some("OR")]),
        };
    }

    fn test(&mut self, there: Option<&Value>, expected: bool) -> Test {
        if expected && self.rng.percent(35) {
            return match there {
                _ if self.rng.percent(4) => {
                    let value = self.value(0);
                    self.rng
                        .percent(50)
                        .then_some(())
                        .map_or_else(|| Test::Wrong(true, None), |()| Test::Wrong(false, Some(value)))
                }
                Some(value) if self.rng.percent(70) => Test::Is(value.clone(), self.rng.percent(30)),
                None if self.rng.percent(80) => Test::IsNot,
                _ => {
                    let value = self.value(1);
                    Test::Is(value, self.rng.percent(30))
                }
            };
        }
        let operator = self.rng.pick(OPERATORS);
        let count = match operator {
            _ if self.rng.percent(2) => self.rng.below(4),
            "NULL" | "NOT_NULL" => 0,
            "BETWEEN" => 2,
            "IN" => self.rng.between(1, 3),
            _ => 1,
        };
        let mut values: Vec<Value> = (0..count).map(|_| self.tested(operator, there)).collect();
        if operator == "BETWEEN"
            && let [low, high] = &mut values[..]
            && low.order(high) == Some(std::cmp::Ordering::Greater)
            && !self.rng.percent(4)
        {
            std::mem::swap(low, high);
        }
        Test::Compare(operator, values)
    }

    fn tested(&mut self, operator: &str, there: Option<&Value>) -> Value {
        let part = match (operator, there) {
            ("CONTAINS" | "NOT_CONTAINS", Some(Value::L(list))) if !list.is_empty() => {
                Some(self.rng.choose(list).clone())
            }
            ("CONTAINS" | "NOT_CONTAINS", Some(Value::Ss(set))) => set.first().cloned().map(Value::S),
            ("CONTAINS" | "NOT_CONTAINS", Some(Value::Ns(set))) => set.last().cloned().map(Value::N),
            ("CONTAINS" | "NOT_CONTAINS", Some(Value::Bs(set))) => set.first().cloned().map(Value::B),
            ("CONTAINS" | "NOT_CONTAINS" | "BEGINS_WITH", Some(Value::S(text))) => {
                Some(Value::S(text.chars().take(1).collect()))
            }
            ("CONTAINS" | "NOT_CONTAINS" | "BEGINS_WITH", Some(Value::B(bytes))) => {
                Some(Value::B(bytes.iter().copied().take(1).collect()))
            }
            (_, Some(there)) if there.size() < 1000 => Some(there.clone()),
            _ => None,
        };
        match part {
            Some(part) if self.rng.percent(60) => part,
            _ => match there {
                Some(Value::N(_)) => number(self.rng.pick(&["0", "1", "-0.5", "10", "1E60"])),
                Some(Value::S(_)) => Value::S(self.rng.pick(&["a", "b", "é", ""]).into()),
                _ => self.value(0),
            },
        }
    }

    /// `AttributeUpdates`
    fn changes(&mut self, table: usize, old: Option<&Item>) -> Vec<(String, Change)> {
        let schema = self.schema(table).clone();
        let mut changes: Vec<(String, Change)> = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            let name = self.target(table, old).root;
            if changes.iter().any(|(other, _)| *other == name) {
                continue;
            }
            let there = old.and_then(|old| old.get(&name));
            let index = schema.key_attributes().into_iter().find(|key| key.name == name);
            let choice = self.rng.below(if index.is_some() { 6 } else { 10 });
            let action = [
                "PUT", "PUT", "PUT", "PUT", "DELETE", "DELETE", "ADD", "ADD", "ADD", "DELETE",
            ][choice];
            let value = match (action, there) {
                _ if self.rng.percent(1) => None,
                ("PUT", _) => Some(match index {
                    Some(key) => self.index_value(key.kind),
                    None if name == "d" && self.rng.percent(4) => self.large_value(old.unwrap_or(&Item::new())),
                    None => self.value(2),
                }),
                ("DELETE", Some(value @ (Value::Ss(_) | Value::Ns(_) | Value::Bs(_)))) if choice == 9 => {
                    Some(if self.rng.percent(30) {
                        value.clone()
                    } else {
                        self.set(value.kind())
                    })
                }
                ("DELETE", None) if choice == 9 => Some(self.set("SS")),
                ("DELETE", _) if choice == 9 && self.rng.percent(5) => Some(self.value(1)),
                ("DELETE", _) => None,
                (_, Some(value @ (Value::Ss(_) | Value::Ns(_) | Value::Bs(_)))) => Some(self.set(value.kind())),
                _ if self.rng.percent(2) => Some(Value::Bool(true)),
                (_, None) if self.rng.percent(40) => Some(self.set("NS")),
                (_, None | Some(Value::N(_))) => Some(number(self.rng.pick(&["1", "-1", "0.5", "100"]))),
                _ if self.rng.percent(10) => Some(number("1")),
                _ => {
                    let value = self.value(1);
                    changes.push((
                        name,
                        Change {
                            action: None,
                            value: Some(value),
                        },
                    ));
                    continue;
                }
            };
            let action = (action != "PUT" || self.rng.percent(50)).then_some(action);
            changes.push((name, Change { action, value }));
        }
        if changes.is_empty() {
            let value = Some(self.value(1));
            changes.push(("a".into(), Change { action: None, value }));
        }
        if self.rng.percent(1) {
            let value = Some(self.value(1));
            changes.push((String::new(), Change { action: None, value }));
        }
        changes
    }

    /// Top-level attributes, each once; seldom one without a name.
    fn flatten(&mut self, paths: &mut Vec<Path>) {
        let mut seen: Vec<String> = Vec::new();
        for path in paths.iter_mut() {
            path.steps.clear();
        }
        paths.retain(|path| {
            let new = !seen.contains(&path.root);
            seen.push(path.root.clone());
            new
        });
        if self.rng.percent(1) {
            paths.push(Path::top(""));
        }
    }
}
