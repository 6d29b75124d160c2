//! What concurrent clients saw of a region, judged: single-item calls are linearizable and transactions serializable, also
//! when the region is killed, or loses its power, and is started again in the middle. Every judge has negative controls: histories that are
//! changed afterwards, and clients that do not do what they record.

mod items;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use geodynamo_loadgen::client::Endpoint;
use geodynamo_loadgen::cluster::{Cluster, Settings};
use geodynamo_loadgen::tables;
use geodynamo_tests::power::Power;
use geodynamo_tests::recorder::Moments;
use geodynamo_tests::{Failure, binary, wait_until};
use tempfile::TempDir;

/// So much load is done within this time, or the region hangs.
const LOAD_MAX: Duration = Duration::from_secs(120);

/// One region, with one table.
struct Region {
    cluster: Cluster,
    power: Option<Power>,
    _folder: TempDir,
}

/// How a region ends before it is started again.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// By kill -9.
    Kill,
    /// By kill -9, and what it had not synced is taken from its files.
    PowerCut,
}

/// What the clients of a history share.
#[derive(Default)]
struct Shared {
    moments: Moments,
    /// Calls or transactions that were answered.
    done: AtomicU64,
    stop: AtomicBool,
}

impl Region {
    async fn start(table: &str, end: End) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("geodynamo-test-").tempdir()?;
        let mut cluster = Cluster::new(Settings {
            binary: binary()?,
            folder: folder.path().to_owned(),
            regions: vec!["us-east-1".to_owned()],
            sync: true,
            // A few keys are written as fast as can be.
            more: "[throttle]\nenabled = false\n".to_owned(),
        })?;
        cluster.write(&BTreeMap::new())?;
        let power = match end {
            End::Kill => None,
            End::PowerCut => Some(Power::new(folder.path())?),
        };
        let mut region = Self {
            cluster,
            power,
            _folder: folder,
        };
        region.switch_on()?;
        tables::create(&region.endpoint(), table).await?;
        Ok(region)
    }

    fn endpoint(&self) -> Endpoint {
        self.cluster.nodes[0].endpoint()
    }

    /// A new start on what is on disk.
    fn restart(&mut self) -> Result<(), Failure> {
        let node = &mut self.cluster.nodes[0];
        match &self.power {
            None => node.kill()?,
            Some(power) => drop(power.cut(node)?),
        }
        self.switch_on()
    }

    fn switch_on(&mut self) -> Result<(), Failure> {
        match &self.power {
            None => Ok(self.cluster.start()?),
            Some(power) => power.on(&mut self.cluster.nodes[0]),
        }
    }
}

impl Shared {
    fn is_going_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the clients do so much load between kills, and ends them.
    async fn drive(self: &Arc<Self>, region: &mut Region, each: u64, kills: u64) -> Result<(), Failure> {
        for round in 0..=kills {
            let target = self.done.load(Ordering::Relaxed) + each;
            let done = async || Ok(self.done.load(Ordering::Relaxed) >= target);
            wait_until("the load is done", LOAD_MAX, done).await?;
            if round < kills {
                region.restart()?;
            }
        }
        self.stop.store(true, Ordering::Relaxed);
        Ok(())
    }
}
