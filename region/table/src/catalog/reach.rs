//! For how long other regions have been out of reach, and what follows for tables whose members are out of reach for too long. The rule is
//! `table/replicas/outage.rs`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use parking_lot::Mutex;

use crate::{
    Result,
    catalog::Catalog,
    table::{
        registers::Registers,
        replicas::{self, Outage},
    },
};

/// For how long a region must be silent before its replicas are shown as out of reach, in milliseconds: a link that is made
/// anew does not count.
const SHOWN_AFTER_MS: Millis = 300_000;
/// The most time that counts between two looks, in milliseconds: a clock that steps, or a machine that sleeps, ends no membership.
pub const LOOK_MS_MAX: Millis = 60_000;

/// What a region knows about reaching the others, and its tables' keys. It is kept in memory: where the process starts anew, so
/// does the time.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    seen: Mutex<Seen>,
    /// How long a member may be out of reach; 0 is for ever.
    limit_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Seen {
    looked_ms: Option<Millis>,
    /// For how long each other region has been silent.
    silent: BTreeMap<String, Millis>,
    /// For how long each table's key has been away.
    keyless: BTreeMap<u64, Millis>,
}

impl<E: Engine> Catalog<E> {
    /// Tells which other regions can be reached now. To be called every few seconds.
    pub fn reached(&self, up: &[String]) {
        let now = self.local.now_ms();
        let keyless = self
            .local
            .all()
            .into_iter()
            .filter(|table| table.live.key.away_since().is_some());
        let keyless: Vec<u64> = keyless.map(|table| table.id()).collect();
        let mut seen = self.reach.seen.lock();
        let passed = seen
            .looked_ms
            .map_or(0, |last| now.saturating_sub(last))
            .min(LOOK_MS_MAX);
        seen.looked_ms = Some(now);
        let others = self
            .local
            .options()
            .regions
            .iter()
            .filter(|region| *region != self.local.region());
        for region in others {
            let silent = seen.silent.entry(region.clone()).or_default();
            *silent = if up.contains(region) {
                0
            } else {
                silent.saturating_add(passed)
            };
        }
        seen.keyless.retain(|table, _| keyless.contains(table));
        for table in keyless {
            *seen.keyless.entry(table).or_default() += passed;
        }
    }

    /// Sets for how long a member of a table may be out of reach, or its key away, in milliseconds, before its replica and the
    /// others part; 0 is for ever.
    pub fn part_after(&self, ms: Millis) {
        self.reach.limit_ms.store(ms, Ordering::Relaxed);
    }

    /// For how long another region has been out of reach, in milliseconds.
    pub fn silent_ms(&self, region: &str) -> Millis {
        self.reach.seen.lock().silent.get(region).copied().unwrap_or_default()
    }

    /// For how long each other region has been out of reach, in milliseconds. None before it was looked first.
    pub fn silences(&self) -> Vec<(String, Millis)> {
        let seen = self.reach.seen.lock();
        seen.silent.iter().map(|(region, ms)| (region.clone(), *ms)).collect()
    }

    /// Whether another region has been silent for so long that its replicas are shown as out of reach.
    pub(crate) fn is_out_of_reach(&self, region: &str) -> bool {
        self.silent_ms(region) >= SHOWN_AFTER_MS
    }

    /// What is to be done about a table's members that are out of reach, or about this region's own replica.
    pub(crate) fn outage(&self, id: u64, registers: &Registers) -> Outage {
        let limit = self.reach.limit_ms.load(Ordering::Relaxed);
        let keyless = self.reach.seen.lock().keyless.get(&id).copied().unwrap_or_default();
        if limit > 0 && keyless >= limit && registers.replicas.len() > 1 {
            return Outage::GoAlone;
        }
        let viewer = (self.local.region(), self.local.replica().0);
        replicas::outage(registers, viewer, limit, |region| self.silent_ms(region))
    }

    /// Takes members out of a table's group. The caller holds the catalog's lock.
    pub(crate) async fn expel_locked(&self, id: u64, registers: &Registers, out: &[String]) -> Result<()> {
        for region in out {
            tracing::error!(
                region = self.local.region(),
                out = region,
                table = id,
                "a replica was out of reach for too long: it is no member of its group any more, and keeps what it has"
            );
        }
        let stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
        self.set_locked(id, replicas::expelled(registers, self.local.region(), out, stamp)?)
            .await?;
        self.local
            .counters()
            .expelled
            .fetch_add(out.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
