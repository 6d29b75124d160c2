//! The demo's processes: a region each, but for one on Cassandra that has two, and the emulated network between them in this one.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use geodynamo_cassandra::create_schema;
use geodynamo_seal::LocalKey;
use geodynamo_topology::{RegionName, Topology};
use geodynamo_wan::{WanConfig, WanEmulator, WanRegion};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{ACCESS_KEY_ID, REGIONS, SECRET_ACCESS_KEY, cassandra::Cassandra};
use crate::{
    access::cluster_key::CLUSTER_KEY,
    certs,
    cli::{Auth, DemoEngine},
    config::Config,
    run::Done,
    sealing,
};

/// How long a region may take to start: a data directory that was not closed is recovered first.
const START_MAX: Duration = Duration::from_secs(60);
/// The data centre that the demo's Cassandra is in.
const DATACENTER: &str = "region";
/// How long a region may take to end before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);

type Failure = Box<dyn Error + Send + Sync>;

/// A region of the demo.
pub(super) struct DemoRegion {
    pub(super) name: &'static str,
    /// Where clients reach it: its first node.
    pub(super) data: SocketAddr,
    pub(super) admin: SocketAddr,
    /// One on RocksDB, two on Cassandra.
    pub(super) nodes: Vec<DemoNode>,
}

/// A process of a region.
pub(super) struct DemoNode {
    pub(super) name: String,
    pub(super) data: SocketAddr,
    pub(super) admin: SocketAddr,
    command: Start,
    child: tokio::sync::Mutex<Child>,
}

/// How a node is started, also once more.
struct Start {
    config: PathBuf,
    auth: Auth,
    s3_dir: PathBuf,
}

/// The running demo.
pub(super) struct Cluster {
    regions: Vec<DemoRegion>,
    wan: WanEmulator,
    cassandra: Option<Cassandra>,
}

/// What the demo's regions are like.
struct Plan {
    nodes: Vec<Planned>,
    key: PathBuf,
}

/// A node before it starts.
struct Planned {
    region: &'static str,
    name: String,
    data: SocketAddr,
    admin: SocketAddr,
    replication: SocketAddr,
    forward: SocketAddr,
    is_on_cassandra: bool,
    /// Its ports are held until it starts, so that nobody else gets one of them meanwhile: another region, or a relay.
    held: (TcpListener, TcpListener, TcpListener, UdpSocket),
}

impl Cluster {
    /// Starts the network and the regions, with their files in a folder.
    pub(super) async fn start(
        folder: &Path,
        auth: Auth,
        s3_dir: Option<&Path>,
        engine: DemoEngine,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        // Buckets are of all regions.
        let s3_dir = std::path::absolute(s3_dir.map_or_else(|| folder.join("s3"), Path::to_owned))?;
        let key = sealing::beside(folder);
        LocalKey::make_file(&key)?;
        let plan = Plan::new(engine, key)?;
        let wan = WanEmulator::start(plan.wan()?).await?;
        let text = plan.topology(&wan);
        fs::write(folder.join("topology.toml"), &text)?;
        certs::make(&folder.join("certs"), &Topology::parse("topology.toml", &text)?)?;
        let cassandra = match engine {
            DemoEngine::Rocksdb => None,
            DemoEngine::Cassandra => Some(Cassandra::start(&folder.join("cassandra")).await?),
        };
        let mut regions: Vec<DemoRegion> = Vec::new();
        let Plan { nodes, key } = plan;
        for node in nodes {
            let config = folder.join(format!("{}.toml", node.name));
            let text = node_config(&node, &wan, &key, cassandra.as_ref());
            fs::write(&config, text)?;
            let is_first = regions.last().is_none_or(|region| region.name != node.region);
            if is_first && node.is_on_cassandra {
                make_keyspace(&config).await?;
            }
            let start = Start {
                config,
                auth,
                s3_dir: s3_dir.clone(),
            };
            let region = node.region;
            let mut node = start_node(node, start)?;
            if is_first && cassandra.is_some() && regions.is_empty() {
                // So that it is the one that writes.
                node.ready().await?;
            }
            match regions.last_mut().filter(|_| !is_first) {
                Some(region) => region.nodes.push(node),
                None => regions.push(DemoRegion {
                    name: region,
                    data: node.data,
                    admin: node.admin,
                    nodes: vec![node],
                }),
            }
        }
        let mut cluster = Self {
            regions,
            wan,
            cassandra,
        };
        for node in cluster.regions.iter_mut().flat_map(|region| &mut region.nodes) {
            node.ready().await?;
        }
        Ok(cluster)
    }

