//! Loads items into one of two regions while watching memory; halfway the peer is gone, at the end it comes back and
//! catches up.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    /// The peer catches up within this time after it came back.
    pub catch_up_max: Duration,
}

/// What was seen.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Figures {
    /// Items loaded.
    pub items: u64,
    /// How long loading took.
    pub load_s: f64,
    /// The most memory the loaded region held while its peer was there.
    pub rss_max_linked_mb: u64,
    /// The most while the peer was gone.
    pub rss_max_cut_mb: u64,
    /// The most while the peer caught up.
    pub rss_max_catch_up_mb: u64,
    /// The most the peer held.
    pub rss_max_peer_mb: u64,
    /// How long the peer took until its digest was equal.
    pub catch_up_s: f64,
}

/// What both regions are given: with 100 MiB for the process itself this stays under 512 MiB.
const MEMORY: &str = "[memory]\nblock_cache_mb = 96\nwrite_buffer_mb = 64\nrequest_mb = 48\nreplication_mb = 32\n";
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
        cluster.write(&BTreeMap::new())?;
        cluster.start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
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
        cluster.nodes[1].kill()?;
        loader.join().map_err(|_| io::Error::other("the loader panicked"))??;
        let load_s = started.elapsed().as_secs_f64();
        let rss_max_cut = watch_here.take();

        let back = Instant::now();
        cluster.start()?;
        watch_peer.follow(cluster.nodes[1].pid());
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
    pid: Arc<AtomicU32>,
    max_bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn start(pid: Option<u32>) -> Watch {
        let watch = Watch {
            pid: Arc::new(AtomicU32::new(pid.unwrap_or(0))),
            max_bytes: Arc::default(),
            stop: Arc::default(),
        };
        let (pid, max_bytes, stop) = (watch.pid.clone(), watch.max_bytes.clone(), watch.stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(bytes) = resident_bytes(pid.load(Ordering::Relaxed)) {
                    max_bytes.fetch_max(bytes, Ordering::Relaxed);
                }
                std::thread::sleep(SAMPLE_EVERY);
            }
        });
        watch
    }

    fn follow(&self, pid: Option<u32>) {
        self.pid.store(pid.unwrap_or(0), Ordering::Relaxed);
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
