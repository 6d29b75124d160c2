//! Regions as real processes on this machine: their files, ports, starts and ends. `geodynamo` is used as anybody would:
//! `geodynamo certs`, a topology file, a configuration file for each, `geodynamo serve`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::client::Endpoint;
use crate::signer::Credentials;

/// The one access key of a cluster.
pub const ACCESS_KEY_ID: &str = "AKIDGEODYNAMOLOADGEN";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "loadgen0secret0loadgen0secret0loadgen012";

/// A region is ready, or ends after SIGTERM, within this time.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// The time for an admin request: digests of large tables take a while.
const ADMIN_MAX: Duration = Duration::from_secs(120);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `geodynamo` program.
    pub binary: PathBuf,
    /// Where all files go; must be there.
    pub folder: PathBuf,
    /// The regions' names; one node each. A single region gets no topology.
    pub regions: Vec<String>,
    /// Whether a write is synced before its reply.
    pub sync: bool,
    /// Further lines of each configuration file, such as `[limits]` and what belongs there.
    pub more: String,
}

/// Regions that can be started, killed and started again. Dropping it kills what runs.
pub struct Cluster {
    settings: Settings,
    /// One for each region, in the settings' order.
    pub nodes: Vec<Node>,
    /// Their ports, held until the configuration is written, so that none is chosen twice, here or by a relay.
    held: Vec<(TcpListener, TcpListener, UdpSocket)>,
}

/// One region's process, running or not.
pub struct Node {
    /// The region.
    pub region: String,
    /// For clients.
    pub data: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For peers (UDP).
    pub replication: SocketAddr,
    /// Its tables.
    pub data_dir: PathBuf,
    /// What it logs, over all its lives.
    pub log: PathBuf,
    binary: PathBuf,
    config: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    /// Chooses free ports. Nothing is written yet: a relay between the regions has to know their ports first.
    pub fn new(settings: Settings) -> io::Result<Cluster> {
        let mut held = Vec::new();
        let mut nodes = Vec::new();
        for region in &settings.regions {
            let (data, admin) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
            let replication = UdpSocket::bind("127.0.0.1:0")?;
            nodes.push(Node {
                region: region.clone(),
                data: data.local_addr()?,
                admin: admin.local_addr()?,
                replication: replication.local_addr()?,
                data_dir: settings.folder.join(region).join("data"),
                log: settings.folder.join(region).join("log"),
                binary: settings.binary.clone(),
                config: settings.folder.join(region).join("geodynamo.toml"),
                process: None,
            });
            held.push((data, admin, replication));
        }
        Ok(Cluster { settings, nodes, held })
    }

    /// Writes certificates, topology and configurations. `via`: for (from, to), the relay to dial instead of the peer.
    pub fn write(&mut self, via: &BTreeMap<(String, String), SocketAddr>) -> io::Result<()> {
        self.held.clear();
        let folder = &self.settings.folder;
        let linked = self.nodes.len() > 1;
        if linked {
            let topology = folder.join("topology.toml");
            std::fs::write(&topology, self.topology(via))?;
            let mut certs = Command::new(&self.settings.binary);
            certs.arg("certs").arg("--topology").arg(topology);
            certs.arg("--out").arg(folder.join("certs")).stdout(Stdio::null());
            if !certs.status()?.success() {
                return Err(io::Error::other("geodynamo certs failed"));
            }
        }
        for node in &self.nodes {
            std::fs::create_dir_all(&node.data_dir)?;
            std::fs::write(&node.config, self.configuration(node, linked))?;
        }
        Ok(())
    }

    /// Starts every region that does not run and waits until all are ready.
    pub fn start(&mut self) -> io::Result<()> {
        for node in self.nodes.iter_mut().filter(|node| node.process.is_none()) {
            node.start(&[])?;
        }
        self.nodes.iter_mut().try_for_each(Node::wait_ready)
    }

