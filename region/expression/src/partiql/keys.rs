//! Which keys a WHERE clause names: what an UPDATE or DELETE is of, and what a SELECT has to read.

use geodynamo_item::{AttributeValue, Item, Name};

use super::{Order, StatementError};
use crate::evaluate::order;
use crate::{Comparator, Condition, Fault, KeyCondition, Operand, Path, ResolvedKeyCondition, SortCondition, limits};

/// The key attributes of a table or an index.
#[derive(Clone, Copy, Debug)]
pub struct KeyNames<'a> {
    /// The partition key.
    pub partition: &'a str,
    /// The sort key, if there is one.
    pub sort: Option<&'a str>,
    /// Whether the sort key can have a beginning: strings and binary values can.
    pub sort_has_beginning: bool,
    /// Whether these are only the first of the keys' attributes, as of some global indexes: see [`query_of_several`]. Here
    /// such are scanned.
    pub has_several: bool,
}

/// How a SELECT reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to query, one after another; `None` to scan.
    pub ranges: Option<Ranges>,
    /// Ascending by the sort key, or descending.
    pub forward: bool,
    /// What to leave out of what is read.
    pub filter: Option<Condition>,
}

/// Every partition key with every condition on the sort key. They are not multiplied out: the values may be large, and of
/// the wrong types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// The partition keys, in the order of reading. Types are not checked.
    pub partitions: Vec<AttributeValue>,
    /// What the sort key must be, in the order of reading; if there is nothing, it can be anything. Types are not checked.
    pub sorts: Vec<SortCondition>,
}

/// Items of one partition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The partition key. Its type is not checked.
    pub partition: AttributeValue,
    /// What the sort key must be. Types are not checked.
    pub sort: Option<SortCondition>,
}

impl Ranges {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.partitions.len() * self.sorts.len().max(1)
    }

    /// One of them, in the order of reading.
    pub fn get(&self, at: usize) -> Option<Range> {
        let of_partition = self.sorts.len().max(1);
        Some(Range {
            partition: self.partitions.get(at / of_partition)?.clone(),
            sort: self.sorts.get(at % of_partition).cloned(),
        })
    }
}

/// The one key that a WHERE clause names by equality of all key attributes, and what else it asks; `None` if it does not
/// name one. Types are not checked.
pub fn single_key(condition: Option<&Condition>, keys: KeyNames<'_>) -> Option<(Item, Vec<Condition>)> {
    let mut conjuncts = Vec::new();
    flatten(condition?, &mut conjuncts);
    let mut key = Item::new();
    for name in std::iter::once(keys.partition).chain(keys.sort) {
        let (at, value) = conjuncts
            .iter()
            .enumerate()
            .find_map(|(at, conjunct)| Some((at, equal(conjunct, name)?.clone())))?;
        conjuncts.remove(at);
        key.insert(Name::from(name), value);
    }
    Some((key, conjuncts.into_iter().cloned().collect()))
}

/// The query that a WHERE clause is of an index whose keys have several attributes, and what else it asks; `None` if it does
/// not name each attribute of the partition key by equality. Types are not checked.
pub fn query_of_several(
    condition: &Condition,
    partition_key: &[&str],
    sort_key: &[&str],
) -> Option<(ResolvedKeyCondition, Option<Condition>)> {
    let mut conjuncts = Vec::new();
    flatten(condition, &mut conjuncts);
    let mut partition = Vec::with_capacity(partition_key.len());
    for name in partition_key {
        let found = |(at, conjunct): (usize, &&Condition)| Some((at, equal(conjunct, name)?.clone()));
        let (at, value) = conjuncts.iter().enumerate().find_map(found)?;
        conjuncts.remove(at);
        partition.push(value);
    }
    let mut sorts: Vec<SortCondition> = Vec::with_capacity(sort_key.len());
    for name in sort_key {
        // Behind an inequality, the index's order is no longer that of the next attribute.
        let equal_so_far = sorts.iter().all(|sort| matches!(sort, SortCondition::Equal(_)));
        let found = |(at, conjunct): (usize, &&Condition)| Some((at, sort_test(conjunct, name)?));
        match conjuncts.iter().enumerate().find_map(found).filter(|_| equal_so_far) {
            None => break,
            Some((at, test)) => {
                conjuncts.remove(at);
                sorts.push(test);
            }
        }
    }
    let sort = sorts.pop();
    let value = |sort| match sort {
        SortCondition::Equal(value) => Some(value),
        _ => None,
    };
    let sort_equal = sorts.into_iter().filter_map(value).collect();
    let rest = conjuncts.into_iter().cloned().collect();
    let resolved = ResolvedKeyCondition {
        partition,
        sort_equal,
        sort,
    };
    Some((resolved, joined(rest)))
}

