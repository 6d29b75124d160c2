//! The parameters that expressions replaced, translated into the same trees.

use std::{cmp::Ordering, collections::BTreeMap};

use compact_str::CompactString;
use geodynamo_expression::{
    Comparator, Condition, KeyCondition, Operand, Path, Update, UpdateError, UpdateOperand, order,
};
use geodynamo_item::{AttributeType, AttributeValue};
use geodynamo_table::TableError;

use super::parameters::named;
use crate::{errors::ApiError, generated};

/// The most conditions in one parameter: the tree's own limit on operators.
const CONDITIONS_MAX: usize = geodynamo_expression::limits::OPERATORS;

/// `Expected` with its `ConditionalOperator`.
pub(super) fn expected(
    expected: Option<BTreeMap<CompactString, generated::ExpectedAttributeValue>>,
    operator: &Option<CompactString>,
) -> Result<Option<Condition>, ApiError> {
    check_operator(operator, expected.as_ref().map_or(0, BTreeMap::len))?;
    let Some(expected) = expected.filter(|map| !map.is_empty()) else {
        return Ok(None);
    };
    let condition = |(name, expected)| expected_value(name, expected);
    let conditions = limited(expected.into_iter().map(condition))?;
    Ok(Some(joined(conditions, operator)))
}

/// `QueryFilter` or `ScanFilter` with its `ConditionalOperator`.
pub(super) fn filter(
    filter: Option<BTreeMap<CompactString, generated::Condition>>,
    operator: &Option<CompactString>,
) -> Result<Option<Condition>, ApiError> {
    check_operator(operator, filter.as_ref().map_or(0, BTreeMap::len))?;
    let Some(filter) = filter.filter(|map| !map.is_empty()) else {
        return Ok(None);
    };
    let conditions = limited(
        filter
            .into_iter()
            .map(|(name, condition)| attribute_condition(name, condition)),
    )?;
    Ok(Some(joined(conditions, operator)))
}

/// `KeyConditions`
pub(super) fn key_conditions(
    conditions: BTreeMap<CompactString, generated::Condition>,
) -> Result<KeyCondition, ApiError> {
    if conditions.is_empty() {
        return Err(ApiError::no_key_condition());
    }
    let conditions = limited(conditions.into_iter().map(|(name, condition)| {
        let operator = condition.comparison_operator.clone().unwrap_or_default();
        if !matches!(
            operator.as_str(),
            "EQ" | "LT" | "LE" | "GT" | "GE" | "BETWEEN" | "BEGINS_WITH"
        ) {
            return Err(ApiError::validation(
                "Attempted conditional constraint is not an indexable operation",
            ));
        }
        attribute_condition(name, condition)
    }))?;
    Ok(KeyCondition::of(Condition::And(conditions))?)
}

/// `AttributeUpdates`
pub(super) fn attribute_updates(
    updates: Option<BTreeMap<CompactString, generated::AttributeValueUpdate>>,
) -> Result<Option<Update>, ApiError> {
    let Some(updates) = updates else { return Ok(None) };
    let mut update = Update::default();
    for (name, change) in updates {
        named(&name)?;
        let path = Path::top(name);
        match (change.action.as_deref().unwrap_or("PUT"), change.value) {
            ("PUT", Some(value)) => update.set.push((path, UpdateOperand::Value(value))),
            ("DELETE", None) => update.remove.push(path),
            ("DELETE", Some(value @ (AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_)))) => {
                update.delete.push((path, value));
            }
            ("ADD", Some(AttributeValue::L(added))) => {
                let old = UpdateOperand::IfNotExists(
                    path.clone(),
                    Box::new(UpdateOperand::Value(AttributeValue::L(Vec::new()))),
                );
                let added = UpdateOperand::Value(AttributeValue::L(added));
                update
                    .set
                    .push((path, UpdateOperand::ListAppend(Box::new(old), Box::new(added))));
            }
            (
                "ADD",
                Some(
                    value @ (AttributeValue::N(_)
                    | AttributeValue::Ss(_)
                    | AttributeValue::Ns(_)
                    | AttributeValue::Bs(_)),
                ),
            ) => update.add.push((path, value)),
            (action @ ("ADD" | "DELETE"), Some(value)) => {
                return Err(ApiError::action_not_for_type(action, value.kind().long_name()));
            }
            _ => return Err(ApiError::action_without_value()),
        }
    }
    Ok(Some(update))
}

/// Why the table refused `AttributeUpdates`, in their own words.
pub(super) fn update_refused(error: TableError) -> ApiError {
    match error {
        TableError::Validation(text) if text == UpdateError::OperandType.to_string() => {
            ApiError::attribute_update_mismatch()
        }
        error => error.into(),
    }
}

