//! What CreateTable and UpdateTable set of throughput, as registers.

use geodynamo_replicator_core::Millis;

use crate::{
    Result, Table, TableError, UpdateTable,
    schema::{Billing, IndexDefinition, ReplicaStatus, TableClass, Throughput},
    table::{
        index_state::global_id,
        registers::{Change, Setting, pack},
        throughput::{
            IndexCapacity, IndexUpdate, OnDemandLimits, Overrides, ReadOverride, ReplicaUpdate, ThroughputUpdate, warm,
            warmed,
        },
    },
};

/// Of a new table.
pub(crate) fn of_new_table(
    billing: Billing,
    update: &ThroughputUpdate,
    indexes: &[IndexDefinition],
) -> Result<Vec<Change>> {
    let mut changes = of_table(billing, None, None, update, true)?;
    for index in indexes {
        let new = IndexCapacity::default();
        changes.extend(of_index(index, new, billing, named(update, &index.name), None)?);
    }
    Ok(changes)
}

/// Of a table that is there; `created` are the indexes that the same update adds.
pub(crate) fn of_update(
    table: &Table,
    update: &UpdateTable,
    created: &[IndexDefinition],
    now: Millis,
) -> Result<Vec<Change>> {
    let registers = &table.registers;
    let before = registers.billing.unwrap_or(Billing::OnDemand);
    let after = update.billing.unwrap_or(before);
    let mut changes = of_table(after, registers.on_demand, registers.warm, &update.throughput, false)?;
    let mut history = registers.history.clone().unwrap_or_default();
    match (before, after) {
        (Billing::Provisioned(from), Billing::Provisioned(to)) => history.change(from, to, now)?,
        (Billing::Provisioned(_), Billing::OnDemand) => history.switch_to_on_demand(now)?,
        (Billing::OnDemand, Billing::Provisioned(_)) => {
            let made = table.definition().created_ms;
            history.on_demand_since_ms.get_or_insert(made);
        }
        (Billing::OnDemand, Billing::OnDemand) => {}
    }
    if Some(&history) != registers.history.as_ref() && history != Default::default() {
        changes.push((Setting::History, Some(pack(&history)?)));
    }
    if before != after {
        changes.push((Setting::Billing, Some(pack(&after)?)));
    }
    let gone = |index: &&IndexDefinition| !update.index_deletes.contains(&index.name);
    for index in table.indexes().iter().filter(|index| index.is_global()).filter(gone) {
        let wanted = named(&update.throughput, &index.name);
        let switched = matches!((before, after), (Billing::OnDemand, Billing::Provisioned(_)));
        if switched && wanted.provisioned.is_none() {
            return Err(TableError::invalid(format!(
                "ProvisionedThroughput must be specified for index: {}",
                index.name
            )));
        }
        let capacity = table.index_capacity(index).cloned().unwrap_or_default();
        changes.extend(of_index(index, capacity, after, wanted, Some(now))?);
    }
    for index in created {
        let wanted = IndexUpdate {
            provisioned: None,
            ..named(&update.throughput, &index.name)
        };
        changes.extend(of_index(index, IndexCapacity::default(), after, wanted, None)?);
    }
    Ok(changes)
}

/// What replicas get of their own.
pub(crate) fn of_replicas(table: &Table, update: &UpdateTable, now: Millis) -> Result<Vec<Change>> {
    let registers = &table.registers;
    let billing = update.billing.or(registers.billing).unwrap_or(Billing::OnDemand);
    let mut changes = Vec::new();
    for (region, wanted) in &update.replica_updates {
        let serves = |status| matches!(status, ReplicaStatus::Active | ReplicaStatus::Creating);
        let there = registers.replicas.get(region).is_some_and(|entry| serves(entry.status));
        if !there && !update.replica_creates.contains(region) {
            return Err(TableError::no_replica(region));
        }
        check_overrides(table, billing, wanted)?;
        let before = registers.overrides.get(region).cloned().unwrap_or_default();
        let mut after = Overrides {
            table: before.table.updated(wanted.table),
            indexes: before.indexes.clone(),
        };
        for (index, read) in &wanted.indexes {
            let entry = after.indexes.entry(index.clone()).or_default();
            *entry = entry.updated(*read);
        }
        if after != before {
            changes.push((Setting::Overrides(region.clone()), Some(pack(&after)?)));
        }
        changes.extend(of_class(table, region, wanted.table_class.as_deref(), now)?);
    }
    Ok(changes)
}

