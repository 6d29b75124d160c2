//! A table as replies show it.

use compact_str::CompactString;
use geodynamo_storage::Engine;
use geodynamo_table::{
    Description, IndexDescription, ReplicaDescription, given_name,
    recovery::Restore,
    schema::{IndexStatus, KeyAttribute, KeySchema, Projection, ReplicaStatus, TableClass},
    stream_label,
    throughput::ThroughputUpdate,
};

use super::throughput;
use crate::{Api, generated};

/// What DynamoDB shows of a replica whose region cannot be reached.
const OUT_OF_REACH: &str = "REGION_DISABLED";

/// How settings of a global table spread: most are the same in every region, some can be overridden in each.
pub(super) const SETTINGS_REPLICATION: &str = "ENABLED_WITH_OVERRIDES";

/// `TableDescription`
pub(super) fn table_description<E: Engine>(api: &Api<E>, table: Description) -> generated::TableDescription {
    let arn = api.tables.local().table_arn(&table.name);
    let stream = table.stream.as_ref();
    let enabled = stream.filter(|stream| stream.enabled);
    let label = stream.map(|stream| CompactString::from(stream_label(stream.label_ms)));
    let global = !table.replicas.is_empty();
    let local: Vec<_> = table
        .local_indexes
        .iter()
        .map(|index| local_index(index, &arn))
        .collect();
    let global_indexes: Vec<_> = table
        .global_indexes
        .iter()
        .map(|index| global_index(&table, index, &arn))
        .collect();
    let mut shown = generated::TableDescription {
        attribute_definitions: Some(
            table
                .attributes
                .iter()
                .map(|attribute| generated::AttributeDefinition {
                    attribute_name: Some(attribute.name.as_str().into()),
                    attribute_type: Some(attribute.kind.code().into()),
                })
                .collect(),
        ),
        table_name: Some(given_name(&table.name).into()),
        key_schema: Some(key_schema(&table.keys)),
        table_status: Some(table.status.code().into()),
        creation_date_time: Some(seconds(table.created_ms)),
        table_size_bytes: Some(count(table.bytes)),
        item_count: Some(count(table.items)),
        table_id: Some(uuid(table.uuid)),
        local_secondary_indexes: Some(local).filter(|list| !list.is_empty()),
        global_secondary_indexes: Some(global_indexes).filter(|list| !list.is_empty()),
        stream_specification: enabled.map(|stream| generated::StreamSpecification {
            stream_enabled: Some(true),
            stream_view_type: Some(stream.view.code().into()),
        }),
        latest_stream_arn: label
            .as_ref()
            .map(|label| CompactString::from(format!("{arn}/stream/{label}"))),
        latest_stream_label: label,
        global_table_version: global.then(|| "2019.11.21".into()),
        multi_region_consistency: global.then(|| "EVENTUAL".into()),
        global_table_settings_replication_mode: match table.settings_mode {
            _ if global => Some(SETTINGS_REPLICATION.into()),
            mode => mode.map(|on| if on { "ENABLED" } else { "DISABLED" }.into()),
        },
        disassociation_protection_enabled: global.then_some(table.disassociation_protection),
        replicas: global.then(|| {
            let shown = table.replicas.iter().map(|entry| replica(api, &table, entry));
            shown.collect()
        }),
        sse_description: api.shown_key(&table),
        table_class_summary: table.table_class.as_ref().map(class_summary),
        deletion_protection_enabled: Some(table.deletion_protection),
        table_arn: Some(arn.into()),
        restore_summary: table.restore.as_ref().map(restore_summary),
        ..Default::default()
    };
    throughput::show_table(&table, &mut shown);
    shown
}

/// What CreateTable answers: what takes a moment in DynamoDB is not there yet. `warmed` is whether warm throughput was asked
/// for, of the table and of the indexes with these names.
pub(super) fn created_table<E: Engine>(
    api: &Api<E>,
    table: Description,
    warmed: bool,
    indexes_warmed: &[String],
) -> generated::TableDescription {
    let at_once = api.habits.at_once;
    let mut shown = table_description(api, table);
    if at_once {
        shown.table_status = Some("ACTIVE".into());
    }
    if let Some(billing) = &mut shown.billing_mode_summary {
        billing.last_update_to_pay_per_request_date_time = None;
    }
    match &mut shown.warm_throughput {
        Some(warm) if warmed && !at_once => warm.status = Some("UPDATING".into()),
        warm if !warmed => *warm = None,
        _ => {}
    }
    for index in shown.global_secondary_indexes.iter_mut().flatten() {
        let warmed = |name: &String| index.index_name.as_deref() == Some(name);
        match &mut index.warm_throughput {
            warm if !indexes_warmed.iter().any(warmed) => *warm = None,
            Some(warm) if !at_once => warm.status = Some("UPDATING".into()),
            _ => {}
        }
        if !at_once {
            index.index_status = Some(IndexStatus::Creating.code().into());
        }
    }
    shown
}

/// What UpdateTable answers: maximums that were taken away are shown as they were asked for, which DescribeTable leaves out.
pub(super) fn updated_table<E: Engine>(
    api: &Api<E>,
    table: Description,
    asked: &ThroughputUpdate,
) -> generated::TableDescription {
    let mut shown = table_description(api, table);
    throughput::echo(&mut shown.on_demand_throughput, asked.on_demand);
    for index in shown.global_secondary_indexes.iter_mut().flatten() {
        let of_index = |(name, _): &&(String, _)| index.index_name.as_deref() == Some(name);
        let asked = asked.indexes.iter().find(of_index);
        throughput::echo(
            &mut index.on_demand_throughput,
            asked.and_then(|(_, asked)| asked.on_demand),
        );
    }
    shown
}

