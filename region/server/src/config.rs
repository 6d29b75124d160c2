//! The one configuration file of a region's process.
//!
//! TOML. Every field is checked while it is read, so a fault is reported with its line and the reason; a field that nobody
//! knows is a fault. Paths are relative to the file's folder.

mod access;
mod admin;
mod archive;
mod buckets;
mod console;
mod credential;
mod encryption;
mod field;
mod otel;
mod replication;
mod scaling;
mod session;
mod sinks;
mod storage;
mod table_keys;
pub(crate) mod triggers;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use geodynamo_access::Credential;
use geodynamo_api::Habits;
use geodynamo_http::Limits;
use geodynamo_sinks::SinkSpec;
use geodynamo_table::{SHARD_MS, STREAM_RETENTION_MS, ThrottleOptions, TtlOptions};
use geodynamo_topology::{NodeName, RegionName};
use serde::Deserialize;

pub use self::{
    access::{Access, Audit, DataEvents, IdentityProvider, JwksSource},
    admin::AdminEntry,
    archive::ArchiveEntry,
    buckets::BucketsEntry,
    console::Console,
    credential::CredentialEntry,
    encryption::Encryption,
    field::{AccessKeyId, Account, Address, Endpoint, FieldError, ProviderUrl, Secret, Within},
    otel::Otel,
    replication::Replication,
    scaling::ScalingEntry,
    session::SessionEntry,
    sinks::SinkOptions,
    storage::{CassandraEntry, CassandraName, EngineKind, Storage},
    table_keys::TableKeysEntry,
    triggers::{DestinationEntry, DestinationsEntry, FunctionEntry, FunctionError, Key, TriggersEntry},
};

/// The longest configuration file, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;
/// The most access keys.
const CREDENTIALS_MAX: usize = 10_000;
/// Everything a region's process is told.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This process's region: what credential scopes must name.
    pub region: RegionName,
    /// This process's name in the topology.
    pub node: NodeName,
    /// Where the tables are. Made if it is not there.
    pub data_dir: PathBuf,
    /// The topology file. Without one, the region is alone.
    pub topology: Option<PathBuf>,
    /// Where it listens.
    #[serde(default)]
    pub listen: Listen,
    /// TLS for clients. Without it, they speak HTTP.
    pub tls: Option<Tls>,
    /// TLS between nodes. Must be there where a topology is.
    pub cluster_tls: Option<ClusterTls>,
    /// Access keys of the account's root user. Without any, one is made at the first start.
    #[serde(default)]
    pub credentials: Vec<CredentialEntry>,
    /// Who may do what.
    #[serde(default)]
    pub access: Access,
    /// Who may ask the admin port.
    #[serde(default)]
    pub admin: AdminEntry,
    /// The audit trail.
    #[serde(default)]
    pub audit: Audit,
    /// The pages for a browser.
    #[serde(default)]
    pub console: Console,
    /// How much memory goes where.
    #[serde(default)]
    pub memory: Memory,
    /// How tables are stored.
    #[serde(default)]
    pub storage: Storage,
    /// What it is encrypted under.
    #[serde(default)]
    pub encryption: Encryption,
    /// Which service has the keys of tables with one of their own.
    #[serde(default)]
    pub table_keys: TableKeysEntry,
    /// What streams keep.
    #[serde(default)]
    pub streams: Streams,
    /// Where backups are kept. Without it there are none.
    pub archive: Option<ArchiveEntry>,
    /// Where the buckets of exports and imports are.
    #[serde(default)]
    pub s3: BucketsEntry,
    /// How regions exchange what is written.
    #[serde(default)]
    pub replication: Replication,
    /// How long requests wait that bring a session from another region.
    #[serde(default)]
    pub session: SessionEntry,
    /// How soon provisioned capacity follows what is consumed.
    #[serde(default)]
    pub scaling: ScalingEntry,
    /// How items expire.
    #[serde(default)]
    pub ttl: TtlEntry,
    /// How requests are throttled.
    #[serde(default)]
    pub throttle: ThrottleEntry,
    /// What clients may take.
    #[serde(default)]
    pub limits: LimitsEntry,
    /// Functions that event source mappings can name.
    #[serde(default)]
    pub functions: BTreeMap<String, FunctionEntry>,
    /// Where what is sent to services of AWS goes.
    #[serde(default)]
    pub destinations: DestinationsEntry,
    /// How event source mappings run.
    #[serde(default)]
    pub triggers: TriggersEntry,
    /// Copies of tables that other systems query.
    #[serde(default)]
    pub sinks: Vec<SinkSpec>,
    /// How they run.
    #[serde(default)]
    pub sink_options: SinkOptions,
    /// Where traces and metrics go.
    #[serde(default)]
    pub otel: Otel,
    /// What requests are answered otherwise than by DynamoDB. No file says so: `geodynamo dev` does.
    #[serde(skip)]
    pub habits: Habits,
}

