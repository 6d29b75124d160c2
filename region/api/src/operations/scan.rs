use geodynamo_expression::Parameter;
use geodynamo_storage::Engine;
use geodynamo_table::{ScanRequest, usage::DataOperation};

use super::{
    Answer, legacy,
    parameters::{condition, context, projection, together},
    reading::{SelectRequest, consistent, limit, page_reply},
};
use crate::{Api, errors::ApiError, generated::ScanInput, wire::Request};

impl Request for ScanInput {
    fn check_together(&self) -> Result<(), ApiError> {
        together(
            &[
                ("AttributesToGet", self.attributes_to_get.is_some()),
                ("ScanFilter", self.scan_filter.is_some()),
                ("ConditionalOperator", self.conditional_operator.is_some()),
            ],
            &[
                ("ProjectionExpression", self.projection_expression.is_some()),
                ("FilterExpression", self.filter_expression.is_some()),
            ],
            self.expression_attribute_names.is_some(),
            Some((self.expression_attribute_values.is_some(), "FilterExpression is null")),
        )
    }

    fn check_before_values(&self) -> Result<(), ApiError> {
        segment(self.segment, self.total_segments)?;
        context(
            &self.expression_attribute_names,
            self.expression_attribute_values.as_ref(),
        )
        .map(drop)
    }
}

/// Gives a page of all items, or of a segment of them.
pub(super) async fn scan<E: Engine>(api: &Api<E>, input: ScanInput) -> Answer {
    let segment = segment(input.segment, input.total_segments)?;
    let mut context = context(
        &input.expression_attribute_names,
        input.expression_attribute_values.as_ref(),
    )?;
    let filter = match condition(Parameter::Filter, &input.filter_expression, &mut context)? {
        None => legacy::filter(input.scan_filter, &input.conditional_operator)?,
        given => given,
    };
    let projection = projection(&input.projection_expression, &input.attributes_to_get, &mut context)?;
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
    let consistent = consistent(input.consistent_read, index)?;
    let (shown, fetch_base) = select.shown(&table, index, projection)?;
    let request = ScanRequest {
        index: input.index_name.as_deref(),
        limit: limit(input.limit),
        start: input.exclusive_start_key,
        filter: filter.as_ref(),
        consistent,
        segment,
        fetch_base,
    };
    let page = api.tables.reads().scan(&table, request).await?;
    let asked = &input.return_consumed_capacity;
    page_reply(DataOperation::Scan, &table, &page, &shown, asked)
}

/// `Segment` and `TotalSegments`, which the model keeps within their ranges.
fn segment(segment: Option<i32>, total: Option<i32>) -> Result<Option<(u32, u32)>, ApiError> {
    match (segment, total) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(ApiError::scan_parameter_missing("TotalSegments", "Segment")),
        (None, Some(_)) => Err(ApiError::scan_parameter_missing("Segment", "TotalSegments")),
        (Some(segment), Some(total)) if segment >= total => Err(ApiError::segment_out_of_range(segment, total)),
        (Some(segment), Some(total)) => Ok(Some((segment.unsigned_abs(), total.unsigned_abs()))),
    }
}
