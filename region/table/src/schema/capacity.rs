//! Capacity units.
//!
//! Source: AWS developer guide, "DynamoDB read and write operations" (capacity unit consumption).

use crate::{
    KEY_RANGE_READ_MAX, KEY_RANGE_WRITE_MAX, KEY_RANGES,
    schema::Throughput,
    table::throughput::{Bounds, ON_DEMAND_WARM},
};

/// Bytes a read unit covers.
pub const READ_UNIT_BYTES: usize = 4 * 1024;
/// Bytes a write unit covers.
pub const WRITE_UNIT_BYTES: usize = 1024;

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

/// What a request consumed, in read or in write units, whichever the request was of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capacity {
    /// Of the table itself.
    pub table: f64,
    /// Of local indexes, by name.
    pub local: Vec<(String, f64)>,
    /// Of global indexes, by name.
    pub global: Vec<(String, f64)>,
}

impl Capacity {
    /// Of the table and all indexes.
    pub fn total(&self) -> f64 {
        self.table
            + self
                .local
                .iter()
                .chain(&self.global)
                .map(|(_, units)| units)
                .sum::<f64>()
    }

    /// Adds another request's consumption.
    pub fn add(&mut self, other: &Self) {
        self.table += other.table;
        for (mine, others) in [(&mut self.local, &other.local), (&mut self.global, &other.global)] {
            for (name, units) in others {
                match mine.iter_mut().find(|(known, _)| known == name) {
                    Some((_, sum)) => *sum += units,
                    None => mine.push((name.clone(), *units)),
                }
            }
        }
    }

    /// Only the table's.
    pub(crate) fn of_table(units: f64) -> Self {
        Self {
            table: units,
            ..Self::default()
        }
    }
}

/// Read units for so many bytes; reading nothing costs as much as reading one byte.
pub fn read_units(bytes: usize, consistent: bool) -> f64 {
    let units = bytes.div_ceil(READ_UNIT_BYTES).max(1) as f64;
    if consistent { units } else { units / 2.0 }
}

/// Write units for the larger of an item's sizes before and after.
pub fn write_units(before: usize, after: usize) -> f64 {
    before.max(after).div_ceil(WRITE_UNIT_BYTES).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn units() {
        for (bytes, strong) in [(0, 1.0), (1, 1.0), (4096, 1.0), (4097, 2.0), (409_600, 100.0)] {
            assert_eq!(read_units(bytes, true), strong, "{bytes}");
            assert_eq!(read_units(bytes, false), strong / 2.0, "{bytes}");
        }
        for (before, after, units) in [(0, 1, 1.0), (1024, 1, 1.0), (1025, 10, 2.0), (10, 3000, 3.0)] {
            assert_eq!(write_units(before, after), units);
        }
    }
}