    pub(super) fn regions(&self) -> &[DemoRegion] {
        &self.regions
    }

    pub(super) fn wan(&self) -> &WanEmulator {
        &self.wan
    }

    /// Returns when a region ends by itself, which none should. A node of several is started again: its region goes on meanwhile.
    pub(super) async fn watch(&self) -> Done {
        let mut ended = tokio::time::interval(Duration::from_millis(500));
        loop {
            ended.tick().await;
            for region in &self.regions {
                for node in &region.nodes {
                    let mut child = node.child.lock().await;
                    let Some(status) = child.try_wait()? else { continue };
                    if region.nodes.len() == 1 {
                        return Err(format!("region {} ended by itself: {status}", region.name).into());
                    }
                    eprintln!("node {} ended by itself ({status}) and is started again", node.name);
                    *child = node.command.spawn(Stdio::null())?;
                }
            }
        }
    }

    /// Asks every region to end and waits for it.
    pub(super) async fn stop(&mut self) -> Done {
        let nodes = || self.regions.iter().flat_map(|region| &region.nodes);
        for node in nodes() {
            // A node whose standard input ends drains and exits, as with SIGTERM.
            drop(node.child.lock().await.stdin.take());
        }
        let mut failed = None;
        for node in nodes() {
            let mut child = node.child.lock().await;
            match timeout(STOP_MAX, child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => failed = Some(format!("node {} ended with {status}", node.name)),
                Ok(Err(error)) => failed = Some(format!("node {}: {error}", node.name)),
                Err(_) => {
                    child.kill().await?;
                    failed = Some(format!("node {} did not end in {STOP_MAX:?} and was killed", node.name));
                }
            }
        }
        if let Some(cassandra) = &mut self.cassandra {
            cassandra.stop().await?;
        }
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    }
}

impl DemoNode {
    /// Waits for the line that says that it takes requests, once.
    async fn ready(&mut self) -> Done {
        let child = self.child.get_mut();
        // Once it was ready, it is taken.
        let Some(output) = child.stdout.take() else {
            return Ok(());
        };
        let mut lines = BufReader::new(output).lines();
        let line = timeout(START_MAX, lines.next_line())
            .await
            .map_err(|_| format!("node {} is late", self.name))??;
        if line.is_none() {
            return Err(format!("node {} ended before it was ready", self.name).into());
        }
        Ok(())
    }
}

impl Start {
    fn spawn(&self, output: Stdio) -> Result<Child, Failure> {
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--stop-with-stdin", "--auth", self.auth.name(), "--config"])
            .arg(&self.config)
            .arg("--s3-dir")
            .arg(&self.s3_dir)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
            .stdin(Stdio::piped())
            .stdout(output)
            // Ctrl-C goes to the whole process group of a terminal: the regions are stopped by this process, in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(child)
    }
}

fn start_node(planned: Planned, command: Start) -> Result<DemoNode, Failure> {
    drop(planned.held);
    let child = command.spawn(Stdio::piped())?;
    Ok(DemoNode {
        name: planned.name,
        data: planned.data,
        admin: planned.admin,
        command,
        child: tokio::sync::Mutex::new(child),
    })
}

impl Plan {
    fn new(engine: DemoEngine, key: PathBuf) -> std::io::Result<Self> {
        let mut nodes = Vec::new();
        for (place, region) in REGIONS.into_iter().enumerate() {
            if engine == DemoEngine::Cassandra && place == 0 {
                for node in ["a", "b"] {
                    nodes.push(Planned::new(region, format!("{region}-{node}"), true)?);
                }
            } else {
                nodes.push(Planned::new(region, region.to_owned(), false)?);
            }
        }
        Ok(Self { nodes, key })
    }

    fn of(&self, region: &str) -> impl Iterator<Item = &Planned> {
        self.nodes.iter().filter(move |node| node.region == region)
    }

