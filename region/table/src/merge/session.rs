//! Whether this replica has what a session has seen; see `local/seen.rs`.

use std::time::Duration;

use geodynamo_replicator_core::{LogId, Position, ReplicaId, TableId};
use geodynamo_storage::Engine;
use tokio::time::{Instant, timeout_at};

use crate::{Merge, Seen, Table, TableStatus, local::seen::SeenTable};

/// How often who waits looks without having been told: logs of replicas that are new here tell nobody.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl<E: Engine> Merge<E> {
    /// Adds what this replica shows of tables.
    pub fn note_seen(&self, seen: &mut Seen, tables: &[u64]) {
        for id in tables {
            let Some(table) = self.local.replicated(*id) else {
                continue;
            };
            let entry = seen.used(*id);
            self.add_own(entry, &table);
            for (log, at) in self.cursors.brought(*id) {
                entry.raise(log.origin, log.partition, at);
            }
        }
    }

    /// Up to where this replica's own logs of a table must be applied elsewhere, to have all that was acknowledged here;
    /// `None` if it has no such table.
    pub fn own_seen(&self, table: u64) -> Option<Seen> {
        let held = self.local.replicated(table).filter(|held| is_served(held))?;
        let mut seen = Seen::default();
        self.add_own(seen.used(table), &held);
        Some(seen)
    }

    fn add_own(&self, entry: &mut SeenTable, table: &Table) {
        for partition in 0..table.partitions().partitions() {
            let log = LogId::of(self.local.replica(), TableId(table.id()), partition);
            entry.raise(
                self.local.replica(),
                partition,
                self.local.ends.told(log).unwrap_or_default(),
            );
        }
    }

    /// Whether this replica has all of it. Of tables that it does not serve it has nothing to show.
    pub fn has_seen(&self, seen: &Seen) -> bool {
        seen.0.iter().all(|entry| {
            let Some(table) = self.local.replicated(entry.table).filter(|table| is_served(table)) else {
                return true;
            };
            let logs = entry.logs.iter().flat_map(|(replica, positions)| {
                let numbered = (0..table.partitions().partitions()).zip(positions);
                numbered.map(move |(partition, at)| (*replica, partition, *at))
            });
            // Who has left the group gets nothing of the others any more.
            let alone = table.registers.is_apart;
            let logs = logs.filter(|(replica, ..)| !alone || *replica == self.local.replica());
            let wanted = logs.filter(|(_, _, at)| *at > Position::START);
            let mut wanted = wanted
                .map(|(replica, partition, at)| (replica, LogId::of(replica, TableId(entry.table), partition), at));
            wanted.all(|(replica, log, at)| self.has_log(entry.table, replica, log, at))
        })
    }

    fn has_log(&self, table: u64, replica: ReplicaId, log: LogId, at: Position) -> bool {
        if replica == self.local.replica() {
            return self.local.ends.get(log) >= Some(at);
        }
        self.cursors.get(table, log) >= Some(at) && !self.parking.holds_of(log, at)
    }

    /// Waits until this replica has all of it, and gives whether that was so in time.
    pub async fn await_seen(&self, seen: &Seen, until: Instant) -> bool {
        let mut raised = self.cursors.watch();
        loop {
            raised.mark_unchanged();
            if self.has_seen(seen) {
                return true;
            }
            let look = until.min(Instant::now() + LOOK_EVERY);
            // Told of something, or it is time to look.
            let _ = timeout_at(look, raised.changed()).await;
            if Instant::now() >= until {
                return self.has_seen(seen);
            }
        }
    }

    /// The other regions that serve a table.
    pub fn served_elsewhere(&self, table: u64) -> Vec<String> {
        let Some(table) = self.local.replicated(table) else {
            return Vec::new();
        };
        let others = table.other_replicas(self.local.region());
        others
            .filter(|(_, entry)| entry.status == crate::schema::ReplicaStatus::Active)
            .map(|(region, _)| region.clone())
            .collect()
    }
}

fn is_served(table: &Table) -> bool {
    matches!(table.status(), TableStatus::Active | TableStatus::Updating)
}
