//! `[storage]`: how tables are stored, and in what.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use geodynamo_cassandra::{CassandraOptions, Slot, Take};
use geodynamo_table::COLLECTION_BYTES_MAX;
use geodynamo_topology::Address;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Deserializer, de};

use super::{Config, Within};

/// What is read of the files in the background, in MiB a second: 10 GB in three quarters of an hour.
const SCRUB_MB_PER_SECOND: u64 = 4;
/// MiB kept in reserve for a full disk: room for all memtables.
const RESERVE_MB: u64 = 64;
/// The most addresses of Cassandra's nodes.
const CONTACT_POINTS_MAX: usize = 64;
/// The longest name in Cassandra.
const NAME_LEN_MAX: usize = 48;
/// How long a lease lasts, in seconds: what a lost owner costs at least.
const LEASE_SECONDS: u64 = 3;
/// In how many copies Cassandra keeps everything.
const REPLICATION_FACTOR: u64 = 3;

/// What keeps rows and change logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// RocksDB, in the data directory: a region is one process.
    #[default]
    RocksDb,
    /// Apache Cassandra, or what speaks its protocol: a region is as many processes as one likes, of which one writes.
    Cassandra,
}

/// How tables are stored.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Where rows and change logs are kept.
    pub engine: EngineKind,
    /// Where Cassandra is, for the engine of that name.
    pub cassandra: Option<CassandraEntry>,
    /// Whether a write is on disk before it is acknowledged. `false` loses acknowledged writes in a crash: for
    /// measurements and negative controls only.
    pub sync: bool,
    /// What flushes and compactions write at most, together, in MiB a second; 0 for no limit. 64 for each core unless told.
    /// Less keeps the disk free for the syncs of commits; too little, and writes wait.
    pub background_mb_per_second: Option<Within<0, 65_536>>,
    /// Room that is kept for the day when the disk is full, in MiB, at most an eighth of the file system; 0 for none. With it,
    /// what is in memory can still be written out, and items can be deleted. It should be no less than `write_buffer_mb`.
    pub reserve_mb: Within<0, 1_048_576>,
    /// A second directory, on a disk that may be slower and cheaper: for items and index entries of tables of the class
    /// STANDARD_INFREQUENT_ACCESS, once they are compacted. It belongs to this data directory alone, and once it is told it
    /// stays. With the others unless told.
    pub cold_dir: Option<PathBuf>,
    /// What is read of the files in the background, over and over, to find damage while there are other copies, in MiB a second;
    /// 0 for none.
    pub scrub_mb_per_second: Within<0, 4096>,
    /// Partitions of a new table; 0 for as many as DynamoDB gives it for its throughput: four on demand, one for a small
    /// provisioned table. A new stream has a shard for each.
    pub partitions_per_table: Within<0, 4096>,
    /// The largest item collection of a table with local indexes, in bytes.
    pub item_collection_bytes: Within<1, 1_000_000_000_000>,
}

/// Where Cassandra is, and how this node is reached by the region's others.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CassandraEntry {
    /// Addresses of some of Cassandra's nodes, `HOST:PORT`; the others are learnt from them.
    pub contact_points: Vec<Address>,
    /// The keyspace of this region alone, in lower-case letters, digits and underscores.
    #[serde(default = "keyspace")]
    pub keyspace: CassandraName,
    /// The data centre, as Cassandra calls it, whose nodes have the keyspace.
    pub datacenter: CassandraName,
    /// In how many copies Cassandra keeps everything: what `geodynamo schema cassandra` prints.
    #[serde(default = "replication_factor")]
    pub replication_factor: Within<1, 9>,
    /// A user of Cassandra's, which may read and write the keyspace's tables.
    pub user: Option<String>,
    /// A file with its password, in one line.
    pub password_file: Option<PathBuf>,
    /// Authorities of Cassandra's certificates, in PEM: with them, connections are encrypted. Certificates must name the nodes' IP
    /// addresses.
    pub ca: Option<PathBuf>,
    /// This node's certificate for Cassandra, where that asks for one.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// How long the right to write lasts that a node does not renew, in seconds. A node that was lost is replaced after that.
    #[serde(default = "lease_seconds")]
    pub lease_seconds: Within<1, 60>,
    /// Where this node takes connections that others of the region pass on to it (TCP, TLS with the certificates of
    /// `[cluster_tls]`).
    #[serde(default = "forward")]
    pub forward: SocketAddr,
    /// Where the region's other nodes reach that; the same unless told.
    pub forward_address: Option<Address>,
    /// Committed writes that rows have not followed yet, in MiB; commits wait beyond it.
    #[serde(default = "overlay_mb")]
    pub overlay_mb: Within<4, 65_536>,
}

/// A name that Cassandra takes without quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CassandraName(String);

