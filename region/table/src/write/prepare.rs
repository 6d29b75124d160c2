//! What an action makes of the version there is: the same for a write by itself and for one of a transaction.

use bytes::Bytes;
use geodynamo_expression::Update;
use geodynamo_item::{
    Item, MAX_NESTING, codec,
    size::{self, ITEM_BYTES_MAX},
};

use crate::{
    ConditionFailed, Result, StoredItem, Table, TableError,
    layout::{index::entry_size, record::Record, update_size},
    schema::capacity::write_units,
    write::WriteOptions,
};

/// What is done to a key.
pub(crate) enum Action<'a> {
    /// The item takes the place of whatever is there. It has been checked against the schema.
    Put(Item),
    /// Nothing is left.
    Delete,
    /// What is there is changed, or made from the key. Without an update it only makes sure that there is something.
    Update { key: &'a Item, update: Option<&'a Update> },
    /// Nothing is written: only the condition counts.
    Check,
}

/// A key's change, worked out and not yet stamped.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The version there is.
    pub(crate) current: Option<Record>,
    /// Its item, if something had to look at it.
    pub(crate) old: Option<Item>,
    /// The item that it becomes.
    pub(crate) new: Option<Item>,
    /// That item's stored form.
    pub(crate) encoded: Option<Bytes>,
}

impl Prepared {
    /// The sizes of the item before and after, by DynamoDB's formula; `None` is no item.
    pub(crate) fn sizes(&self) -> Result<(Option<usize>, Option<usize>)> {
        let size = |stored: Option<&Bytes>| stored.map(|bytes| StoredItem::new(bytes.clone()).size()).transpose();
        let before = self.current.as_ref().and_then(|record| record.item.as_ref());
        Ok((size(before)?, size(self.encoded.as_ref())?))
    }
}

/// Refuses an update that touches a key attribute.
pub(crate) fn check_update(table: &Table, update: Option<&Update>) -> Result<()> {
    let mut names = table.keys().attributes().map(|key| &key.name);
    match names.find(|name| update.is_some_and(|update| update.touches(name))) {
        Some(name) => Err(TableError::invalid(format!(
            "Cannot update attribute {name}. This attribute is part of the key"
        ))),
        None => Ok(()),
    }
}

/// Checks the condition and works out what the action makes of the current version. The caller has the turn on the key.
pub(crate) fn prepare(
    table: &Table,
    current: Option<Record>,
    action: Action<'_>,
    options: &WriteOptions<'_>,
) -> Result<Prepared> {
    let reads_old = matches!(action, Action::Update { .. });
    let indexed = !table.indexes().is_empty();
    let looks = reads_old || indexed || options.return_old || options.condition.is_some();
    let stored = current.as_ref().and_then(|record| record.item.clone());
    let old = match stored.filter(|_| looks) {
        Some(bytes) => Some(StoredItem::new(bytes).decode()?),
        None => None,
    };
    if let Some(condition) = options.condition {
        let nothing = Item::new();
        if !condition.evaluate(old.as_ref().unwrap_or(&nothing)) {
            let units = refused_units(old.as_ref(), &action);
            let item = old.filter(|_| options.old_on_failure);
            return Err(TableError::ConditionFailed(Box::new(ConditionFailed { item, units })));
        }
    }
    let counted = match &action {
        Action::Update { update, .. } if options.counts_actions => *update,
        _ => None,
    };
    let (new, too_large) = match action {
        Action::Put(item) => (Some(item), "Item size has exceeded the maximum allowed size"),
        Action::Delete | Action::Check => (None, ""),
        // Of nothing there is nothing to take away, whatever the paths are; and no item is made for that.
        Action::Update {
            update: Some(update), ..
        } if old.is_none() && update.only_takes_away() => (None, ""),
        Action::Update { key, update } => {
            let item = updated(table, old.as_ref().unwrap_or(key), update)?;
            (Some(item), "Item size to update has exceeded the maximum allowed size")
        }
    };
    let encode = |item: &Item| encode(table, item, counted, too_large);
    let encoded = new.as_ref().map(encode).transpose()?;
    Ok(Prepared {
        current,
        old,
        new,
        encoded,
    })
}

/// What a write consumes whose condition fails.
fn refused_units(old: Option<&Item>, action: &Action<'_>) -> f64 {
    let new = match action {
        Action::Put(item) => size::item(item),
        Action::Delete | Action::Check => 0,
        Action::Update {
            update: Some(update), ..
        } if old.is_none() && update.only_takes_away() => 0,
        Action::Update { key, update } => {
            let base = old.unwrap_or(key);
            // Of an update that cannot be made, what there is counts.
            let new = update.and_then(|update| update.apply(base).ok());
            size::item(new.as_ref().unwrap_or(base))
        }
    };
    write_units(old.map_or(0, size::item), new)
}

fn updated(table: &Table, base: &Item, update: Option<&Update>) -> Result<Item> {
    let item = match update {
        Some(update) => applied(update, base)?,
        None => base.clone(),
    };
    table.check_updated_index_keys(&item, update)?;
    // An update can nest deeper than any value that came with it.
    if item.iter().any(|(_, value)| !value.nests_within(MAX_NESTING)) {
        return Err(TableError::Validation(
            "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
                .into(),
        ));
    }
    Ok(item)
}

fn applied(update: &Update, base: &Item) -> Result<Item> {
    let applied = update.apply(base);
    applied.map_err(|error| TableError::Validation(error.to_string()))
}

/// An item's stored form; an item that is too large is refused, and so is what an update writes, if that counts.
fn encode(table: &Table, item: &Item, counted: Option<&Update>, too_large: &str) -> Result<Bytes> {
    let mut out = Vec::with_capacity(512);
    codec::encode(item, &mut out);
    let stored = StoredItem::new(out.into());
    let bytes = stored.size()?;
    let writes_too_much = |update| update_size::is_too_large(update, item, bytes);
    if table.is_too_large(item, bytes) || counted.is_some_and(writes_too_much) {
        return Err(TableError::Validation(too_large.into()));
    }
    Ok(stored.into_bytes())
}

impl Table {
    /// Whether an item of so many bytes has too many of them. Its entry in each local index counts with it.
    pub fn is_too_large(&self, item: &Item, bytes: usize) -> bool {
        let local = self.indexes().iter().filter(|index| !index.is_global());
        let entry = local.filter_map(|index| entry_size(self.keys(), index, item)).max();
        bytes + entry.unwrap_or(0) > ITEM_BYTES_MAX
    }
}
