//! Capacity units.
//!
//! Source: AWS developer guide, "DynamoDB read and write operations" (capacity unit consumption).

/// Bytes a read unit covers.
pub const READ_UNIT_BYTES: usize = 4 * 1024;
/// Bytes a write unit covers.
pub const WRITE_UNIT_BYTES: usize = 1024;

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

/// Into how many ranges of keys a table, or an index, is divided for the ceiling on hot ones. A power of two.
pub const KEY_RANGES: usize = 1024;

/// The most read units per second of a key range. Source: AWS developer guide, "Burst and adaptive capacity".
pub const KEY_RANGE_READ_MAX: u64 = 3_000;

/// The most write units per second of a key range. Source: as above.
pub const KEY_RANGE_WRITE_MAX: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

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
