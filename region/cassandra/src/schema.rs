//! The tables in Cassandra.
//!
//! Every key begins with the slot. `wal` is the truth; all other tables follow from it, but for `lease`, which says who may
//! write it.

/// How rows of `wal` sort within a stretch: the journal first, then the records of each log.
pub(crate) const JOURNAL: i8 = 0;
/// The records of change logs.
pub(crate) const RECORDS: i8 = 1;

/// The statements that make a keyspace and its tables, for whoever runs them, in order. `replication` is CQL's map, such as
/// `{'class': 'NetworkTopologyStrategy', 'dc1': 3}`.
pub fn schema(keyspace: &str, replication: &str) -> Vec<String> {
    let tables = [
        // Who may write the slot's log. Changed by lightweight transactions only.
        "lease (slot int PRIMARY KEY, epoch bigint, node text, address text, beat bigint)",
        // The log. The journal has a row for each group commit, with all its writes, at its place (kind 0, log 0); records of a
        // change log stand beside it (kind 1), each row at the position of its last record. Written by lightweight transactions
        // only, and dropped by whole partitions: neither rows nor what a late repair brings back are read then.
        "wal (slot int, stretch bigint, kind tinyint, log bigint, place bigint, epoch bigint static, writer bigint, ends boolean, \
         count int, payload blob, PRIMARY KEY ((slot, stretch), kind, log, place)) WITH gc_grace_seconds = 86400",
        // Keys and values, in ranges of keys.
        "rows (slot int, range bigint, key blob, value blob, PRIMARY KEY ((slot, range), key))",
        // Where each range begins.
        "ranges (slot int, first blob, range bigint, PRIMARY KEY (slot, first))",
        // How far each change log goes, and what of it is trimmed.
        "logs (slot int, log bigint, last bigint, trimmed bigint, PRIMARY KEY (slot, log))",
        // What stands in each stretch whose rows have followed.
        "stretches (slot int, stretch bigint, logs blob, PRIMARY KEY (slot, stretch)) WITH gc_grace_seconds = 86400",
        // How far rows have followed the log.
        "marks (slot int PRIMARY KEY, stretch bigint, place bigint, oldest bigint)",
    ];
    let keyspace_made = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}");
    let made = |table: &str| format!("CREATE TABLE IF NOT EXISTS {keyspace}.{table}");
    std::iter::once(keyspace_made)
        .chain(tables.into_iter().map(made))
        .collect()
}
