//! What the parameters that expressions replaced mean, from the developer guide's "Legacy conditional parameters", and what
//! is refused of them.

use std::cmp::Ordering;

use crate::{
    answer::Refusal,
    evaluate::contains,
    fault::Fault,
    number::told,
    request::older::{Change, Older, Test},
    value::{Item, Value},
};

/// Whether an item meets `Expected`, `QueryFilter` or `ScanFilter`.
pub(crate) fn holds(older: &Older, item: &Item, fault: Option<Fault>) -> bool {
    let mut tests = older
        .tests
        .iter()
        .map(|(name, test)| test_holds(test, item.get(name), fault));
    match older.operator {
        Some("OR") if fault != Some(Fault::EitherTestIsNeverEnough) => tests.any(|held| held),
        _ => tests.all(|held| held),
    }
}

fn test_holds(test: &Test, there: Option<&Value>, fault: Option<Fault>) -> bool {
    let (operator, values) = match test {
        Test::Is(value, _) => return there == Some(value),
        Test::IsNot | Test::Wrong(..) => return there.is_none(),
        Test::Compare(operator, values) => (*operator, values),
    };
    match (operator, there) {
        ("NULL", there) => there.is_none(),
        ("NOT_NULL", there) => there.is_some(),
        ("NE", None) => fault != Some(Fault::NotEqualNeedsTheAttribute),
        (_, None) => false,
        ("IN", Some(there)) => values.contains(there),
        ("BETWEEN", Some(there)) => {
            let upper = match there.order(&values[1]) {
                Some(Ordering::Equal) => fault != Some(Fault::BetweenLeavesOutItsUpperBound),
                order => order == Some(Ordering::Less),
            };
            there.order(&values[0]).is_some_and(Ordering::is_ge) && upper
        }
        (operator, Some(there)) => {
            let value = &values[0];
            let order = there.order(value);
            match operator {
                "EQ" => there == value,
                "NE" => there != value,
                "LT" => order == Some(Ordering::Less),
                "LE" => order.is_some_and(Ordering::is_le),
                "GT" => order == Some(Ordering::Greater),
                "GE" => order.is_some_and(Ordering::is_ge),
                "CONTAINS" => contains(there, value),
                "NOT_CONTAINS" => !contains(there, value),
                _ => match (there, value) {
                    (Value::S(text), Value::S(prefix)) => text.starts_with(prefix),
                    (Value::B(bytes), Value::B(prefix)) => bytes.starts_with(prefix),
                    _ => false,
                },
            }
        }
    }
}

fn invalid(detail: String) -> Refusal {
    Refusal::invalid(format!("One or more parameter values were invalid: {detail}"))
}

/// What is refused of the tests, whatever the items are.
pub(crate) fn refusals(older: &Older) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    match (older.operator, older.tests.len()) {
        (None, _) | (Some(_), 2..) => {}
        (Some(_), 0) => refusals.push(Refusal::invalid(
            "ConditionalOperator cannot be used without Filter or Expected",
        )),
        (Some(_), 1) => refusals.push(Refusal::invalid(
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        )),
    }
    for (name, test) in &older.tests {
        refusals.extend(test_refusals(name, test));
    }
    refusals
}

pub(crate) fn test_refusals(name: &str, test: &Test) -> Vec<Refusal> {
    let (operator, values) = match test {
        Test::Is(..) | Test::IsNot => return Vec::new(),
        Test::Wrong(true, _) => {
            return vec![invalid(format!(
                "Value must be provided when Exists is true for Attribute: {name}"
            ))];
        }
        Test::Wrong(false, _) => {
            return vec![invalid(format!(
                "Value cannot be used when Exists is false for Attribute: {name}"
            ))];
        }
        Test::Compare(operator, values) => (*operator, values),
    };
    let wanted = match operator {
        "NULL" | "NOT_NULL" => 0..=0,
        "BETWEEN" => 2..=2,
        "IN" => 1..=usize::MAX,
        _ => 1..=1,
    };
    let mut refusals = Vec::new();
    if !wanted.contains(&values.len()) {
        refusals.push(match values.len() {
            // How it is told that there is none depends on the parameter.
            0 => Refusal::invalid(""),
            _ => invalid(format!(
                "Invalid number of argument(s) for the {operator} ComparisonOperator"
            )),
        });
        return refusals;
    }
    for value in values {
        let fits = match operator {
            "LT" | "LE" | "GT" | "GE" | "BETWEEN" | "IN" | "CONTAINS" | "NOT_CONTAINS" => value.has_order(),
            "BEGINS_WITH" => matches!(value, Value::S(_) | Value::B(_)),
            _ => true,
        };
        if !fits {
            refusals.push(invalid(format!(
                "ComparisonOperator {operator} is not valid for {} AttributeValue type",
                value.kind()
            )));
        }
    }
    if matches!(operator, "IN" | "BETWEEN") && values.iter().any(|value| value.kind() != values[0].kind()) {
        refusals.push(invalid(
            "AttributeValues inside AttributeValueList must be of same type".into(),
        ));
    }
    if operator == "BETWEEN" && values[0].order(&values[1]) == Some(Ordering::Greater) {
        refusals.push(Refusal::invalid(
            "The BETWEEN condition was provided a range where the lower bound is bigger than the upper bound",
        ));
    }
    refusals
}

