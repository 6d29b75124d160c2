//! What an emulator is started with.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
};

use geodynamo_topology::{Address, RegionName, Topology, rtt};

use crate::shape::Shape;

/// The most regions an emulator links: each ordered pair has a socket and a task.
pub const REGIONS_MAX: usize = 16;

/// The regions to link and how.
#[derive(Clone, Debug)]
pub struct WanConfig {
    /// The regions; every ordered pair gets a link.
    pub regions: Vec<WanRegion>,
    /// Where `GET /links` and `PUT /links/{from}/{to}` are answered; port 0 picks a free one.
    pub control: SocketAddr,
    /// Where `from` dials for `to`; a pair that is not in it gets a free port on the loopback interface.
    pub listen: BTreeMap<(RegionName, RegionName), SocketAddr>,
    /// With the same seed, a link draws the same fates for its first, second, … packet.
    pub seed: u64,
}

/// A region as the emulator sees it.
#[derive(Clone, Debug)]
pub struct WanRegion {
    /// Its name.
    pub name: RegionName,
    /// Where its nodes really listen (UDP). Each gets all that is sent to the region, and one at a time answers.
    pub targets: Vec<SocketAddr>,
}

impl WanConfig {
    /// Regions of one node each on one machine, control on a free loopback port, seed 0.
    pub fn new(regions: impl IntoIterator<Item = (RegionName, SocketAddr)>) -> Self {
        Self {
            regions: regions
                .into_iter()
                .map(|(name, target)| WanRegion {
                    name,
                    targets: vec![target],
                })
                .collect(),
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            listen: BTreeMap::new(),
            seed: 0,
        }
    }

    /// The emulator of a topology whose links all go `via` it: each is dialled at its `via` address and ends at the
    /// replication addresses of its region's nodes. Host names are resolved here, once.
    ///
    /// # Errors
    /// A region without a node, an address that does not resolve, or no link with a `via`.
    pub fn of_topology(topology: &Topology) -> io::Result<Self> {
        let mut config = Self::new([]);
        for region in topology.regions() {
            let targets = region.nodes.iter().map(|node| resolve(&node.replication));
            let targets = targets.collect::<io::Result<Vec<_>>>()?;
            if targets.is_empty() {
                return Err(io::Error::other(format!("region '{}' has no node", region.name)));
            }
            config.regions.push(WanRegion {
                name: region.name.clone(),
                targets,
            });
        }
        for link in topology.links() {
            if let Some(via) = &link.via {
                config
                    .listen
                    .insert((link.from.clone(), link.to.clone()), resolve(via)?);
            }
        }
        if config.listen.is_empty() {
            return Err(io::Error::other(
                "no [[link]] of the topology has a 'via': there is nothing to relay",
            ));
        }
        Ok(config)
    }

    pub(crate) fn listen_at(&self, from: &RegionName, to: &RegionName) -> SocketAddr {
        let pair = (from.clone(), to.clone());
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.listen.get(&pair).copied().unwrap_or(free)
    }
}

fn resolve(address: &Address) -> io::Result<SocketAddr> {
    let found = (address.host(), address.port()).to_socket_addrs();
    let found = found
        .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?
        .next();
    found.ok_or_else(|| io::Error::other(format!("{address} has no address")))
}

/// The shape a link starts with: half the real round-trip time between the two regions, nothing else.
pub fn default_shape(from: &RegionName, to: &RegionName) -> Shape {
    Shape {
        delay: rtt::one_way(from.as_str(), to.as_str()),
        ..Shape::default()
    }
}
