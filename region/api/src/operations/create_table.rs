use geodynamo_storage::Engine;
use geodynamo_table::{
    CreateTable, GLOBAL_INDEXES_MAX, NON_KEY_ATTRIBUTES_MAX, NewIndex,
    schema::{Billing, KeySchema},
    throughput::{IndexUpdate, ThroughputUpdate},
};

use super::{
    control::{
        Attributes, KeysOf, LOCAL_INDEXES_MAX, billing, index_projection, index_throughput, listed, refuse,
        refuse_settings_mode, stream, tags,
    },
    describe::created_table,
    resource_policy,
    throughput::{self, Of, on_demand, warm},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{CreateTableInput, CreateTableOutput, GlobalSecondaryIndex, LocalSecondaryIndex},
};

/// Makes a table in this region.
pub(super) async fn create_table<E: Engine>(
    api: &Api<E>,
    input: CreateTableInput,
) -> Result<CreateTableOutput, ApiError> {
    let encryption = input.sse_specification.clone();
    let warmed = input.warm_throughput.is_some();
    let create = definition(api, input)?;
    let warm = create
        .throughput
        .indexes
        .iter()
        .filter(|(_, update)| update.warm.is_some());
    let indexes_warmed: Vec<_> = warm.map(|(name, _)| name.clone()).collect();
    let description = api.tables.catalog().create_table(create).await?;
    api.note_encryption(&description.name, encryption.as_ref());
    Ok(CreateTableOutput {
        table_description: Some(created_table(api, description, warmed, &indexes_warmed)),
    })
}

/// What a table is to be, checked.
pub(super) fn definition<E: Engine>(api: &Api<E>, input: CreateTableInput) -> Result<CreateTable, ApiError> {
    refuse("GlobalTableSourceArn", input.global_table_source_arn.is_some())?;
    refuse_settings_mode(input.global_table_settings_replication_mode.as_deref())?;
    refuse("VectorIndexes", input.vector_indexes.is_some())?;
    let master_key = api.wanted_key(input.sse_specification.as_ref())?.flatten();
    check_schema_is_given(&input)?;

    let name = api.table_name(&input.table_name)?.into_owned();
    let billing = billing(input.billing_mode.as_deref(), input.provisioned_throughput)?;
    let mut attributes = Attributes::new(input.attribute_definitions)?;
    let indexes = input.local_secondary_indexes.as_ref().map_or(0, Vec::len)
        + input.global_secondary_indexes.as_ref().map_or(0, Vec::len);
    let keys = attributes.table_keys(input.key_schema, indexes)?;
    let local = local_indexes(input.local_secondary_indexes, &keys, &mut attributes)?;
    let mut throughput = ThroughputUpdate {
        on_demand: on_demand(input.on_demand_throughput.as_ref(), Of::NewTable(billing))?,
        warm: warm(input.warm_throughput.as_ref())?,
        ..ThroughputUpdate::default()
    };
    let global = global_indexes(
        input.global_secondary_indexes,
        billing,
        &mut attributes,
        &mut throughput,
    )?;
    attributes.check_all_used()?;
    check_indexes(&local, &global)?;
    let wanted = input.stream_specification.as_ref();
    let stream = wanted.map(|wanted| stream(wanted, true)).transpose()?.flatten();
    let resource_policy = input.resource_policy.map(String::from);
    let checked = resource_policy.map(|text| resource_policy::check(api, text));
    let resource_policy = checked.transpose()?.map(|(_, policy)| policy);
    Ok(CreateTable {
        name,
        keys,
        local_indexes: local,
        global_indexes: global,
        billing,
        throughput,
        stream,
        deletion_protection: input.deletion_protection_enabled.unwrap_or(false),
        table_class: input.table_class.map(Into::into),
        tags: tags(input.tags.unwrap_or_default())?,
        resource_policy,
        master_key,
    })
}

