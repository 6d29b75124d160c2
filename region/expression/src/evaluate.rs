//! Conditions against items.

use std::cmp::Ordering;

use geodynamo_item::{AttributeType, AttributeValue, Item, Number};

use crate::condition::{Comparator, Condition, Operand};

/// Recurs as deep as the tree, which the parser bounds.
pub(crate) fn evaluate(condition: &Condition, item: &Item) -> bool {
    match condition {
        Condition::And(list) => list.iter().all(|condition| evaluate(condition, item)),
        Condition::Or(list) => list.iter().any(|condition| evaluate(condition, item)),
        Condition::Not(condition) => !evaluate(condition, item),
        Condition::Compare {
            comparator,
            left,
            right,
        } => compare(*comparator, resolve(left, item).as_ref(), resolve(right, item).as_ref()),
        Condition::Between { value, low, high } => {
            let Some(value) = resolve(value, item) else {
                return false;
            };
            let at_least = resolve(low, item).is_some_and(|low| ordered(&low, &value).is_some_and(Ordering::is_le));
            at_least && resolve(high, item).is_some_and(|high| ordered(&value, &high).is_some_and(Ordering::is_le))
        }
        Condition::In { value, list } => {
            let value = resolve(value, item);
            list.iter()
                .any(|other| compare(Comparator::Equal, value.as_ref(), resolve(other, item).as_ref()))
        }
        Condition::Exists(path) => path.find(item).is_some(),
        Condition::NotExists(path) => path.find(item).is_none(),
        Condition::Type { value, kind } => resolve(value, item).is_some_and(|value| value.kind() == *kind),
        Condition::BeginsWith { value, prefix } => match (resolve(value, item), resolve(prefix, item)) {
            (Some(Resolved::Value(value)), Some(Resolved::Value(prefix))) => begins_with(value, prefix),
            _ => false,
        },
        Condition::Contains { container, element } => match (resolve(container, item), resolve(element, item)) {
            (Some(Resolved::Value(container)), Some(Resolved::Value(element))) => contains(container, element),
            (Some(Resolved::Value(container)), Some(Resolved::Size(size))) => {
                contains(container, &AttributeValue::N(size))
            }
            _ => false,
        },
    }
}

/// An operand's value.
enum Resolved<'v> {
    Value(&'v AttributeValue),
    Size(Number),
}

impl Resolved<'_> {
    fn kind(&self) -> AttributeType {
        match self {
            Self::Value(value) => value.kind(),
            Self::Size(_) => AttributeType::N,
        }
    }
}

fn resolve<'v>(operand: &'v Operand, item: &'v Item) -> Option<Resolved<'v>> {
    match operand {
        Operand::Path(path) => path.find(item).map(Resolved::Value),
        Operand::Value(value) => Some(Resolved::Value(value)),
        Operand::Size(path) => path.find(item).and_then(size_of).map(Resolved::Size),
    }
}

fn compare(comparator: Comparator, left: Option<&Resolved<'_>>, right: Option<&Resolved<'_>>) -> bool {
    let (Some(left), Some(right)) = (left, right) else {
        return comparator == Comparator::NotEqual;
    };
    let is = |wanted: fn(Ordering) -> bool| ordered(left, right).is_some_and(wanted);
    match comparator {
        Comparator::Equal => equal(left, right),
        Comparator::NotEqual => !equal(left, right),
        Comparator::Less => is(Ordering::is_lt),
        Comparator::LessOrEqual => is(Ordering::is_le),
        Comparator::Greater => is(Ordering::is_gt),
        Comparator::GreaterOrEqual => is(Ordering::is_ge),
    }
}

fn equal(left: &Resolved<'_>, right: &Resolved<'_>) -> bool {
    match (left, right) {
        (Resolved::Value(left), Resolved::Value(right)) => left == right,
        (Resolved::Size(size), Resolved::Value(AttributeValue::N(number)))
        | (Resolved::Value(AttributeValue::N(number)), Resolved::Size(size)) => size == number,
        (Resolved::Size(left), Resolved::Size(right)) => left == right,
        _ => false,
    }
}

fn ordered(left: &Resolved<'_>, right: &Resolved<'_>) -> Option<Ordering> {
    match (left, right) {
        (Resolved::Value(left), Resolved::Value(right)) => order(left, right),
        (Resolved::Size(size), Resolved::Value(AttributeValue::N(number))) => Some(size.cmp(number)),
        (Resolved::Value(AttributeValue::N(number)), Resolved::Size(size)) => Some(number.cmp(size)),
        (Resolved::Size(left), Resolved::Size(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// The order of two values, if they are of one type that has an order: strings by their UTF-8 bytes, binary by unsigned bytes.
pub fn order(left: &AttributeValue, right: &AttributeValue) -> Option<Ordering> {
    match (left, right) {
        (AttributeValue::S(left), AttributeValue::S(right)) => Some(left.as_str().cmp(right.as_str())),
        (AttributeValue::N(left), AttributeValue::N(right)) => Some(left.cmp(right)),
        (AttributeValue::B(left), AttributeValue::B(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// `size()`: of a string its length in UTF-16 code units, of binary its bytes, of sets, lists and maps the number of elements;
/// numbers, Booleans and null have none.
pub(crate) fn size_of(value: &AttributeValue) -> Option<Number> {
    let size = match value {
        AttributeValue::S(text) => text.encode_utf16().count(),
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::M(map) => map.len(),
        AttributeValue::L(list) => list.len(),
        AttributeValue::Ss(set) => set.len(),
        AttributeValue::Ns(set) => set.len(),
        AttributeValue::Bs(set) => set.len(),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => return None,
    };
    Some(Number::from(size as u64))
}

fn begins_with(value: &AttributeValue, prefix: &AttributeValue) -> bool {
    match (value, prefix) {
        (AttributeValue::S(value), AttributeValue::S(prefix)) => value.starts_with(prefix.as_str()),
        (AttributeValue::B(value), AttributeValue::B(prefix)) => value.starts_with(prefix),
        _ => false,
    }
}

fn contains(container: &AttributeValue, element: &AttributeValue) -> bool {
    match (container, element) {
        (AttributeValue::S(text), AttributeValue::S(part)) => text.contains(part.as_str()),
        (AttributeValue::B(bytes), AttributeValue::B(part)) => memchr::memmem::find(bytes, part).is_some(),
        (AttributeValue::Ss(set), AttributeValue::S(element)) => set.contains(element),
        (AttributeValue::Ns(set), AttributeValue::N(element)) => set.contains(element),
        (AttributeValue::Bs(set), AttributeValue::B(element)) => set.contains(element),
        (AttributeValue::L(list), element) => list.contains(element),
        _ => false,
    }
}
