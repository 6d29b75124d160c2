//! What a table's and an index's throughput is set to, and what was changed of it.
//!
//! These are values of registers. Capacity mode, write capacity, maximums of writes and warm throughput are the same in
//! every region; read capacity and maximums of reads can be overridden in each.

use std::collections::BTreeMap;

use geodynamo_replicator_core::Millis;
use serde::{Deserialize, Serialize};

use crate::{
    KEY_RANGE_READ_MAX, KEY_RANGE_WRITE_MAX, Result, Table, TableError,
    schema::{
        Billing, IndexDefinition, Throughput,
        capacity::KEY_RANGES,
        date::{DAY_MS, HOUR_MS, day_of_week_text},
    },
    table::index_state::global_id,
};

/// Decreases of provisioned throughput that a table or an index may have at any time of a UTC day; each further one needs
/// an hour without a decrease before it. Source: AWS developer guide, "Service, account, and table quotas".
pub const DECREASES_MAX: u64 = 4;
/// Switches from provisioned to on-demand mode that a table may have in 24 hours. Source: AWS developer guide,
/// "Considerations when switching capacity modes".
pub const SWITCHES_MAX: usize = 4;
/// What an on-demand table or index can take at once, unless it is warmed to more, in units per second. Source: AWS
/// developer guide, "Understanding DynamoDB warm throughput".
pub const ON_DEMAND_WARM: Throughput = Throughput {
    read: 12_000,
    write: 4_000,
};

/// What a partition serves in DynamoDB, in units per second. Source: AWS developer guide, "Partitions and data distribution".
const PARTITION: Throughput = Throughput {
    read: KEY_RANGE_READ_MAX,
    write: KEY_RANGE_WRITE_MAX,
};
/// The most partitions that a new table gets for its throughput. They are what its streams' shards are by, and what is
/// replicated in order; more make nothing faster here. So many in each of [`crate::TABLES_MAX`] tables are within what a link
/// takes.
pub const INITIAL_PARTITIONS_MAX: u16 = 16;

/// How many partitions a new table begins with: as many as it needs in DynamoDB for the throughput that it can take at once.
/// That is one for a small provisioned table, and four on demand.
pub(crate) fn initial_partitions(billing: Billing, warmed: Option<WarmUpdate>) -> u16 {
    let base = warm(billing, None);
    let warmed = warmed.unwrap_or_default();
    let read = warmed.read.unwrap_or(base.read).max(base.read);
    let write = warmed.write.unwrap_or(base.write).max(base.write);
    let needed = read.div_ceil(PARTITION.read).max(write.div_ceil(PARTITION.write));
    u16::try_from(needed)
        .unwrap_or(INITIAL_PARTITIONS_MAX)
        .clamp(1, INITIAL_PARTITIONS_MAX)
}

/// Where the guide says what a new table can take.
const INITIAL_THROUGHPUT: &str = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/\
                                  on-demand-capacity-mode.html#on-demand-capacity-mode-initial";

/// The most request units per second of an on-demand table or index; `None` for no such maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemandLimits {
    /// Of reads.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Of writes.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub write: Option<u64>,
}

/// When throughput was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThroughputHistory {
    /// The last switches to on-demand mode, oldest first, in milliseconds since the Unix epoch; at most
    /// [`SWITCHES_MAX`].
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub to_on_demand_ms: Vec<Millis>,
    /// When it last became an on-demand table, also by being made as one.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub on_demand_since_ms: Option<Millis>,
    /// The last increase.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub increase_ms: Option<Millis>,
    /// The last decrease.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub decrease_ms: Option<Millis>,
    /// How many decreases there were on the UTC day of the last one.
    #[serde(rename = "n", default)]
    pub decreases: u64,
}

/// The capacity of a global index, as it was last set. What is not set here is as the index was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCapacity {
    /// Provisioned throughput.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<Throughput>,
    /// The maximums in on-demand mode, if they were ever set.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<OnDemandLimits>,
    /// Warm throughput, if it was ever set.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<Throughput>,
    /// When throughput was changed.
    #[serde(rename = "h", default)]
    pub history: ThroughputHistory,
}

/// What a region's replica has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Of the table.
    #[serde(rename = "t", default)]
    pub table: ReadOverride,
    /// Of its global indexes, by name.
    #[serde(rename = "i", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<String, ReadOverride>,
}

/// Read throughput of a replica, where it differs from the other replicas'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOverride {
    /// Provisioned read capacity units.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<u64>,
    /// The most read request units per second in on-demand mode.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<u64>,
}

