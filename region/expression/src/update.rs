//! The tree of update expressions.

use geodynamo_item::{AttributeValue, Item};

use crate::path::Path;
use crate::{Context, ExpressionError, UpdateError, projection, update_apply, update_parser};

/// What to change in an item, names and values resolved.
///
/// The legacy `AttributeUpdates` and PartiQL's UPDATE are the same tree, built without text. Whoever builds one by hand sees
/// to it that no path overlaps another, and that operands are at most [`NESTING`](crate::limits::NESTING) deep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// `SET path = operand`
    pub set: Vec<(Path, UpdateOperand)>,
    /// `REMOVE path`
    pub remove: Vec<Path>,
    /// `ADD path :value`: a number or a set.
    pub add: Vec<(Path, AttributeValue)>,
    /// `DELETE path :value`: a set.
    pub delete: Vec<(Path, AttributeValue)>,
}

/// What SET sets. It is worked out from the item as it was before the update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateOperand {
    /// A value in the item; it must be there.
    Path(Path),
    /// A value of the request.
    Value(AttributeValue),
    /// `if_not_exists(path, otherwise)`
    IfNotExists(Path, Box<UpdateOperand>),
    /// `list_append(first, second)`
    ListAppend(Box<UpdateOperand>, Box<UpdateOperand>),
    /// `left + right`
    Plus(Box<UpdateOperand>, Box<UpdateOperand>),
    /// `left - right`
    Minus(Box<UpdateOperand>, Box<UpdateOperand>),
}

impl Update {
    /// Parses an UpdateExpression.
    ///
    /// # Errors
    /// Whatever DynamoDB refuses before it looks at an item.
    pub fn parse(text: &str, context: &mut Context<'_>) -> Result<Self, ExpressionError> {
        update_parser::parse(text, context)
    }

    /// The item after the update. An item that is not there is an empty one (with its key).
    ///
    /// All operands are read from the old item. An element set beyond a list's end is appended; elements removed are
    /// counted in the old list. A set with nothing left in it is removed. Of the result's
    /// nesting and size nothing is checked but that what is set and added is not much larger than an item may be.
    ///
    /// # Errors
    /// If the old item lacks what the update needs, or it is of another type, or what is set and added is larger than an item
    /// may be. The item is then not changed at all.
    pub fn apply(&self, old: &Item) -> Result<Item, UpdateError> {
        update_apply::apply(self, old)
    }

    /// The paths it changes, in the order of the fields.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let set = self.set.iter().map(|(path, _)| path);
        let add = self.add.iter().map(|(path, _)| path);
        let delete = self.delete.iter().map(|(path, _)| path);
        set.chain(&self.remove).chain(add).chain(delete)
    }

    /// Whether it changes this top-level attribute, or something in it. It must not, if the attribute is of the table's key.
    pub fn touches(&self, attribute: &str) -> bool {
        self.paths().any(|path| path.root == attribute)
    }

    /// Whether the update itself tells of which type an attribute will be, whatever is in the item.
    pub fn tells_type_of(&self, attribute: &str) -> bool {
        let is_it = |path: &Path| path.root == attribute && path.steps.is_empty();
        let of_item =
            |operand: &UpdateOperand| matches!(operand, UpdateOperand::Path(_) | UpdateOperand::IfNotExists(..));
        let mut set = self.set.iter();
        set.any(|(path, operand)| is_it(path) && !of_item(operand)) || self.add.iter().any(|(path, _)| is_it(path))
    }

    /// Whether it only takes attributes or elements away. Of an item that is not there it then makes none, and no path of it is
    /// wrong.
    pub fn only_takes_away(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && !(self.remove.is_empty() && self.delete.is_empty())
    }

    /// `ReturnValues: UPDATED_OLD`: what was at the paths it changes, in the item's shape.
    pub fn updated_old(&self, old: &Item) -> Item {
        self.touched(old)
    }

    /// `ReturnValues: UPDATED_NEW`: what is now at the paths it changes, in the item's shape.
    pub fn updated_new(&self, new: &Item) -> Item {
        self.touched(new)
    }

    fn touched(&self, item: &Item) -> Item {
        let mut paths: Vec<&Path> = self.paths().collect();
        paths.sort();
        projection::project(paths.into_iter(), item)
    }
}
