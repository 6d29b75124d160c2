//! Tells the tables which regions can be reached: a member that cannot for hours is parted with.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use geodynamo_replicator::Metrics;
use geodynamo_storage::Engine;
use geodynamo_table::Tables;
use tokio::{sync::watch::Receiver, time::sleep};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks which links are up, in either direction, until `stop` changes or its sender is gone.
pub(crate) async fn watch<E: Engine>(tables: Arc<Tables<E>>, metrics: Arc<Metrics>, mut stop: Receiver<bool>) {
    loop {
        let (outgoing, incoming) = (metrics.outgoing(), metrics.incoming());
        let links = outgoing.iter().chain(&incoming);
        let up = links.filter(|(_, link)| link.connected.load(Relaxed));
        let up: Vec<String> = up.map(|(region, _)| region.clone()).collect();
        tables.catalog().reached(&up);
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            _ = stop.changed() => return,
        }
    }
}