/// What is to change of throughput besides the table's capacity mode and provisioned units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThroughputUpdate {
    /// The table's maximums in on-demand mode.
    pub on_demand: Option<OnDemandUpdate>,
    /// The table's warm throughput.
    pub warm: Option<WarmUpdate>,
    /// Of global indexes, by name.
    pub indexes: Vec<(String, IndexUpdate)>,
}

/// What is to change of an index's throughput.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexUpdate {
    /// Provisioned throughput.
    pub provisioned: Option<Throughput>,
    /// The maximums in on-demand mode.
    pub on_demand: Option<OnDemandUpdate>,
    /// Warm throughput.
    pub warm: Option<WarmUpdate>,
}

/// What is to change of the maximums in on-demand mode: `None` leaves one as it is, `Some(None)` takes it away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDemandUpdate {
    /// Of reads.
    pub read: Option<Option<u64>>,
    /// Of writes.
    pub write: Option<Option<u64>>,
}

/// What is to change of warm throughput, in units per second; it never gets less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmUpdate {
    /// Of reads.
    pub read: Option<u64>,
    /// Of writes.
    pub write: Option<u64>,
}

/// What is to change of a replica's own settings; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaUpdate {
    /// Read throughput of the table.
    pub table: ReadOverride,
    /// Read throughput of global indexes, by name.
    pub indexes: Vec<(String, ReadOverride)>,
    /// The table class.
    pub table_class: Option<String>,
}

impl OnDemandLimits {
    pub(crate) fn updated(self, update: OnDemandUpdate) -> Self {
        Self {
            read: update.read.unwrap_or(self.read),
            write: update.write.unwrap_or(self.write),
        }
    }
}

impl ReadOverride {
    pub(crate) fn updated(self, update: Self) -> Self {
        Self {
            provisioned: update.provisioned.or(self.provisioned),
            on_demand: update.on_demand.or(self.on_demand),
        }
    }
}

impl ThroughputHistory {
    /// How many decreases there were on the UTC day of a time.
    pub fn decreases_on(&self, now: Millis) -> u64 {
        let same = self.decrease_ms.is_some_and(|last| last / DAY_MS == now / DAY_MS);
        if same { self.decreases } else { 0 }
    }

    /// Takes note of a change of provisioned throughput; refuses a decrease too many.
    pub(crate) fn change(&mut self, from: Throughput, to: Throughput, now: Millis) -> Result<()> {
        if to.read < from.read || to.write < from.write {
            let today = self.decreases_on(now);
            let last = self.decrease_ms.unwrap_or(0);
            if today >= DECREASES_MAX && now < last.saturating_add(HOUR_MS) {
                return Err(TableError::LimitExceeded(format!(
                    "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the \
                     first {DECREASES_MAX} decreases, each subsequent decrease in the same UTC day can be performed at most \
                     once every {} seconds. Number of decreases today: {today}. Last decrease at {}. Next decrease can be made \
                     at {}",
                    HOUR_MS / 1000,
                    day_of_week_text(last),
                    day_of_week_text(last.saturating_add(HOUR_MS)),
                )));
            }
            self.decreases = today + 1;
            self.decrease_ms = Some(now);
        }
        if to.read > from.read || to.write > from.write {
            self.increase_ms = Some(now);
        }
        Ok(())
    }

    /// Takes note of a switch to on-demand mode; refuses one too many.
    pub(crate) fn switch_to_on_demand(&mut self, now: Millis) -> Result<()> {
        let recent = |at: &&Millis| now < at.saturating_add(DAY_MS);
        let mut lately = self.to_on_demand_ms.iter().filter(recent);
        if let (Some(first), SWITCHES_MAX..) = (lately.next(), lately.count() + 1) {
            return Err(TableError::LimitExceeded(format!(
                "Subscriber limit exceeded: Update to PayPerRequest mode are limited to {SWITCHES_MAX} times in 1 day(s). Last \
                 update at {}. Next update can be made at {}",
                day_of_week_text(self.to_on_demand_ms.last().copied().unwrap_or(*first)),
                day_of_week_text(first.saturating_add(DAY_MS)),
            )));
        }
        if self.to_on_demand_ms.len() >= SWITCHES_MAX {
            self.to_on_demand_ms.remove(0);
        }
        self.to_on_demand_ms.push(now);
        self.on_demand_since_ms = Some(now);
        Ok(())
    }
}

/// How a table's, or an index's, throughput is bounded in a region, its own overrides taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// Provisioned units per second.
    Provisioned(Throughput),
    /// On demand, with maximums.
    OnDemand(OnDemandLimits),
}

