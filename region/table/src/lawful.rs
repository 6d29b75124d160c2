//! Which settings of tables are taken from other regions, and what a release before that rule has left. The rule itself is
//! [`crate::replicas`].

use std::sync::atomic::Ordering;

use bytes::Bytes;
use geodynamo_replicator_core::Delta;
use geodynamo_storage::{Commit, Engine, Write};

use crate::{
    Result, Table, Tables, keys,
    registers::{CATALOG, Setting},
    replicas::{self, Way},
};

/// The system key that says that members are judged by who has admitted them.
const JUDGED_KEY: &str = "members.judged";

pub(crate) fn judged_key() -> Bytes {
    keys::system(JUDGED_KEY)
}

impl<E: Engine> Tables<E> {
    /// Takes away registers that the region that brings them may not write.
    pub(crate) fn drop_unlawful(&self, table: &Table, (from, way): (&str, Way), deltas: &mut Vec<Delta>) {
        if table.id() != CATALOG {
            return;
        }
        let directory = self.directory();
        let viewer = (self.region(), self.replica().0);
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
        self.counters().refused_registers.fetch_add(refused, Ordering::Relaxed);
        if let Some((table, setting)) = first {
            tracing::warn!(
                region = self.region(),
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
        let viewer = (self.region(), self.replica().0);
        let all = self.directory().registers.clone();
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
        self.store().commit(commit).await?;
        Ok(())
    }
}