/// Addresses, each `IP:port`; port 0 lets the operating system choose.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// For clients (HTTP, TCP).
    pub data: SocketAddr,
    /// For operators (HTTP, TCP).
    pub admin: SocketAddr,
    /// For peers (QUIC, UDP).
    pub replication: SocketAddr,
}

/// Files of TLS for clients, in PEM.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Files of TLS between nodes, in PEM; `geodynamo certs` makes them.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTls {
    /// This node's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that signed every node's certificate.
    pub ca: PathBuf,
}

/// Memory, in MiB. What the process takes is about the sum, and 100 MiB for itself.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// For blocks read from disk.
    pub block_cache_mb: Within<8, 1_048_576>,
    /// For single rows that were read lately, rounded down to a power of two; 0 for none.
    pub row_cache_mb: Within<0, 1_048_576>,
    /// For what is written and not yet in a sorted file.
    pub write_buffer_mb: Within<8, 1_048_576>,
    /// For the bodies of requests on their way through.
    pub request_mb: Within<17, 65_536>,
    /// For deltas that are being sent or received, all links together.
    pub replication_mb: Within<4, 65_536>,
}

/// What streams keep.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// How old a shard becomes before a child continues it, in seconds.
    pub shard_seconds: Within<1, 86_400>,
    /// How long records can be read, in seconds.
    pub retention_seconds: Within<1, 31_536_000>,
    /// How often a shard may be read in a second, by all clients together; 0 is as often as one likes.
    pub reads_per_second: Within<0, 1_000_000>,
}

/// How items expire; see [`TtlOptions`].
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TtlEntry {
    /// How often expired items are looked for, in milliseconds.
    pub sweep_ms: Within<10, 3_600_000>,
    /// How long expired items are left to the region that wrote them, in milliseconds.
    pub grace_ms: Within<0, 86_400_000>,
    /// How long a table's setting stays before it may be changed again, in milliseconds. DynamoDB's is an hour.
    pub change_interval_ms: Within<0, 86_400_000>,
}

/// How requests are throttled; see [`ThrottleOptions`]. Rates are capacity units per second; 0 is no limit.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleEntry {
    /// Whether they are.
    pub enabled: bool,
    /// Reads of one range of keys: what a hot partition key may be read.
    pub key_range_read: Within<0, 1_000_000_000>,
    /// Writes of one range of keys.
    pub key_range_write: Within<0, 1_000_000_000>,
    /// Reads of a table, or a global index, in on-demand mode: the account's quota.
    pub on_demand_read: Within<0, 1_000_000_000>,
    /// Writes of a table, or a global index, in on-demand mode.
    pub on_demand_write: Within<0, 1_000_000_000>,
}

/// What clients may take; see [`Limits`].
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsEntry {
    /// Connections open at once.
    pub connections: Within<1, 1_000_000>,
    /// The time for a request's head.
    pub header_timeout_ms: Within<10, 3_600_000>,
    /// The time for a request's body.
    pub body_timeout_ms: Within<10, 3_600_000>,
    /// How long a connection may be silent.
    pub idle_timeout_ms: Within<10, 86_400_000>,
    /// How long a request takes that the log tells of as slow; 0 for none.
    pub slow_request_ms: Within<0, 3_600_000>,
    /// How long requests may go on after SIGTERM.
    pub drain_timeout_ms: Within<0, 3_600_000>,
}

