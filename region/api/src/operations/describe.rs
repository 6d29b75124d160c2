//! A table as replies show it.

use compact_str::CompactString;
use geodynamo_storage::Engine;
use geodynamo_table::{
    Description, IndexDescription,
    schema::{Billing, IndexStatus, KeySchema, Projection, ReplicaEntry, Throughput},
    stream_label,
};

use crate::{Api, generated};

/// `TableDescription`
pub(super) fn table_description<E: Engine>(api: &Api<E>, table: Description) -> generated::TableDescription {
    let arn = api.table_arn(&table.name);
    let stream = table.stream.as_ref();
    let enabled = stream.filter(|stream| stream.enabled);
    let label = stream.map(|stream| CompactString::from(stream_label(stream.label_ms)));
    let global = !table.replicas.is_empty();
    let throughput = match table.billing {
        Billing::OnDemand => Throughput::default(),
        Billing::Provisioned(throughput) => throughput,
    };
    let local: Vec<_> = table
        .local_indexes
        .iter()
        .map(|index| local_index(index, &arn))
        .collect();
    let global_indexes: Vec<_> = table
        .global_indexes
        .iter()
        .map(|index| global_index(index, &arn))
        .collect();
    generated::TableDescription {
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
        table_name: Some(table.name.as_str().into()),
        key_schema: Some(key_schema(&table.keys)),
        table_status: Some(table.status.code().into()),
        creation_date_time: Some(seconds(table.created_ms)),
        provisioned_throughput: Some(provisioned(throughput)),
        table_size_bytes: Some(count(table.bytes)),
        item_count: Some(count(table.items)),
        table_id: Some(uuid(table.uuid)),
        billing_mode_summary: (table.billing == Billing::OnDemand).then(|| generated::BillingModeSummary {
            billing_mode: Some("PAY_PER_REQUEST".into()),
            last_update_to_pay_per_request_date_time: Some(seconds(table.created_ms)),
        }),
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
        replicas: global.then(|| {
            table
                .replicas
                .iter()
                .map(|(region, entry)| replica(region, entry))
                .collect()
        }),
        table_class_summary: table.table_class.map(|class| generated::TableClassSummary {
            table_class: Some(class.into()),
            last_update_date_time: None,
        }),
        deletion_protection_enabled: Some(table.deletion_protection),
        table_arn: Some(arn.into()),
        ..Default::default()
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

fn global_index(index: &IndexDescription, table: &str) -> generated::GlobalSecondaryIndexDescription {
    let definition = &index.definition;
    generated::GlobalSecondaryIndexDescription {
        index_name: Some(definition.name.as_str().into()),
        key_schema: Some(key_schema(&definition.keys)),
        projection: Some(projection(&definition.projection)),
        index_status: Some(index.status.code().into()),
        backfilling: backfilling(index),
        provisioned_throughput: Some(provisioned(definition.throughput.unwrap_or_default())),
        index_size_bytes: Some(count(index.bytes)),
        item_count: Some(count(index.items)),
        index_arn: Some(format!("{table}/index/{}", definition.name).into()),
        ..Default::default()
    }
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

fn replica(region: &str, entry: &ReplicaEntry) -> generated::ReplicaDescription {
    generated::ReplicaDescription {
        region_name: Some(region.into()),
        replica_status: Some(entry.status.code().into()),
        ..Default::default()
    }
}

pub(super) fn key_schema(keys: &KeySchema) -> Vec<generated::KeySchemaElement> {
    let element = |(attribute, kind): (&geodynamo_table::schema::KeyAttribute, &str)| generated::KeySchemaElement {
        attribute_name: Some(attribute.name.as_str().into()),
        key_type: Some(kind.into()),
    };
    keys.attributes().zip(["HASH", "RANGE"]).map(element).collect()
}

fn projection(projection: &Projection) -> generated::Projection {
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

fn provisioned(throughput: Throughput) -> generated::ProvisionedThroughputDescription {
    generated::ProvisionedThroughputDescription {
        number_of_decreases_today: Some(0),
        read_capacity_units: Some(count(throughput.read)),
        write_capacity_units: Some(count(throughput.write)),
        ..Default::default()
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn uuid(id: u128) -> CompactString {
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
