use geodynamo_storage::Engine;
use geodynamo_table::{
    Description, NewIndex, UpdateTable,
    schema::Billing,
    throughput::{IndexUpdate, ReplicaUpdate, ThroughputUpdate},
};

use super::{
    control::{Attributes, billing, index_projection, index_throughput, refuse, stream},
    describe::{SETTINGS_REPLICATION, updated_table},
    throughput::{self, Of, on_demand, warm},
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
    refuse("VectorIndexUpdates", input.vector_index_updates.is_some())?;
    let master_key = api.wanted_key(input.sse_specification.as_ref())?;
    // What is so already is asked for: nothing changes, but something was asked for.
    let mode = input.global_table_settings_replication_mode.as_deref();
    let asks_for_what_is = mode == Some(SETTINGS_REPLICATION) || input.sse_specification.is_some();

    let name = &*api.table_name(&input.table_name)?;
    let current = api.tables.describe(name)?;
    let wanted = input.stream_specification.as_ref();
    let mut update = UpdateTable {
        billing: match (input.billing_mode.as_deref(), input.provisioned_throughput) {
            (None, None) => None,
            (None, Some(_)) if current.billing == Billing::OnDemand => {
                return Err(ApiError::invalid(
                    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
                ));
            }
            (Some("PROVISIONED"), None) => {
                return Err(ApiError::invalid(
                    "ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
                ));
            }
            (mode, throughput) => Some(billing(mode, throughput)?),
        },
        stream: wanted.map(|wanted| stream(wanted, false)).transpose()?,
        deletion_protection: input.deletion_protection_enabled,
        table_class: input.table_class.map(Into::into),
        disassociation_protection: input.disassociation_protection_enabled,
        settings_mode: mode
            .filter(|mode| *mode != SETTINGS_REPLICATION)
            .map(|mode| mode == "ENABLED"),
        master_key,
        ..UpdateTable::default()
    };
    let effective = update.billing.unwrap_or(current.billing);
    update.throughput = ThroughputUpdate {
        on_demand: on_demand(input.on_demand_throughput.as_ref(), Of::Table(effective))?,
        warm: warm(input.warm_throughput.as_ref())?,
        ..ThroughputUpdate::default()
    };
    let changes = input.global_secondary_index_updates.unwrap_or_default();
    // What the table has defined stays so: definitions are asked for new indexes' keys, and passed over otherwise.
    let adds = changes.iter().any(|change| change.create.is_some());
    let mut attributes = Attributes::new(input.attribute_definitions.filter(|_| adds))?;
    for change in changes {
        index_update(change, &current, effective, &mut attributes, &mut update)?;
    }
    let replica_updates = input.replica_updates.unwrap_or_default();
    if replica_updates.len() > 1 && replica_updates.iter().any(|change| change.disassociate.is_some()) {
        return Err(ApiError::disassociation_with_others());
    }
    for change in replica_updates {
        replica_update(api, change, &mut update)?;
    }
    let alone = UpdateTable {
        disassociation_protection: update.disassociation_protection,
        ..UpdateTable::default()
    };
    if update.disassociation_protection.is_some() && (update != alone || asks_for_what_is) {
        return Err(ApiError::invalid(
            "DisassociationProtectionEnabled cannot be combined with any other change in the same UpdateTable request",
        ));
    }
    let consistency = input.multi_region_consistency.is_some();
    if update == UpdateTable::default() && !asks_for_what_is {
        return Err(ApiError::nothing_to_update(consistency));
    }
    if consistency && update.replica_creates.is_empty() {
        return Err(ApiError::consistency_without_replica());
    }
    check_changes(&current, &update)?;
    let asked = update.throughput.clone();
    let mut description = api.tables.catalog().update_table(name, update).await?;
    api.note_encryption(name, input.sse_specification.as_ref());
    if api.habits.at_once {
        api.await_settled(api.tables.table_named(name)?.id()).await;
        description = api.tables.describe(name)?;
    }
    Ok(UpdateTableOutput {
        table_description: Some(updated_table(api, description, &asked)),
    })
}

/// Provisioned throughput that is asked for must differ from what there is.
fn check_changes(current: &Description, update: &UpdateTable) -> Result<(), ApiError> {
    if let (Some(Billing::Provisioned(wanted)), Billing::Provisioned(units)) = (update.billing, current.billing)
        && wanted == units
        && update.throughput.indexes.is_empty()
    {
        return Err(ApiError::same_throughput(None, units));
    }
    for (name, wanted) in &update.throughput.indexes {
        let there = current
            .global_indexes
            .iter()
            .find(|index| index.definition.name == *name);
        let units = there.and_then(|index| index.definition.throughput);
        let only = wanted.on_demand.is_none() && wanted.warm.is_none() && update.billing.is_none();
        if let (Some(units), Some(wanted), true) = (units, wanted.provisioned, only)
            && wanted == units
        {
            return Err(ApiError::same_throughput(Some(name), units));
        }
    }
    Ok(())
}

