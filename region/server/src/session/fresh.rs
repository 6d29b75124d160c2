//! How fresh this region's tables are known to be.
//!
//! A region is asked how far its own logs of a table go; once this region's cursors have come as far, it has all that was
//! acknowledged there before the question was put, by this region's own clock: clocks need not agree. That holds for
//! whoever asks for no fresher data, so a region is asked once in so long as reads may be old, and not once a read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use geodynamo_replicator::Asker;
use geodynamo_replicator_core::TableId;
use geodynamo_storage::Engine;
use geodynamo_table::{Seen, Tables};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

/// The most tables and regions of which something is known.
const KNOWN_MAX: usize = 65_536;
/// How long to wait before a region is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(50);
/// What peers' answers are checked for, in place of the cluster's name: they come from peers anyway.
pub(crate) const ENDS: &str = "ends";

/// A table of another region.
type Of = (u64, String);

#[derive(Debug)]
pub(super) struct Freshness {
    asker: Asker,
    known: Mutex<HashMap<Of, Known>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// When this region had all that the other had acknowledged.
    at: Option<Instant>,
    /// Held by the one who asks; others wait for what comes of it.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl Freshness {
    pub(super) fn new(asker: Asker) -> Self {
        Self {
            asker,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Of, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of which regions it has to be found out how far they are, for tables to be no older than told.
    pub(super) fn open<E: Engine>(&self, tables: &Tables<E>, read: &[u64], age_max: Duration) -> Vec<Of> {
        let others = |table: &u64| {
            let others = tables.merge().served_elsewhere(*table).into_iter();
            others.map({
                let table = *table;
                move |region| (table, region)
            })
        };
        let all = read.iter().flat_map(others);
        all.filter(|of| !self.is_fresh(of, age_max)).collect()
    }

    /// Finds that out, or tells of which region it could not be in time.
    pub(super) async fn prove<E: Engine>(
        self: &Arc<Self>,
        tables: &Arc<Tables<E>>,
        open: Vec<Of>,
        age_max: Duration,
        until: Instant,
    ) -> Result<(), String> {
        let mut asked = JoinSet::new();
        for of in open {
            let (fresh, tables) = (Arc::clone(self), Arc::clone(tables));
            asked.spawn(async move {
                let proven = timeout_at(until, fresh.prove_one(&tables, &of, age_max, until)).await;
                if proven == Ok(true) { Ok(()) } else { Err(of.1) }
            });
        }
        while let Some(proven) = asked.join_next().await {
            proven.unwrap_or_else(|_| Err(tables.region().to_owned()))?;
        }
        Ok(())
    }

    async fn prove_one<E: Engine>(&self, tables: &Tables<E>, of: &Of, age_max: Duration, until: Instant) -> bool {
        let asking = {
            let mut known = self.known();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            Arc::clone(&known.entry(of.clone()).or_default().asking)
        };
        let _turn = asking.lock().await;
        while !self.is_fresh(of, age_max) {
            let asked_at = Instant::now();
            match self.asker.ends(&of.1, TableId(of.0)).await {
                Ok(Some(ends)) => {
                    let Some(ends) = Seen::from_bytes(&ends, ENDS) else {
                        tracing::warn!(peer = of.1, "its answer cannot be read");
                        return false;
                    };
                    if !tables.merge().await_seen(&ends, until).await {
                        return false;
                    }
                    self.known().entry(of.clone()).or_default().at = Some(asked_at);
                    // However little is allowed, this is as fresh as can be had.
                    return true;
                }
                Ok(None) => tracing::debug!(peer = of.1, table = of.0, "it does not have the table for this region"),
                Err(error) => tracing::debug!(%error, "how far a table goes elsewhere is not known"),
            }
            sleep(AGAIN).await;
        }
        true
    }

    fn is_fresh(&self, of: &Of, age_max: Duration) -> bool {
        let at = self.known().get(of).and_then(|known| known.at);
        at.is_some_and(|at| at.elapsed() <= age_max)
    }
}
