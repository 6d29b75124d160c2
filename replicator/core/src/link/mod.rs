//! Links: the directed flow of deltas from one node to one peer.
//!
//! A [`Sender`] and a [`Receiver`] live as long as one connection. Whoever drives them carries frames between them and
//! answers their questions; both take `(now, event)` and give actions, and neither ever waits. The carrier must keep the
//! order of frames within a connection and lose none without ending the connection (a QUIC stream does); frames that come
//! twice or too early are harmless all the same.
//!
//! `now` must not go back within a connection. It is also what frames say the time is, so it should be near the wall
//! clock's milliseconds.

mod incoming;
mod outgoing;
pub mod receiver;
mod rounds;
pub mod sender;

use crate::{
    frame::{NAME_BYTES_MAX, PROTOCOL, PROTOCOL_LEAST},
    ids::LogId,
    stamp::{Millis, ReplicaId},
};

pub use receiver::Receiver;
pub use sender::Sender;

/// The most logs on one link.
pub const LOGS_PER_LINK_MAX: usize = 65_536;
/// How often a ping goes out, in milliseconds.
pub const PING_MS: Millis = 1_000;
/// After how long without any frame a peer is given up, in milliseconds.
pub const SILENCE_MS_MAX: Millis = 10_000;

/// Names a question of a state machine, so that its answer finds its way and a late answer is told from a current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Why a link ends. The driver closes the connection and dials again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The peer speaks no version of the protocol that this release does.
    #[error("the peer speaks protocol {0}, this release speaks {PROTOCOL_LEAST} to {PROTOCOL}")]
    Protocol(u16),
    /// The peer belongs to another cluster.
    #[error("the peer belongs to cluster {0:?}")]
    Cluster(String),
    /// The peer is not of the region it should be.
    #[error("the peer says it is of region {said:?}, expected {expected:?}")]
    Region {
        /// What it says.
        said: String,
        /// What its certificate or the topology says.
        expected: String,
    },
    /// The peer has this node's own replica id: a data directory was copied, or the link leads back here.
    #[error("the peer has this node's own replica id {0}")]
    SameReplica(ReplicaId),
    /// A frame that this end never gets, or not now.
    #[error("unexpected frame: {0}")]
    Unexpected(&'static str),
    /// The peer offers a log that is not its own, or not what its id says.
    #[error("the peer offers log {0}, which is not its own")]
    Foreign(LogId),
    /// A limit of the protocol was passed.
    #[error("the peer passed a limit: {0}")]
    Limit(&'static str),
    /// Nothing was heard for [`SILENCE_MS_MAX`].
    #[error("nothing was heard of the peer for {0} ms")]
    Silence(Millis),
}

/// Checks what a dialer says of itself; gives the version to go on with. One that speaks newer ones as well is answered with the
/// newest that is known here.
fn check_dialer(
    own: &crate::host::Identity,
    expected_region: &str,
    protocol: u16,
    region: &str,
    replica: ReplicaId,
) -> Result<u16, Violation> {
    let protocol = protocol.min(PROTOCOL);
    check_peer(own, expected_region, protocol, region, replica)?;
    Ok(protocol)
}

/// Checks what a peer says of itself.
fn check_peer(
    own: &crate::host::Identity,
    expected_region: &str,
    protocol: u16,
    region: &str,
    replica: ReplicaId,
) -> Result<(), Violation> {
    if !(PROTOCOL_LEAST..=PROTOCOL).contains(&protocol) {
        return Err(Violation::Protocol(protocol));
    }
    if region.len() > NAME_BYTES_MAX {
        return Err(Violation::Limit("length of a name"));
    }
    if region != expected_region {
        return Err(Violation::Region {
            said: region.into(),
            expected: expected_region.into(),
        });
    }
    if replica == own.replica {
        return Err(Violation::SameReplica(replica));
    }
    Ok(())
}
