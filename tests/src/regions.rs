//! Regions with an emulated WAN between them, and one global table.

use std::collections::BTreeMap;
use std::time::Duration;

use geodynamo_loadgen::client::Connection;
use geodynamo_loadgen::cluster::{Cluster, Settings};
use geodynamo_loadgen::tables;
use geodynamo_topology::RegionName;
use geodynamo_wan::{WanConfig, WanEmulator};
use tempfile::TempDir;

use crate::{Failure, binary, wait_until};

/// Three regions of AWS.
pub const THREE: [&str; 3] = ["us-east-1", "eu-west-1", "ap-northeast-1"];

/// Running regions; all ends when it is dropped.
pub struct Regions {
    /// The processes.
    pub cluster: Cluster,
    /// The links between them.
    pub wan: WanEmulator,
    /// All their files.
    pub folder: TempDir,
}

impl Regions {
    /// Writes all files and starts the emulator, but no region.
    pub async fn prepare(names: &[&str], sync: bool, more: &str) -> Result<Regions, Failure> {
        let folder = tempfile::Builder::new().prefix("geodynamo-test-").tempdir()?;
        let mut cluster = Cluster::new(Settings {
            binary: binary()?,
            folder: folder.path().to_owned(),
            regions: names.iter().map(|&name| name.to_owned()).collect(),
            sync,
            more: more.to_owned(),
        })?;
        let named = cluster
            .nodes
            .iter()
            .map(|node| Ok((RegionName::new(&node.region)?, node.replication)));
        let wan = WanEmulator::start(WanConfig::new(named.collect::<Result<Vec<_>, Failure>>()?)).await?;
        let mut via = BTreeMap::new();
        for from in names {
            for to in names.iter().filter(|to| *to != from) {
                let relay = wan.address(from, to).ok_or("no relay")?;
                via.insert(((*from).to_owned(), (*to).to_owned()), relay);
            }
        }
        cluster.write(&via)?;
        Ok(Regions { cluster, wan, folder })
    }

    /// Starts all regions and waits until they are ready.
    pub async fn start(names: &[&str]) -> Result<Regions, Failure> {
        let mut regions = Regions::prepare(names, true, "").await?;
        regions.cluster.start()?;
        Ok(regions)
    }

    /// Creates a table in the first region, with replicas in the first `count` regions; waits until all are ACTIVE.
    pub async fn global_table(&self, name: &str, count: usize) -> Result<(), Failure> {
        let first = self.cluster.nodes[0].endpoint();
        tables::create(&first, name).await?;
        for number in 1..count {
            self.add_replica(name, number).await?;
        }
        Ok(())
    }

    /// Adds a replica in the region of that number; waits until it is ACTIVE there and seen so from the first.
    pub async fn add_replica(&self, table: &str, number: usize) -> Result<(), Failure> {
        let node = &self.cluster.nodes[number];
        tables::add_replica(&self.cluster.nodes[0].endpoint(), table, &node.region).await?;
        let mut connection = Connection::open(&node.endpoint()).await?;
        Ok(tables::wait(&mut connection, table, |about| {
            about["Table"]["TableStatus"] == "ACTIVE"
        })
        .await?)
    }

    /// Waits until all regions with these numbers have the same digest of the table.
    pub async fn converge(&self, table: &str, numbers: &[usize], deadline: Duration) -> Result<(), Failure> {
        wait_until("equal digests", deadline, async || {
            let digests: Result<Vec<String>, _> = numbers
                .iter()
                .map(|number| self.cluster.nodes[*number].digest(table))
                .collect();
            // A region that has just started may not answer yet.
            Ok(digests.is_ok_and(|all| all.windows(2).all(|two| two[0] == two[1])))
        })
        .await
    }
}