/// What a condition asks of a sort key, if it is a key condition's. A beginning, which a number does not have, is left to
/// the filter.
fn sort_test(condition: &Condition, name: &str) -> Option<SortCondition> {
    if matches!(condition, Condition::BeginsWith { .. }) {
        return None;
    }
    let mut tests = KeyCondition::of(condition.clone()).ok()?.tests;
    let test = tests.pop().filter(|test| test.attribute == name)?;
    tests.is_empty().then_some(test.condition)
}

fn joined(mut conditions: Vec<Condition>) -> Option<Condition> {
    match conditions.len() {
        0 | 1 => conditions.pop(),
        _ => Some(Condition::And(conditions)),
    }
}

/// How to read what meets a WHERE clause, in this order. Whatever it reads besides is left out by the filter.
///
/// # Errors
/// More values of the partition key than [`PARTITION_VALUES`](limits::PARTITION_VALUES); an ORDER BY that no order of
/// reading gives.
pub fn plan(condition: Option<&Condition>, by: &[Order], keys: KeyNames<'_>) -> Result<Plan, StatementError> {
    check_order(by, keys)?;
    let Some(condition) = condition else {
        return match by {
            [] => Ok(scan(None)),
            _ => Err(StatementError::OrderWithoutWhere),
        };
    };
    let mut conjuncts = Vec::new();
    flatten(condition, &mut conjuncts);
    let found = conjuncts
        .iter()
        .enumerate()
        .find_map(|(at, conjunct)| Some((at, values(conjunct, keys.partition)?)));
    let Some((at, mut partitions)) = found.filter(|_| !keys.has_several) else {
        return match by {
            [] => Ok(scan(Some(condition.clone()))),
            _ => Err(StatementError::OrderWithoutKey),
        };
    };
    if partitions.exact {
        conjuncts.remove(at);
    }
    if partitions.list.len() > limits::PARTITION_VALUES {
        let count = partitions.list.len();
        return Err(Fault::InOperands { count }.into());
    }
    dedup(&mut partitions.list);
    let descending = |name: &str| by.iter().find(|by| by.attribute == name).map(|by| by.descending);
    match by.first() {
        Some(first) if first.attribute != keys.partition && partitions.list.len() > 1 => {
            return Err(StatementError::OrderOverPartitions);
        }
        _ => {}
    }
    if let Some(descending) = descending(keys.partition) {
        sort(&mut partitions.list, descending);
    }
    let forward = !keys.sort.and_then(descending).unwrap_or(false);
    let sorts = take_sorts(&mut conjuncts, keys, forward);
    let rest = conjuncts.into_iter().cloned().collect();
    Ok(Plan {
        ranges: Some(Ranges {
            partitions: partitions.list,
            sorts,
        }),
        forward,
        filter: joined(rest),
    })
}

fn scan(filter: Option<Condition>) -> Plan {
    Plan {
        ranges: None,
        forward: true,
        filter,
    }
}

fn check_order(by: &[Order], keys: KeyNames<'_>) -> Result<(), StatementError> {
    let is_key = |name: &str| name == keys.partition || Some(name) == keys.sort;
    match by.iter().find(|by| !is_key(&by.attribute)) {
        Some(by) => Err(StatementError::OrderAttribute(by.attribute.clone())),
        None => Ok(()),
    }
}

