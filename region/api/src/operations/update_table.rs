use geodynamo_storage::Engine;
use geodynamo_table::{NewIndex, UpdateTable, schema::Billing};

use super::{
    control::{Attributes, billing, index_projection, index_throughput, refuse, stream},
    describe::table_description,
    names::table_name,
};
use crate::{
    Api,
    errors::ApiError,
    generated::{GlobalSecondaryIndexUpdate, ReplicationGroupUpdate, UpdateTableInput, UpdateTableOutput},
};

/// Changes a table's settings, or the regions it is in.
pub(super) async fn update_table<E: Engine>(
    api: &Api<E>,
    input: UpdateTableInput,
) -> Result<UpdateTableOutput, ApiError> {
    refuse(
        "GlobalTableWitnessUpdates",
        input.global_table_witness_updates.is_some(),
    )?;
    refuse(
        "MultiRegionConsistency STRONG",
        input.multi_region_consistency.as_deref() == Some("STRONG"),
    )?;
    refuse(
        "GlobalTableSettingsReplicationMode",
        input.global_table_settings_replication_mode.is_some(),
    )?;
    refuse(
        "DisassociationProtectionEnabled",
        input.disassociation_protection_enabled.is_some(),
    )?;
    refuse("VectorIndexUpdates", input.vector_index_updates.is_some())?;
    refuse("OnDemandThroughput", input.on_demand_throughput.is_some())?;
    refuse("WarmThroughput", input.warm_throughput.is_some())?;
    let encryption = input
        .sse_specification
        .as_ref()
        .is_some_and(|sse| sse.enabled == Some(true));
    refuse("SSESpecification", encryption)?;

    let name = table_name(&input.table_name)?;
    let current = api.tables.describe(name)?;
    let mut update = UpdateTable {
        billing: match (input.billing_mode.as_deref(), input.provisioned_throughput) {
            (None, None) => None,
            (None, Some(_)) if current.billing == Billing::OnDemand => {
                return Err(ApiError::invalid(
                    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
                ));
            }
            (mode, throughput) => Some(billing(mode, throughput)?),
        },
        stream: input.stream_specification.as_ref().map(stream).transpose()?,
        deletion_protection: input.deletion_protection_enabled,
        table_class: input.table_class.map(Into::into),
        ..UpdateTable::default()
    };
    let effective = update.billing.unwrap_or(current.billing);
    let mut attributes = Attributes::new(input.attribute_definitions)?.join(&current)?;
    for change in input.global_secondary_index_updates.unwrap_or_default() {
        index_update(change, effective, &mut attributes, &mut update)?;
    }
    attributes.check_all_used()?;
    for change in input.replica_updates.unwrap_or_default() {
        replica_update(change, &mut update)?;
    }
    if update == UpdateTable::default() {
        return Err(ApiError::nothing_to_update());
    }
    let same = |billing: &Billing| matches!(billing, Billing::Provisioned(_)) && *billing == current.billing;
    if update.billing.as_ref().is_some_and(same) && update.index_throughput.is_empty() {
        return Err(ApiError::same_throughput(name));
    }
    let description = api.tables.update_table(name, update).await?;
    Ok(UpdateTableOutput {
        table_description: Some(table_description(api, description)),
    })
}

fn index_update(
    change: GlobalSecondaryIndexUpdate,
    billing: Billing,
    attributes: &mut Attributes,
    update: &mut UpdateTable,
) -> Result<(), ApiError> {
    let name = match (change.create, change.update, change.delete) {
        (Some(create), None, None) => {
            refuse("OnDemandThroughput", create.on_demand_throughput.is_some())?;
            refuse("WarmThroughput", create.warm_throughput.is_some())?;
            let name: String = create.index_name.unwrap_or_default().into();
            let throughput = index_throughput(&name, billing, create.provisioned_throughput.as_ref())?;
            let index = NewIndex {
                name: name.clone(),
                keys: attributes.key_schema(create.key_schema)?,
                projection: index_projection(create.projection)?,
                throughput,
            };
            update.index_creates.push(index);
            name
        }
        (None, Some(action), None) => {
            refuse("OnDemandThroughput", action.on_demand_throughput.is_some())?;
            refuse("WarmThroughput", action.warm_throughput.is_some())?;
            let name: String = action.index_name.unwrap_or_default().into();
            let throughput = index_throughput(&name, billing, action.provisioned_throughput.as_ref())?;
            update
                .index_throughput
                .extend(throughput.map(|throughput| (name.clone(), throughput)));
            name
        }
        (None, None, Some(delete)) => {
            let name: String = delete.index_name.unwrap_or_default().into();
            update.index_deletes.push(name.clone());
            name
        }
        _ => return Err(ApiError::index_update_of_no_kind()),
    };
    let created = update.index_creates.iter().map(|index| &index.name);
    let changed = update.index_throughput.iter().map(|(name, _)| name);
    let named = created.chain(changed).chain(&update.index_deletes);
    if named.filter(|other| **other == name).count() > 1 {
        return Err(ApiError::index_updated_twice(&name));
    }
    Ok(())
}

fn replica_update(change: ReplicationGroupUpdate, update: &mut UpdateTable) -> Result<(), ApiError> {
    refuse("ReplicaUpdates Update", change.update.is_some())?;
    refuse("ReplicaUpdates Disassociate", change.disassociate.is_some())?;
    let (list, region) = match (change.create, change.delete) {
        (Some(create), None) => {
            refuse("KMSMasterKeyId", create.kms_master_key_id.is_some())?;
            refuse(
                "ProvisionedThroughputOverride",
                create.provisioned_throughput_override.is_some(),
            )?;
            refuse(
                "OnDemandThroughputOverride",
                create.on_demand_throughput_override.is_some(),
            )?;
            refuse(
                "GlobalSecondaryIndexes of a replica",
                create.global_secondary_indexes.is_some(),
            )?;
            refuse("TableClassOverride", create.table_class_override.is_some())?;
            (&mut update.replica_creates, create.region_name)
        }
        (None, Some(delete)) => (&mut update.replica_deletes, delete.region_name),
        _ => return Err(ApiError::replica_update_of_no_kind()),
    };
    let region: String = region.unwrap_or_default().into();
    if list.contains(&region) {
        return Err(ApiError::invalid(format!(
            "Duplicate region in ReplicaUpdates: {region}"
        )));
    }
    list.push(region);
    Ok(())
}
