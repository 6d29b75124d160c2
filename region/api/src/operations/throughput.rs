//! Throughput as CreateTable and UpdateTable ask for it, and as DescribeTable shows it.

use compact_str::CompactString;
use geodynamo_table::{
    Description, IndexDescription, ReplicaDescription,
    schema::{Billing, IndexStatus, Throughput},
    throughput::{
        IndexUpdate, OnDemandLimits, OnDemandUpdate, ReadOverride, ReplicaUpdate, ThroughputHistory, WarmUpdate,
    },
};

use super::describe::{count, seconds};
use crate::{errors::ApiError, generated};

/// What stands for no maximum of an on-demand table.
const NO_MAXIMUM: i64 = -1;

/// `OnDemandThroughput` of a request.
pub(super) fn on_demand(given: Option<&generated::OnDemandThroughput>) -> Result<Option<OnDemandUpdate>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let maximum = |name: &str, units: Option<i64>| match units {
        None => Ok(None),
        Some(NO_MAXIMUM) => Ok(Some(None)),
        Some(units) => positive(name, Some(units)).map(Some),
    };
    let update = OnDemandUpdate {
        read: maximum("MaxReadRequestUnits", given.max_read_request_units)?,
        write: maximum("MaxWriteRequestUnits", given.max_write_request_units)?,
    };
    if update == OnDemandUpdate::default() {
        return Err(ApiError::invalid(
            "At least one of MaxReadRequestUnits and MaxWriteRequestUnits must be specified in OnDemandThroughput",
        ));
    }
    Ok(Some(update))
}

/// `WarmThroughput` of a request.
pub(super) fn warm(given: Option<&generated::WarmThroughput>) -> Result<Option<WarmUpdate>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let update = WarmUpdate {
        read: positive("ReadUnitsPerSecond", given.read_units_per_second)?,
        write: positive("WriteUnitsPerSecond", given.write_units_per_second)?,
    };
    if update == WarmUpdate::default() {
        return Err(ApiError::invalid(
            "At least one of ReadUnitsPerSecond and WriteUnitsPerSecond must be specified in WarmThroughput",
        ));
    }
    Ok(Some(update))
}

/// What an index's members ask for besides provisioned throughput.
pub(super) fn index(
    on_demand_throughput: Option<&generated::OnDemandThroughput>,
    warm_throughput: Option<&generated::WarmThroughput>,
) -> Result<IndexUpdate, ApiError> {
    Ok(IndexUpdate {
        provisioned: None,
        on_demand: on_demand(on_demand_throughput)?,
        warm: warm(warm_throughput)?,
    })
}

/// What a replica is to have of its own.
pub(super) fn replica(
    provisioned: Option<&generated::ProvisionedThroughputOverride>,
    on_demand: Option<&generated::OnDemandThroughputOverride>,
    indexes: Option<Vec<generated::ReplicaGlobalSecondaryIndex>>,
    table_class: Option<CompactString>,
) -> Result<ReplicaUpdate, ApiError> {
    let mut own = ReplicaUpdate {
        table: read_override(provisioned, on_demand)?,
        table_class: table_class.map(Into::into),
        ..ReplicaUpdate::default()
    };
    for index in indexes.unwrap_or_default() {
        let name: String = index.index_name.unwrap_or_default().into();
        let read = read_override(
            index.provisioned_throughput_override.as_ref(),
            index.on_demand_throughput_override.as_ref(),
        )?;
        own.indexes.push((name, read));
    }
    Ok(own)
}

fn read_override(
    provisioned: Option<&generated::ProvisionedThroughputOverride>,
    on_demand: Option<&generated::OnDemandThroughputOverride>,
) -> Result<ReadOverride, ApiError> {
    Ok(ReadOverride {
        provisioned: positive(
            "ReadCapacityUnits",
            provisioned.and_then(|given| given.read_capacity_units),
        )?,
        on_demand: positive(
            "MaxReadRequestUnits",
            on_demand.and_then(|given| given.max_read_request_units),
        )?,
    })
}

fn positive(name: &str, units: Option<i64>) -> Result<Option<u64>, ApiError> {
    let Some(given) = units else { return Ok(None) };
    match u64::try_from(given) {
        Ok(units) if units > 0 => Ok(Some(units)),
        _ => Err(ApiError::invalid(format!(
            "{name} must be greater than or equal to 1, was {given}"
        ))),
    }
}

