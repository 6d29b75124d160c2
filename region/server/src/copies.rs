//! Copies of backups travel over the connections that regions have among themselves.

use bytes::Bytes;
use geodynamo_backup::{Asked, Regions};
use geodynamo_replicator::Asker;

/// What the service of copies is called among regions.
pub(crate) const SERVICE: &str = "backup";

/// The other regions of a cluster, as backups know them.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Their names.
    pub(crate) names: Vec<String>,
    /// What asks them.
    pub(crate) asker: Asker,
}

impl Regions for Peers {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn ask<'a>(&'a self, region: &'a str, question: Bytes) -> Asked<'a> {
        Box::pin(async move {
            let answered = self.asker.call(region, SERVICE, &question).await;
            answered.map(Bytes::from).map_err(|error| error.to_string())
        })
    }
}
