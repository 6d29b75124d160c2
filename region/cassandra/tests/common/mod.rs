//! A real Cassandra, which `GEODYNAMO_CASSANDRA` says where to find: `python3 scripts/cassandra.py run` starts one.

use geodynamo_cassandra::{CassandraEngine, CassandraOptions, Slot, Take, create_schema};
use tokio::runtime::Handle;

/// Where it is, with a keyspace of this process's own.
pub(crate) fn options() -> CassandraOptions {
    let contact_points = std::env::var("GEODYNAMO_CASSANDRA").expect("GEODYNAMO_CASSANDRA says where Cassandra is");
    CassandraOptions {
        contact_points: contact_points.split(',').map(Into::into).collect(),
        keyspace: format!("test_{}", std::process::id()),
        take: Take::AtOnce,
        ..CassandraOptions::default()
    }
}

/// Makes the keyspace.
pub(crate) async fn schema(options: &CassandraOptions) {
    let replication = "{'class': 'NetworkTopologyStrategy', 'region': 1}";
    create_schema(options, replication).await.unwrap();
}

/// Opens the store of a slot: each is another one.
pub(crate) fn open(options: &CassandraOptions, slot: i32) -> CassandraEngine {
    let options = CassandraOptions {
        slot: Slot(slot),
        ..options.clone()
    };
    tokio::task::block_in_place(|| Handle::current().block_on(CassandraEngine::open(options)).unwrap())
}