fn index_update(
    change: GlobalSecondaryIndexUpdate,
    table: &Description,
    billing: Billing,
    attributes: &mut Attributes,
    update: &mut UpdateTable,
) -> Result<(), ApiError> {
    let name = match (change.create, change.update, change.delete) {
        (Some(create), None, None) => {
            let name: String = create.index_name.unwrap_or_default().into();
            let (on_demand, warm) = (create.on_demand_throughput.as_ref(), create.warm_throughput.as_ref());
            let more = throughput::index(on_demand, warm, Of::Index(&name, billing))?;
            let throughput = index_throughput(&name, billing, create.provisioned_throughput.as_ref())?;
            let index = NewIndex {
                name: name.clone(),
                keys: attributes.added_index_keys(create.key_schema, &name, table)?,
                projection: index_projection(create.projection)?,
                throughput,
            };
            update.index_creates.push(index);
            if more != IndexUpdate::default() {
                update.throughput.indexes.push((name.clone(), more));
            }
            name
        }
        (None, Some(action), None) => {
            let name: String = action.index_name.unwrap_or_default().into();
            let (on_demand, warm) = (action.on_demand_throughput.as_ref(), action.warm_throughput.as_ref());
            let mut change = throughput::index(on_demand, warm, Of::Index(&name, billing))?;
            // On demand there is nothing to provision, and nothing else need be given.
            if action.provisioned_throughput.is_some() || change == IndexUpdate::default() {
                change.provisioned = index_throughput(&name, billing, action.provisioned_throughput.as_ref())?;
            }
            update.throughput.indexes.push((name.clone(), change));
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
    let changed = update.throughput.indexes.iter().map(|(name, _)| name);
    let changed = changed.filter(|changed| !update.index_creates.iter().any(|index| index.name == **changed));
    let named = created.chain(changed).chain(&update.index_deletes);
    if named.filter(|other| **other == name).count() > 1 {
        return Err(ApiError::index_updated_twice(&name));
    }
    Ok(())
}

fn replica_update<E: Engine>(
    api: &Api<E>,
    change: ReplicationGroupUpdate,
    update: &mut UpdateTable,
) -> Result<(), ApiError> {
    let local = api.tables.region();
    let has_keys = api.tables.sealing().has_master_keys();
    if let Some(disassociate) = change.disassociate {
        if change.create.is_some() || change.update.is_some() || change.delete.is_some() {
            return Err(ApiError::disassociation_with_others());
        }
        if disassociate.region_name.as_deref() != Some(local) {
            return Err(ApiError::invalid(format!(
                "A replica can only be disassociated by a request to its own region: {local}"
            )));
        }
        update.disassociate = true;
        return Ok(());
    }
    let region: String = match (change.create, change.update, change.delete) {
        (Some(create), None, None) => {
            refuse("KMSMasterKeyId", !has_keys && create.kms_master_key_id.is_some())?;
            let region: String = create.region_name.unwrap_or_default().into();
            let key = create.kms_master_key_id.map(|key| (region.clone(), key.into()));
            update.replica_keys.extend(key);
            let own = throughput::replica(
                create.provisioned_throughput_override.as_ref(),
                create.on_demand_throughput_override.as_ref(),
                create.global_secondary_indexes,
                create.table_class_override,
            )?;
            update.replica_creates.push(region.clone());
            if own != ReplicaUpdate::default() {
                update.replica_updates.push((region.clone(), own));
            }
            region
        }
        (None, Some(action), None) => {
            refuse("KMSMasterKeyId", !has_keys && action.kms_master_key_id.is_some())?;
            let region: String = action.region_name.unwrap_or_default().into();
            let key = action.kms_master_key_id.map(|key| (region.clone(), key.into()));
            let changes_key = key.is_some();
            update.replica_keys.extend(key);
            let own = throughput::replica(
                action.provisioned_throughput_override.as_ref(),
                action.on_demand_throughput_override.as_ref(),
                action.global_secondary_indexes,
                action.table_class_override,
            )?;
            if own == ReplicaUpdate::default() && !changes_key {
                return Err(ApiError::replica_update_of_nothing());
            }
            if own != ReplicaUpdate::default() {
                update.replica_updates.push((region.clone(), own));
            }
            region
        }
        (None, None, Some(delete)) => {
            let region: String = delete.region_name.unwrap_or_default().into();
            update.replica_deletes.push(region.clone());
            region
        }
        _ => return Err(ApiError::replica_update_of_no_kind()),
    };
    if region == local {
        return Err(ApiError::replica_update_of_local_region());
    }
    let created = |changed: &&String| update.replica_creates.contains(changed);
    let changed = update.replica_updates.iter().map(|(region, _)| region);
    let changed = changed.filter(|changed| !created(changed));
    let named = update
        .replica_creates
        .iter()
        .chain(&update.replica_deletes)
        .chain(changed);
    if named.filter(|other| **other == region).count() > 1 {
        return Err(ApiError::invalid(format!(
            "Duplicate region in ReplicaUpdates: {region}"
        )));
    }
    Ok(())
}
