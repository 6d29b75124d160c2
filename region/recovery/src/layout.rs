//! Names of objects. See the crate's documentation.

use geodynamo_replicator_core::{Millis, ReplicaId};

/// The name of a base's last object.
pub(crate) const MANIFEST: &str = "manifest";
/// The name of a backup's record.
pub(crate) const RECORD: &str = "record";

/// The folder of a region's backups.
pub(crate) fn backups(region: &str) -> String {
    format!("{region}/backup")
}

/// The folder of a backup.
pub(crate) fn backup(region: &str, table: &str, id: &str) -> String {
    format!("{region}/backup/{table}/{id}")
}

/// The folder of a register.
pub(crate) fn register(region: &str, name: &str) -> String {
    format!("{region}/register/{name}")
}

/// The folder of a replica's tables.
pub(crate) fn tables(region: &str, replica: ReplicaId) -> String {
    tables_of(region, &format!("{:016x}", replica.0))
}

/// The same, of a replica's folder.
pub(crate) fn tables_of(region: &str, replica: &str) -> String {
    format!("{region}/{replica}/table")
}

/// A table's folder among the tables.
pub(crate) fn table(name: &str, id: u64) -> String {
    format!("{name}-{id:016x}")
}

/// The name and the id of a table's folder.
pub(crate) fn read_table(folder: &str) -> Option<(&str, u64)> {
    let (name, id) = folder.rsplit_once('-')?;
    (id.len() == 16).then_some(())?;
    Some((name, u64::from_str_radix(id, 16).ok()?))
}

/// A moment and a number of its own: sorts by the moment, and never meets another.
pub(crate) fn stamped(ms: Millis) -> String {
    format!("{ms:013}-{:08x}", rand::random::<u32>())
}

/// The moment of such a name.
pub(crate) fn read_stamped(name: &str) -> Option<Millis> {
    name.split_once('-')?.0.parse().ok()
}

/// A chain's folder in a table's.
pub(crate) fn chain(ms: Millis) -> String {
    format!("{ms:013}")
}

/// What a segment's name tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    /// Its place in the chain. Two of one number tell the same.
    pub(crate) sequence: u64,
    /// Every change that was committed before this moment is in it or in those before it.
    pub(crate) closed_ms: Millis,
    /// No change in it was committed after this moment.
    pub(crate) reach_ms: Millis,
    /// The whole name.
    pub(crate) name: String,
    /// Its bytes as they are stored.
    pub(crate) bytes: u64,
}

impl SegmentName {
    /// A new name, in a chain's folder.
    pub(crate) fn new(dir: &str, sequence: u64, closed_ms: Millis, reach_ms: Millis) -> Self {
        let nonce = rand::random::<u32>();
        Self {
            sequence,
            closed_ms,
            reach_ms,
            name: format!("{dir}/log/{sequence:012}-{closed_ms:013}-{reach_ms:013}-{nonce:08x}"),
            bytes: 0,
        }
    }

    /// Reads the last part of a name.
    pub(crate) fn read(name: &str, last: &str, bytes: u64) -> Option<Self> {
        let mut parts = last.split('-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        Some(Self {
            sequence: number()?,
            closed_ms: number()?,
            reach_ms: number()?,
            name: name.into(),
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert_eq!(read_table(&table("a-b.c", 7)), Some(("a-b.c", 7)));
        assert_eq!(read_table("a-7"), None);
        assert_eq!(read_stamped(&stamped(12)), Some(12));
        let segment = SegmentName::new("dir", 3, 10, 11);
        let last = segment.name.rsplit('/').next().unwrap_or_default();
        assert_eq!(SegmentName::read(&segment.name, last, 0), Some(segment));
        assert_eq!(SegmentName::read("x", "3-y", 0), None);
    }
}
