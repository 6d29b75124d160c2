//! DescribeTableReplicaAutoScaling and UpdateTableReplicaAutoScaling.

use std::collections::BTreeSet;

use geodynamo_storage::Engine;
use geodynamo_table::{Description, IndexDescription, given_name, schema::ReplicaStatus};

use super::Answer;
use crate::{
    Api,
    errors::ApiError,
    generated::{
        AutoScalingPolicyDescription, AutoScalingSettingsDescription, AutoScalingSettingsUpdate,
        AutoScalingTargetTrackingScalingPolicyConfigurationDescription, DescribeTableReplicaAutoScalingInput,
        DescribeTableReplicaAutoScalingOutput, ReplicaAutoScalingDescription,
        ReplicaGlobalSecondaryIndexAutoScalingDescription, TableAutoScalingDescription,
        UpdateTableReplicaAutoScalingInput, UpdateTableReplicaAutoScalingOutput,
    },
    scaling::{PolicyChange, Setting, SettingChange, SettingOf},
    wire::encode,
};

/// How the replicas of a global table are scaled.
pub(super) fn describe<E: Engine>(api: &Api<E>, input: &DescribeTableReplicaAutoScalingInput) -> Answer {
    let table = api.tables.describe(&api.table_name(&input.table_name)?)?;
    Ok(encode(&DescribeTableReplicaAutoScalingOutput {
        table_auto_scaling_description: Some(description(api, &table)),
    }))
}

/// Changes how the replicas of a global table are scaled.
pub(super) async fn update<E: Engine>(api: &Api<E>, input: UpdateTableReplicaAutoScalingInput) -> Answer {
    let Some(scaling) = &api.scaling else {
        return Err(ApiError::not_offered("UpdateTableReplicaAutoScaling"));
    };
    let name = api.table_name(&input.table_name)?.into_owned();
    let table = api.tables.describe(&name)?;
    if table.replicas.is_empty() {
        return Err(ApiError::invalid(format!(
            "Table is not a global table: {}",
            given_name(&name)
        )));
    }
    let regions: BTreeSet<String> = [api.tables.region().to_owned()]
        .into_iter()
        .chain(table.replicas.iter().map(|replica| replica.region.clone()))
        .collect();
    let known = |index: &str| {
        let there = table.global_indexes.iter().any(|known| known.definition.name == index);
        if there { Ok(()) } else { Err(ApiError::no_index(index)) }
    };
    let mut changes = Vec::new();
    let mut add = |region: &str, index: Option<&str>, write: bool, update: AutoScalingSettingsUpdate| {
        let of = SettingOf {
            region: region.to_owned(),
            table: name.clone(),
            index: index.map(str::to_owned),
            write,
        };
        changes.push((of, change(update)));
    };
    // Write capacity is one setting of all regions: so is how it is scaled.
    if let Some(update) = input.provisioned_write_capacity_auto_scaling_update {
        regions
            .iter()
            .for_each(|region| add(region, None, true, update.clone()));
    }
    for of in input.global_secondary_index_updates.unwrap_or_default() {
        let index = of.index_name.unwrap_or_default();
        known(&index)?;
        if let Some(update) = of.provisioned_write_capacity_auto_scaling_update {
            regions
                .iter()
                .for_each(|region| add(region, Some(&index), true, update.clone()));
        }
    }
    for of in input.replica_updates.unwrap_or_default() {
        let region = of.region_name.unwrap_or_default();
        if !regions.contains(region.as_str()) {
            return Err(ApiError::from(geodynamo_table::TableError::no_replica(&region)));
        }
        if let Some(update) = of.replica_provisioned_read_capacity_auto_scaling_update {
            add(&region, None, false, update);
        }
        for of in of.replica_global_secondary_index_updates.unwrap_or_default() {
            let index = of.index_name.unwrap_or_default();
            known(&index)?;
            if let Some(update) = of.provisioned_read_capacity_auto_scaling_update {
                add(&region, Some(&index), false, update);
            }
        }
    }
    if changes.is_empty() {
        return Err(ApiError::invalid(
            "At least one of ProvisionedWriteCapacityAutoScalingUpdate, GlobalSecondaryIndexUpdates or ReplicaUpdates is required",
        ));
    }
    scaling.change(changes).await.map_err(ApiError::invalid)?;
    Ok(encode(&UpdateTableReplicaAutoScalingOutput {
        table_auto_scaling_description: Some(description(api, &table)),
    }))
}

