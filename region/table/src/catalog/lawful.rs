//! Which settings of tables are taken from other regions, and what a release before that rule has left. The rule itself is
//! `table/replicas.rs`.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use geodynamo_replicator_core::Delta;
use geodynamo_storage::{Commit, Engine, Write};

use crate::{
    Result, Table,
    catalog::Catalog,
    layout::keys,
    table::{
        registers::{CATALOG, Setting},
        replicas::{self, Way},
    },
};

/// The system key that says that members are judged by who has admitted them.
const JUDGED_KEY: &str = "members.judged";

fn judged_key() -> Bytes {
    keys::system(JUDGED_KEY)
}

/// Whether members are judged so already, from the rows of the system's space.
pub(crate) fn is_judged(system: &[(Bytes, Bytes)]) -> bool {
    let judged = judged_key();
    system.iter().any(|(key, _)| *key == judged)
}

impl<E: Engine> Catalog<E> {
    /// Takes away registers that the region that brings them may not write.
    pub(crate) fn drop_unlawful(&self, table: &Table, (from, way): (&str, Way), deltas: &mut Vec<Delta>) {
        if table.id() != CATALOG {
            return;
        }
        let directory = self.local.directory();
        let viewer = (self.local.region(), self.local.replica().0);
        let (mut first, mut refused) = (None, 0_u64);
        deltas.retain(|delta| {
            let Delta::Version { key, version } = delta else {
                return true;
            };
            // What a newer release wrote is kept, and not understood.
            let Some((id, setting)) = Setting::parse(key) else {
                return true;
            };
            let (registers, value) = (directory.registers.get(&id), version.value.as_deref());
            let is_lawful = |way| replicas::is_lawful(registers, viewer, (from, way), (&setting, value));
            if is_lawful(way) {
                return true;
            }
            // A link's place in its log may have got another region's newer version meanwhile. That one's own link brings it.
            if !is_lawful(Way::PassedOn) {
                refused += 1;
                first.get_or_insert((id, setting));
            }
            false
        });
        self.local
            .counters()
            .refused_registers
            .fetch_add(refused, Ordering::Relaxed);
        if let Some((table, setting)) = first {
            tracing::warn!(
                region = self.local.region(),
                peer = from,
                table,
                ?setting,
                ?way,
                refused,
                "settings of a table came from a region that may not write them, and are not taken"
            );
        }
    }

    /// A release before the rule kept no account of who admitted whom: whoever it served with is taken for a member, once.
    pub(crate) async fn inherit_members(&self, judged: bool) -> Result<()> {
        if judged {
            return Ok(());
        }
        let viewer = (self.local.region(), self.local.replica().0);
        let all = self.local.directory().registers.clone();
        for (id, registers) in all {
            let changes = replicas::inherited(&registers, viewer)?;
            let _changing = self.catalog_lock.lock().await;
            self.set_locked(id, changes).await?;
        }
        let commit = Commit {
            writes: vec![Write::Put(judged_key(), Bytes::new())],
            makes_room: true,
            ..Commit::default()
        };
        self.local.store().commit(commit).await?;
        Ok(())
    }
}