/// The model lets a table's keys be left out since they can come from another account's table.
fn check_schema_is_given(input: &CreateTableInput) -> Result<(), ApiError> {
    let mut missing = Vec::new();
    missing.extend(input.attribute_definitions.is_none().then_some("attributeDefinitions"));
    missing.extend(input.key_schema.is_none().then_some("keySchema"));
    if missing.is_empty() {
        return Ok(());
    }
    Err(ApiError::members_missing(&missing))
}

fn local_indexes(
    indexes: Option<Vec<LocalSecondaryIndex>>,
    keys: &KeySchema,
    attributes: &mut Attributes,
) -> Result<Vec<NewIndex>, ApiError> {
    let Some(indexes) = indexes else { return Ok(Vec::new()) };
    if indexes.is_empty() {
        return Err(ApiError::invalid("List of LocalSecondaryIndexes is empty"));
    }
    if keys.sort.is_none() {
        return Err(ApiError::invalid(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ));
    }
    let index = |index: LocalSecondaryIndex| {
        let name = index.index_name.unwrap_or_default();
        let own = attributes.index_keys(index.key_schema, KeysOf::LocalIndex)?;
        if own.sort.is_none() {
            return Err(ApiError::invalid(format!(
                "Index KeySchema does not have a range key for index: {name}"
            )));
        }
        if own.partition.name != keys.partition.name {
            return Err(ApiError::invalid(format!(
                "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. index hash \
                 key: {}, table hash key: {}",
                own.partition.name, keys.partition.name
            )));
        }
        let projection = index_projection(index.projection)?;
        Ok(NewIndex {
            name: name.into(),
            keys: own,
            projection,
            throughput: None,
        })
    };
    indexes.into_iter().map(index).collect()
}

fn global_indexes(
    indexes: Option<Vec<GlobalSecondaryIndex>>,
    billing: Billing,
    attributes: &mut Attributes,
    more: &mut ThroughputUpdate,
) -> Result<Vec<NewIndex>, ApiError> {
    let Some(indexes) = indexes else { return Ok(Vec::new()) };
    if indexes.is_empty() {
        return Err(ApiError::invalid("List of GlobalSecondaryIndexes is empty"));
    }
    let index = |index: GlobalSecondaryIndex| {
        let name = index.index_name.unwrap_or_default();
        let of = Of::IndexOfNewTable(&name, billing);
        let update = throughput::index(index.on_demand_throughput.as_ref(), index.warm_throughput.as_ref(), of)?;
        if update != IndexUpdate::default() {
            more.indexes.push((name.clone().into(), update));
        }
        let throughput = index_throughput(&name, billing, index.provisioned_throughput.as_ref())?;
        let keys = attributes.index_keys(index.key_schema, KeysOf::GlobalIndex)?;
        let projection = index_projection(index.projection)?;
        Ok(NewIndex {
            name: name.into(),
            keys,
            projection,
            throughput,
        })
    };
    indexes.into_iter().map(index).collect()
}

fn check_indexes(local: &[NewIndex], global: &[NewIndex]) -> Result<(), ApiError> {
    if local.len() > LOCAL_INDEXES_MAX {
        return Err(ApiError::invalid(format!(
            "Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_INDEXES_MAX}"
        )));
    }
    if global.len() > GLOBAL_INDEXES_MAX {
        return Err(ApiError::invalid(format!(
            "GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"
        )));
    }
    let mut names: Vec<&str> = local.iter().chain(global).map(|index| index.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ApiError::invalid(format!("Duplicate index name: {}", twice[0])));
    }
    if local.iter().chain(global).map(listed).sum::<usize>() > NON_KEY_ATTRIBUTES_MAX {
        return Err(ApiError::invalid(format!(
            "Number of NonKeyAttributes in all indexes exceeds the limit of {NON_KEY_ATTRIBUTES_MAX}"
        )));
    }
    Ok(())
}
