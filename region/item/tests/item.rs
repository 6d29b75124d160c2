//! Items and sets as collections.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use geodynamo_item::{AttributeValue, Item, Name, Number, Set};
use proptest::prelude::*;

fn value(number: i64) -> AttributeValue {
    AttributeValue::N(Number::from(number))
}

proptest! {
    /// An item is a map, however it comes to be.
    #[test]
    fn items_are_maps(steps in prop::collection::vec(("[a-c]{0,2}", any::<bool>(), any::<i64>()), 0..24)) {
        let mut item = Item::new();
        let mut map = BTreeMap::new();
        for (name, insert, number) in &steps {
            if *insert {
                prop_assert_eq!(item.insert(Name::from(name), value(*number)), map.insert(name.clone(), value(*number)));
            } else {
                prop_assert_eq!(item.remove(name), map.remove(name));
            }
            prop_assert_eq!(item.get(name), map.get(name));
            prop_assert_eq!(item.contains(name), map.contains_key(name));
        }
        prop_assert_eq!(item.len(), map.len());
        prop_assert!(item.iter().map(|(name, value)| (name.as_str(), value)).eq(map.iter().map(|(name, value)| (name.as_str(), value))));
        // From all attributes at once, the last of a name stays.
        let attributes = || steps.iter().map(|(name, _, number)| (Name::from(name), value(*number)));
        let last: BTreeMap<_, _> = attributes().collect();
        let collected: Item = attributes().collect();
        prop_assert!(collected.into_iter().eq(last));
    }

    #[test]
    fn sets_are_sets(one in prop::collection::btree_set(0i64..20, 1..10), other in prop::collection::btree_set(0i64..20, 1..10)) {
        let set = |members: &std::collections::BTreeSet<i64>| Set::new(members.iter().rev().copied().collect()).unwrap();
        prop_assert!(set(&one).iter().eq(&one));
        prop_assert!(set(&one).union(set(&other)).iter().eq(one.union(&other)));
        let left: Vec<_> = one.difference(&other).copied().collect();
        prop_assert_eq!(set(&one).difference(&set(&other)).map(|set| set.as_slice().to_vec()), (!left.is_empty()).then_some(left));
        prop_assert!((0..20).all(|member| set(&one).contains(&member) == one.contains(&member)));
    }
}

#[test]
fn sets_are_never_empty_and_hold_no_value_twice() {
    assert_eq!(Set::<i64>::new(vec![]), None);
    assert_eq!(Set::new(vec![2, 1, 2]), None);
    assert_eq!(Set::new(vec![2, 1]).map(|set| set.len()), Some(2));
}
