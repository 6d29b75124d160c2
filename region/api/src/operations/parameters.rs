//! What several operations' parameters have in common: expressions, and the older parameters they replaced.

use std::collections::BTreeMap;

use compact_str::CompactString;
use geodynamo_expression::{
    Condition, Context, ExpressionError, Parameter, Path, PlaceholderFault, Projection, Refusal,
};
use geodynamo_item::{Item, wire::EMPTY_NAME};

use crate::errors::ApiError;

/// `ExpressionAttributeNames`
pub(super) type Names = Option<BTreeMap<CompactString, CompactString>>;

/// The names and values of a request's expressions.
pub(super) fn context<'a>(names: &'a Names, values: Option<&'a Item>) -> Result<Context<'a>, ApiError> {
    Ok(Context::of(names.as_ref(), values)?)
}

/// A parsed `ConditionExpression` or `FilterExpression`.
pub(super) fn condition(
    parameter: Parameter,
    text: &Option<CompactString>,
    context: &mut Context<'_>,
) -> Result<Option<Condition>, ApiError> {
    Ok(text
        .as_deref()
        .map(|text| Condition::parse(parameter, text, context))
        .transpose()?)
}

/// What a reader wants of items: a `ProjectionExpression`, or `AttributesToGet`, or everything.
pub(super) fn projection(
    expression: &Option<CompactString>,
    attributes: &Option<Vec<CompactString>>,
    context: &mut Context<'_>,
) -> Result<Option<Projection>, ApiError> {
    if let Some(text) = expression {
        return Ok(Some(Projection::parse(text, context)?));
    }
    let Some(names) = attributes else { return Ok(None) };
    names.iter().try_for_each(|name| named(name))?;
    let mut sorted: Vec<_> = names.iter().collect();
    sorted.sort();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ApiError::duplicate_attribute(twice[0]));
    }
    Ok(Some(Projection::of(names.iter().map(|name| Path::top(name.clone())))))
}

/// Refuses an attribute without a name. (In expressions it would be in ExpressionAttributeNames, which has words of its own.)
pub(super) fn named(attribute: &str) -> Result<(), ApiError> {
    if attribute.is_empty() {
        return Err(ApiError::validation(EMPTY_NAME));
    }
    Ok(())
}

/// Parameters by name, and whether each is there.
pub(super) type Given<'a> = &'a [(&'a str, bool)];

/// [`together`], for a write with a condition and no other expression.
pub(super) fn condition_together(
    expected: bool,
    conditional_operator: bool,
    condition: bool,
    names: bool,
    values: bool,
) -> Result<(), ApiError> {
    together(
        &[("Expected", expected), ("ConditionalOperator", conditional_operator)],
        &[("ConditionExpression", condition)],
        names,
        Some((values, "ConditionExpression is null")),
    )
}

/// Refuses a request that has parameters of both kinds, and names and values that have no expression to stand in.
/// `with_values` says which expressions may hold values, as DynamoDB's refusal tells them: `ConditionExpression is null`.
pub(super) fn together(
    older: Given<'_>,
    expressions: Given<'_>,
    names: bool,
    values: Option<(bool, &str)>,
) -> Result<(), ApiError> {
    one_kind(older, expressions)?;
    if names && !any(expressions) {
        return Err(ExpressionError::from(Refusal::from(PlaceholderFault::NamesWithoutExpression)).into());
    }
    let Some((true, with_values)) = values else {
        return Ok(());
    };
    let holds = |parameter: &str| expressions.iter().any(|(name, given)| *given && *name == parameter);
    if with_values.split(' ').any(holds) {
        return Ok(());
    }
    let missing = with_values.to_owned();
    Err(ExpressionError::from(Refusal::from(PlaceholderFault::ValuesWithoutExpression { missing })).into())
}

fn any(list: Given<'_>) -> bool {
    list.iter().any(|(_, given)| *given)
}

fn one_kind(older: Given<'_>, expressions: Given<'_>) -> Result<(), ApiError> {
    if !any(older) || !any(expressions) {
        return Ok(());
    }
    let names = |list: &[(&str, bool)]| {
        list.iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    Err(ApiError::both_kinds_of_parameters(&names(older), &names(expressions)))
}

/// `ReturnValues` of PutItem and DeleteItem: whether to give the item as it was.
pub(super) fn returns_old(return_values: &Option<CompactString>) -> Result<bool, ApiError> {
    match return_values.as_deref() {
        None | Some("NONE") => Ok(false),
        Some("ALL_OLD") => Ok(true),
        Some(_) => Err(ApiError::validation("ReturnValues can only be ALL_OLD or NONE")),
    }
}

/// Whether a parameter that may be `NONE` says `value`.
pub(super) fn says(parameter: &Option<CompactString>, value: &str) -> bool {
    parameter.as_deref() == Some(value)
}

/// `None` for an item without attributes, which replies leave out.
pub(super) fn unless_empty(item: Option<Item>) -> Option<Item> {
    item.filter(|item| !item.is_empty())
}

impl From<ExpressionError> for ApiError {
    fn from(error: ExpressionError) -> Self {
        Self::validation(error.to_string())
    }
}