impl Table {
    /// How the table, or one of its global indexes, is bounded in a region. A local index counts for the table.
    pub fn bounds(&self, region: &str, index: Option<&IndexDefinition>) -> Bounds {
        let index = index.filter(|index| index.is_global());
        let registers = &self.registers;
        let own = registers.overrides.get(region);
        let own = match index {
            None => own.map(|own| own.table),
            Some(index) => own.and_then(|own| own.indexes.get(&index.name).copied()),
        };
        let own = own.unwrap_or_default();
        match registers.billing.unwrap_or(Billing::OnDemand) {
            Billing::OnDemand => {
                let limits = match index {
                    None => registers.on_demand,
                    Some(index) => self.index_capacity(index).and_then(|capacity| capacity.on_demand),
                };
                let limits = limits.unwrap_or_default();
                Bounds::OnDemand(OnDemandLimits {
                    read: own.on_demand.or(limits.read),
                    ..limits
                })
            }
            Billing::Provisioned(table) => {
                let units = index.map_or(table, |index| index.throughput.unwrap_or_default());
                Bounds::Provisioned(Throughput {
                    read: own.provisioned.unwrap_or(units.read),
                    ..units
                })
            }
        }
    }

    /// What was set of a global index's capacity since it was made.
    pub(crate) fn index_capacity(&self, index: &IndexDefinition) -> Option<&IndexCapacity> {
        global_id(index).and_then(|id| self.registers.index_capacity.get(&id))
    }
}

/// The warm throughput of a table or an index: what it was warmed to, and never less than what its mode gives.
pub(crate) fn warm(billing: Billing, warmed: Option<Throughput>) -> Throughput {
    let base = match billing {
        Billing::OnDemand => ON_DEMAND_WARM,
        Billing::Provisioned(throughput) => throughput,
    };
    let warmed = warmed.unwrap_or_default();
    Throughput {
        read: base.read.max(warmed.read),
        write: base.write.max(warmed.write),
    }
}

/// Warm throughput after an update; `what` it is of. Less than there is is refused, or, of what is new and billed so, less
/// than it begins with.
pub(crate) fn warmed(now: Throughput, update: WarmUpdate, what: &str, new: Option<Billing>) -> Result<Throughput> {
    for (member, units, wanted, current) in [
        ("ReadUnitsPerSecond", "ReadCapacityUnits", update.read, now.read),
        ("WriteUnitsPerSecond", "WriteCapacityUnits", update.write, now.write),
    ] {
        if wanted.is_some_and(|wanted| wanted < current) {
            let than = match new {
                None => "current WarmThroughput, decreasing WarmThroughput is not supported".to_owned(),
                Some(Billing::OnDemand) => format!("initial throughput for OnDemand. See: {INITIAL_THROUGHPUT}"),
                Some(Billing::Provisioned(_)) => format!("{units} of ProvisionedThroughput"),
            };
            return Err(TableError::invalid(format!(
                "Requested {member} for WarmThroughput for {what} is lower than {than}"
            )));
        }
    }
    Ok(Throughput {
        read: update.read.unwrap_or(now.read),
        write: update.write.unwrap_or(now.write),
    })
}

/// The most partitions that a table is taken to have; as many as it has ranges of keys.
pub const PARTITIONS_MAX: u64 = KEY_RANGES as u64;

