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

/// What throughput is asked for, and how it is billed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    /// A table that is being made.
    NewTable(Billing),
    /// A global index of a table that is being made.
    IndexOfNewTable(&'a str, Billing),
    /// A table.
    Table(Billing),
    /// A global index, also a new one, of a table that is there.
    Index(&'a str, Billing),
}

impl Of<'_> {
    fn is_on_demand(self) -> bool {
        let (Self::NewTable(billing)
        | Self::IndexOfNewTable(_, billing)
        | Self::Table(billing)
        | Self::Index(_, billing)) = self;
        billing == Billing::OnDemand
    }

    fn index(&self) -> Option<&str> {
        match self {
            Self::NewTable(_) | Self::Table(_) => None,
            Self::IndexOfNewTable(name, _) | Self::Index(name, _) => Some(name),
        }
    }

    /// Whether it is there already, so that there may be something to take away.
    fn is_there(self) -> bool {
        matches!(self, Self::Table(_) | Self::Index(..))
    }
}

/// `OnDemandThroughput` of a request. One without members asks for nothing.
pub(super) fn on_demand(
    given: Option<&generated::OnDemandThroughput>,
    of: Of<'_>,
) -> Result<Option<OnDemandUpdate>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let members = [
        ("MaxReadRequestUnits", given.max_read_request_units),
        ("MaxWriteRequestUnits", given.max_write_request_units),
    ];
    if !of.is_on_demand()
        && let Some((member, _)) = members.iter().find(|(_, units)| units.is_some())
    {
        return Err(ApiError::on_demand_of_provisioned(member, of.index(), !of.is_there()));
    }
    let maximum = |(member, units): (&str, Option<i64>)| match units.map(|units| (units, u64::try_from(units))) {
        None => Ok(None),
        Some((NO_MAXIMUM, _)) if of.is_there() => Ok(Some(None)),
        Some((_, Ok(units))) if units > 0 => Ok(Some(Some(units))),
        Some(_) => Err(ApiError::on_demand_out_of_range(member, of.index())),
    };
    let [read, write] = members.map(maximum);
    let update = OnDemandUpdate {
        read: read?,
        write: write?,
    };
    Ok(Some(update).filter(|update| *update != OnDemandUpdate::default()))
}

/// `WarmThroughput` of a request. One without members asks for nothing.
pub(super) fn warm(given: Option<&generated::WarmThroughput>) -> Result<Option<WarmUpdate>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    // What is negative is less than there is, like zero.
    let units = |units: Option<i64>| units.map(|units| u64::try_from(units).unwrap_or(0));
    let update = WarmUpdate {
        read: units(given.read_units_per_second),
        write: units(given.write_units_per_second),
    };
    Ok(Some(update).filter(|update| *update != WarmUpdate::default()))
}

/// What an index's members ask for besides provisioned throughput.
pub(super) fn index(
    on_demand_throughput: Option<&generated::OnDemandThroughput>,
    warm_throughput: Option<&generated::WarmThroughput>,
    of: Of<'_>,
) -> Result<IndexUpdate, ApiError> {
    let warm = warm(warm_throughput)?;
    if let (Of::Index(name, _), Some(_), None) = (of, warm_throughput, warm) {
        return Err(ApiError::warm_index_of_nothing(name));
    }
    Ok(IndexUpdate {
        provisioned: None,
        on_demand: on_demand(on_demand_throughput, of)?,
        warm,
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
            // The model knows no other.
            status: Some(
                if index.status == IndexStatus::Active {
                    "ACTIVE"
                } else {
                    "UPDATING"
                }
                .into(),
            ),
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

/// The maximums that there are, of what is billed on demand.
fn limits(
    billing: Billing,
    limits: Option<OnDemandLimits>,
    own_read: Option<u64>,
) -> Option<generated::OnDemandThroughput> {
    let limits = limits.unwrap_or_default();
    let shown = generated::OnDemandThroughput {
        max_read_request_units: own_read.or(limits.read).map(count),
        max_write_request_units: limits.write.map(count),
    };
    Some(shown).filter(|shown| billing == Billing::OnDemand && *shown != generated::OnDemandThroughput::default())
}

/// Shows the maximums that were asked to be taken away.
pub(super) fn echo(shown: &mut Option<generated::OnDemandThroughput>, asked: Option<OnDemandUpdate>) {
    let Some(asked) = asked else { return };
    let gone = |asked: Option<Option<u64>>| (asked == Some(None)).then_some(NO_MAXIMUM);
    let (read, write) = (gone(asked.read), gone(asked.write));
    if read.is_none() && write.is_none() {
        return;
    }
    let shown = shown.get_or_insert_default();
    shown.max_read_request_units = read.or(shown.max_read_request_units);
    shown.max_write_request_units = write.or(shown.max_write_request_units);
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
