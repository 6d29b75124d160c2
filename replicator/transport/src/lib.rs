//! The replicator's transport: QUIC around the core.
//!
//! One endpoint a node. A dialer task a peer keeps a connection up and sends this node's logs over its first stream; each
//! copy that this node fetches has a stream of its own on the same connection. An accept loop applies what peers send.
//! Both ends of every connection show a certificate of the cluster's authority that names their region.

mod accept;
mod ask;
mod bundle;
pub mod ca;
pub mod config;
mod copy;
mod dial;
mod faults;
pub mod host;
pub mod metrics;
mod offset;
mod reach;
mod replicator;
mod tick;
mod traces;
mod unsent;
mod verify;
mod wire;

pub use ask::{AskError, Asker, CALL_BYTES_MAX};
pub use ca::{CaError, ClusterCa, Pem, node_name};
pub use config::{Config, PeerConfig, StartError};
pub use faults::{FAULT_DELAY_MAX, FAULT_MAX, Fault, Faults};
pub use host::Host;
pub use metrics::{LinkMetrics, Metrics, Observer};
pub use replicator::Replicator;
