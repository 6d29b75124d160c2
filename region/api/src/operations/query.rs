use geodynamo_expression::{KeyCondition, Parameter, ResolvedKeyCondition};
use geodynamo_item::AttributeValue;
use geodynamo_storage::Engine;
use geodynamo_table::{
    Query,
    schema::{KeyAttribute, KeySchema},
};

use super::{
    Answer, legacy,
    names::table_name,
    parameters::{condition, context, one_kind, projection},
    reading::{consistent, limit, page_reply, shown},
};
use crate::{Api, errors::ApiError, generated::QueryInput};

/// Gives a page of the items of one partition key.
pub(super) async fn query<E: Engine>(api: &Api<E>, input: QueryInput) -> Answer {
    let (keys, filters) = (
        input.key_condition_expression.is_some(),
        input.filter_expression.is_some(),
    );
    let projects = input.projection_expression.is_some();
    one_kind(
        &[
            ("AttributesToGet", input.attributes_to_get.is_some()),
            ("QueryFilter", input.query_filter.is_some()),
            ("ConditionalOperator", input.conditional_operator.is_some()),
            ("KeyConditions", input.key_conditions.is_some()),
        ],
        &[
            ("ProjectionExpression", projects),
            ("FilterExpression", filters),
            ("KeyConditionExpression", keys),
        ],
    )?;
    let mut context = context(
        &input.expression_attribute_names,
        input.expression_attribute_values.as_ref(),
    )?;
    let missing = "FilterExpression and KeyConditionExpression are null";
    context.check_given(keys || filters || projects, keys || filters, missing)?;
    let filter = match condition(Parameter::Filter, &input.filter_expression, &mut context)? {
        None => legacy::filter(input.query_filter, &input.conditional_operator)?,
        given => given,
    };
    let projection = projection(&input.projection_expression, &input.attributes_to_get, &mut context)?;
    let key_condition = match (&input.key_condition_expression, input.key_conditions) {
        (Some(text), _) => KeyCondition::parse(text, &mut context)?,
        (None, Some(conditions)) => legacy::key_conditions(conditions)?,
        (None, None) => return Err(ApiError::no_key_condition()),
    };
    context.finish()?;

    let table = api.tables.table(table_name(&input.table_name)?)?;
    let index = input.index_name.as_deref().map(|name| table.index(name)).transpose()?;
    let schema = index.map_or(table.keys(), |index| &index.keys);
    let consistent = consistent(input.consistent_read, index)?;
    let sort_name = schema.sort.as_ref().map(|sort| sort.name.as_str());
    let ResolvedKeyCondition { partition, sort } = key_condition.resolve(&schema.partition.name, sort_name)?;
    check_key(&schema.partition, &partition)?;
    if let (Some(sort), Some(attribute)) = (&sort, &schema.sort) {
        sort.operands().try_for_each(|value| check_key(attribute, value))?;
    }
    if let Some(filter) = &filter {
        check_filter(schema, filter)?;
    }
    let parameter = if projects {
        "ProjectionExpression"
    } else {
        "AttributesToGet"
    };
    let (shown, fetch_base) = shown(&input.select, projection, parameter, index, "Querying")?;
    let query = Query {
        index: input.index_name.as_deref(),
        partition,
        sort,
        forward: input.scan_index_forward.unwrap_or(true),
        limit: limit(input.limit),
        start: input.exclusive_start_key,
        filter: filter.as_ref(),
        consistent,
        fetch_base,
    };
    let page = api.tables.query(&table, query).await?;
    page_reply(&table, &page, &shown, &input.return_consumed_capacity)
}

/// Checks a value that a key is compared with.
fn check_key(attribute: &KeyAttribute, value: &AttributeValue) -> Result<(), ApiError> {
    if value.kind() != attribute.kind.attribute_type() {
        return Err(ApiError::condition_type_mismatch());
    }
    let kind = match value {
        AttributeValue::S(text) if text.is_empty() => "string",
        AttributeValue::B(bytes) if bytes.is_empty() => "binary",
        _ => return Ok(()),
    };
    Err(ApiError::empty_key(kind, &attribute.name))
}

/// Refuses a filter on the keys that the query goes by.
fn check_filter(schema: &KeySchema, filter: &geodynamo_expression::Condition) -> Result<(), ApiError> {
    let mut key = None;
    filter.for_each_path(&mut |path| {
        if schema.contains(&path.root) {
            key.get_or_insert(path.root.clone());
        }
    });
    key.map_or(Ok(()), |name| Err(ApiError::key_in_filter(&name)))
}
