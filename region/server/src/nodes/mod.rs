//! A region of several nodes: those that do not write its log read for themselves, and pass everything else on to the one that does.
//!
//! A node of a region on Cassandra binds its ports and campaigns. Until it wins, it answers reads that need not be consistent
//! ([`reading`]), and each other request to its data port goes on to the owner's forward address, which stands in the lease
//! ([`passing`]). The way there is TLS with the certificates that links between regions have, so both ends know that the other is a
//! node of this region; the owner is told where a request's client is ([`geodynamo_http::nodes`]), for conditions of policies ask for that.
//! Once a node has won it is the region, on the very ports that it had; one that is replaced ends, and is started again to stand
//! by: nothing of what a former owner had in memory may live on.

mod admin;
mod owner;
mod passing;
mod reading;
mod run;

pub(crate) use self::{
    owner::{owner_of, zone_of},
    passing::Passing,
    reading::Reading,
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