fn change(update: AutoScalingSettingsUpdate) -> SettingChange {
    let units = |given: Option<i64>| given.and_then(|units| u64::try_from(units).ok());
    let policy = update.scaling_policy_update.map(|policy| {
        let tracked = policy.target_tracking_scaling_policy_configuration.unwrap_or_default();
        let seconds = |given: Option<i32>| given.and_then(|seconds| u32::try_from(seconds).ok());
        PolicyChange {
            name: policy.policy_name.map(Into::into),
            percent: tracked.target_value.unwrap_or_default(),
            disable_scale_in: tracked.disable_scale_in,
            in_cooldown: seconds(tracked.scale_in_cooldown),
            out_cooldown: seconds(tracked.scale_out_cooldown),
        }
    });
    SettingChange {
        disabled: update.auto_scaling_disabled == Some(true),
        min: units(update.minimum_units),
        max: units(update.maximum_units),
        role: update.auto_scaling_role_arn.map(Into::into),
        policy,
    }
}

fn description<E: Engine>(api: &Api<E>, table: &Description) -> TableAutoScalingDescription {
    let replicas = if table.replicas.is_empty() {
        Vec::new()
    } else {
        let mut replicas = vec![replica(api, api.tables.region(), ReplicaStatus::Active, table)];
        let others = table.replicas.iter();
        replicas.extend(others.map(|other| replica(api, &other.region, other.entry.status, table)));
        replicas
    };
    TableAutoScalingDescription {
        table_name: Some(given_name(&table.name).into()),
        table_status: Some(table.status.code().into()),
        replicas: Some(replicas),
    }
}

fn replica<E: Engine>(
    api: &Api<E>,
    region: &str,
    status: ReplicaStatus,
    table: &Description,
) -> ReplicaAutoScalingDescription {
    let setting = |index: Option<&str>, write: bool| {
        let of = SettingOf {
            region: region.to_owned(),
            table: table.name.clone(),
            index: index.map(str::to_owned),
            write,
        };
        Some(settings(api.scaling.as_ref().and_then(|scaling| scaling.setting(&of))))
    };
    let index = |index: &IndexDescription| {
        let name = index.definition.name.as_str();
        ReplicaGlobalSecondaryIndexAutoScalingDescription {
            index_name: Some(name.into()),
            index_status: Some(index.status.code().into()),
            provisioned_read_capacity_auto_scaling_settings: setting(Some(name), false),
            provisioned_write_capacity_auto_scaling_settings: setting(Some(name), true),
        }
    };
    ReplicaAutoScalingDescription {
        region_name: Some(region.into()),
        global_secondary_indexes: Some(table.global_indexes.iter().map(index).collect()),
        replica_provisioned_read_capacity_auto_scaling_settings: setting(None, false),
        replica_provisioned_write_capacity_auto_scaling_settings: setting(None, true),
        replica_status: Some(status.code().into()),
    }
}

fn settings(setting: Option<Setting>) -> AutoScalingSettingsDescription {
    let Some(setting) = setting else {
        return AutoScalingSettingsDescription {
            auto_scaling_disabled: Some(true),
            ..AutoScalingSettingsDescription::default()
        };
    };
    let units = |units: u64| i64::try_from(units).ok();
    let seconds = |seconds: Option<u32>| seconds.and_then(|seconds| i32::try_from(seconds).ok());
    let policy = setting.policy.map(|policy| AutoScalingPolicyDescription {
        policy_name: policy.name.map(Into::into),
        target_tracking_scaling_policy_configuration: Some(
            AutoScalingTargetTrackingScalingPolicyConfigurationDescription {
                disable_scale_in: policy.disable_scale_in,
                scale_in_cooldown: seconds(policy.in_cooldown),
                scale_out_cooldown: seconds(policy.out_cooldown),
                target_value: Some(policy.percent),
            },
        ),
    });
    AutoScalingSettingsDescription {
        minimum_units: units(setting.min),
        maximum_units: units(setting.max),
        auto_scaling_disabled: Some(false),
        auto_scaling_role_arn: Some(setting.role.into()),
        scaling_policies: Some(policy.into_iter().collect()),
    }
}