impl CassandraName {
    /// Checks a name.
    ///
    /// # Errors
    /// If it has other characters than letters, digits, underscores and, within, hyphens; or none, or more than 48.
    pub fn new(text: &str) -> Result<Self, String> {
        let is_one = (1..=NAME_LEN_MAX).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        match is_one {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "'{text}' is no name: 1 to {NAME_LEN_MAX} letters, digits, '_' and '-'"
            )),
        }
    }

    /// The same of a keyspace, whose name has lower-case letters, digits and underscores only.
    ///
    /// # Errors
    /// If it has others.
    pub(crate) fn keyspace(text: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        match text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_plain) {
            true => Self::new(text),
            false => Err(format!(
                "the keyspace '{text}' has lower-case letters, digits and underscores only, and begins with a letter"
            )),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CassandraName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl CassandraEntry {
    /// CQL's map of how the keyspace is replicated.
    pub fn replication(&self) -> String {
        Self::replicated(&self.datacenter, self.replication_factor.get())
    }

    /// The same of a data centre and a number of copies.
    pub(crate) fn replicated(datacenter: &CassandraName, copies: u64) -> String {
        let datacenter = datacenter.as_str();
        format!("{{'class': 'NetworkTopologyStrategy', '{datacenter}': {copies}}}")
    }

    /// What the engine is told for a node that others reach at an address.
    ///
    /// # Errors
    /// If a file that it names is of no use.
    pub(crate) fn options(&self, config: &Config, address: String) -> Result<CassandraOptions, String> {
        let user = match (&self.user, &self.password_file) {
            (Some(user), Some(path)) => {
                let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Some((user.clone(), text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            _ => None,
        };
        Ok(CassandraOptions {
            contact_points: self.contact_points.iter().map(ToString::to_string).collect(),
            keyspace: self.keyspace.0.clone(),
            user,
            datacenter: Some(self.datacenter.0.clone()),
            tls: self.tls()?,
            slot: Slot::default(),
            node: config.node.to_string(),
            address,
            lease: Duration::from_secs(self.lease_seconds.get()),
            take: Take::WhenFree,
            overlay_bytes_max: self.overlay_mb.to_usize() << 20,
            // There is no cache of blocks here: what would be theirs is for rows.
            row_cache_bytes: (config.memory.row_cache_mb.to_usize() + config.memory.block_cache_mb.to_usize()) << 20,
            unfenced: false,
            deaf: false,
        })
    }

    fn tls(&self) -> Result<Option<Arc<ClientConfig>>, String> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let failed = |path: &PathBuf, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| failed(ca, &error))? {
            let added = certificate.map(|certificate| roots.add(certificate));
            added
                .map_err(|error| failed(ca, &error))?
                .map_err(|error| failed(ca, &error))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(Some(Arc::new(builder.with_no_client_auth())));
        };
        let chain = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(cert, &error))?;
        let own = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
        let built = builder.with_client_auth_cert(chain, own);
        Ok(Some(Arc::new(built.map_err(|error| failed(cert, &error))?)))
    }
}

impl Storage {
    /// Cassandra's part, where that is the engine.
    pub fn on_cassandra(&self) -> Option<&CassandraEntry> {
        self.cassandra.as_ref().filter(|_| self.engine == EngineKind::Cassandra)
    }

    /// Paths in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let cassandra = self
            .cassandra
            .as_mut()
            .into_iter()
            .flat_map(|entry| [&mut entry.password_file, &mut entry.ca, &mut entry.cert, &mut entry.key]);
        std::iter::once(&mut self.cold_dir).chain(cassandra).flatten()
    }
}

/// What does not go together.
pub(super) fn contradiction(config: &Config) -> Option<String> {
    let storage = &config.storage;
    let entry = match (storage.engine, &storage.cassandra) {
        (EngineKind::RocksDb, None) => return None,
        (EngineKind::RocksDb, Some(_)) => {
            return Some("[storage.cassandra] is there, but the engine is not \"cassandra\"".into());
        }
        (EngineKind::Cassandra, None) => {
            return Some("the engine \"cassandra\" needs [storage.cassandra]".into());
        }
        (EngineKind::Cassandra, Some(entry)) => entry,
    };
    let encryption = &config.encryption;
    let names_key = encryption.names_local_key() || encryption.has_service();
    let fault = if entry.contact_points.is_empty() || entry.contact_points.len() > CONTACT_POINTS_MAX {
        format!("[storage.cassandra] contact_points are from 1 to {CONTACT_POINTS_MAX}")
    } else if let Err(fault) = CassandraName::keyspace(entry.keyspace.as_str()) {
        format!("[storage.cassandra] {fault}")
    } else if entry.user.is_some() != entry.password_file.is_some() {
        "[storage.cassandra] user and password_file go together".into()
    } else if entry.cert.is_some() != entry.key.is_some() || (entry.cert.is_some() && entry.ca.is_none()) {
        "[storage.cassandra] cert and key go together, and with ca".into()
    } else if entry.forward_address.is_none() && entry.forward.ip().is_unspecified() {
        "[storage.cassandra] forward listens everywhere: forward_address must say where other nodes reach it".into()
    } else if config.topology.is_none() {
        "on Cassandra a region may have several nodes: a topology must name them, if only this region's".into()
    } else if config.access.cluster_key_file.is_none() {
        "on Cassandra, [access] cluster_key_file must name the key that all nodes have".into()
    } else if !names_key && encryption.enabled != Some(false) {
        "on Cassandra, rows are encrypted by Cassandra or not at all; [encryption] is for the archive: name a key that all nodes have, or \
         say enabled = false"
            .into()
    } else if storage.cold_dir.is_some() {
        "[storage] cold_dir is RocksDB's".into()
    } else {
        return None;
    };
    Some(fault)
}

