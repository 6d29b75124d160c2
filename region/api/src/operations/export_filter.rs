//! What of a table an export is to have: `FilterSpecification`.

use geodynamo_expression::{Condition, KeyCondition, Parameter, Projection};
use geodynamo_item::Item;
use geodynamo_table::schema::KeySchema;

use super::{
    parameters::{condition, context, together},
    query::{check_filter, resolve},
};
use crate::{
    errors::ApiError,
    generated::FilterSpecification,
    wire::{DecodeContext, encode, whole},
};

/// What of a table an export is to have.
#[derive(Clone, Debug, Default)]
pub struct ExportFilter {
    keys: Option<Condition>,
    filter: Option<Condition>,
    projection: Option<Projection>,
}

impl ExportFilter {
    /// Reads what [`crate::transfer::NewExport::filter`] keeps, of a table with these keys.
    pub fn read(kept: &str, schema: &KeySchema) -> Result<Self, ApiError> {
        Self::of(&specification(kept)?, schema)
    }

    /// Reads a request's.
    ///
    /// # Errors
    /// What Query says of the same expressions.
    pub(super) fn of(given: &FilterSpecification, schema: &KeySchema) -> Result<Self, ApiError> {
        together(
            &[],
            &[
                ("ProjectionExpression", given.projection_expression.is_some()),
                ("FilterExpression", given.filter_expression.is_some()),
                ("KeyConditionExpression", given.key_condition_expression.is_some()),
            ],
            given.expression_attribute_names.is_some(),
            Some((
                given.expression_attribute_values.is_some(),
                "FilterExpression and KeyConditionExpression are null",
            )),
        )?;
        let values = given.expression_attribute_values.as_ref();
        let mut context = context(&given.expression_attribute_names, values)?;
        let filter = condition(Parameter::Filter, &given.filter_expression, &mut context)?;
        let projection = given.projection_expression.as_deref();
        let projection = projection
            .map(|text| Projection::parse(text, &mut context))
            .transpose()?;
        let keys = condition(Parameter::KeyCondition, &given.key_condition_expression, &mut context)?;
        context.finish()?;
        if let Some(keys) = &keys {
            resolve(schema, KeyCondition::of(keys.clone())?)?;
            if let Some(filter) = &filter {
                check_filter(schema, filter, "Filter Expression")?;
            }
        }
        Ok(Self {
            keys,
            filter,
            projection,
        })
    }

    /// Whether an item belongs to the export.
    pub fn admits(&self, item: &Item) -> bool {
        let mut conditions = self.keys.iter().chain(&self.filter);
        conditions.all(|condition| condition.evaluate(item))
    }

    /// An item as the export shows it.
    pub fn show(&self, item: Item) -> Item {
        match &self.projection {
            Some(projection) => projection.apply(&item),
            None => item,
        }
    }
}

/// A specification as it is kept.
pub(super) fn kept(given: &FilterSpecification) -> String {
    String::from_utf8_lossy(&encode(given)).into_owned()
}

/// The specification that was kept.
pub(super) fn specification(kept: &str) -> Result<FilterSpecification, ApiError> {
    whole(kept.as_bytes(), &mut DecodeContext::default()).map_err(ApiError::serialization)
}