/// A region's table class.
pub(crate) fn of_class(table: &Table, region: &str, class: Option<&str>, now: Millis) -> Result<Option<Change>> {
    let before = table.registers.table_class.get(region);
    let Some(class) = class.filter(|class| before.is_none_or(|before| before.class != *class)) else {
        return Ok(None);
    };
    let class = TableClass {
        class: class.into(),
        since_ms: Some(now),
    };
    Ok(Some((Setting::TableClass(region.into()), Some(pack(&class)?))))
}

fn of_table(
    billing: Billing,
    limits: Option<OnDemandLimits>,
    was_warmed: Option<Throughput>,
    update: &ThroughputUpdate,
    is_new: bool,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    if billing != Billing::OnDemand {
        // A provisioned table has no maximums, and none from before when it is switched back.
        changes.extend(limits.map(|_| (Setting::OnDemand, None)));
    } else if let Some(on_demand) = update.on_demand {
        let limits = limits.unwrap_or_default().updated(on_demand);
        changes.push((Setting::OnDemand, Some(pack(&limits)?)));
    }
    if let Some(wanted) = update.warm {
        let new = Some(billing).filter(|_| is_new);
        let warmed = warmed(warm(billing, was_warmed), wanted, "table", new)?;
        changes.push((Setting::Warm, Some(pack(&warmed)?)));
    }
    Ok(changes)
}

/// The register of an index's capacity, if anything of it changes. A change of provisioned units is noted, and limited,
/// at the time `now`.
fn of_index(
    index: &IndexDefinition,
    before: IndexCapacity,
    billing: Billing,
    wanted: IndexUpdate,
    now: Option<Millis>,
) -> Result<Option<Change>> {
    let Some(id) = global_id(index) else { return Ok(None) };
    let mut after = before.clone();
    if let Some(to) = wanted.provisioned {
        if let (Some(from), Some(now)) = (index.throughput, now) {
            after.history.change(from, to, now)?;
        }
        after.provisioned = Some(to);
    }
    if billing != Billing::OnDemand {
        after.on_demand = None;
    } else if let Some(on_demand) = wanted.on_demand {
        after.on_demand = Some(after.on_demand.unwrap_or_default().updated(on_demand));
    }
    if let Some(wanted) = wanted.warm {
        let billing = match billing {
            Billing::OnDemand => billing,
            Billing::Provisioned(_) => Billing::Provisioned(after.provisioned.or(index.throughput).unwrap_or_default()),
        };
        let what = format!("index {}", index.name);
        let new = Some(billing).filter(|_| now.is_none());
        after.warm = Some(warmed(warm(billing, after.warm), wanted, &what, new)?);
    }
    if after == before {
        return Ok(None);
    }
    Ok(Some((Setting::IndexCapacity(id), Some(pack(&after)?))))
}

fn named(update: &ThroughputUpdate, index: &str) -> IndexUpdate {
    let found = update.indexes.iter().find(|(name, _)| name == index);
    found.map(|(_, update)| *update).unwrap_or_default()
}

fn check_overrides(table: &Table, billing: Billing, wanted: &ReplicaUpdate) -> Result<()> {
    for (name, _) in &wanted.indexes {
        if !table
            .indexes()
            .iter()
            .any(|index| index.is_global() && index.name == *name)
        {
            return Err(TableError::no_table());
        }
    }
    let reads = wanted.indexes.iter().map(|(_, read)| read).chain([&wanted.table]);
    for ReadOverride { provisioned, on_demand } in reads {
        if provisioned.is_some() && billing == Billing::OnDemand {
            return Err(TableError::invalid(
                "ProvisionedThroughputOverride can only be specified when BillingMode is PROVISIONED",
            ));
        }
        if on_demand.is_some() && billing != Billing::OnDemand {
            return Err(TableError::invalid(
                "MaxReadRequestUnits for OnDemandThroughput cannot be specified when the table BillingMode is PROVISIONED",
            ));
        }
    }
    Ok(())
}
