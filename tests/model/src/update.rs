//! Updates of items.

use crate::{
    expression::{Path, Step, Term, Update},
    fault::Fault,
    number::told,
    value::{Item, Value},
};

const INVALID_PATH: &str = "The document path provided in the update expression is invalid for update";
const MISSING: &str = "The provided expression refers to an attribute that does not exist in the item";
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";

/// The item as the update leaves it, or every text that DynamoDB may refuse it with.
pub(crate) fn apply(update: &Update, old: &Item, fault: Option<Fault>) -> Result<Item, Vec<String>> {
    let mut errors: Vec<&'static str> = Vec::new();
    let mut assignments: Vec<(&Path, Value)> = Vec::new();
    let mut removals: Vec<&Path> = Vec::new();
    let mut seen = old.clone();
    for (path, term) in &update.set {
        match value_of(term, &seen) {
            Ok(value) => {
                if fault == Some(Fault::UpdatesSeeEachOther) && path.steps.is_empty() {
                    seen.insert(path.root.clone(), value.clone());
                }
                assignments.push((path, value));
            }
            Err(error) => errors.push(error),
        }
    }
    for (path, more) in &update.add {
        let before = path.find(old).filter(|_| fault != Some(Fault::AddForgetsWhatWasThere));
        match sum(before, more) {
            Ok(value) => assignments.push((path, value)),
            Err(error) => errors.push(error),
        }
    }
    for (path, less) in &update.delete {
        match path.find(old).map(|before| without(before, less)) {
            None if can_hold(old, path) => {}
            None => errors.push(INVALID_PATH),
            Some(Ok(Some(value))) => assignments.push((path, value)),
            Some(Ok(None)) => removals.push(path),
            Some(Err(error)) => errors.push(error),
        }
    }
    for path in &update.remove {
        if !can_hold(old, path) {
            errors.push(INVALID_PATH);
        } else if path.find(old).is_some() {
            removals.push(path);
        }
    }
    if assignments.iter().any(|(path, _)| !can_hold(old, path)) {
        errors.push(INVALID_PATH);
    }
    if !errors.is_empty() {
        return Err(errors.into_iter().map(|error| told(error, fault).to_owned()).collect());
    }
    let mut new = old.clone();
    // Elements beyond a list's end are appended in the order of their indexes, whatever order they are written in.
    assignments.sort_by_key(|(path, _)| last_index(path));
    for (path, value) in assignments {
        assign(&mut new, path, value);
    }
    // The last element first, so that no removal moves another one's element.
    removals.sort_by_key(|path| last_index(path));
    if fault != Some(Fault::RemoveTakesTheLowestElementFirst) {
        removals.reverse();
    }
    // An inner list's element may stand in an outer list's; but then the two paths overlap, and are refused, unless the
    // outer index is another one: so inner elements go first.
    removals.sort_by_key(|path| std::cmp::Reverse(path.steps.len()));
    for path in removals {
        remove(&mut new, path);
    }
    Ok(new)
}

fn last_index(path: &Path) -> usize {
    match path.steps.last() {
        Some(Step::Index(index)) => *index,
        _ => 0,
    }
}

fn value_of(term: &Term, old: &Item) -> Result<Value, &'static str> {
    let numbers = |one: &Term, two: &Term| match (value_of(one, old)?, value_of(two, old)?) {
        (Value::N(one), Value::N(two)) => Ok((one, two)),
        _ => Err(WRONG_TYPE),
    };
    match term {
        Term::Path(path) => path.find(old).cloned().ok_or(MISSING),
        Term::Value(value) => Ok(value.clone()),
        Term::IfNotExists(path, otherwise) => match path.find(old) {
            Some(value) => Ok(value.clone()),
            None => value_of(otherwise, old),
        },
        Term::ListAppend(one, two) => match (value_of(one, old)?, value_of(two, old)?) {
            (Value::L(one), Value::L(two)) => Ok(Value::L([one, two].concat())),
            _ => Err(WRONG_TYPE),
        },
        Term::Plus(one, two) => numbers(one, two).and_then(|(one, two)| one.plus(&two).map(Value::N)),
        Term::Minus(one, two) => numbers(one, two).and_then(|(one, two)| one.minus(&two).map(Value::N)),
    }
}

fn sum(before: Option<&Value>, more: &Value) -> Result<Value, &'static str> {
    match (before, more) {
        (None, more) => Ok(more.clone()),
        (Some(Value::N(before)), Value::N(more)) => before.plus(more).map(Value::N),
        (Some(Value::Ss(before)), Value::Ss(more)) => Ok(Value::Ss(before | more)),
        (Some(Value::Ns(before)), Value::Ns(more)) => Ok(Value::Ns(before | more)),
        (Some(Value::Bs(before)), Value::Bs(more)) => Ok(Value::Bs(before | more)),
        _ => Err(WRONG_TYPE),
    }
}

/// `None` if nothing is left.
fn without(before: &Value, less: &Value) -> Result<Option<Value>, &'static str> {
    Ok(match (before, less) {
        (Value::Ss(before), Value::Ss(less)) => Some(before - less).filter(|set| !set.is_empty()).map(Value::Ss),
        (Value::Ns(before), Value::Ns(less)) => Some(before - less).filter(|set| !set.is_empty()).map(Value::Ns),
        (Value::Bs(before), Value::Bs(less)) => Some(before - less).filter(|set| !set.is_empty()).map(Value::Bs),
        _ => return Err(WRONG_TYPE),
    })
}

/// Whether something may stand at the path: its parent is there and of the right type.
fn can_hold(item: &Item, path: &Path) -> bool {
    let Some((last, before)) = path.steps.split_last() else {
        return true;
    };
    let parent = Path {
        root: path.root.clone(),
        steps: before.to_vec(),
    };
    matches!(
        (last, parent.find(item)),
        (Step::Key(_), Some(Value::M(_))) | (Step::Index(_), Some(Value::L(_)))
    )
}

fn parent_of<'i>(item: &'i mut Item, path: &Path) -> Option<&'i mut Value> {
    let mut value = item.get_mut(&path.root)?;
    for step in path.steps.split_last()?.1 {
        value = match (step, value) {
            (Step::Key(key), Value::M(map)) => map.get_mut(key)?,
            (Step::Index(index), Value::L(list)) => list.get_mut(*index)?,
            _ => return None,
        };
    }
    Some(value)
}

fn assign(item: &mut Item, path: &Path, value: Value) {
    match (path.steps.last(), parent_of(item, path)) {
        (None, _) => {
            item.insert(path.root.clone(), value);
        }
        (Some(Step::Key(key)), Some(Value::M(map))) => {
            map.insert(key.clone(), value);
        }
        (Some(Step::Index(index)), Some(Value::L(list))) => match list.get_mut(*index) {
            Some(element) => *element = value,
            None => list.push(value),
        },
        _ => {}
    }
}

fn remove(item: &mut Item, path: &Path) {
    match (path.steps.last(), parent_of(item, path)) {
        (None, _) => {
            item.remove(&path.root);
        }
        (Some(Step::Key(key)), Some(Value::M(map))) => {
            map.remove(key);
        }
        (Some(Step::Index(index)), Some(Value::L(list))) if *index < list.len() => {
            list.remove(*index);
        }
        _ => {}
    }
}