/// Why there is no configuration. Names the file and, where there is one, the line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{}: {source}\n  what to do: --config FILE names the region's configuration; the user that runs this must be able to read it",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than any configuration.
    #[error("{}: longer than {FILE_LEN_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The text is not a configuration; the source has line, column and reason.
    #[error("{name}: {source}")]
    Invalid {
        /// What the text is called, usually its path.
        name: String,
        /// What is wrong where.
        source: Box<toml::de::Error>,
    },
    /// The fields do not go together.
    #[error("{name}: {reason}")]
    Contradiction {
        /// What the text is called, usually its path.
        name: String,
        /// Which fields, and why not.
        reason: String,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(unreadable)?.len() > FILE_LEN_MAX {
            return Err(ConfigError::TooLong { path: path.to_owned() });
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let mut config = Self::parse(&path.display().to_string(), &text)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Checks a text. `name` is how errors call it. Paths stay as they are.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|source| ConfigError::Invalid {
            name: name.to_owned(),
            source: Box::new(source),
        })?;
        let contradiction = |reason: String| {
            Err(ConfigError::Contradiction {
                name: name.to_owned(),
                reason,
            })
        };
        if config.topology.is_some() && config.cluster_tls.is_none() {
            return contradiction("with a topology, [cluster_tls] must be there: links are always encrypted".into());
        }
        let contradicts = config.access.contradiction();
        let contradicts = contradicts.or_else(|| config.encryption.contradiction());
        let contradicts = contradicts.or_else(|| config.table_keys.contradiction());
        if let Some(reason) = contradicts.or_else(|| config.s3.contradiction()) {
            return contradiction(reason);
        }
        if let Some(reason) = triggers::contradiction(&config.functions, &config.destinations) {
            return contradiction(reason);
        }
        if let Some(reason) = storage::contradiction(&config) {
            return contradiction(reason);
        }
        if let Some(reason) = sinks::contradiction(&config.sinks) {
            return contradiction(reason);
        }
        if config.credentials.len() > CREDENTIALS_MAX {
            return contradiction(format!("at most {CREDENTIALS_MAX} credentials"));
        }
        let mut ids = BTreeSet::new();
        if let Some(entry) = config
            .credentials
            .iter()
            .find(|entry| !ids.insert(entry.access_key_id.as_str()))
        {
            return contradiction(format!(
                "two credentials have the access_key_id '{}'",
                entry.access_key_id.as_str()
            ));
        }
        Ok(config)
    }

    /// A configuration for a region that is alone, as `geodynamo dev` has it: everything at its default but these.
    pub fn alone(region: RegionName, data_dir: PathBuf, data: SocketAddr) -> Self {
        // A region's name is a node's name, too: both have the same rules.
        let node = NodeName::new(region.as_str()).expect("regions' and nodes' names have the same rules");
        let listen = Listen {
            data,
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ..Listen::default()
        };
        Self {
            region,
            node,
            data_dir,
            topology: None,
            listen,
            tls: None,
            cluster_tls: None,
            credentials: Vec::new(),
            access: Access::default(),
            admin: AdminEntry::default(),
            audit: Audit::default(),
            console: Console::default(),
            memory: Memory::default(),
            storage: Storage::default(),
            encryption: Encryption::wanted(false),
            table_keys: TableKeysEntry::default(),
            streams: Streams::default(),
            archive: None,
            s3: BucketsEntry::default(),
            replication: Replication::default(),
            session: SessionEntry::default(),
            scaling: ScalingEntry::default(),
            ttl: TtlEntry::default(),
            throttle: ThrottleEntry::default(),
            limits: LimitsEntry::default(),
            functions: BTreeMap::new(),
            destinations: DestinationsEntry::default(),
            triggers: TriggersEntry::default(),
            sinks: Vec::new(),
            sink_options: SinkOptions::default(),
            otel: Otel::default(),
            habits: Habits::default(),
        }
    }

    /// The access keys, as the verifier takes them.
    pub fn credentials(&self) -> impl Iterator<Item = Credential> {
        self.credentials.iter().map(|entry| Credential {
            access_key_id: entry.access_key_id.as_str().to_owned(),
            secret_access_key: entry.secret_access_key.reveal().to_owned(),
            session_token: entry.session_token.as_ref().map(|token| token.reveal().to_owned()),
            account: entry.account.as_str().to_owned(),
        })
    }

    /// The account in this region's ARNs: the first key's.
    pub fn account(&self) -> &str {
        self.credentials
            .first()
            .map_or(Account::DEFAULT, |entry| entry.account.as_str())
    }

    /// The data port's limits.
    pub fn data_limits(&self) -> Limits {
        let millis = |value: u64| Duration::from_millis(value);
        Limits {
            connections_max: self.limits.connections.to_usize(),
            buffered_bytes_max: self.memory.request_mb.to_usize() << 20,
            header_timeout: millis(self.limits.header_timeout_ms.get()),
            body_timeout: millis(self.limits.body_timeout_ms.get()),
            idle_timeout: millis(self.limits.idle_timeout_ms.get()),
            slow_after: millis(self.limits.slow_request_ms.get()),
            drain_timeout: millis(self.limits.drain_timeout_ms.get()),
            ..Limits::default()
        }
    }

    /// Makes every path relative to `folder` instead of the working directory.
    fn resolve(&mut self, folder: &Path) {
        let mut paths = vec![&mut self.data_dir];
        paths.extend(self.topology.as_mut());
        paths.extend(self.archive.as_mut().and_then(ArchiveEntry::folder_mut));
        paths.extend(self.s3.dir.as_mut());
        paths.extend(self.access.paths());
        paths.extend(self.encryption.paths());
        paths.extend(self.table_keys.paths());
        paths.extend(self.storage.paths());
        paths.extend(self.audit.path.as_mut());
        paths.extend(self.functions.values_mut().flat_map(FunctionEntry::paths));
        paths.extend(self.destinations.folders());
        paths.extend(self.triggers.ca_file.as_mut());
        if let Some(tls) = &mut self.tls {
            paths.extend([&mut tls.cert, &mut tls.key]);
        }
        if let Some(tls) = &mut self.cluster_tls {
            paths.extend([&mut tls.cert, &mut tls.key, &mut tls.ca]);
        }
        for path in paths {
            *path = folder.join(&*path);
        }
        for sink in &mut self.sinks {
            sink.resolve(folder);
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data: local(8000),
            admin: local(8001),
            replication: local(8002),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            block_cache_mb: Within::new(96),
            row_cache_mb: Within::new(32),
            write_buffer_mb: Within::new(64),
            request_mb: Within::new(64),
            replication_mb: Within::new(32),
        }
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            shard_seconds: Within::new(SHARD_MS / 1000),
            retention_seconds: Within::new(STREAM_RETENTION_MS / 1000),
            reads_per_second: Within::new(0),
        }
    }
}

