//! Key ranges: what a key condition means in engine keys.

use std::ops::Bound;

use bytes::Bytes;
use geodynamo_expression::SortCondition;
use geodynamo_item::{AttributeValue, key};
use geodynamo_storage::{Direction, Scan, key_head};

/// A range of engine keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) from: Bound<Bytes>,
    pub(crate) to: Bound<Bytes>,
}

/// How the sort key stands in an engine key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortForm {
    /// As it is, at the end: a table's own sort key.
    Final,
    /// Terminated, with the item's key behind: an index's sort key.
    Terminated,
}

impl KeyRange {
    /// All keys in `[from, to)`.
    pub(crate) fn between(from: Bytes, to: Bytes) -> Self {
        Self {
            from: Bound::Included(from),
            to: Bound::Excluded(to),
        }
    }

    /// The keys that begin with these values and meet a condition on the next one: the partition key's values and, of an
    /// index whose sort key has several attributes, the first of those.
    pub(crate) fn of<'v>(
        (space, owner, route): (u8, u64, u64),
        values: impl IntoIterator<Item = &'v AttributeValue>,
        form: SortForm,
        sort: Option<&SortCondition>,
    ) -> Self {
        let mut prefix = key_head(space, owner, route, 64);
        for value in values {
            key::write_terminated(&mut prefix, value);
        }
        let all = (Bound::Included(prefix.clone()), Bound::Excluded(above(&prefix)));
        let (from, to) = match sort {
            None => all,
            Some(SortCondition::Equal(value)) => (from(&prefix, form, value), up_to(&prefix, form, value)),
            Some(SortCondition::Less(value)) => (all.0, below(&prefix, form, value)),
            Some(SortCondition::LessOrEqual(value)) => (all.0, up_to(&prefix, form, value)),
            Some(SortCondition::Greater(value)) => (behind(&prefix, form, value), all.1),
            Some(SortCondition::GreaterOrEqual(value)) => (from(&prefix, form, value), all.1),
            Some(SortCondition::Between(low, high)) => (from(&prefix, form, low), up_to(&prefix, form, high)),
            Some(SortCondition::BeginsWith(value)) => {
                let mut start = prefix;
                match form {
                    SortForm::Final => key::write_final(&mut start, value),
                    SortForm::Terminated => {
                        key::write_terminated(&mut start, value);
                        start.truncate(start.len() - 2);
                    }
                }
                let end = above(&start);
                (Bound::Included(start), Bound::Excluded(end))
            }
        };
        Self {
            from: from.map(Bytes::from),
            to: to.map(Bytes::from),
        }
    }

    /// Whether it holds no key at all (`BETWEEN` the wrong way round does not get here, `< smallest` does).
    pub(crate) fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        }
    }

    /// Whether a key is in it.
    pub(crate) fn contains(&self, key: &Bytes) -> bool {
        std::ops::RangeBounds::contains(&(self.from.clone(), self.to.clone()), key)
    }

    /// What is left of it behind a key, in the direction of reading.
    pub(crate) fn behind(self, key: Bytes, forward: bool) -> Self {
        if forward {
            Self {
                from: Bound::Excluded(key),
                ..self
            }
        } else {
            Self {
                to: Bound::Excluded(key),
                ..self
            }
        }
    }
}

fn from(prefix: &[u8], form: SortForm, value: &AttributeValue) -> Bound<Vec<u8>> {
    Bound::Included(joined(prefix, form, value))
}

fn below(prefix: &[u8], form: SortForm, value: &AttributeValue) -> Bound<Vec<u8>> {
    Bound::Excluded(joined(prefix, form, value))
}

fn up_to(prefix: &[u8], form: SortForm, value: &AttributeValue) -> Bound<Vec<u8>> {
    let key = joined(prefix, form, value);
    match form {
        SortForm::Final => Bound::Included(key),
        SortForm::Terminated => Bound::Excluded(above(&key)),
    }
}

fn behind(prefix: &[u8], form: SortForm, value: &AttributeValue) -> Bound<Vec<u8>> {
    let key = joined(prefix, form, value);
    match form {
        SortForm::Final => Bound::Excluded(key),
        SortForm::Terminated => Bound::Included(above(&key)),
    }
}

fn joined(prefix: &[u8], form: SortForm, value: &AttributeValue) -> Vec<u8> {
    let mut key = prefix.to_vec();
    match form {
        SortForm::Final => key::write_final(&mut key, value),
        SortForm::Terminated => key::write_terminated(&mut key, value),
    }
    key
}

/// The first key above all that begin with these bytes. They end in a terminator or begin with a head whose space is
/// below 0xFF, so there is always a byte to raise.
fn above(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Every key of a range, for callers that go through a whole table, once.
pub(crate) fn whole(from: Bytes, to: Bytes, rows_max: usize, bytes_max: usize) -> Scan {
    Scan {
        from: Bound::Included(from),
        to: Bound::Excluded(to),
        direction: Direction::Forward,
        rows_max,
        bytes_max,
        once: true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arb_sort() -> impl Strategy<Value = SortCondition> {
        let value = || {
            proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), Just(254), Just(255)], 1..4)
                .prop_map(|bytes| AttributeValue::B(bytes.into()))
        };
        prop_oneof![
            value().prop_map(SortCondition::Equal),
            value().prop_map(SortCondition::Less),
            value().prop_map(SortCondition::LessOrEqual),
            value().prop_map(SortCondition::Greater),
            value().prop_map(SortCondition::GreaterOrEqual),
            (value(), value()).prop_map(|(a, b)| SortCondition::Between(a, b)),
            value().prop_map(SortCondition::BeginsWith),
        ]
    }

    fn bytes(value: &AttributeValue) -> &[u8] {
        match value {
            AttributeValue::B(bytes) => bytes,
            _ => unreachable!("only binary values are made here"),
        }
    }

    fn meets(sort: &SortCondition, value: &[u8]) -> bool {
        match sort {
            SortCondition::Equal(v) => value == bytes(v),
            SortCondition::Less(v) => value < bytes(v),
            SortCondition::LessOrEqual(v) => value <= bytes(v),
            SortCondition::Greater(v) => value > bytes(v),
            SortCondition::GreaterOrEqual(v) => value >= bytes(v),
            SortCondition::Between(a, b) => bytes(a) <= value && value <= bytes(b),
            SortCondition::BeginsWith(v) => value.starts_with(bytes(v)),
        }
    }

    proptest! {
        #[test]
        fn a_range_holds_what_meets_its_condition(
            sort in arb_sort(),
            partition in proptest::collection::vec(any::<u8>(), 1..3),
            other in proptest::collection::vec(any::<u8>(), 1..3),
            value in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(2), Just(254), Just(255)], 1..5),
            terminated in any::<bool>(),
            same in any::<bool>(),
        ) {
            let form = if terminated { SortForm::Terminated } else { SortForm::Final };
            let wanted = AttributeValue::B(partition.into());
            let of = if same { wanted.clone() } else { AttributeValue::B(other.into()) };
            let range = KeyRange::of((1, 7, 9), [&wanted], form, Some(&sort));
            let mut key = key_head(1, 7, 9, 0);
            key::write_terminated(&mut key, &of);
            let item = AttributeValue::B(value.clone().into());
            key = joined(&key, form, &item);
            if terminated {
                key.extend_from_slice(b"\xff\x00item");
            }
            prop_assert_eq!(range.contains(&Bytes::from(key)), of == wanted && meets(&sort, &value));
        }
    }
}
