//! The demo's processes: a region each, and the emulated network between them in this one.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::Stdio,
    time::Duration,
};

use geodynamo_seal::LocalKey;
use geodynamo_topology::{RegionName, Topology};
use geodynamo_wan::{WanConfig, WanEmulator};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{ACCESS_KEY_ID, REGIONS, SECRET_ACCESS_KEY};
use crate::{access::cluster_key::CLUSTER_KEY, certs, cli::Auth, run::Done, sealing};

/// How long a region may take to start: a data directory that was not closed is recovered first.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a region may take to end before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A region of the demo.
pub(super) struct DemoRegion {
    pub(super) name: &'static str,
    pub(super) data: SocketAddr,
    pub(super) admin: SocketAddr,
    child: tokio::sync::Mutex<Child>,
}

/// The running demo.
pub(super) struct Cluster {
    regions: Vec<DemoRegion>,
    wan: WanEmulator,
}

/// A region's ports.
struct Ports {
    data: SocketAddr,
    admin: SocketAddr,
    replication: SocketAddr,
    /// They are held until the region starts, so that nobody else gets one of them meanwhile: another region, or a relay.
    held: (TcpListener, TcpListener, UdpSocket),
}

impl Cluster {
    /// Starts the network and the regions, with their files in a folder.
    pub(super) async fn start(
        folder: &Path,
        auth: Auth,
        s3_dir: Option<&Path>,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        fs::create_dir_all(folder)?;
        // Buckets are of all regions.
        let s3_dir = std::path::absolute(s3_dir.map_or_else(|| folder.join("s3"), Path::to_owned))?;
        let ports = REGIONS
            .iter()
            .map(|_| free_ports())
            .collect::<std::io::Result<Vec<_>>>()?;
        let names = REGIONS
            .iter()
            .map(|name| RegionName::new(name))
            .collect::<Result<Vec<_>, _>>()?;
        let targets = names.iter().cloned().zip(ports.iter().map(|ports| ports.replication));
        let wan = WanEmulator::start(WanConfig::new(targets)).await?;
        let text = topology(&ports, &wan);
        let path = folder.join("topology.toml");
        fs::write(&path, &text)?;
        certs::make(&folder.join("certs"), &Topology::parse("topology.toml", &text)?)?;
        let key = sealing::beside(folder);
        LocalKey::make_file(&key)?;
        let mut regions = Vec::new();
        for (name, ports) in REGIONS.into_iter().zip(ports) {
            let config = folder.join(format!("{name}.toml"));
            fs::write(&config, region_config(name, &ports, &wan, &key))?;
            regions.push(start_region(name, ports, &config, auth, &s3_dir)?);
        }
        let mut cluster = Self { regions, wan };
        for region in &mut cluster.regions {
            region.ready().await?;
        }
        Ok(cluster)
    }

    pub(super) fn regions(&self) -> &[DemoRegion] {
        &self.regions
    }

    pub(super) fn wan(&self) -> &WanEmulator {
        &self.wan
    }

    /// Returns when a region ends by itself, which none should.
    pub(super) async fn watch(&self) -> Done {
        let mut ended = tokio::time::interval(Duration::from_millis(500));
        loop {
            ended.tick().await;
            for region in &self.regions {
                if let Some(status) = region.child.lock().await.try_wait()? {
                    return Err(format!("region {} ended by itself: {status}", region.name).into());
                }
            }
        }
    }

    /// Asks every region to end and waits for it.
    pub(super) async fn stop(&mut self) -> Done {
        for region in &self.regions {
            // A region whose standard input ends drains and exits, as with SIGTERM.
            drop(region.child.lock().await.stdin.take());
        }
        let mut failed = None;
        for region in &self.regions {
            let mut child = region.child.lock().await;
            match timeout(STOP_MAX, child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => failed = Some(format!("region {} ended with {status}", region.name)),
                Ok(Err(error)) => failed = Some(format!("region {}: {error}", region.name)),
                Err(_) => {
                    child.kill().await?;
                    failed = Some(format!(
                        "region {} did not end in {STOP_MAX:?} and was killed",
                        region.name
                    ));
                }
            }
        }
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    }
}

impl DemoRegion {
    /// Waits for the line that says that it takes requests.
    async fn ready(&mut self) -> Done {
        let child = self.child.get_mut();
        let Some(output) = child.stdout.take() else {
            return Err("a region has no standard output".into());
        };
        let mut lines = BufReader::new(output).lines();
        let line = timeout(START_MAX, lines.next_line())
            .await
            .map_err(|_| format!("region {} is late", self.name))??;
        if line.is_none() {
            return Err(format!("region {} ended before it was ready", self.name).into());
        }
        Ok(())
    }
}

fn start_region(
    name: &'static str,
    ports: Ports,
    config: &Path,
    auth: Auth,
    s3_dir: &Path,
) -> Result<DemoRegion, Box<dyn Error + Send + Sync>> {
    drop(ports.held);
    let child = Command::new(std::env::current_exe()?)
        .args(["serve", "--stop-with-stdin", "--auth", auth.name(), "--config"])
        .arg(config)
        .arg("--s3-dir")
        .arg(s3_dir)
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C goes to the whole process group of a terminal: the regions are stopped by this process, in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok(DemoRegion {
        name,
        data: ports.data,
        admin: ports.admin,
        child: tokio::sync::Mutex::new(child),
    })
}

fn topology(ports: &[Ports], wan: &WanEmulator) -> String {
    let mut text = "cluster = \"demo\"\n".to_owned();
    for (name, ports) in REGIONS.iter().zip(ports) {
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "\n[[region]]\nname = \"{name}\"\n\n[[region.node]]\nname = \"{name}\"\nreplication = \"{}\"\ndata = \"{}\"\n\
             admin = \"{}\"\n",
            ports.replication, ports.data, ports.admin
        );
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

/// A region as `geodynamo serve` reads it. Provisioned throughput throttles, but a hot key does not: it is for trying out,
/// as fast as the machine goes, on few keys.
fn region_config(name: &str, ports: &Ports, wan: &WanEmulator, key: &Path) -> String {
    // A path may have quotes and the like in it.
    let key = toml::Value::from(key.to_string_lossy().into_owned());
    format!(
        "region = \"{name}\"\nnode = \"{name}\"\ndata_dir = \"{name}\"\ntopology = \"topology.toml\"\n\n\
         [listen]\ndata = \"{}\"\nadmin = \"{}\"\nreplication = \"{}\"\n\n\
         [cluster_tls]\ncert = \"certs/{name}.pem\"\nkey = \"certs/{name}.key\"\nca = \"certs/ca.pem\"\n\n\
         [encryption]\nkey_file = {key}\n\n\
         [archive]\nurl = \"archive\"\nship_seconds = 1\n\n\
         [access]\ncluster_key_file = \"certs/{CLUSTER_KEY}\"\n\n\
         [throttle]\nkey_range_read = 0\nkey_range_write = 0\n\n\
         [console]\nwan = \"http://{}\"\n\n\
         [[credentials]]\naccess_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key = \"{SECRET_ACCESS_KEY}\"\n",
        ports.data,
        ports.admin,
        ports.replication,
        wan.control()
    )
}

/// Ports that are free. Another process may take one in the moment before the region does; then the start says so.
fn free_ports() -> std::io::Result<Ports> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let (data, admin, replication) = (TcpListener::bind(any)?, TcpListener::bind(any)?, UdpSocket::bind(any)?);
    Ok(Ports {
        data: data.local_addr()?,
        admin: admin.local_addr()?,
        replication: replication.local_addr()?,
        held: (data, admin, replication),
    })
}