/// What is refused of a request with parameters of both kinds.
pub(crate) fn mixed(older: &[&str], expressions: &[&str]) -> Option<Refusal> {
    match (older, expressions) {
        ([], _) | (_, []) => None,
        ([older], [expression]) => Some(Refusal::invalid(format!(
            "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
             {{{older}}} Expression parameters: {{{expression}}}"
        ))),
        // In which order several are told is not known.
        _ => Some(Refusal::invalid("")),
    }
}

/// What is refused of `AttributeUpdates`, whatever the item is.
pub(crate) fn change_refusals(changes: &[(String, Change)]) -> Vec<Refusal> {
    let refusal = |(_, change): &(String, Change)| {
        let set = |value: &Value| matches!(value, Value::Ss(_) | Value::Ns(_) | Value::Bs(_));
        match (change.action.unwrap_or("PUT"), &change.value) {
            ("PUT", Some(_)) | ("DELETE", None) => None,
            (_, None) => Some(invalid(
                "Only DELETE action is allowed when no attribute value is specified".into(),
            )),
            ("DELETE", Some(value)) if !set(value) => Some(invalid(format!(
                "DELETE action with value is not supported for the type {}",
                long(value)
            ))),
            ("ADD", Some(value)) if !set(value) && !matches!(value, Value::N(_)) => Some(invalid(format!(
                "ADD action is not supported for the type {}",
                long(value)
            ))),
            _ => None,
        }
    };
    changes.iter().filter_map(refusal).collect()
}

fn long(value: &Value) -> &'static str {
    match value {
        Value::S(_) => "STRING",
        Value::N(_) => "NUMBER",
        Value::B(_) => "BINARY",
        Value::Bool(_) => "BOOLEAN",
        Value::Null => "NULL",
        Value::L(_) => "LIST",
        Value::M(_) => "MAP",
        Value::Ss(_) => "STRING_SET",
        Value::Ns(_) => "NUMBER_SET",
        Value::Bs(_) => "BINARY_SET",
    }
}

/// The item as `AttributeUpdates` leave it, or every text that they may be refused with.
pub(crate) fn apply(changes: &[(String, Change)], old: &Item, fault: Option<Fault>) -> Result<Item, Vec<String>> {
    const MISMATCH: &str = "Type mismatch for attribute to update";
    let mut new = old.clone();
    let mut errors = Vec::new();
    for (name, change) in changes {
        let there = old.get(name);
        let value = match (change.action.unwrap_or("PUT"), &change.value, there) {
            ("PUT", Some(value), _) => Ok(Some(value.clone())),
            ("ADD", Some(value), Some(there)) if fault != Some(Fault::AddForgetsWhatWasThere) => match (there, value) {
                (Value::N(there), Value::N(more)) => there.plus(more).map(|sum| Some(Value::N(sum))),
                (Value::Ss(there), Value::Ss(more)) => Ok(Some(Value::Ss(there | more))),
                (Value::Ns(there), Value::Ns(more)) => Ok(Some(Value::Ns(there | more))),
                (Value::Bs(there), Value::Bs(more)) => Ok(Some(Value::Bs(there | more))),
                _ => Err(MISMATCH),
            },
            ("ADD", Some(value), _) => Ok(Some(value.clone())),
            (_, None, _) | (_, _, None) => Ok(None),
            (_, Some(less), Some(there)) => match (there, less) {
                (Value::Ss(there), Value::Ss(less)) => Ok(Some(Value::Ss(there - less))),
                (Value::Ns(there), Value::Ns(less)) => Ok(Some(Value::Ns(there - less))),
                (Value::Bs(there), Value::Bs(less)) => Ok(Some(Value::Bs(there - less))),
                _ => Err(MISMATCH),
            },
        };
        let empty = |value: &Value| match value {
            Value::Ss(set) => set.is_empty(),
            Value::Ns(set) => set.is_empty(),
            Value::Bs(set) => set.is_empty(),
            _ => false,
        };
        match value {
            Ok(Some(value)) if !empty(&value) => drop(new.insert(name.clone(), value)),
            Ok(_) => drop(new.remove(name)),
            Err(error) => errors.push(told(error, fault).to_owned()),
        }
    }
    if errors.is_empty() { Ok(new) } else { Err(errors) }
}
