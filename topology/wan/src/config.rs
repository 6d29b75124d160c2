//! What an emulator is started with.

use std::net::{Ipv4Addr, SocketAddr};

use geodynamo_topology::{RegionName, rtt};

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
    /// With the same seed, a link draws the same fates for its first, second, … packet.
    pub seed: u64,
}

/// A region as the emulator sees it.
#[derive(Clone, Debug)]
pub struct WanRegion {
    /// Its name.
    pub name: RegionName,
    /// Where it really listens (UDP).
    pub target: SocketAddr,
}

impl WanConfig {
    /// Regions on one machine, control on a free loopback port, seed 0.
    pub fn new(regions: impl IntoIterator<Item = (RegionName, SocketAddr)>) -> Self {
        Self {
            regions: regions
                .into_iter()
                .map(|(name, target)| WanRegion { name, target })
                .collect(),
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 0,
        }
    }
}

/// The shape a link starts with: half the real round-trip time between the two regions, nothing else.
pub fn default_shape(from: &RegionName, to: &RegionName) -> Shape {
    Shape {
        delay: rtt::one_way(from.as_str(), to.as_str()),
        ..Shape::default()
    }
}
