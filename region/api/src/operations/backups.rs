//! What the operations on backups have in common: who keeps them, and how replies show them.

use geodynamo_storage::Engine;
use geodynamo_table::{
    given_name,
    recovery::{Backup, ContinuousBackups, Recovery, TableSettings},
    schema::{Billing, IndexDefinition, Throughput},
    throughput::OnDemandLimits,
};

use super::describe::{count, key_schema, projection, seconds, uuid};
use crate::{Api, errors::ApiError, generated};

impl<E: Engine> Api<E> {
    /// Whoever keeps backups.
    pub(super) fn recovery(&self) -> Result<&dyn Recovery, ApiError> {
        self.recovery.as_deref().ok_or_else(ApiError::no_archive)
    }
}

/// `ContinuousBackupsDescription`: `ContinuousBackupsStatus` is ENABLED for every table, as in DynamoDB.
pub(super) fn continuous(backups: ContinuousBackups) -> generated::ContinuousBackupsDescription {
    let status = if backups.enabled { "ENABLED" } else { "DISABLED" };
    generated::ContinuousBackupsDescription {
        continuous_backups_status: Some("ENABLED".into()),
        point_in_time_recovery_description: Some(generated::PointInTimeRecoveryDescription {
            point_in_time_recovery_status: Some(status.into()),
            recovery_period_in_days: backups.period_days.and_then(|days| i32::try_from(days).ok()),
            earliest_restorable_date_time: backups.window.map(|(first, _)| seconds(first)),
            latest_restorable_date_time: backups.window.map(|(_, last)| seconds(last)),
        }),
    }
}

/// `BackupDetails`
pub(super) fn details(backup: &Backup) -> generated::BackupDetails {
    generated::BackupDetails {
        backup_arn: Some(backup.arn.as_str().into()),
        backup_name: Some(backup.name.as_str().into()),
        backup_size_bytes: Some(count(backup.bytes)),
        backup_status: Some(backup.state.code().into()),
        backup_type: Some(backup.kind.code().into()),
        backup_creation_date_time: Some(seconds(backup.created_ms)),
        backup_expiry_date_time: backup.expires_ms.map(seconds),
    }
}

/// `BackupSummary`
pub(super) fn summary<E: Engine>(api: &Api<E>, backup: &Backup) -> generated::BackupSummary {
    let table = &backup.settings;
    generated::BackupSummary {
        table_name: Some(given_name(&table.name).into()),
        table_id: Some(uuid(table.uuid)),
        table_arn: Some(api.tables.local().table_arn(&table.name).into()),
        backup_arn: Some(backup.arn.as_str().into()),
        backup_name: Some(backup.name.as_str().into()),
        backup_creation_date_time: Some(seconds(backup.created_ms)),
        backup_expiry_date_time: backup.expires_ms.map(seconds),
        backup_status: Some(backup.state.code().into()),
        backup_type: Some(backup.kind.code().into()),
        backup_size_bytes: Some(count(backup.bytes)),
    }
}

/// `BackupDescription`
pub(super) fn description<E: Engine>(api: &Api<E>, backup: &Backup) -> generated::BackupDescription {
    let table = &backup.settings;
    let units = match table.billing {
        Billing::OnDemand => Throughput::default(),
        Billing::Provisioned(units) => units,
    };
    let mode = match table.billing {
        Billing::OnDemand => "PAY_PER_REQUEST",
        Billing::Provisioned(_) => "PROVISIONED",
    };
    generated::BackupDescription {
        backup_details: Some(details(backup)),
        source_table_details: Some(generated::SourceTableDetails {
            table_name: Some(given_name(&table.name).into()),
            table_id: Some(uuid(table.uuid)),
            table_arn: Some(api.tables.local().table_arn(&table.name).into()),
            table_size_bytes: Some(count(backup.bytes)),
            key_schema: Some(key_schema(&table.keys)),
            table_creation_date_time: Some(seconds(table.created_ms)),
            provisioned_throughput: Some(provisioned(units)),
            on_demand_throughput: table.on_demand.map(maximums),
            item_count: Some(count(backup.items)),
            billing_mode: Some(mode.into()),
        }),
        source_table_feature_details: Some(features(table)),
    }
}

fn features(table: &TableSettings) -> generated::SourceTableFeatureDetails {
    let global = |index: &IndexDefinition| generated::GlobalSecondaryIndexInfo {
        index_name: Some(index.name.as_str().into()),
        key_schema: Some(key_schema(&index.keys)),
        projection: Some(projection(&index.projection)),
        provisioned_throughput: Some(provisioned(index.throughput.unwrap_or_default())),
        on_demand_throughput: table.index_on_demand.get(&index.name).copied().map(maximums),
    };
    let local = |index: &IndexDefinition| generated::LocalSecondaryIndexInfo {
        index_name: Some(index.name.as_str().into()),
        key_schema: Some(key_schema(&index.keys)),
        projection: Some(projection(&index.projection)),
    };
    let of_kind = |global: bool| table.indexes.iter().filter(move |index| index.is_global() == global);
    let stream = table.stream.as_ref().filter(|stream| stream.enabled);
    generated::SourceTableFeatureDetails {
        local_secondary_indexes: Some(of_kind(false).map(local).collect()).filter(|list: &Vec<_>| !list.is_empty()),
        global_secondary_indexes: Some(of_kind(true).map(global).collect()).filter(|list: &Vec<_>| !list.is_empty()),
        stream_description: stream.map(|stream| generated::StreamSpecification {
            stream_enabled: Some(true),
            stream_view_type: Some(stream.view.code().into()),
        }),
        time_to_live_description: table.time_to_live.as_ref().map(|ttl| generated::TimeToLiveDescription {
            time_to_live_status: Some("ENABLED".into()),
            attribute_name: Some(ttl.attribute.as_str().into()),
        }),
        ..Default::default()
    }
}

fn provisioned(units: Throughput) -> generated::ProvisionedThroughput {
    generated::ProvisionedThroughput {
        read_capacity_units: Some(count(units.read)),
        write_capacity_units: Some(count(units.write)),
    }
}

fn maximums(limits: OnDemandLimits) -> generated::OnDemandThroughput {
    generated::OnDemandThroughput {
        max_read_request_units: limits.read.map(count),
        max_write_request_units: limits.write.map(count),
    }
}
