//! Updates of items.

use geodynamo_item::size::{self, ITEM_BYTES_MAX};
use geodynamo_item::{AttributeValue, Item};

use crate::error::UpdateError;
use crate::path::{Path, Step};
use crate::update::{Update, UpdateOperand};

pub(crate) fn apply(update: &Update, old: &Item) -> Result<Item, UpdateError> {
    let mut new = old.clone();
    // Elements beyond their list's end wait here: which index is the last one is known when all are.
    let mut beyond: Vec<(&Path, AttributeValue)> = Vec::new();
    // Removals wait, too: until then every index means what it meant in the old item.
    let mut removals: Vec<&Path> = Vec::new();
    let mut room = Room(ITEM_BYTES_MAX + OVERHEAD_BYTES);
    for (path, operand) in &update.set {
        let value = work_out(operand, old, &mut room)?;
        put(&mut new, path, value, &mut beyond)?;
    }
    for path in &update.remove {
        if place(old, path)? {
            removals.push(path);
        }
    }
    for (path, value) in &update.add {
        let sum = add(path.find(old), value)?;
        room.take(&sum)?;
        put(&mut new, path, sum, &mut beyond)?;
    }
    for (path, value) in &update.delete {
        if !place(old, path)? {
            continue;
        }
        match subtract(path.find(old), value)? {
            Some(rest) => put(&mut new, path, rest, &mut beyond)?,
            None => removals.push(path),
        }
    }
    // Several elements beyond the end are appended in the order of their indexes.
    beyond.sort_by_key(|(path, _)| *path);
    for (path, value) in beyond {
        if let Slot::List(list, _) = slot(&mut new, path)? {
            list.push(value);
        }
    }
    // From the last index to the first, so that no removal moves what another one means.
    removals.sort();
    for path in removals.into_iter().rev() {
        match slot(&mut new, path)? {
            Slot::Map(map, key) => {
                map.remove(key);
            }
            Slot::List(list, index) => {
                if index < list.len() {
                    list.remove(index);
                }
            }
        }
    }
    Ok(new)
}

/// Bytes that values may have of which an item has none: lists that are appended are one list in the end, and have its overhead
/// once.
const OVERHEAD_BYTES: usize = 4096;

/// Bytes that the values which an update sets and adds may still take. They stand beside each other in the new item, for no path
/// overlaps another: if they take too many, the item is too large whatever else is done to it. They are taken before anything is
/// copied, so that a little text does not make hundreds of copies of a large value. How large the item may be exactly is for
/// who stores it to say.
struct Room(usize);

impl Room {
    fn take(&mut self, value: &AttributeValue) -> Result<(), UpdateError> {
        // A number is small, and a sum of many is one.
        if !matches!(value, AttributeValue::N(_)) {
            self.0 = self.0.checked_sub(size::value(value)).ok_or(UpdateError::TooLarge)?;
        }
        Ok(())
    }

    /// A copy of the value, if there is room for it.
    fn copy(&mut self, value: &AttributeValue) -> Result<AttributeValue, UpdateError> {
        self.take(value)?;
        Ok(value.clone())
    }
}

/// An operand's value. Recurs as deep as the operand, which the parser bounds.
fn work_out(operand: &UpdateOperand, old: &Item, room: &mut Room) -> Result<AttributeValue, UpdateError> {
    match operand {
        UpdateOperand::Path(path) => room.copy(path.find(old).ok_or(UpdateError::MissingAttribute)?),
        UpdateOperand::Value(value) => room.copy(value),
        UpdateOperand::IfNotExists(path, otherwise) => match path.find(old) {
            Some(value) => room.copy(value),
            None => work_out(otherwise, old, room),
        },
        UpdateOperand::ListAppend(..) => {
            let mut list = Vec::new();
            append(operand, old, room, &mut list)?;
            Ok(AttributeValue::L(list))
        }
        UpdateOperand::Plus(left, right) => match (work_out(left, old, room)?, work_out(right, old, room)?) {
            (AttributeValue::N(left), AttributeValue::N(right)) => Ok(AttributeValue::N(left.add(right)?)),
            _ => Err(UpdateError::OperandType),
        },
        UpdateOperand::Minus(left, right) => match (work_out(left, old, room)?, work_out(right, old, room)?) {
            (AttributeValue::N(left), AttributeValue::N(right)) => Ok(AttributeValue::N(left.sub(right)?)),
            _ => Err(UpdateError::OperandType),
        },
    }
}