    fn topology(&self, via: &BTreeMap<(String, String), SocketAddr>) -> String {
        let mut text = String::from("cluster = \"loadgen\"\n");
        for node in &self.nodes {
            // Writing to a String cannot fail, here and below.
            let _ = write!(
                text,
                "\n[[region]]\nname = \"{}\"\n[[region.node]]\nname = \"{}\"\nreplication = \"{}\"\ndata = \"{}\"\n\
                 admin = \"{}\"\n",
                node.region,
                node.name(),
                node.replication,
                node.data,
                node.admin
            );
        }
        for ((from, to), relay) in via {
            let _ = write!(
                text,
                "\n[[link]]\nfrom = \"{from}\"\nto = \"{to}\"\nvia = \"{relay}\"\n"
            );
        }
        text
    }

    fn configuration(&self, node: &Node, linked: bool) -> String {
        let name = node.name();
        let mut text = format!(
            "region = \"{}\"\nnode = \"{name}\"\ndata_dir = \"data\"\n{}[listen]\ndata = \"{}\"\nadmin = \"{}\"\n\
             replication = \"{}\"\n[storage]\nsync = {}\n[[credentials]]\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
             secret_access_key = \"{SECRET_ACCESS_KEY}\"\n",
            node.region,
            if linked {
                "topology = \"../topology.toml\"\n"
            } else {
                ""
            },
            node.data,
            node.admin,
            node.replication,
            self.settings.sync
        );
        if linked {
            let _ = write!(
                text,
                "[cluster_tls]\ncert = \"../certs/{name}.pem\"\nkey = \"../certs/{name}.key\"\nca = \"../certs/ca.pem\"\n"
            );
        }
        text + &self.settings.more
    }
}

impl Node {
    /// The node's name in the topology.
    pub fn name(&self) -> String {
        format!("{}-a", self.region)
    }

    /// Where and how its clients ask.
    pub fn endpoint(&self) -> Endpoint {
        let credentials = Credentials {
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.to_owned(),
            region: self.region.clone(),
        };
        Endpoint {
            address: self.data,
            credentials,
            tls: None,
        }
    }

    /// Starts the process with these environment variables added.
    pub fn start(&mut self, environment: &[(&str, &Path)]) -> io::Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.process = Some(child);
        Ok(())
    }

    /// Waits until the admin port says that the region takes requests.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        match self.wait_ready_or_ended()? {
            None => Ok(()),
            ended => Err(self.not_ready(ended)),
        }
    }

    /// The same; gives how the process ended, if it did.
    pub fn wait_ready_or_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            if self.admin("/readyz").is_ok_and(|(status, _)| status == 200) {
                return Ok(None);
            }
            let ended = self.process.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() {
                self.process = None;
                return Ok(ended);
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(None));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn not_ready(&self, ended: Option<ExitStatus>) -> io::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: String = log.lines().rev().take(15).collect::<Vec<_>>().join("\n");
        io::Error::other(format!("{} is not ready (ended: {ended:?}):\n{tail}", self.region))
    }

    /// The process's id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that; gives how it ended.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        let mut process = self.process.take().ok_or_else(|| io::Error::other("it does not run"))?;
        rustix::process::kill_process(Pid::from_child(&process), Signal::TERM)?;
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            if let Some(status) = process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                process.kill()?;
                process.wait()?;
                return Err(io::Error::other(format!("{} did not end on SIGTERM", self.region)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// GETs a path of the admin port: status and body.
    pub fn admin(&self, path: &str) -> io::Result<(u16, String)> {
        ask_admin(self.admin, path)
    }

    /// The digest of a table's replica here, as the admin port's text.
    pub fn digest(&self, table: &str) -> io::Result<String> {
        let (status, body) = self.admin(&format!("/digest?table={table}"))?;
        if status == 200 {
            Ok(body)
        } else {
            Err(io::Error::other(format!("digest: {status} {body}")))
        }
    }
}

/// GETs a path of an admin port: status and body.
pub fn ask_admin(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ADMIN_MAX))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("no head"))?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    Ok((status.ok_or_else(|| io::Error::other("no status"))?, body.to_owned()))
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.kill();
    }
}
