//! What both restores have in common: what is overridden of the source's settings.

use geodynamo_table::{
    CreateTable, NewIndex,
    schema::{Billing, KeyAttribute, KeySchema},
};

use super::{
    control::{billing, index_projection, index_throughput, refuse, units},
    throughput::{Of, on_demand},
};
use crate::{errors::ApiError, generated};

/// The members of both restores that override something.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) billing_mode: Option<compact_str::CompactString>,
    pub(super) global: Option<Vec<generated::GlobalSecondaryIndex>>,
    pub(super) local: Option<Vec<generated::LocalSecondaryIndex>>,
    pub(super) provisioned: Option<generated::ProvisionedThroughput>,
    pub(super) on_demand: Option<generated::OnDemandThroughput>,
    pub(super) vector: bool,
}

impl Overrides {
    /// Overrides what the source would be restored as.
    pub(super) fn apply(self, create: &mut CreateTable) -> Result<(), ApiError> {
        refuse("VectorIndexOverride", self.vector)?;
        let switched = self.apply_billing(create)?;
        if let Some(global) = self.global {
            let kept = global.into_iter().map(|index| kept_global(create, index));
            create.global_indexes = kept.collect::<Result<_, _>>()?;
        } else if switched
            && let (Billing::Provisioned(_), Some(index)) = (create.billing, create.global_indexes.first())
        {
            index_throughput(&index.name, create.billing, None)?;
        }
        if let Some(local) = self.local {
            let kept = local.into_iter().map(|index| kept_local(create, index));
            create.local_indexes = kept.collect::<Result<_, _>>()?;
        }
        let there = |name: &String| create.global_indexes.iter().any(|index| index.name == *name);
        create.throughput.indexes.retain(|(name, _)| there(name));
        if let Some(given) = on_demand(self.on_demand.as_ref(), Of::NewTable(create.billing))? {
            create.throughput.on_demand = Some(given);
        }
        Ok(())
    }

    /// Overrides how the table is billed; gives whether that is another mode now.
    fn apply_billing(&self, create: &mut CreateTable) -> Result<bool, ApiError> {
        let before = create.billing;
        create.billing = match (self.billing_mode.as_deref(), &self.provisioned, before) {
            (None, None, before) => before,
            (None, Some(_), Billing::OnDemand) => billing(Some("PAY_PER_REQUEST"), self.provisioned.clone())?,
            (Some("PROVISIONED"), None, Billing::Provisioned(units)) => Billing::Provisioned(units),
            (None, Some(given), Billing::Provisioned(_)) => Billing::Provisioned(units(given)),
            (mode, given, _) => billing(mode, given.clone())?,
        };
        let switched = matches!(before, Billing::OnDemand) != matches!(create.billing, Billing::OnDemand);
        if create.billing == Billing::OnDemand {
            create
                .global_indexes
                .iter_mut()
                .for_each(|index| index.throughput = None);
        } else if switched {
            create.throughput.on_demand = None;
            create.throughput.indexes.clear();
        }
        Ok(switched)
    }
}

/// A time of a request in milliseconds since the Unix epoch.
pub(super) fn millis(seconds: f64) -> u64 {
    // Saturates: what is before the epoch is at it, and what is no number, too.
    (seconds * 1000.0).round() as u64
}

fn kept_global(create: &CreateTable, given: generated::GlobalSecondaryIndex) -> Result<NewIndex, ApiError> {
    let name = given.index_name.unwrap_or_default();
    if given.warm_throughput.is_some() {
        return Err(ApiError::invalid(format!(
            "WarmThroughput must not be specified in GlobalSecondaryIndexOverride for index: {name}"
        )));
    }
    let source = source(&create.global_indexes, &name)?;
    check_same(source, given.key_schema, given.projection)?;
    let throughput = match (given.provisioned_throughput, create.billing) {
        (None, Billing::Provisioned(_)) if source.throughput.is_some() => source.throughput,
        (given, billing) => index_throughput(&name, billing, given.as_ref())?,
    };
    Ok(NewIndex {
        throughput,
        ..source.clone()
    })
}

fn kept_local(create: &CreateTable, given: generated::LocalSecondaryIndex) -> Result<NewIndex, ApiError> {
    let name = given.index_name.unwrap_or_default();
    let source = source(&create.local_indexes, &name)?;
    check_same(source, given.key_schema, given.projection)?;
    Ok(source.clone())
}

/// The source's index of a name: no other can be restored.
fn source<'a>(indexes: &'a [NewIndex], name: &str) -> Result<&'a NewIndex, ApiError> {
    let found = indexes.iter().find(|index| index.name == name);
    found.ok_or_else(|| ApiError::invalid(format!("The source table does not have the index: {name}")))
}

/// What is said of an index must be what it is.
fn check_same(
    source: &NewIndex,
    keys: Option<Vec<generated::KeySchemaElement>>,
    projection: Option<generated::Projection>,
) -> Result<(), ApiError> {
    let name = &source.name;
    if !keys.is_none_or(|keys| is_schema(&source.keys, &keys)) {
        return Err(ApiError::invalid(format!(
            "KeySchema is not the source table's for index: {name}"
        )));
    }
    if projection.is_some() && index_projection(projection)? != source.projection {
        return Err(ApiError::invalid(format!(
            "Projection is not the source table's for index: {name}"
        )));
    }
    Ok(())
}

fn is_schema(keys: &KeySchema, given: &[generated::KeySchemaElement]) -> bool {
    let same = |((key, partition), given): ((&KeyAttribute, bool), &generated::KeySchemaElement)| {
        given.attribute_name.as_deref() == Some(key.name.as_str())
            && given.key_type.as_deref() == Some(if partition { "HASH" } else { "RANGE" })
    };
    keys.roles().count() == given.len() && keys.roles().zip(given).all(same)
}