/// Appends the list that an operand is: each element is copied once, however many calls are within each other.
fn append(
    operand: &UpdateOperand,
    old: &Item,
    room: &mut Room,
    list: &mut Vec<AttributeValue>,
) -> Result<(), UpdateError> {
    match operand {
        UpdateOperand::ListAppend(first, second) => {
            append(first, old, room, list)?;
            append(second, old, room, list)
        }
        UpdateOperand::IfNotExists(path, otherwise) if path.find(old).is_none() => append(otherwise, old, room, list),
        _ => match work_out(operand, old, room)? {
            AttributeValue::L(more) => {
                list.extend(more);
                Ok(())
            }
            _ => Err(UpdateError::OperandType),
        },
    }
}

fn add(old: Option<&AttributeValue>, value: &AttributeValue) -> Result<AttributeValue, UpdateError> {
    Ok(match (old, value) {
        (None, value) => value.clone(),
        (Some(AttributeValue::N(old)), AttributeValue::N(more)) => AttributeValue::N(old.add(*more)?),
        (Some(AttributeValue::Ss(old)), AttributeValue::Ss(more)) => {
            AttributeValue::Ss(old.clone().union(more.clone()))
        }
        (Some(AttributeValue::Ns(old)), AttributeValue::Ns(more)) => {
            AttributeValue::Ns(old.clone().union(more.clone()))
        }
        (Some(AttributeValue::Bs(old)), AttributeValue::Bs(more)) => {
            AttributeValue::Bs(old.clone().union(more.clone()))
        }
        (Some(_), _) => return Err(UpdateError::OperandType),
    })
}

/// What is left of the old set; `None` if nothing is.
fn subtract(old: Option<&AttributeValue>, value: &AttributeValue) -> Result<Option<AttributeValue>, UpdateError> {
    Ok(match (old, value) {
        (None, _) => None,
        (Some(AttributeValue::Ss(old)), AttributeValue::Ss(less)) => {
            old.clone().difference(less).map(AttributeValue::Ss)
        }
        (Some(AttributeValue::Ns(old)), AttributeValue::Ns(less)) => {
            old.clone().difference(less).map(AttributeValue::Ns)
        }
        (Some(AttributeValue::Bs(old)), AttributeValue::Bs(less)) => {
            old.clone().difference(less).map(AttributeValue::Bs)
        }
        (Some(_), _) => return Err(UpdateError::OperandType),
    })
}

/// Sets what is at the path, or leaves it for later if it is beyond the end of a list.
fn put<'p>(
    new: &mut Item,
    path: &'p Path,
    value: AttributeValue,
    beyond: &mut Vec<(&'p Path, AttributeValue)>,
) -> Result<(), UpdateError> {
    match slot(new, path)? {
        Slot::Map(map, _) => {
            let key = match path.steps.last() {
                Some(Step::Key(key)) => key,
                _ => &path.root,
            };
            map.insert(key.clone(), value);
        }
        Slot::List(list, index) => match list.get_mut(index) {
            Some(element) => *element = value,
            None => beyond.push((path, value)),
        },
    }
    Ok(())
}

/// Whether there is something at the path.
fn place(item: &Item, path: &Path) -> Result<bool, UpdateError> {
    let Some((last, parents)) = path.steps.split_last() else {
        return Ok(item.contains(&path.root));
    };
    let mut value = item.get(&path.root).ok_or(UpdateError::InvalidPath)?;
    for step in parents {
        value = match (step, value) {
            (Step::Key(key), AttributeValue::M(map)) => map.get(key),
            (Step::Index(index), AttributeValue::L(list)) => list.get(*index as usize),
            _ => None,
        }
        .ok_or(UpdateError::InvalidPath)?;
    }
    match (last, value) {
        (Step::Key(key), AttributeValue::M(map)) => Ok(map.contains(key)),
        (Step::Index(index), AttributeValue::L(list)) => Ok((*index as usize) < list.len()),
        _ => Err(UpdateError::InvalidPath),
    }
}

/// Where a path ends: an entry of a map, or an element of a list, there or not.
enum Slot<'i> {
    Map(&'i mut Item, &'i str),
    List(&'i mut Vec<AttributeValue>, usize),
}

fn slot<'i>(item: &'i mut Item, path: &'i Path) -> Result<Slot<'i>, UpdateError> {
    let Some((last, parents)) = path.steps.split_last() else {
        return Ok(Slot::Map(item, &path.root));
    };
    let mut value = item.get_mut(&path.root).ok_or(UpdateError::InvalidPath)?;
    for step in parents {
        value = match (step, value) {
            (Step::Key(key), AttributeValue::M(map)) => map.get_mut(key),
            (Step::Index(index), AttributeValue::L(list)) => list.get_mut(*index as usize),
            _ => None,
        }
        .ok_or(UpdateError::InvalidPath)?;
    }
    match (last, value) {
        (Step::Key(key), AttributeValue::M(map)) => Ok(Slot::Map(map, key)),
        (Step::Index(index), AttributeValue::L(list)) => Ok(Slot::List(list, *index as usize)),
        _ => Err(UpdateError::InvalidPath),
    }
}
