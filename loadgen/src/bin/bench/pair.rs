//! The two servers that are compared: the skeleton, and a region that runs as `geodynamo serve` does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use geodynamo_loadgen::client::Endpoint;
use geodynamo_loadgen::cluster::{Cluster, Settings};
use geodynamo_loadgen::process::{Server, sibling, wait_idle};
use geodynamo_loadgen::signer::Credentials;
use geodynamo_loadgen::tables;
use geodynamo_loadgen::workload::Workload;

/// Connections that fill tables.
const FILLING: usize = 32;
/// A server has compacted what it was filled with within this time.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(600);
/// The skeleton's block cache where the data may be larger than it: what a region has by default for blocks and memtables.
const CACHE_MB: u32 = 96 + 64;

/// Lifts DynamoDB's ceiling on hot ranges of keys, which the few partition keys of a small table with item collections
/// would meet at the machine's own speed; and keeps no single rows, for it is tables that are read from.
const OF_TABLES: &str = "[throttle]\nkey_range_read = 0\nkey_range_write = 0\n[memory]\nrow_cache_mb = 0\n";

/// How the skeleton's RocksDB is set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// As it is by default.
    Default,
    /// As geodynamo's: cache, block size, compression and bloom filters. Where what is read is in tables, not in memory.
    Alike,
}

/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Both servers, running.
pub(crate) struct Pair {
    pub(crate) skeleton: Side,
    pub(crate) geodynamo: Side,
    cluster: Cluster,
    server: Option<Server>,
    folder: PathBuf,
    tuning: Tuning,
}

/// One of them.
pub(crate) struct Side {
    pub(crate) endpoint: Endpoint,
    pub(crate) pid: u32,
    /// Where its data is.
    folder: PathBuf,
}

impl Side {
    /// The same server, as somebody else asks it.
    pub(crate) fn with_credentials(&self, credentials: Credentials) -> Side {
        Side {
            endpoint: Endpoint {
                credentials,
                ..self.endpoint.clone()
            },
            pid: self.pid,
            folder: self.folder.clone(),
        }
    }

    /// Reads its files, so that what it reads of them is in the system's memory. Fails as reading does; what goes meanwhile is
    /// passed over.
    pub(crate) fn warm(&self) -> io::Result<()> {
        read_files(&self.folder)
    }
}

impl Pair {
    /// Starts both with empty folders of their own in `folder`.
    pub(crate) fn start(folder: &Path, name: &str, tuning: Tuning) -> io::Result<Pair> {
        let mut settings = settings(folder, name, &["us-east-1"])?;
        if tuning == Tuning::Alike {
            settings.more = OF_TABLES.into();
        }
        let mut cluster = Cluster::new(settings)?;
        let folder = folder.join(name);
        cluster.write(&BTreeMap::new())?;
        cluster.start()?;
        let geodynamo = region(&cluster)?;
        let (server, skeleton) = start_skeleton(&folder, tuning)?;
        Ok(Pair {
            skeleton,
            geodynamo,
            cluster,
            server: Some(server),
            folder,
            tuning,
        })
    }

    /// Starts both anew, so that what is in memory is written to tables: the region when it ends, the skeleton when it
    /// begins, from its WAL.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.cluster.nodes[0].stop()?;
        self.cluster.start()?;
        self.geodynamo = region(&self.cluster)?;
        // The old one has to be gone before the new one can have its folder.
        drop(self.server.take());
        let (server, skeleton) = start_skeleton(&self.folder, self.tuning)?;
        (self.server, self.skeleton) = (Some(server), skeleton);
        Ok(())
    }

    /// Makes the table in the region; the skeleton has no tables.
    pub(crate) fn create(&self, workload: &Workload) -> io::Result<()> {
        block_on(tables::create_for(&self.geodynamo.endpoint, workload))
    }

    /// Puts every key of the workload's key space from `from` on in both, and waits until both are idle.
    pub(crate) fn fill(&self, workload: &Workload, from: u64) -> io::Result<()> {
        for side in self.sides() {
            block_on(tables::fill_from(from, &side.endpoint, workload, FILLING, |_| ()))?;
        }
        self.wait_idle()
    }

    /// Waits until both have compacted what was written.
    pub(crate) fn wait_idle(&self) -> io::Result<()> {
        self.sides()
            .into_iter()
            .try_for_each(|side| wait_idle(side.pid, IDLE_MAX))
    }

    /// The skeleton, geodynamo: the order of all figures.
    pub(crate) fn sides(&self) -> [&Side; 2] {
        [&self.skeleton, &self.geodynamo]
    }
}

/// Reads all files under a folder.
fn read_files(folder: &Path) -> io::Result<()> {
    let (mut folders, mut piece) = (vec![folder.to_owned()], vec![0; PIECE_BYTES]);
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if is_gone(&error) => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut file = match File::open(path) {
                Err(error) if is_gone(&error) => continue,
                file => file?,
            };
            while file.read(&mut piece)? > 0 {}
        }
    }
    Ok(())
}

/// Regions in a folder of their own.
pub(crate) fn settings(folder: &Path, name: &str, regions: &[&str]) -> io::Result<Settings> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let regions = regions.iter().map(|&region| region.to_owned()).collect();
    Ok(Settings {
        binary: sibling("geodynamo")?,
        folder,
        regions,
        sync: true,
        more: String::new(),
    })
}

/// Runs on a runtime of this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

/// The first region of a cluster.
pub(crate) fn region(cluster: &Cluster) -> io::Result<Side> {
    let node = &cluster.nodes[0];
    Ok(Side {
        endpoint: node.endpoint(),
        pid: node.pid().ok_or_else(|| io::Error::other("the region does not run"))?,
        folder: node.data_dir.clone(),
    })
}

fn start_skeleton(folder: &Path, tuning: Tuning) -> io::Result<(Server, Side)> {
    let data = folder.join("skeleton");
    let mut arguments: Vec<OsString> = vec!["--data".into(), data.clone().into()];
    if tuning == Tuning::Alike {
        arguments.extend(["--cache-mb".into(), CACHE_MB.to_string().into()]);
    }
    let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
    let server = Server::start(&sibling("skeleton")?, &arguments, &folder.join("skeleton.log"))?;
    let address = server.hello["endpoint"].as_str().and_then(|text| text.parse().ok());
    let credentials = Credentials {
        access_key_id: "skeleton".into(),
        secret_access_key: "skeleton-secret".into(),
        region: "us-east-1".into(),
    };
    let address = address.ok_or_else(|| io::Error::other("the skeleton did not say where it listens"))?;
    let endpoint = Endpoint {
        address,
        credentials,
        tls: None,
    };
    let pid = server.pid();
    let side = Side {
        endpoint,
        pid,
        folder: data,
    };
    Ok((server, side))
}