/// Takes ANDs apart. Recurs as deep as the tree, which the parser bounds.
fn flatten<'c>(condition: &'c Condition, conjuncts: &mut Vec<&'c Condition>) {
    match condition {
        Condition::And(list) => list.iter().for_each(|condition| flatten(condition, conjuncts)),
        condition => conjuncts.push(condition),
    }
}

/// The value that an attribute must equal, if the condition is that.
fn equal<'c>(condition: &'c Condition, name: &str) -> Option<&'c AttributeValue> {
    let Condition::Compare {
        comparator: Comparator::Equal,
        left,
        right,
    } = condition
    else {
        return None;
    };
    match (left, right) {
        (Operand::Path(path), Operand::Value(value)) | (Operand::Value(value), Operand::Path(path)) => {
            is(path, name).then_some(value)
        }
        _ => None,
    }
}

fn is(path: &Path, name: &str) -> bool {
    path.root == name && path.steps.is_empty()
}

/// The values that an attribute can have where a condition holds.
struct Values {
    list: Vec<AttributeValue>,
    /// Whether the condition says no more than that.
    exact: bool,
}

/// The values that an attribute can have where the condition holds; `None` if it can have any. Recurs as deep as the tree.
fn values(condition: &Condition, name: &str) -> Option<Values> {
    match condition {
        Condition::In {
            value: Operand::Path(path),
            list,
        } if is(path, name) => {
            let value = |operand: &Operand| match operand {
                Operand::Value(value) => Some(value.clone()),
                _ => None,
            };
            let list = list.iter().map(value).collect::<Option<_>>()?;
            Some(Values { list, exact: true })
        }
        Condition::Or(branches) => {
            let mut all = Values {
                list: Vec::new(),
                exact: true,
            };
            for branch in branches {
                let of_branch = values(branch, name)?;
                all.list.extend(of_branch.list);
                all.exact &= of_branch.exact;
            }
            (!all.list.is_empty()).then_some(all)
        }
        Condition::And(list) => {
            let found = list.iter().find_map(|condition| values(condition, name))?;
            let exact = found.exact && list.len() == 1;
            Some(Values { exact, ..found })
        }
        condition => {
            let list = vec![equal(condition, name)?.clone()];
            Some(Values { list, exact: true })
        }
    }
}

/// Takes the conditions on the sort key that a query goes by: one of a key condition's, or several values.
fn take_sorts(conjuncts: &mut Vec<&Condition>, keys: KeyNames<'_>, forward: bool) -> Vec<SortCondition> {
    let Some(name) = keys.sort else { return Vec::new() };
    for at in 0..conjuncts.len() {
        let conjunct = conjuncts[at];
        if let Some(mut found) = values(conjunct, name).filter(|found| found.exact) {
            conjuncts.remove(at);
            dedup(&mut found.list);
            sort(&mut found.list, !forward);
            return found.list.into_iter().map(SortCondition::Equal).collect();
        }
        let begins = matches!(conjunct, Condition::BeginsWith { .. });
        let test = KeyCondition::of(conjunct.clone()).ok().map(|condition| condition.tests);
        if let Some([test]) = test.as_deref()
            && test.attribute == name
            && (!begins || keys.sort_has_beginning)
        {
            conjuncts.remove(at);
            return vec![test.condition.clone()];
        }
    }
    Vec::new()
}

fn dedup(values: &mut Vec<AttributeValue>) {
    let mut kept: Vec<AttributeValue> = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    *values = kept;
}

/// Sorts as keys are; values that no key can have, which are refused later, by their types.
fn sort(values: &mut [AttributeValue], descending: bool) {
    values.sort_by(|one, two| {
        let ascending = order(one, two).unwrap_or_else(|| one.kind().cmp(&two.kind()));
        if descending { ascending.reverse() } else { ascending }
    });
}
