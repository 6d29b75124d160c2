//! A region of several nodes: those that do not write its log pass on what clients send to the one that does.
//!
//! A node of a region on Cassandra binds its ports and campaigns ([`StandBy`]). Until it wins, each connection to its data port
//! goes on to the owner's forward address, which stands in the lease, byte for byte: whatever clients speak, the owner answers.
//! The way there is TLS with the certificates that links between regions have, so both ends know that the other is a node of this
//! region; before the first byte, the owner is told where the client is ([`preface`]), for conditions of policies ask for that. Once a node
//! has won it is the region, on the very ports that it had; one that is replaced ends, and is started again to stand by: nothing of
//! what a former owner had in memory may live on.

mod admin;
mod door;
mod owner;
mod preface;
mod run;
mod standby;

pub(crate) use self::{
    door::{Door, Forward},
    owner::owner_of,
    run::serve,
};

/// Why a node of a region cannot start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The certificates of `[cluster_tls]` are of no use.
    #[error("[cluster_tls]: {0}")]
    Tls(String),
    /// Cassandra cannot be used.
    #[error("[storage.cassandra]: {0}")]
    Cassandra(String),
    /// Another node writes the region's log.
    #[error("another node has taken over the region (epoch {0}); start this one again, so that it stands by")]
    Replaced(i64),
}