impl Default for TtlEntry {
    fn default() -> Self {
        let TtlOptions {
            sweep_ms,
            grace_ms,
            change_interval_ms,
        } = TtlOptions::default();
        Self {
            sweep_ms: Within::new(sweep_ms),
            grace_ms: Within::new(grace_ms),
            change_interval_ms: Within::new(change_interval_ms),
        }
    }
}

impl Default for ThrottleEntry {
    /// On, with DynamoDB's ceilings on hot keys and no quota of the account.
    fn default() -> Self {
        let ThrottleOptions {
            key_range, on_demand, ..
        } = ThrottleOptions::default();
        Self {
            enabled: true,
            key_range_read: Within::new(key_range.read),
            key_range_write: Within::new(key_range.write),
            on_demand_read: Within::new(on_demand.read),
            on_demand_write: Within::new(on_demand.write),
        }
    }
}

impl Default for LimitsEntry {
    fn default() -> Self {
        let limits = Limits::default();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            connections: Within::new(limits.connections_max as u64),
            header_timeout_ms: Within::new(millis(limits.header_timeout)),
            body_timeout_ms: Within::new(millis(limits.body_timeout)),
            idle_timeout_ms: Within::new(millis(limits.idle_timeout)),
            slow_request_ms: Within::new(millis(limits.slow_after)),
            drain_timeout_ms: Within::new(millis(limits.drain_timeout)),
        }
    }
}

impl fmt::Display for Config {
    /// One line for the log, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            region, node, data_dir, ..
        } = self;
        write!(f, "region {region}, node {node}, data in {}", data_dir.display())
    }
}

#[cfg(test)]
mod tests;