/// How many partitions DynamoDB gives a table, or an index, of this capacity: as many as their ceilings
/// ([`KEY_RANGE_READ_MAX`] and [`KEY_RANGE_WRITE_MAX`]) make necessary, one at least. In on-demand mode that is four, for
/// what it can take at once. They are what a scan is billed by; what is stored where is another matter.
pub fn partitions(bounds: Bounds) -> u64 {
    let Throughput { read, write } = match bounds {
        Bounds::Provisioned(units) => units,
        Bounds::OnDemand(_) => ON_DEMAND_WARM,
    };
    let reads = read.div_ceil(KEY_RANGE_READ_MAX);
    let writes = write.div_ceil(KEY_RANGE_WRITE_MAX);
    reads.max(writes).clamp(1, PARTITIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Millis = 1_763_899_200_000;

    fn units(read: u64, write: u64) -> Throughput {
        Throughput { read, write }
    }

    #[test]
    fn partitions_are_what_the_capacity_needs() {
        let provisioned = |read, write| partitions(Bounds::Provisioned(Throughput { read, write }));
        assert_eq!(partitions(Bounds::OnDemand(Default::default())), 4);
        for (read, write, expected) in [
            (0, 0, 1),
            (1, 1, 1),
            (3_000, 1_000, 1),
            (3_001, 1_000, 2),
            (1, 1_001, 2),
            (12_000, 4_000, 4),
            (u64::MAX, 1, PARTITIONS_MAX),
        ] {
            assert_eq!(provisioned(read, write), expected, "{read} {write}");
        }
    }

    #[test]
    fn after_four_decreases_each_needs_an_hour() {
        let mut history = ThroughputHistory::default();
        for n in 0..4 {
            history.change(units(10 - n, 5), units(9 - n, 5), NOON + n).unwrap();
        }
        assert_eq!(history.decreases_on(NOON), 4);
        let refused = history.change(units(6, 5), units(6, 4), NOON + HOUR_MS).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the first \
             4 decreases, each subsequent decrease in the same UTC day can be performed at most once every 3600 seconds. \
             Number of decreases today: 4. Last decrease at Sunday, November 23, 2025 at 12:00:00 PM Coordinated Universal \
             Time. Next decrease can be made at Sunday, November 23, 2025 at 1:00:00 PM Coordinated Universal Time"
        );
        // An increase is always allowed, and so is a decrease an hour later, or the next day.
        history.change(units(6, 5), units(60, 50), NOON + HOUR_MS).unwrap();
        assert_eq!(history.increase_ms, Some(NOON + HOUR_MS));
        history.change(units(60, 50), units(6, 5), NOON + HOUR_MS + 3).unwrap();
        assert_eq!(history.decreases_on(NOON), 5);
        history.change(units(6, 5), units(5, 5), NOON + DAY_MS).unwrap();
        assert_eq!(history.decreases_on(NOON + DAY_MS), 1);
        assert_eq!(history.decreases_on(NOON), 0);
    }

    #[test]
    fn four_switches_to_on_demand_in_a_day() {
        let mut history = ThroughputHistory::default();
        for n in 0..4 {
            history.switch_to_on_demand(NOON + n).unwrap();
        }
        assert!(history.switch_to_on_demand(NOON + DAY_MS - 1).is_err());
        history.switch_to_on_demand(NOON + DAY_MS).unwrap();
        assert_eq!(history.to_on_demand_ms.len(), SWITCHES_MAX);
    }

    #[test]
    fn warm_throughput_only_grows() {
        let update = |read, write| WarmUpdate { read, write };
        let now = warm(Billing::OnDemand, None);
        assert_eq!(now, units(12_000, 4_000));
        assert_eq!(
            warmed(now, update(Some(13_000), None), "table", None).unwrap(),
            units(13_000, 4_000)
        );
        assert_eq!(
            warmed(now, update(None, Some(3_999)), "table", None)
                .unwrap_err()
                .to_string(),
            "One or more parameter values were invalid: Requested WriteUnitsPerSecond for WarmThroughput for table is lower \
             than current WarmThroughput, decreasing WarmThroughput is not supported"
        );
        assert_eq!(warm(Billing::Provisioned(units(5, 7)), Some(units(6, 6))), units(6, 7));
    }

    #[test]
    fn a_new_index_is_no_colder_than_it_begins() {
        let refused = |now, new| {
            let update = WarmUpdate {
                read: Some(1),
                write: Some(1),
            };
            warmed(now, update, "index i", Some(new)).unwrap_err().to_string()
        };
        assert_eq!(
            refused(ON_DEMAND_WARM, Billing::OnDemand),
            "One or more parameter values were invalid: Requested ReadUnitsPerSecond for WarmThroughput for index i is lower \
             than initial throughput for OnDemand. See: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/\
             on-demand-capacity-mode.html#on-demand-capacity-mode-initial"
        );
        assert_eq!(
            refused(units(1, 2), Billing::Provisioned(units(1, 2))),
            "One or more parameter values were invalid: Requested WriteUnitsPerSecond for WarmThroughput for index i is lower \
             than WriteCapacityUnits of ProvisionedThroughput"
        );
    }

    #[test]
    fn partitions_go_by_what_a_new_table_can_take() {
        let check = |billing: Billing, warmed: Option<(u64, u64)>, expected: u16| {
            let warmed = warmed.map(|(read, write)| WarmUpdate {
                read: Some(read),
                write: Some(write),
            });
            assert_eq!(initial_partitions(billing, warmed), expected, "{billing:?} {warmed:?}");
        };
        check(Billing::OnDemand, None, 4);
        check(Billing::OnDemand, Some((30_000, 4_000)), 10);
        check(Billing::OnDemand, Some((u64::MAX, u64::MAX)), INITIAL_PARTITIONS_MAX);
        for (read, write, expected) in [
            (1, 1, 1),
            (3_000, 1_000, 1),
            (3_001, 1, 2),
            (1, 4_500, 5),
            (40_000, 40_000, 16),
        ] {
            check(Billing::Provisioned(units(read, write)), None, expected);
        }
        check(Billing::Provisioned(units(1, 1)), Some((6_001, 1)), 3);
    }
}
