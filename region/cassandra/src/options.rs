//! What an engine is told.

use std::{sync::Arc, time::Duration};

/// A hash range of a region with a log of its own. A region has one so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub i32);

/// How a lease is taken that another node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Take {
    /// Once its holder has given it up, or has not renewed it for as long as it lasts.
    #[default]
    WhenFree,
    /// At once. The holder can commit nothing from then on, but may answer reads from memory until its lease is over.
    AtOnce,
}

/// Where Cassandra is, and who wants to write.
#[derive(Clone)]
pub struct CassandraOptions {
    /// Addresses of some of Cassandra's nodes, `host:port`.
    pub contact_points: Vec<String>,
    /// The keyspace with the tables of [`crate::schema`].
    pub keyspace: String,
    /// A user and a password.
    pub user: Option<(String, String)>,
    /// The data centre whose nodes are asked first.
    pub datacenter: Option<String>,
    /// How to encrypt connections to Cassandra.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Whose log and rows.
    pub slot: Slot,
    /// This node's name.
    pub node: String,
    /// Where other nodes reach this one.
    pub address: String,
    /// How long a lease lasts. A third of it is kept as reserve against clocks that run at different speeds.
    pub lease: Duration,
    /// How to take the lease.
    pub take: Take,
    /// Bytes of committed writes that rows have not followed yet; commits wait beyond it.
    pub overlay_bytes_max: usize,
    /// Bytes of rows kept in memory because they were read or written lately.
    pub row_cache_bytes: usize,
    /// For tests: the log is written without looking at the epoch. Two owners then overwrite each other.
    pub unfenced: bool,
    /// For tests: a reader says that it has read the log's tail, and has not. What it sees gets older and older.
    pub deaf: bool,
}

impl Default for CassandraOptions {
    fn default() -> Self {
        Self {
            contact_points: vec!["127.0.0.1:9042".into()],
            keyspace: "geodynamo".into(),
            user: None,
            datacenter: None,
            tls: None,
            slot: Slot::default(),
            node: "node".into(),
            address: String::new(),
            lease: Duration::from_secs(3),
            take: Take::default(),
            overlay_bytes_max: 64 << 20,
            row_cache_bytes: 64 << 20,
            unfenced: false,
            deaf: false,
        }
    }
}

impl std::fmt::Debug for CassandraOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CassandraOptions")
            .field("contact_points", &self.contact_points)
            .field("keyspace", &self.keyspace)
            .field("user", &self.user.as_ref().map(|(user, _)| user))
            .field("slot", &self.slot)
            .field("node", &self.node)
            .field("address", &self.address)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
