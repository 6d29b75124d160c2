use geodynamo_expression::{Condition, KeyCondition, Parameter, ResolvedKeyCondition};
use geodynamo_item::AttributeValue;
use geodynamo_storage::Engine;
use geodynamo_table::{
    PARTITION_KEY_BYTES_MAX, Query, SORT_KEY_BYTES_MAX,
    schema::{KeyAttribute, KeySchema},
    usage::DataOperation,
};

use super::{
    Answer, legacy,
    parameters::{condition, context, projection, together},
    reading::{SelectRequest, consistent, filters_projected, limit, page_reply},
};
use crate::{Api, errors::ApiError, generated::QueryInput, wire::Request};

impl Request for QueryInput {
    fn check_together(&self) -> Result<(), ApiError> {
        let key_condition = self.key_condition_expression.is_some();
        together(
            &[
                ("AttributesToGet", self.attributes_to_get.is_some()),
                ("QueryFilter", self.query_filter.is_some()),
                ("ConditionalOperator", self.conditional_operator.is_some()),
                // It goes together with all expressions but the one that replaced it.
                ("KeyConditions", self.key_conditions.is_some() && key_condition),
            ],
            &[
                ("ProjectionExpression", self.projection_expression.is_some()),
                ("FilterExpression", self.filter_expression.is_some()),
                ("KeyConditionExpression", key_condition),
            ],
            self.expression_attribute_names.is_some(),
            Some((
                self.expression_attribute_values.is_some(),
                "FilterExpression and KeyConditionExpression are null",
            )),
        )
    }

    fn check_before_values(&self) -> Result<(), ApiError> {
        context(
            &self.expression_attribute_names,
            self.expression_attribute_values.as_ref(),
        )
        .map(drop)
    }
}

/// Gives a page of the items of one partition key.
pub(super) async fn query<E: Engine>(api: &Api<E>, input: QueryInput) -> Answer {
    let mut context = context(
        &input.expression_attribute_names,
        input.expression_attribute_values.as_ref(),
    )?;
    let filter = match condition(Parameter::Filter, &input.filter_expression, &mut context)? {
        None => legacy::filter(input.query_filter, &input.conditional_operator)?,
        given => given,
    };
    let filter_parameter = if input.filter_expression.is_some() {
        "Filter Expression"
    } else {
        "QueryFilter"
    };
    let projection = projection(&input.projection_expression, &input.attributes_to_get, &mut context)?;
    let key_condition = match (&input.key_condition_expression, input.key_conditions) {
        (Some(text), _) => KeyCondition::parse(text, &mut context)?,
        (None, Some(conditions)) => legacy::key_conditions(conditions)?,
        (None, None) => return Err(ApiError::no_key_condition()),
    };
    context.finish()?;
    let select = SelectRequest {
        select: input.select.as_deref(),
        expression: input.projection_expression.is_some(),
        attributes: input.attributes_to_get.is_some(),
        index: input.index_name.is_some(),
    };
    select.check()?;

    let table = api.tables.table(&api.table_name(&input.table_name)?)?;
    let index = input.index_name.as_deref().map(|name| table.index(name)).transpose()?;
    let schema = index.map_or(table.keys(), |index| &index.keys);
    let consistent = consistent(input.consistent_read, index)?;
    let key_condition = resolve(schema, key_condition)?;
    if let Some(filter) = &filter {
        check_filter(schema, filter, filter_parameter)?;
        filters_projected(&table, index, filter)?;
    }
    let (shown, fetch_base) = select.shown(&table, index, projection)?;
    let query = Query {
        index: input.index_name.as_deref(),
        partition: key_condition.partition,
        sort_equal: key_condition.sort_equal,
        sort: key_condition.sort,
        forward: input.scan_index_forward.unwrap_or(true),
        limit: limit(input.limit),
        start: input.exclusive_start_key,
        filter: filter.as_ref(),
        consistent,
        fetch_base,
    };
    let page = api.tables.reads().query(&table, query).await?;
    let asked = &input.return_consumed_capacity;
    page_reply(DataOperation::Query, &table, &page, &shown, asked)
}

/// What a key condition asks of the keys of a table or an index, its values checked.
pub(super) fn resolve(schema: &KeySchema, key_condition: KeyCondition) -> Result<ResolvedKeyCondition, ApiError> {
    let partition: Vec<_> = schema.partition_attributes().map(KeyAttribute::name).collect();
    let sort: Vec<_> = schema.sort_attributes().map(KeyAttribute::name).collect();
    let resolved = key_condition.resolve(&partition, &sort)?;
    check_values(schema, &resolved)?;
    Ok(resolved)
}

/// Checks the values that keys are compared with.
pub(super) fn check_values(schema: &KeySchema, resolved: &ResolvedKeyCondition) -> Result<(), ApiError> {
    for (attribute, value) in schema.partition_attributes().zip(&resolved.partition) {
        check_key(attribute, value, PARTITION_KEY_BYTES_MAX)?;
    }
    for (attribute, value) in schema.sort_attributes().zip(&resolved.sort_equal) {
        check_key(attribute, value, SORT_KEY_BYTES_MAX)?;
    }
    if let (Some(sort), Some(attribute)) = (&resolved.sort, schema.sort_attributes().nth(resolved.sort_equal.len())) {
        let check = |value| check_key(attribute, value, SORT_KEY_BYTES_MAX);
        sort.operands().try_for_each(check)?;
    }
    Ok(())
}

/// Checks a value that a key is compared with, which has at most so many bytes.
pub(super) fn check_key(attribute: &KeyAttribute, value: &AttributeValue, bytes_max: usize) -> Result<(), ApiError> {
    if value.kind() != attribute.kind.attribute_type() {
        return Err(ApiError::condition_type_mismatch());
    }
    let (kind, bytes) = match value {
        AttributeValue::S(text) => ("string", text.len()),
        AttributeValue::B(bytes) => ("binary", bytes.len()),
        _ => return Ok(()),
    };
    match bytes {
        0 => Err(ApiError::empty_key(kind, &attribute.name)),
        _ if bytes > bytes_max => Err(ApiError::key_too_long(bytes_max)),
        _ => Ok(()),
    }
}

/// Refuses a filter on the keys that the query goes by.
pub(super) fn check_filter(schema: &KeySchema, filter: &Condition, parameter: &str) -> Result<(), ApiError> {
    let mut key = None;
    filter.for_each_path(&mut |path| {
        if schema.contains(&path.root) {
            key.get_or_insert(path.root.clone());
        }
    });
    key.map_or(Ok(()), |name| Err(ApiError::key_in_filter(parameter, &name)))
}
