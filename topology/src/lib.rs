//! Who is where: the topology file, its regions, nodes and links; the partition hash and map.
//!
//! Pure types and a parser: text in, types out. Reading the file is the server's business.

pub mod address;
pub mod error;
pub mod name;
pub mod partition;
pub mod place;
pub mod rtt;
pub mod topology;

mod file;

pub use address::{Address, AddressError};
pub use error::{Reason, TopologyError};
pub use name::{ClusterName, NameError, NodeName, RegionName, ZoneName};
pub use partition::{PartitionMap, partition_hash, segment_range};
pub use topology::{Link, Node, Region, Topology};
