//! Conditions and projections against items.

use std::{cmp::Ordering, collections::BTreeMap};

use crate::{
    expression::{Condition, KeyCondition, Operand, Path, Step, size_of},
    fault::Fault,
    value::{Item, Value},
};

/// Whether the item meets the condition.
pub(crate) fn holds(condition: &Condition, item: &Item, fault: Option<Fault>) -> bool {
    let is = |wanted: Fault| fault == Some(wanted);
    let find = |operand: &Operand| value_of(operand, item, fault);
    match condition {
        Condition::And(list) if is(Fault::AndIsOr) => list.iter().any(|inner| holds(inner, item, fault)),
        Condition::And(list) => list.iter().all(|inner| holds(inner, item, fault)),
        Condition::Or(list) => list.iter().any(|inner| holds(inner, item, fault)),
        Condition::Not(inner) => !holds(inner, item, fault),
        Condition::Compare(operator, left, right) => match (find(left), find(right)) {
            (Some(left), Some(right)) => compares(operator, &left, &right, fault),
            _ => *operator == "<>" && !is(Fault::NotEqualNeedsTheAttribute),
        },
        Condition::Between(value, low, high) => {
            let (Some(value), Some(low), Some(high)) = (find(value), find(low), find(high)) else {
                return false;
            };
            let upper = if is(Fault::BetweenLeavesOutItsUpperBound) {
                "<"
            } else {
                "<="
            };
            compares(">=", &value, &low, fault) && compares(upper, &value, &high, fault)
        }
        Condition::In(value, list) => {
            let Some(value) = find(value) else { return false };
            list.iter().any(|other| find(other).as_ref() == Some(&value))
        }
        Condition::Exists(path) => path.find(item).is_some(),
        Condition::NotExists(path) => path.find(item).is_none(),
        Condition::Type(operand, kind) => find(operand).is_some_and(|value| value.kind() == kind),
        Condition::BeginsWith(value, prefix) => match (find(value), find(prefix)) {
            (Some(value), Some(prefix)) => begins_with(&value, &prefix, fault),
            _ => false,
        },
        Condition::Contains(container, element) => match (find(container), find(element)) {
            (Some(container), Some(element)) => contains(&container, &element),
            _ => false,
        },
    }
}

/// Whether a key attribute meets a query's condition.
pub(crate) fn key_holds(condition: &KeyCondition, value: &Value, fault: Option<Fault>) -> bool {
    match condition {
        KeyCondition::Compare(operator, other) => compares(operator, value, other, fault),
        KeyCondition::Between(low, high) => compares(">=", value, low, fault) && compares("<=", value, high, fault),
        KeyCondition::BeginsWith(prefix) => begins_with(value, prefix, fault),
    }
}

fn value_of(operand: &Operand, item: &Item, fault: Option<Fault>) -> Option<Value> {
    match operand {
        Operand::Path(path) => path.find(item).cloned(),
        Operand::Value(value) => Some(value.clone()),
        Operand::Size(path) => match path.find(item)? {
            Value::S(text) if fault == Some(Fault::SizeOfAStringIsItsBytes) => {
                size_of(&Value::B(text.clone().into_bytes())).map(Value::N)
            }
            Value::S(text) if fault == Some(Fault::SizeOfAStringIsItsCharacters) => {
                size_of(&Value::L(text.chars().map(|_| Value::Null).collect())).map(Value::N)
            }
            value => size_of(value).map(Value::N),
        },
    }
}

fn compares(operator: &str, left: &Value, right: &Value, fault: Option<Fault>) -> bool {
    let order = match (left, right) {
        (Value::N(left), Value::N(right)) if fault == Some(Fault::NumbersAreOrderedAsText) => {
            Some(left.to_string().cmp(&right.to_string()))
        }
        _ => left.order(right),
    };
    match operator {
        "=" => left == right,
        "<>" => left != right,
        "<" => order == Some(Ordering::Less),
        "<=" => order.is_some_and(Ordering::is_le),
        ">" => order == Some(Ordering::Greater),
        _ => order.is_some_and(Ordering::is_ge),
    }
}

fn begins_with(value: &Value, prefix: &Value, fault: Option<Fault>) -> bool {
    match (value, prefix) {
        (Value::S(value), Value::S(prefix)) if fault == Some(Fault::BeginsWithIsContains) => value.contains(prefix),
        (Value::S(value), Value::S(prefix)) => value.starts_with(prefix),
        (Value::B(value), Value::B(prefix)) => value.starts_with(prefix),
        _ => false,
    }
}

/// `contains`, and `CONTAINS`
pub(crate) fn contains(container: &Value, element: &Value) -> bool {
    match (container, element) {
        (Value::S(text), Value::S(part)) => text.contains(part),
        (Value::B(bytes), Value::B(part)) => {
            (0..=bytes.len()).any(|at| bytes.get(at..at + part.len()) == Some(part.as_slice()))
        }
        (Value::Ss(set), Value::S(element)) => set.contains(element),
        (Value::Ns(set), Value::N(element)) => set.contains(element),
        (Value::Bs(set), Value::B(element)) => set.contains(element),
        (Value::L(list), element) => list.contains(element),
        _ => false,
    }
}

/// Which parts of a value are wanted.
enum Mask {
    All,
    Parts {
        keys: BTreeMap<String, Mask>,
        elements: BTreeMap<usize, Mask>,
    },
}

/// The parts of an item that paths name, in the item's shape; lists close up.
pub(crate) fn project(paths: &[&Path], item: &Item) -> Item {
    let mut mask = Mask::nothing();
    for path in paths {
        let root = Step::Key(path.root.clone());
        mask.add(std::iter::once(&root).chain(&path.steps));
    }
    match mask.part_of(&Value::M(item.clone())) {
        Some(Value::M(part)) => part,
        _ => Item::new(),
    }
}

impl Mask {
    fn nothing() -> Self {
        Self::Parts {
            keys: BTreeMap::new(),
            elements: BTreeMap::new(),
        }
    }

    fn add<'s>(&mut self, mut steps: impl Iterator<Item = &'s Step>) {
        let next = match (steps.next(), &mut *self) {
            (_, Self::All) => return,
            (None, _) => {
                *self = Self::All;
                return;
            }
            (Some(Step::Key(key)), Self::Parts { keys, .. }) => keys.entry(key.clone()).or_insert_with(Self::nothing),
            (Some(Step::Index(index)), Self::Parts { elements, .. }) => {
                elements.entry(*index).or_insert_with(Self::nothing)
            }
        };
        next.add(&mut steps as &mut dyn Iterator<Item = &'s Step>);
    }

    fn part_of(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::All, value) => Some(value.clone()),
            (Self::Parts { keys, .. }, Value::M(map)) => {
                let parts = keys
                    .iter()
                    .filter_map(|(key, mask)| Some((key.clone(), mask.part_of(map.get(key)?)?)));
                Some(parts.collect::<Item>())
                    .filter(|part| !part.is_empty())
                    .map(Value::M)
            }
            (Self::Parts { elements, .. }, Value::L(list)) => {
                let parts = elements
                    .iter()
                    .filter_map(|(index, mask)| mask.part_of(list.get(*index)?));
                Some(parts.collect::<Vec<_>>())
                    .filter(|part| !part.is_empty())
                    .map(Value::L)
            }
            _ => None,
        }
    }
}