/// The table's throughput as this region has it: `ProvisionedThroughput`, `BillingModeSummary`, `OnDemandThroughput`,
/// `WarmThroughput`.
pub(super) fn show_table(table: &Description, shown: &mut generated::TableDescription) {
    let throughput = match table.billing {
        Billing::OnDemand => Throughput::default(),
        Billing::Provisioned(units) => Throughput {
            read: table.overrides.table.provisioned.unwrap_or(units.read),
            ..units
        },
    };
    shown.provisioned_throughput = Some(provisioned(throughput, &table.history, table.decreases_today));
    let since = table.history.on_demand_since_ms;
    let on_demand_since = match table.billing {
        Billing::OnDemand => Some(since.unwrap_or(table.created_ms)),
        Billing::Provisioned(_) => since,
    };
    shown.billing_mode_summary = on_demand_since.map(|since| generated::BillingModeSummary {
        billing_mode: Some(billing_mode(table.billing).into()),
        last_update_to_pay_per_request_date_time: Some(seconds(since)),
    });
    let own = table.overrides.table.on_demand;
    shown.on_demand_throughput = limits(table.billing, table.on_demand, own);
    shown.warm_throughput = Some(generated::TableWarmThroughputDescription {
        read_units_per_second: Some(count(table.warm.read)),
        write_units_per_second: Some(count(table.warm.write)),
        status: Some("ACTIVE".into()),
    });
}

/// An index's throughput as this region has it.
pub(super) fn show_index(
    table: &Description,
    index: &IndexDescription,
    shown: &mut generated::GlobalSecondaryIndexDescription,
) {
    let own = table.overrides.indexes.get(&index.definition.name);
    let own = own.copied().unwrap_or_default();
    let units = index.definition.throughput.unwrap_or_default();
    let throughput = match table.billing {
        Billing::OnDemand => Throughput::default(),
        Billing::Provisioned(_) => Throughput {
            read: own.provisioned.unwrap_or(units.read),
            ..units
        },
    };
    shown.provisioned_throughput = Some(provisioned(throughput, &index.history, index.decreases_today));
    shown.on_demand_throughput = limits(table.billing, index.on_demand, own.on_demand);
    if index.status != IndexStatus::Deleting {
        shown.warm_throughput = Some(generated::GlobalSecondaryIndexWarmThroughputDescription {
            read_units_per_second: Some(count(index.warm.read)),
            write_units_per_second: Some(count(index.warm.write)),
            status: Some(index.status.code().into()),
        });
    }
}

/// What another region's replica has of its own.
pub(super) fn show_replica(
    table: &Description,
    replica: &ReplicaDescription,
    shown: &mut generated::ReplicaDescription,
) {
    let own = &replica.overrides;
    shown.provisioned_throughput_override = provisioned_override(own.table);
    shown.on_demand_throughput_override = on_demand_override(own.table);
    let index = |index: &IndexDescription| {
        let own = own.indexes.get(&index.definition.name).copied().unwrap_or_default();
        generated::ReplicaGlobalSecondaryIndexDescription {
            index_name: Some(index.definition.name.as_str().into()),
            provisioned_throughput_override: provisioned_override(own),
            on_demand_throughput_override: on_demand_override(own),
            ..Default::default()
        }
    };
    let there = table
        .global_indexes
        .iter()
        .filter(|index| index.status != IndexStatus::Deleting);
    shown.global_secondary_indexes = Some(there.map(index).collect()).filter(|list: &Vec<_>| !list.is_empty());
}

fn provisioned(
    throughput: Throughput,
    history: &ThroughputHistory,
    decreases_today: u64,
) -> generated::ProvisionedThroughputDescription {
    generated::ProvisionedThroughputDescription {
        last_increase_date_time: history.increase_ms.map(seconds),
        last_decrease_date_time: history.decrease_ms.map(seconds),
        number_of_decreases_today: Some(count(decreases_today)),
        read_capacity_units: Some(count(throughput.read)),
        write_capacity_units: Some(count(throughput.write)),
    }
}

fn billing_mode(billing: Billing) -> &'static str {
    match billing {
        Billing::OnDemand => "PAY_PER_REQUEST",
        Billing::Provisioned(_) => "PROVISIONED",
    }
}

/// Shown only of what is billed on demand and had a maximum once.
fn limits(
    billing: Billing,
    limits: Option<OnDemandLimits>,
    own_read: Option<u64>,
) -> Option<generated::OnDemandThroughput> {
    if billing != Billing::OnDemand || (limits.is_none() && own_read.is_none()) {
        return None;
    }
    let limits = limits.unwrap_or_default();
    let shown = |units: Option<u64>| Some(units.map_or(NO_MAXIMUM, count));
    Some(generated::OnDemandThroughput {
        max_read_request_units: shown(own_read.or(limits.read)),
        max_write_request_units: shown(limits.write),
    })
}

fn provisioned_override(own: ReadOverride) -> Option<generated::ProvisionedThroughputOverride> {
    own.provisioned.map(|units| generated::ProvisionedThroughputOverride {
        read_capacity_units: Some(count(units)),
    })
}

fn on_demand_override(own: ReadOverride) -> Option<generated::OnDemandThroughputOverride> {
    own.on_demand.map(|units| generated::OnDemandThroughputOverride {
        max_read_request_units: Some(count(units)),
    })
}