fn expected_value(name: CompactString, expected: generated::ExpectedAttributeValue) -> Result<Condition, ApiError> {
    named(&name)?;
    let generated::ExpectedAttributeValue {
        value,
        exists,
        comparison_operator,
        attribute_value_list,
    } = expected;
    if let Some(operator) = &comparison_operator {
        if exists.is_some() {
            return Err(ApiError::invalid(
                "Exists and ComparisonOperator cannot be used together for Attribute: ".to_owned() + &name,
            ));
        }
        if value.is_some() && attribute_value_list.is_some() {
            return Err(ApiError::invalid(
                "Value and AttributeValueList cannot be used together for Attribute: ".to_owned() + &name,
            ));
        }
        let attribute_value_list = attribute_value_list.or(value.map(|value| vec![value]));
        if attribute_value_list.is_none() && !matches!(operator.as_str(), "NULL" | "NOT_NULL") {
            return Err(ApiError::comparison_without_value(operator, &name));
        }
        return attribute_condition(
            name,
            generated::Condition {
                attribute_value_list,
                comparison_operator,
            },
        );
    }
    if attribute_value_list.is_some() {
        return Err(ApiError::invalid(
            "AttributeValueList can only be used with a ComparisonOperator for Attribute: ".to_owned() + &name,
        ));
    }
    match (exists.unwrap_or(true), value) {
        (true, Some(value)) => Ok(compare(Comparator::Equal, Path::top(name), value)),
        (false, None) => Ok(Condition::NotExists(Path::top(name))),
        (true, None) => Err(ApiError::invalid(format!(
            "Value must be provided when Exists is {} for Attribute: {name}",
            if exists.is_some() { "true" } else { "null" }
        ))),
        (false, Some(_)) => Err(ApiError::invalid(format!(
            "Value cannot be used when Exists is false for Attribute: {name}"
        ))),
    }
}

fn attribute_condition(name: CompactString, condition: generated::Condition) -> Result<Condition, ApiError> {
    named(&name)?;
    // Required by the model, and one of its values.
    let operator = condition.comparison_operator.unwrap_or_default();
    let values = condition.attribute_value_list.unwrap_or_default();
    let given = values.len();
    let wrong = || ApiError::wrong_argument_count(&operator);
    let fits = match operator.as_str() {
        "NULL" | "NOT_NULL" => given == 0,
        "BETWEEN" => given == 2,
        "IN" => given >= 1,
        _ => given == 1,
    };
    if !fits {
        return Err(wrong());
    }
    for value in &values {
        check_type(&operator, value)?;
    }
    if matches!(operator.as_str(), "IN" | "BETWEEN") && values.iter().any(|value| value.kind() != values[0].kind()) {
        return Err(ApiError::condition_values_of_several_types());
    }
    if operator == "BETWEEN" && order(&values[0], &values[1]) == Some(Ordering::Greater) {
        return Err(ApiError::condition_bounds_order());
    }
    let path = Path::top(name);
    let mut values = values.into_iter();
    let mut operand = || values.next().map(Operand::Value).ok_or_else(wrong);
    let attribute = Operand::Path(path.clone());
    let comparator = match operator.as_str() {
        "EQ" => Comparator::Equal,
        "NE" => Comparator::NotEqual,
        "LT" => Comparator::Less,
        "LE" => Comparator::LessOrEqual,
        "GT" => Comparator::Greater,
        "GE" => Comparator::GreaterOrEqual,
        "NULL" => return Ok(Condition::NotExists(path)),
        "NOT_NULL" => return Ok(Condition::Exists(path)),
        "BETWEEN" => {
            return Ok(Condition::Between {
                value: attribute,
                low: operand()?,
                high: operand()?,
            });
        }
        "IN" => {
            return Ok(Condition::In {
                value: attribute,
                list: values.map(Operand::Value).collect(),
            });
        }
        "BEGINS_WITH" => {
            return Ok(Condition::BeginsWith {
                value: attribute,
                prefix: operand()?,
            });
        }
        "CONTAINS" => {
            return Ok(Condition::Contains {
                container: attribute,
                element: operand()?,
            });
        }
        "NOT_CONTAINS" => {
            // Of an attribute that is not there nothing can be said, not even this.
            let contains = Condition::Contains {
                container: attribute,
                element: operand()?,
            };
            return Ok(Condition::And(vec![
                Condition::Exists(path),
                Condition::Not(Box::new(contains)),
            ]));
        }
        _ => return Err(ApiError::invalid(format!("Unsupported operator: {operator}"))),
    };
    Ok(Condition::Compare {
        comparator,
        left: attribute,
        right: operand()?,
    })
}

fn check_type(operator: &str, value: &AttributeValue) -> Result<(), ApiError> {
    use AttributeType::{B, N, S};
    let kind = value.kind();
    let fits = match operator {
        "LT" | "LE" | "GT" | "GE" | "BETWEEN" | "IN" | "CONTAINS" | "NOT_CONTAINS" => matches!(kind, S | N | B),
        "BEGINS_WITH" => matches!(kind, S | B),
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err(ApiError::comparison_not_for_type(operator, kind.code()))
    }
}

fn compare(comparator: Comparator, path: Path, value: AttributeValue) -> Condition {
    Condition::Compare {
        comparator,
        left: Operand::Path(path),
        right: Operand::Value(value),
    }
}

fn joined(conditions: Vec<Condition>, operator: &Option<CompactString>) -> Condition {
    if operator.as_deref() == Some("OR") {
        Condition::Or(conditions)
    } else {
        Condition::And(conditions)
    }
}

fn limited(conditions: impl ExactSizeIterator<Item = Result<Condition, ApiError>>) -> Result<Vec<Condition>, ApiError> {
    if conditions.len() > CONDITIONS_MAX {
        return Err(ApiError::invalid(format!(
            "Too many conditions; the limit is {CONDITIONS_MAX}"
        )));
    }
    conditions.collect()
}

/// `ConditionalOperator` joins conditions: it needs two.
fn check_operator(operator: &Option<CompactString>, conditions: usize) -> Result<(), ApiError> {
    match (operator, conditions) {
        (None, _) | (Some(_), 2..) => Ok(()),
        (Some(_), 0) => Err(ApiError::conditional_operator_alone()),
        (Some(_), 1) => Err(ApiError::conditional_operator_for_one()),
    }
}