    fn wan(&self) -> Result<WanConfig, Failure> {
        let mut config = WanConfig::new([]);
        for region in REGIONS {
            config.regions.push(WanRegion {
                name: RegionName::new(region)?,
                targets: self.of(region).map(|node| node.replication).collect(),
            });
        }
        Ok(config)
    }

    fn topology(&self, wan: &WanEmulator) -> String {
        let mut text = "cluster = \"demo\"\n".to_owned();
        for region in REGIONS {
            // Writing into a String cannot fail.
            let _ = write!(text, "\n[[region]]\nname = \"{region}\"\n");
            for node in self.of(region) {
                let _ = write!(
                    text,
                    "\n[[region.node]]\nname = \"{}\"\nreplication = \"{}\"\ndata = \"{}\"\nadmin = \"{}\"\n",
                    node.name, node.replication, node.data, node.admin
                );
            }
        }
        for from in REGIONS {
            for to in REGIONS {
                if let Some(via) = wan.address(from, to) {
                    let _ = write!(text, "\n[[link]]\nfrom = \"{from}\"\nto = \"{to}\"\nvia = \"{via}\"\n");
                }
            }
        }
        text
    }
}

impl Planned {
    /// Ports that are free. Another process may take one in the moment before the region does; then the start says so.
    fn new(region: &'static str, name: String, is_on_cassandra: bool) -> std::io::Result<Self> {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let tcp = || TcpListener::bind(any);
        let (data, admin, forward, replication) = (tcp()?, tcp()?, tcp()?, UdpSocket::bind(any)?);
        Ok(Self {
            region,
            name,
            data: data.local_addr()?,
            admin: admin.local_addr()?,
            replication: replication.local_addr()?,
            forward: forward.local_addr()?,
            is_on_cassandra,
            held: (data, admin, forward, replication),
        })
    }
}

/// A node as `geodynamo serve` reads it. Provisioned throughput throttles, but a hot key does not: it is for trying out,
/// as fast as the machine goes, on few keys.
fn node_config(node: &Planned, wan: &WanEmulator, key: &Path, cassandra: Option<&Cassandra>) -> String {
    let Planned {
        region,
        name,
        data,
        admin,
        replication,
        forward,
        ..
    } = node;
    // A path may have quotes and the like in it.
    let key = toml::Value::from(key.to_string_lossy().into_owned());
    let storage = cassandra.filter(|_| node.is_on_cassandra).map(|cassandra| {
        format!(
            "\n[storage]\nengine = \"cassandra\"\n\n[storage.cassandra]\ncontact_points = {:?}\nkeyspace = \"{}\"\n\
             datacenter = \"{DATACENTER}\"\nreplication_factor = 1\nforward = \"{forward}\"\n",
            cassandra.contact_points, cassandra.keyspace
        )
    });
    format!(
        "region = \"{region}\"\nnode = \"{name}\"\ndata_dir = \"{name}\"\ntopology = \"topology.toml\"\n\n\
         [listen]\ndata = \"{data}\"\nadmin = \"{admin}\"\nreplication = \"{replication}\"\n\n\
         [cluster_tls]\ncert = \"certs/{name}.pem\"\nkey = \"certs/{name}.key\"\nca = \"certs/ca.pem\"\n\n\
         [encryption]\nkey_file = {key}\n\n\
         [archive]\nurl = \"archive\"\nship_seconds = 1\n\n\
         [access]\ncluster_key_file = \"certs/{CLUSTER_KEY}\"\n\n\
         [throttle]\nkey_range_read = 0\nkey_range_write = 0\n\n\
         [console]\nwan = \"http://{}\"\n\n\
         [[credentials]]\naccess_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key = \"{SECRET_ACCESS_KEY}\"\n{}",
        wan.control(),
        storage.unwrap_or_default()
    )
}

/// Makes the keyspace that a node's configuration names.
async fn make_keyspace(config: &Path) -> Done {
    let config = Config::load(config)?;
    if let Some(entry) = config.storage.on_cassandra() {
        create_schema(&entry.options(&config, String::new())?, &entry.replication()).await?;
    }
    Ok(())
}
