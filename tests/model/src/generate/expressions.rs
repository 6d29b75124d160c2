//! Random expressions, mostly about what an item has.

use super::{Condition, Generator, Item, NAMES, Operand, Path, Step, Term, Update, Value, values::number};
use crate::expression::size_of;

const TYPES: &[&str] = &["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"];

impl Generator<'_> {
    /// A path, mostly to something that the item has.
    pub(super) fn path(&mut self, item: Option<&Item>) -> Path {
        // No expression can name one without a name.
        let names: Vec<&String> = item
            .into_iter()
            .flat_map(Item::keys)
            .filter(|name| !name.is_empty())
            .collect();
        let root = if !names.is_empty() && self.rng.percent(75) {
            self.rng.pick(&names).clone()
        } else {
            self.rng.pick(NAMES).into()
        };
        let mut path = Path {
            root,
            steps: Vec::new(),
        };
        for _ in 0..3 {
            match item.and_then(|item| path.find(item)) {
                Some(Value::L(list)) if self.rng.percent(60) => {
                    let index = self.rng.below(list.len() + 2);
                    path.steps.push(Step::Index(index));
                }
                Some(Value::M(map)) if self.rng.percent(60) => {
                    let names: Vec<&String> = map.keys().filter(|name| !name.is_empty()).collect();
                    let name = if !names.is_empty() && self.rng.percent(80) {
                        self.rng.pick(&names).clone()
                    } else {
                        self.rng.pick(NAMES).into()
                    };
                    path.steps.push(Step::Key(name));
                }
                _ if self.rng.percent(2) => {
                    let step = self.step();
                    path.steps.push(step);
                }
                _ => break,
            }
        }
        // As deep as can be, or deeper.
        if self.rng.below(250) == 0 {
            let levels = self.rng.between(31, 34);
            while path.steps.len() + 1 < levels {
                let step = self.step();
                path.steps.push(step);
            }
        }
        path
    }

    fn step(&mut self) -> Step {
        if self.rng.percent(50) {
            Step::Index(self.rng.below(3))
        } else {
            Step::Key(self.rng.pick(NAMES).into())
        }
    }

    /// Paths that seldom overlap.
    pub(super) fn projection(&mut self, item: Option<&Item>) -> Vec<Path> {
        let mut paths: Vec<Path> = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            let path = self.path(item);
            let meets = |other: &Path| {
                let steps = other.steps.iter().zip(&path.steps);
                other.root == path.root
                    && steps.take_while(|(one, two)| one == two).count() == other.steps.len().min(path.steps.len())
            };
            if !paths.iter().any(meets) || self.rng.percent(4) {
                paths.push(path);
            }
        }
        paths
    }

    /// A condition, so many levels deep at most.
    pub(super) fn condition(&mut self, depth: usize, item: Option<&Item>) -> Condition {
        if depth > 0 && self.rng.percent(40) {
            let list = |this: &mut Self| {
                (0..this.rng.between(2, 3))
                    .map(|_| this.condition(depth - 1, item))
                    .collect()
            };
            return match self.rng.below(3) {
                0 => Condition::And(list(self)),
                1 => Condition::Or(list(self)),
                _ => Condition::Not(Box::new(self.condition(depth - 1, item))),
            };
        }
        let path = self.path(item);
        let there = item.and_then(|item| path.find(item)).cloned();
        // A string or binary is mostly asked for what is in it.
        let texts = matches!(there, Some(Value::S(_) | Value::B(_)));
        let kind = if texts && self.rng.percent(30) {
            16
        } else {
            self.rng.below(20)
        };
        match kind {
            0..7 => {
                let operator = self.rng.pick(&["=", "=", "<>", "<", "<=", ">", ">="]);
                let left = self.operand(&path, there.as_ref());
                let right = self.other(there.as_ref(), item, &left, operator);
                if self.rng.percent(15) {
                    Condition::Compare(operator, right, left)
                } else {
                    Condition::Compare(operator, left, right)
                }
            }
            7..9 => {
                let value = self.operand(&path, there.as_ref());
                let mut low = self.other(there.as_ref(), item, &value, "<");
                let mut high = self.other(there.as_ref(), item, &value, "<");
                if let (Operand::Value(one), Operand::Value(two)) = (&low, &high) {
                    // Bounds of two types or in the wrong order are refused: seldom wanted.
                    match one.order(two) {
                        Some(std::cmp::Ordering::Greater) if !self.rng.percent(3) => {
                            std::mem::swap(&mut low, &mut high)
                        }
                        None if !self.rng.percent(3) => high = low.clone(),
                        _ => {}
                    }
                }
                Condition::Between(value, low, high)
            }
            9..11 => {
                let value = self.operand(&path, there.as_ref());
                let list = (0..self.rng.between(1, 4)).map(|_| self.other(there.as_ref(), item, &value, "="));
                Condition::In(value.clone(), list.collect())
            }
            11..13 => Condition::Exists(path),
            13..15 => Condition::NotExists(path),
            15 => {
                let kind = match &there {
                    Some(value) if self.rng.percent(60) => value.kind(),
                    _ if self.rng.percent(3) => "STRING",
                    _ => self.rng.pick(TYPES),
                };
                let of = if self.rng.percent(20) {
                    Operand::Value(self.value(0))
                } else {
                    Operand::Path(path)
                };
                Condition::Type(of, kind.into())
            }
            16..18 => {
                // Now and then from the middle.
                let skip = usize::from(self.rng.percent(30));
                let prefix = match &there {
                    Some(Value::S(text)) => Value::S(text.chars().skip(skip).take(self.rng.below(3)).collect()),
                    Some(Value::B(bytes)) => {
                        Value::B(bytes.iter().copied().skip(skip).take(self.rng.below(3)).collect())
                    }
                    _ if self.rng.percent(3) => Value::Bool(true),
                    _ => Value::S(self.rng.pick(&["a", "b", "é"]).into()),
                };
                let prefix = if self.rng.percent(15) {
                    Operand::Path(self.path(item))
                } else {
                    Operand::Value(prefix)
                };
                Condition::BeginsWith(Operand::Path(path), prefix)
            }
            _ => {
                let element = match &there {
                    Some(Value::L(list)) if !list.is_empty() => self.rng.choose(list).clone(),
                    Some(Value::Ss(set)) => set.first().cloned().map_or(Value::Null, Value::S),
                    Some(Value::Ns(set)) => set.first().cloned().map_or(Value::Null, Value::N),
                    Some(Value::Bs(set)) => set.last().cloned().map_or(Value::Null, Value::B),
                    Some(Value::S(text)) => Value::S(text.chars().skip(1).take(2).collect()),
                    Some(Value::B(bytes)) => Value::B(bytes.iter().copied().skip(1).collect()),
                    _ => self.value(0),
                };
                let element = if self.rng.percent(25) { self.value(0) } else { element };
                Condition::Contains(Operand::Path(path), Operand::Value(element))
            }
        }
    }

    fn operand(&mut self, path: &Path, there: Option<&Value>) -> Operand {
        let sized = !matches!(there, Some(Value::N(_) | Value::Bool(_) | Value::Null));
        if self.rng.percent(if sized { 25 } else { 2 }) {
            Operand::Size(path.clone())
        } else {
            Operand::Path(path.clone())
        }
    }

    /// What an operand is compared with.
    fn other(&mut self, there: Option<&Value>, item: Option<&Item>, first: &Operand, operator: &str) -> Operand {
        if self.rng.percent(12) {
            let path = Operand::Path(self.path(item));
            if path != *first || self.rng.percent(5) {
                return path;
            }
        }
        if matches!(first, Operand::Size(_)) {
            let exact = there.and_then(size_of).filter(|_| self.rng.percent(60));
            if let Some(size) = exact {
                return Operand::Value(Value::N(size));
            }
            return Operand::Value(number(self.rng.pick(&["0", "1", "2", "3", "0.5"])));
        }
        let equality = matches!(operator, "=" | "<>");
        let value = match there {
            Some(value) if self.rng.percent(45) && value.size() < 1000 => value.clone(),
            Some(Value::S(_)) => Value::S(self.rng.pick(&["a", "b", "é", ""]).into()),
            Some(Value::N(_)) => number(self.rng.pick(&["0", "1", "-0.5", "10", "1E60"])),
            Some(Value::B(_)) => Value::B(self.rng.pick(&[&[0u8] as &[u8], &[97], &[255]]).to_vec()),
            _ => self.value(1),
        };
        // Values without an order are refused by `<`: seldom wanted.
        if equality || value.has_order() || self.rng.percent(3) {
            Operand::Value(value)
        } else {
            Operand::Value(number(self.rng.pick(&["0", "1"])))
        }
    }

    pub(super) fn update(&mut self, table: usize, old: Option<&Item>) -> Update {
        let mut update = Update::default();
        let mut used: Vec<Path> = Vec::new();
        let schema = self.schema(table).clone();
        for _ in 0..self.rng.between(1, 4) {
            let path = self.target(table, old);
            let touches = |other: &Path| {
                let same = other
                    .steps
                    .iter()
                    .zip(&path.steps)
                    .take_while(|(one, two)| one == two)
                    .count();
                other.root == path.root
                    && (same == other.steps.len().min(path.steps.len()) || {
                        matches!(other.steps[same], Step::Key(_)) != matches!(path.steps[same], Step::Key(_))
                    })
            };
            if used.iter().any(touches) && !self.rng.percent(3) {
                continue;
            }
            used.push(path.clone());
            let there = old.and_then(|old| path.find(old));
            let attributes = schema.key_attributes();
            let index = attributes
                .iter()
                .find(|key| path.steps.is_empty() && key.name == path.root);
            let choice = match there {
                _ if index.is_some() => self.rng.below(8),
                None => self.rng.pick(&[0, 0, 0, 6, 6, 8, 9]),
                Some(Value::N(_)) => self.rng.pick(&[0, 6, 8, 8]),
                Some(Value::Ss(_) | Value::Ns(_) | Value::Bs(_)) => self.rng.pick(&[0, 6, 8, 9, 9]),
                Some(_) => self.rng.pick(&[0, 0, 6, 6]),
            };
            match choice {
                0..6 => {
                    let term = match index {
                        Some(key) => Term::Value(self.index_value(key.kind)),
                        None => self.term(old, 2),
                    };
                    update.set.push((path, term));
                }
                6..8 => {
                    // Several elements of one list, so that it matters in which order they go.
                    if let Some(Step::Index(index)) = path.steps.last()
                        && self.rng.percent(60)
                    {
                        let mut other = path.clone();
                        other.steps.pop();
                        other
                            .steps
                            .push(Step::Index(if *index > 0 { index - 1 } else { index + 1 }));
                        if !used.contains(&other) {
                            used.push(other.clone());
                            update.remove.push(other);
                        }
                    }
                    update.remove.push(path);
                }
                8 => {
                    let value = match there {
                        Some(value @ (Value::Ss(_) | Value::Ns(_) | Value::Bs(_))) if self.rng.percent(90) => {
                            self.set(value.kind())
                        }
                        _ if self.rng.percent(1) => self.value(1),
                        _ => number(self.rng.pick(&["1", "-1", "0.5", "100"])),
                    };
                    update.add.push((path, value));
                }
                _ => {
                    let value = match there {
                        Some(Value::Ss(set)) if self.rng.percent(40) => Value::Ss(set.clone()),
                        Some(Value::Ns(set)) if self.rng.percent(40) => Value::Ns(set.clone()),
                        Some(value @ (Value::Ss(_) | Value::Ns(_) | Value::Bs(_))) if self.rng.percent(90) => {
                            self.set(value.kind())
                        }
                        _ if self.rng.percent(1) => self.value(1),
                        _ => self.set("SS"),
                    };
                    update.delete.push((path, value));
                }
            }
        }
        update
    }

    /// An update that makes an item of about as many bytes as UpdateItem allows.
    pub(super) fn large_update(&mut self, before: &Item) -> Update {
        let mut update = Update {
            set: vec![(Path::top("d"), Term::Value(self.large_value(before)))],
            ..Update::default()
        };
        for _ in 0..self.rng.below(3) {
            let path = Path::top(self.rng.pick(&["a", "b"]));
            if !update.remove.contains(&path) {
                update.remove.push(path);
            }
        }
        update
    }

    /// A value for the attribute `d` with which the item has about as many bytes as UpdateItem allows.
    pub(super) fn large_value(&mut self, before: &Item) -> Value {
        let others = before.iter().filter(|(name, _)| name.as_str() != "d");
        let others: usize = others.map(|(name, value)| name.len() + value.size()).sum();
        let bytes = 400 * 1024 - others - "d".len() - self.rng.below(60);
        Value::S("x".repeat(bytes))
    }

    /// What an update changes: seldom a key.
    pub(super) fn target(&mut self, table: usize, old: Option<&Item>) -> Path {
        let schema = self.schema(table).clone();
        // Something in an item that is not there.
        if old.is_none() && self.rng.percent(8) {
            return Path {
                root: self.rng.pick(NAMES).into(),
                steps: vec![self.step()],
            };
        }
        for _ in 0..4 {
            let path = self.path(old);
            if !schema.keys.has(&path.root) || self.rng.below(60) == 0 {
                return path;
            }
        }
        let indexed: Vec<_> = schema
            .key_attributes()
            .into_iter()
            .filter(|key| !schema.keys.has(&key.name))
            .collect();
        if !indexed.is_empty() && self.rng.percent(60) {
            return Path::top(&self.rng.choose(&indexed).name);
        }
        Path::top(self.rng.pick(NAMES))
    }

    /// What `SET` sets.
    fn term(&mut self, old: Option<&Item>, depth: usize) -> Term {
        // Functions take no sums.
        let choices = if depth == 2 { 10 } else { 6 };
        if depth == 0 || self.rng.percent(35) {
            return Term::Value(self.value(depth));
        }
        match self.rng.below(choices) {
            0..2 => {
                let path = self.path(old);
                if old.and_then(|old| path.find(old)).is_none() && !self.rng.percent(10) {
                    return Term::IfNotExists(path, Box::new(self.term(old, depth - 1)));
                }
                Term::Path(path)
            }
            2..4 => {
                let path = self.path(old);
                Term::IfNotExists(path, Box::new(self.term(old, depth - 1)))
            }
            4..6 => {
                let one = self.operand_of("L", old);
                let two = self.operand_of("L", old);
                Term::ListAppend(Box::new(one), Box::new(two))
            }
            // Three operands, or a list appended to an appended list: refused, so seldom wanted.
            6 if self.rng.percent(15) => {
                let inner = Term::Minus(Box::new(self.operand_of("N", old)), Box::new(self.operand_of("N", old)));
                Term::Plus(Box::new(inner), Box::new(self.operand_of("N", old)))
            }
            6 if self.rng.percent(15) => {
                let inner = Term::ListAppend(Box::new(self.operand_of("L", old)), Box::new(self.operand_of("L", old)));
                Term::ListAppend(Box::new(inner), Box::new(self.operand_of("L", old)))
            }
            at => {
                let (one, two) = (self.operand_of("N", old), self.operand_of("N", old));
                if at == 7 {
                    Term::Minus(Box::new(one), Box::new(two))
                } else {
                    Term::Plus(Box::new(one), Box::new(two))
                }
            }
        }
    }

    /// A number or a list: from the item, if it has one, or given.
    fn operand_of(&mut self, kind: &str, old: Option<&Item>) -> Term {
        if self.rng.below(80) == 0 {
            return Term::Value(self.value(1));
        }
        let names: Vec<&String> = old
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.kind() == kind)
            .map(|(name, _)| name)
            .collect();
        if !names.is_empty() && self.rng.percent(60) {
            return Term::Path(Path::top(self.rng.pick(&names).as_str()));
        }
        let value = if kind == "L" {
            Value::L((0..self.rng.below(3)).map(|_| self.value(1)).collect())
        } else {
            number(self.rng.pick(&["1", "2", "-1", "0.5", "100", "1E20"]))
        };
        if self.rng.percent(30) {
            let name = self.rng.pick(NAMES);
            let fits = old
                .and_then(|old| old.get(name))
                .is_none_or(|value| value.kind() == kind);
            if fits || self.rng.percent(10) {
                return Term::IfNotExists(Path::top(name), Box::new(Term::Value(value)));
            }
        }
        Term::Value(value)
    }
}
