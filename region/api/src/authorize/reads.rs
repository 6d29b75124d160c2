//! Query and Scan.

use std::collections::BTreeMap;

use compact_str::CompactString;
use geodynamo_expression::{Condition, Context, KeyCondition, Parameter, Projection};
use geodynamo_item::{AttributeValue, Item};
use geodynamo_storage::Engine;
use geodynamo_table::schema::{KeyAttribute, KeySchema};

use super::{
    Authorize, Facts, Gate, Target,
    facts::{Attributes, Leading, add_leading, owned},
};
use crate::{
    errors::ApiError,
    generated::{self, QueryInput, ScanInput, SearchVectorsInput},
};

type Text = Option<CompactString>;

/// What both have.
struct Read<'a> {
    index: &'a Text,
    select: &'a Text,
    projection: &'a Text,
    older: &'a Option<Vec<CompactString>>,
    filter: &'a Text,
    older_filter: &'a Option<BTreeMap<CompactString, generated::Condition>>,
    names: &'a Option<BTreeMap<CompactString, CompactString>>,
    values: &'a Option<Item>,
    start: &'a Option<Item>,
}

impl Read<'_> {
    /// `dynamodb:Select`, which reads always have.
    fn select(&self) -> &str {
        let is_projected = self.projection.is_some() || self.older.is_some();
        match self.select.as_deref() {
            Some(select) => select,
            None if is_projected => "SPECIFIC_ATTRIBUTES",
            None if self.index.is_some() => "ALL_PROJECTED_ATTRIBUTES",
            None => "ALL_ATTRIBUTES",
        }
    }

    fn context(&self) -> Result<Context<'_>, ApiError> {
        Ok(Context::of(self.names.as_ref(), self.values.as_ref())?)
    }

    fn attributes(&self, target: &Target) -> Result<Attributes, ApiError> {
        let mut attributes = keys_read(target, self.index.as_deref());
        let mut context = self.context()?;
        self.start.iter().for_each(|key| attributes.add_item(key));
        self.older.iter().flatten().for_each(|name| attributes.add(name));
        let older_filter = self.older_filter.iter().flat_map(BTreeMap::keys);
        older_filter.for_each(|name| attributes.add(name));
        if let Some(text) = self.filter {
            attributes.add_condition(&Condition::parse(Parameter::Filter, text, &mut context)?);
        }
        if let Some(text) = self.projection {
            attributes.add_all(Projection::parse(text, &mut context)?.top_level_names());
        }
        Ok(attributes)
    }
}

impl Authorize for QueryInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
        let target = target.index(self.index_name.as_deref());
        let read = Read {
            index: &self.index_name,
            select: &self.select,
            projection: &self.projection_expression,
            older: &self.attributes_to_get,
            filter: &self.filter_expression,
            older_filter: &self.query_filter,
            names: &self.expression_attribute_names,
            values: &self.expression_attribute_values,
            start: &self.exclusive_start_key,
        };
        let key_condition = || match &self.key_condition_expression {
            Some(text) => Ok::<_, ApiError>(Some(KeyCondition::parse(text, &mut read.context()?)?)),
            None => Ok(None),
        };
        let leading = || self.leading(&target, key_condition()?);
        let attributes = || {
            let mut attributes = read.attributes(&target)?;
            let conditions = self.key_conditions.iter().flat_map(BTreeMap::keys);
            conditions.for_each(|name| attributes.add(name));
            if let Some(condition) = key_condition()? {
                attributes.add_all(condition.tests.iter().map(|test| &test.attribute));
            }
            Ok(attributes)
        };
        let facts = Facts {
            leading: Some(&leading),
            attributes: Some(&attributes),
            select: Some(read.select()),
            return_values: Some("NONE"),
            return_consumed_capacity: Some(self.return_consumed_capacity.as_deref().unwrap_or("NONE")),
            ..Facts::default()
        };
        gate.ask("dynamodb:Query", &target, &facts)
    }
}

impl QueryInput {
    /// The partition key that is asked for. What is no condition on the key leaves nothing: the operation refuses it.
    fn leading(&self, target: &Target, condition: Option<KeyCondition>) -> Result<Leading<'static>, ApiError> {
        let Some(schema) = schema(target, self.index_name.as_deref()) else {
            return Ok(Leading::default());
        };
        let partition: Vec<_> = schema.partition_attributes().map(KeyAttribute::name).collect();
        if let Some(condition) = condition {
            let sort: Vec<_> = schema.sort_attributes().map(KeyAttribute::name).collect();
            let resolved = condition.resolve(&partition, &sort);
            let values = resolved.as_ref().map_or(&[][..], |resolved| &resolved.partition);
            let mut leading = Leading::default();
            for (place, value) in values.iter().enumerate() {
                add_leading(&mut leading, place, Some(value));
            }
            return Ok(owned(leading));
        }
        let mut leading = Leading::default();
        for (place, name) in partition.iter().enumerate() {
            let condition = self
                .key_conditions
                .as_ref()
                .and_then(|conditions| conditions.get(*name));
            let equal = condition.filter(|condition| condition.comparison_operator.as_deref() == Some("EQ"));
            let values: &[AttributeValue] = equal
                .and_then(|condition| condition.attribute_value_list.as_deref())
                .unwrap_or_default();
            add_leading(&mut leading, place, values.first());
        }
        Ok(owned(leading))
    }
}

/// The keys of the table, or of its index.
pub(super) fn schema<'t>(target: &'t Target, index: Option<&str>) -> Option<&'t KeySchema> {
    let table = target.table.as_ref()?;
    match index {
        None => Some(table.keys()),
        Some(index) => table.index(index).ok().map(|index| &index.keys),
    }
}

/// The attributes of all keys that a read of several items goes by, and tells in its `LastEvaluatedKey`: the table's and, of an
/// index, the index's. Policies that name attributes must name these:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html>.
pub(super) fn keys_read(target: &Target, index: Option<&str>) -> Attributes {
    let mut attributes = Attributes::default();
    let of_table = schema(target, None);
    let of_index = index.and_then(|_| schema(target, index));
    for keys in of_table.into_iter().chain(of_index) {
        let all = keys.partition_attributes().chain(keys.sort_attributes());
        all.for_each(|attribute| attributes.add(attribute.name.as_str()));
    }
    attributes
}

impl Authorize for ScanInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
        let target = target.index(self.index_name.as_deref());
        let read = Read {
            index: &self.index_name,
            select: &self.select,
            projection: &self.projection_expression,
            older: &self.attributes_to_get,
            filter: &self.filter_expression,
            older_filter: &self.scan_filter,
            names: &self.expression_attribute_names,
            values: &self.expression_attribute_values,
            start: &self.exclusive_start_key,
        };
        let attributes = || read.attributes(&target);
        let facts = Facts {
            attributes: Some(&attributes),
            select: Some(read.select()),
            return_values: Some("NONE"),
            return_consumed_capacity: Some(self.return_consumed_capacity.as_deref().unwrap_or("NONE")),
            ..Facts::default()
        };
        gate.ask("dynamodb:Scan", &target, &facts)
    }
}

/// The reference does not have it yet; it goes by the index, as queries do.
impl Authorize for SearchVectorsInput {
    fn authorize<E: Engine>(&self, gate: &Gate<'_, E>) -> Result<(), ApiError> {
        let target = gate.table(self.table_name.as_deref().unwrap_or_default())?;
        gate.ask_plain("dynamodb:SearchVectors", &target.index(self.index_name.as_deref()))
    }
}
