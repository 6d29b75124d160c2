//! Loads items into one of two regions while watching memory; halfway the links between them are cut, at the end they
//! heal and the peer catches up. The links go through the WAN emulator, with the regions' real delays.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use geodynamo_topology::RegionName;
use geodynamo_wan::{WanConfig, WanEmulator};

use crate::client::Connection;
use crate::cluster::{Cluster, Settings};
use crate::process::resident_bytes;
use crate::tables;
use crate::workload::Workload;

/// One soak.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The `geodynamo` program.
    pub binary: PathBuf,
    /// Where the regions' files go.
    pub folder: PathBuf,
    /// Items to load, 300 B each.
    pub items: u64,
    /// Connections that load.
    pub connections: usize,
    /// The peer catches up within this time after the links healed.
    pub catch_up_max: Duration,
}

/// What was seen.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Figures {
    /// Items loaded.
    pub items: u64,
    /// How long loading took.
    pub load_s: f64,
    /// The most memory the loaded region held while the links were up.
    pub rss_max_linked_mb: u64,
    /// The most while they were cut.
    pub rss_max_cut_mb: u64,
    /// The most while the peer caught up.
    pub rss_max_catch_up_mb: u64,
    /// The most the peer held.
    pub rss_max_peer_mb: u64,
    /// How long the peer took until its digest was equal.
    pub catch_up_s: f64,
}

/// What both regions are given: with 100 MiB for the process itself this stays under 512 MiB.
const MEMORY: &str =
    "[memory]\nblock_cache_mb = 96\nrow_cache_mb = 32\nwrite_buffer_mb = 64\nrequest_mb = 48\nreplication_mb = 32\n";
const TABLE: &str = "soak";
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

impl Soak {
    /// Runs it; blocks. `say` is told what goes on.
    pub fn run(&self, say: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Figures> {
        let mut cluster = Cluster::new(Settings {
            binary: self.binary.clone(),
            folder: self.folder.clone(),
            regions: vec!["us-east-1".into(), "eu-west-1".into()],
            sync: true,
            more: MEMORY.into(),
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let wan = runtime.block_on(emulator(&cluster))?;
        let via = relays(&cluster, &wan)?;
        cluster.write(&via)?;
        cluster.start()?;
        let (here, peer) = (cluster.nodes[0].endpoint(), cluster.nodes[1].endpoint());
        runtime.block_on(async {
            tables::create(&here, TABLE).await?;
            tables::add_replica(&here, TABLE, &peer.credentials.region).await?;
            let mut connection = Connection::open(&peer).await?;
            tables::wait(&mut connection, TABLE, |about| {
                about["Table"]["TableStatus"] == "ACTIVE"
            })
            .await
        })?;

        let watch_here = Watch::start(cluster.nodes[0].pid());
        let watch_peer = Watch::start(cluster.nodes[1].pid());
        let started = Instant::now();
        let loaded = Arc::new(AtomicU64::new(0));
        let loader = {
            let (soak, here, loaded) = (self.clone(), here.clone(), loaded.clone());
            std::thread::spawn(move || -> io::Result<()> {
                let workload = Workload {
                    table: TABLE.into(),
                    mix: vec![],
                    keys: soak.items,
                    collection: None,
                    item_bytes: 300,
                };
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(tables::fill(&here, &workload, soak.connections, move |done| {
                    loaded.store(done, Ordering::Relaxed);
                    say(&format!("{done} items"));
                }))
            })
        };
        while loaded.load(Ordering::Relaxed) < self.items / 2 && !loader.is_finished() {
            std::thread::sleep(SAMPLE_EVERY);
        }
        let rss_max_linked = watch_here.take();
        cut(&wan, &cluster, true)?;
        loader.join().map_err(|_| io::Error::other("the loader panicked"))??;
        let load_s = started.elapsed().as_secs_f64();
        let rss_max_cut = watch_here.take();

        let back = Instant::now();
        cut(&wan, &cluster, false)?;
        loop {
            // Digests read whole tables: not too often.
            std::thread::sleep(Duration::from_secs(1));
            if cluster.nodes[0].digest(TABLE)? == cluster.nodes[1].digest(TABLE)? {
                break;
            }
            if back.elapsed() > self.catch_up_max {
                return Err(io::Error::other(format!(
                    "the peer did not catch up in {:?}",
                    self.catch_up_max
                )));
            }
        }
        let mb = |bytes: u64| bytes >> 20;
        Ok(Figures {
            items: self.items,
            load_s,
            rss_max_linked_mb: mb(rss_max_linked),
            rss_max_cut_mb: mb(rss_max_cut),
            rss_max_catch_up_mb: mb(watch_here.take()),
            rss_max_peer_mb: mb(watch_peer.take()),
            catch_up_s: back.elapsed().as_secs_f64(),
        })
    }
}

/// The links between the two regions.
async fn emulator(cluster: &Cluster) -> io::Result<WanEmulator> {
    let named = cluster.nodes.iter().map(|node| {
        Ok((
            RegionName::new(&node.region).map_err(io::Error::other)?,
            node.replication,
        ))
    });
    let config = WanConfig::new(named.collect::<io::Result<Vec<_>>>()?);
    WanEmulator::start(config).await.map_err(io::Error::other)
}

/// For each ordered pair of regions, where the one dials the other.
fn relays(cluster: &Cluster, wan: &WanEmulator) -> io::Result<BTreeMap<(String, String), SocketAddr>> {
    let names: Vec<&String> = cluster.nodes.iter().map(|node| &node.region).collect();
    let mut relays = BTreeMap::new();
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            let relay = wan
                .address(from, to)
                .ok_or_else(|| io::Error::other("no relay between the regions"))?;
            relays.insert(((*from).clone(), (*to).clone()), relay);
        }
    }
    Ok(relays)
}

fn cut(wan: &WanEmulator, cluster: &Cluster, cut: bool) -> io::Result<()> {
    wan.cut(&cluster.nodes[0].region, &cluster.nodes[1].region, cut)
        .map_err(io::Error::other)
}

impl Figures {
    /// The most memory that either region held at any time.
    pub fn rss_max_mb(&self) -> u64 {
        self.rss_max_linked_mb
            .max(self.rss_max_cut_mb)
            .max(self.rss_max_catch_up_mb)
            .max(self.rss_max_peer_mb)
    }
}

/// Samples a process's resident memory.
struct Watch {
    max_bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn start(pid: Option<u32>) -> Watch {
        let watch = Watch {
            max_bytes: Arc::default(),
            stop: Arc::default(),
        };
        let (max_bytes, stop) = (watch.max_bytes.clone(), watch.stop.clone());
        let pid = pid.unwrap_or(0);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(bytes) = resident_bytes(pid) {
                    max_bytes.fetch_max(bytes, Ordering::Relaxed);
                }
                std::thread::sleep(SAMPLE_EVERY);
            }
        });
        watch
    }

    /// The most since the last take.
    fn take(&self) -> u64 {
        self.max_bytes.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
