//! What a bulk operation's record says: an item, and perhaps under which condition it is put.

use std::collections::BTreeMap;

use geodynamo_item::Item;

/// An item to be put.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Put {
    /// The item.
    pub item: Item,
    /// What must hold for that.
    pub condition: PutCondition,
}

/// A condition as PutItem has it. The record's members are called as PutItem's parameters are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PutCondition {
    /// `ConditionExpression`
    pub expression: Option<String>,
    /// `ExpressionAttributeNames`
    pub names: Option<BTreeMap<String, String>>,
    /// `ExpressionAttributeValues`
    pub values: Option<Item>,
}

impl PutCondition {
    /// Whether the record has nothing of a condition.
    pub fn is_none(&self) -> bool {
        self.expression.is_none() && self.names.is_none() && self.values.is_none()
    }
}

impl From<Item> for Put {
    fn from(item: Item) -> Self {
        Self {
            item,
            condition: PutCondition::default(),
        }
    }
}