/// What DeleteTable answers.
pub(super) fn deleted_table<E: Engine>(api: &Api<E>, table: &Description) -> generated::TableDescription {
    let mut shown = generated::TableDescription::default();
    throughput::show_table(table, &mut shown);
    generated::TableDescription {
        table_name: Some(given_name(&table.name).into()),
        table_status: Some(table.status.code().into()),
        provisioned_throughput: shown.provisioned_throughput,
        table_size_bytes: Some(count(table.bytes)),
        item_count: Some(count(table.items)),
        table_arn: Some(api.tables.local().table_arn(&table.name).into()),
        table_id: Some(uuid(table.uuid)),
        billing_mode_summary: shown.billing_mode_summary,
        deletion_protection_enabled: Some(table.deletion_protection),
        ..generated::TableDescription::default()
    }
}

fn local_index(index: &IndexDescription, table: &str) -> generated::LocalSecondaryIndexDescription {
    let definition = &index.definition;
    generated::LocalSecondaryIndexDescription {
        index_name: Some(definition.name.as_str().into()),
        key_schema: Some(key_schema(&definition.keys)),
        projection: Some(projection(&definition.projection)),
        index_size_bytes: Some(count(index.bytes)),
        item_count: Some(count(index.items)),
        index_arn: Some(format!("{table}/index/{}", definition.name).into()),
    }
}

fn global_index(
    table: &Description,
    index: &IndexDescription,
    arn: &str,
) -> generated::GlobalSecondaryIndexDescription {
    let definition = &index.definition;
    let mut shown = generated::GlobalSecondaryIndexDescription {
        index_name: Some(definition.name.as_str().into()),
        key_schema: Some(key_schema(&definition.keys)),
        projection: Some(projection(&definition.projection)),
        index_status: Some(index.status.code().into()),
        backfilling: backfilling(index),
        index_size_bytes: Some(count(index.bytes)),
        item_count: Some(count(index.items)),
        index_arn: Some(format!("{arn}/index/{}", definition.name).into()),
        ..Default::default()
    };
    throughput::show_index(table, index, &mut shown);
    shown
}

/// Shown only of an index that was added to a table, while it is being made.
fn backfilling(index: &IndexDescription) -> Option<bool> {
    match index.status {
        IndexStatus::Creating | IndexStatus::Backfilling if !index.with_table => {
            Some(index.status == IndexStatus::Backfilling)
        }
        _ => None,
    }
}

fn replica<E: Engine>(
    api: &Api<E>,
    table: &Description,
    replica: &ReplicaDescription,
) -> generated::ReplicaDescription {
    let mut shown = generated::ReplicaDescription {
        region_name: Some(replica.region.as_str().into()),
        replica_status: Some(match replica.leaving {
            true => "UPDATING".into(),
            false if replica.out_of_reach && replica.entry.status == ReplicaStatus::Active => OUT_OF_REACH.into(),
            false => replica.entry.status.code().into(),
        }),
        replica_status_description: replica.failure_text(&table.name).map(CompactString::from),
        replica_arn: Some(api.tables.local().table_arn_in(&replica.region, &table.name).into()),
        kms_master_key_id: replica.master_key.as_deref().map(Into::into),
        replica_table_class_summary: replica.table_class.as_ref().map(class_summary),
        global_table_settings_replication_mode: Some(SETTINGS_REPLICATION.into()),
        ..Default::default()
    };
    throughput::show_replica(table, replica, &mut shown);
    shown
}

fn restore_summary(restore: &Restore) -> generated::RestoreSummary {
    generated::RestoreSummary {
        source_backup_arn: restore.source_backup_arn.as_deref().map(Into::into),
        source_table_arn: restore.source_table_arn.as_deref().map(Into::into),
        restore_date_time: Some(seconds(restore.at_ms)),
        restore_in_progress: Some(restore.in_progress),
    }
}

fn class_summary(class: &TableClass) -> generated::TableClassSummary {
    generated::TableClassSummary {
        table_class: Some(class.class.as_str().into()),
        last_update_date_time: class.since_ms.map(seconds),
    }
}

pub(super) fn key_schema(keys: &KeySchema) -> Vec<generated::KeySchemaElement> {
    let element = |(attribute, partition): (&KeyAttribute, bool)| generated::KeySchemaElement {
        attribute_name: Some(attribute.name.as_str().into()),
        key_type: Some(if partition { "HASH" } else { "RANGE" }.into()),
    };
    keys.roles().map(element).collect()
}

pub(super) fn projection(projection: &Projection) -> generated::Projection {
    let (kind, names) = match projection {
        Projection::All => ("ALL", None),
        Projection::KeysOnly => ("KEYS_ONLY", None),
        Projection::Include(names) => ("INCLUDE", Some(names.iter().map(|name| name.as_str().into()).collect())),
    };
    generated::Projection {
        projection_type: Some(kind.into()),
        non_key_attributes: names,
    }
}

/// A number as replies have it.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time as replies have it, of milliseconds since the Unix epoch.
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

pub(crate) fn uuid(id: u128) -> CompactString {
    let hex = format!("{id:032x}");
    let mut text = CompactString::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        assert_eq!(
            uuid(0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF),
            "01234567-89ab-cdef-0123-456789abcdef"
        );
    }
}
