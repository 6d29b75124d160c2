//! How much an UpdateItem writes, as DynamoDB counts it against the limit of an item's size.
//!
//! The item that an update leaves has 400 KB at most, as every item. What UpdateItem writes has, too: the attributes that the
//! update names, as they become, and some bytes for the update and for each of its actions. Attributes that it does not name,
//! and so the key's, are not among them. Hence `SET f = :v` on the key `{"pk": "a"}` makes an item of 409,581 bytes at most.
//!
//! This was measured (2026); AWS's documents do not tell of it. Updates in transactions and PartiQL have the first limit only.

use geodynamo_expression::{Path, Step, Update};
use geodynamo_item::{
    Item,
    size::{self, ITEM_BYTES_MAX},
};

/// Of the update.
const UPDATE_BYTES: usize = 3;
/// Of each action that brings a value: SET, ADD, DELETE.
const WRITING_ACTION_BYTES: usize = 19;
/// Of each action that brings none: REMOVE.
const CLEARING_ACTION_BYTES: usize = 2;
/// Of each action that brings a value for a list's element, beside the action's own.
const LIST_INDEX_BYTES: usize = 1;

/// Whether an update writes too much. `new` is the item that it leaves, which has `bytes` bytes.
pub(crate) fn is_too_large(update: &Update, new: &Item, bytes: usize) -> bool {
    let actions = of_actions(update);
    // Mostly nothing needs to be looked at: what is named is a part of the item.
    bytes + actions > ITEM_BYTES_MAX && of_attributes(update, new) + actions > ITEM_BYTES_MAX
}

fn of_actions(update: &Update) -> usize {
    let of_element = |path: &&Path| path.steps.iter().any(|step| matches!(step, Step::Index(_)));
    let set = update.set.iter().map(|(path, _)| path);
    let others = update.add.iter().chain(&update.delete).map(|(path, _)| path);
    let writing = set.chain(others);
    UPDATE_BYTES
        + CLEARING_ACTION_BYTES * update.remove.len()
        + WRITING_ACTION_BYTES * writing.clone().count()
        + LIST_INDEX_BYTES * writing.filter(of_element).count()
}

/// The bytes of the attributes that an update names, each once.
fn of_attributes(update: &Update, new: &Item) -> usize {
    let mut names: Vec<_> = update.paths().map(|path| path.root.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let size = |name| new.get(name).map(|value| size::attribute(name, value));
    names.into_iter().filter_map(size).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use geodynamo_expression::Context;
    use geodynamo_item::{AttributeValue, Set};

    use super::*;

    /// The most bytes that the string `big` may have in the item which the update leaves.
    fn most(text: &str, item: impl Fn(AttributeValue) -> Item) -> usize {
        let values: Item = [
            (":v".into(), AttributeValue::S("v".into())),
            (
                ":s".into(),
                AttributeValue::Ss(Set::new(vec!["s".into()]).expect("a set")),
            ),
        ]
        .into_iter()
        .collect();
        let mut context = Context::of(None::<&BTreeMap<String, String>>, Some(&values)).expect("values");
        let update = Update::parse(text, &mut context).expect("an update");
        let fits = |bytes: &usize| {
            let item = item(AttributeValue::S("x".repeat(*bytes).into()));
            !is_too_large(&update, &item, size::item(&item))
        };
        (ITEM_BYTES_MAX - 100..ITEM_BYTES_MAX)
            .rev()
            .find(fits)
            .expect("a border")
    }

    fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
        attributes
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect()
    }

    #[test]
    fn each_action_has_its_bytes() {
        let small = || AttributeValue::S("v".into());
        let key = || ("pk", AttributeValue::S("a".into()));
        // One byte of each attribute is its name.
        let of_one = |big| item([key(), ("f", big)]);
        assert_eq!(most("SET f = :v", of_one), ITEM_BYTES_MAX - 1 - 3 - 19);
        let of_two = |big| item([key(), ("f", big), ("g", small())]);
        assert_eq!(most("SET f = :v, g = :v", of_two), ITEM_BYTES_MAX - 3 - 3 - 2 * 19);
        assert_eq!(most("SET f = :v REMOVE g", of_one), ITEM_BYTES_MAX - 1 - 3 - 19 - 2);
        assert_eq!(
            most("SET f = :v REMOVE g, h ADD i :s DELETE j :s", of_one),
            ITEM_BYTES_MAX - 1 - 3 - 3 * 19 - 2 * 2
        );
        // What it does not name does not count; the item's own limit is another one.
        assert_eq!(most("SET f = :v", of_two), ITEM_BYTES_MAX - 1 - 3 - 19);
        assert_eq!(most("SET g = :v", of_two), ITEM_BYTES_MAX - 1);
        // Through a list's index it is a byte more; an attribute that is named twice counts once.
        let of_list = |big| item([key(), ("f", AttributeValue::L(vec![big]))]);
        let list = 3 + 1;
        assert_eq!(most("SET f = :v", of_list), ITEM_BYTES_MAX - 1 - list - 3 - 19);
        assert_eq!(most("SET f[0] = :v", of_list), ITEM_BYTES_MAX - 1 - list - 3 - 19 - 1);
        let of_map = |big| item([key(), ("f", AttributeValue::M(item([("a", big), ("b", small())])))]);
        let map = 3 + 2 + 1 + 2;
        assert_eq!(
            most("SET f.a = :v, f.b = :v", of_map),
            ITEM_BYTES_MAX - 1 - map - 3 - 2 * 19
        );
    }
}