fn keyspace() -> CassandraName {
    CassandraName("geodynamo".into())
}

fn replication_factor() -> Within<1, 9> {
    Within::new(REPLICATION_FACTOR)
}

fn lease_seconds() -> Within<1, 60> {
    Within::new(LEASE_SECONDS)
}

fn forward() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8003))
}

fn overlay_mb() -> Within<4, 65_536> {
    Within::new(64)
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            engine: EngineKind::default(),
            cassandra: None,
            sync: true,
            background_mb_per_second: None,
            reserve_mb: Within::new(RESERVE_MB),
            cold_dir: None,
            scrub_mb_per_second: Within::new(SCRUB_MB_PER_SECOND),
            partitions_per_table: Within::new(0),
            item_collection_bytes: Within::new(COLLECTION_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASSANDRA: &str = r#"
        region = "us-east-1"
        node = "us-east-1-a"
        data_dir = "data"
        topology = "topology.toml"
        cluster_tls = { cert = "c.pem", key = "c.key", ca = "ca.pem" }
        encryption = { enabled = false }
        access = { cluster_key_file = "cluster.key" }
        [storage]
        engine = "cassandra"
        [storage.cassandra]
        contact_points = ["10.0.0.1:9042", "cassandra-2:9042"]
        datacenter = "dc1"
    "#;

    #[test]
    fn a_region_on_cassandra() {
        let config = Config::parse("x", CASSANDRA).unwrap();
        let entry = config.storage.on_cassandra().unwrap();
        assert_eq!(entry.keyspace.as_str(), "geodynamo");
        assert_eq!(entry.replication(), "{'class': 'NetworkTopologyStrategy', 'dc1': 3}");
        let options = entry.options(&config, "10.0.0.9:8003".into()).unwrap();
        assert_eq!(options.contact_points, ["10.0.0.1:9042", "cassandra-2:9042"]);
        assert_eq!(
            (options.node.as_str(), options.address.as_str()),
            ("us-east-1-a", "10.0.0.9:8003")
        );
        assert!(options.tls.is_none() && options.user.is_none() && !options.unfenced);
    }

    #[test]
    fn what_does_not_go_together_on_cassandra() {
        let check = |from: &str, to: &str, reason: &str| {
            let text = CASSANDRA.replacen(from, to, 1);
            assert_ne!(text, CASSANDRA, "the test changes nothing");
            let error = Config::parse("x", &text).unwrap_err().to_string();
            assert!(error.contains(reason), "no '{reason}' in: {error}");
        };
        let more = |line: &str| format!("datacenter = \"dc1\"\n{line}");
        check("\"cassandra\"", "\"rocksdb\"", "the engine is not \"cassandra\"");
        check("\"cassandra\"", "\"mongodb\"", "unknown variant");
        check(
            "[\"10.0.0.1:9042\", \"cassandra-2:9042\"]",
            "[]",
            "contact_points are from 1 to 64",
        );
        check("10.0.0.1:9042", "10.0.0.1", "10.0.0.1");
        check("\"dc1\"", "\"dc'1\"", "'dc'1' is no name");
        check("topology = \"topology.toml\"", "", "a topology must name them");
        check(
            "access = { cluster_key_file = \"cluster.key\" }",
            "",
            "cluster_key_file must name",
        );
        check("encryption = { enabled = false }", "", "name a key that all nodes have");
        for (line, reason) in [
            ("user = \"geodynamo\"", "user and password_file go together"),
            ("cert = \"a.pem\"", "cert and key go together"),
            ("forward = \"0.0.0.0:8003\"", "forward_address must say"),
            ("keyspace = \"Upper\"", "lower-case letters"),
            ("replication_factor = 0", "must be from 1 to 9"),
        ] {
            check("datacenter = \"dc1\"", &more(line), reason);
        }
    }
}
