//! What follows when a replica is lost: its region has a fresh data directory, or is removed and does not answer.
//!
//! Some of the survivors may hold writes of the lost replica that others never got, and nobody will send them: a link
//! carries its own side's writes only. So the survivors relay them: a register orders each of them to fetch from each
//! other one, over the copies' way, all that it holds of the table. What is there already is merged without effect.

use geodynamo_storage::Engine;

use crate::{
    Result, TableError, TableStatus, UpdateTable, background::Background, schema::ReplicaStatus,
    table::registers::Registers,
};

impl<E: Engine> Background<E> {
    /// Gives up replicas that are being removed and have been silent for too long. The members do it by turns, in the
    /// order of their names, so that usually one does; if two do, the others fetch more than they need. The caller holds
    /// the catalog's lock.
    pub(crate) async fn give_up_lost(&self, id: u64, registers: &Registers) -> Result<()> {
        let lost = registers.lost(self.local.region(), self.local.orderer().time.now_ms());
        if lost.is_empty() {
            return Ok(());
        }
        for region in lost {
            tracing::warn!(
                region,
                table = id,
                "a replica that was removed does not answer: it is given up"
            );
        }
        let stamp = self.local.orderer().stamp(self.local.store_arc(), None).await?;
        self.catalog
            .set_locked(
                id,
                registers.given_up(self.local.region(), self.local.orderer().time.now_ms(), stamp)?,
            )
            .await
    }

    /// Takes a region that is lost for good out of every table that is served here; gives their names. Each of its replicas
    /// is removed, and given up once it has been silent for long enough.
    ///
    /// # Errors
    /// If it is this region, or a table cannot be changed now. Those before it are.
    pub async fn forget_region(&self, region: &str) -> Result<Vec<String>> {
        if region == self.local.region() {
            return Err(TableError::Validation(format!("{region} is this very region")));
        }
        let mut names = Vec::new();
        for table in self.local.all() {
            let entry = table.registers.replicas.get(region);
            let is_here = matches!(table.status(), TableStatus::Active | TableStatus::Updating);
            if !is_here || entry.is_none_or(|entry| entry.status == ReplicaStatus::Deleting) {
                continue;
            }
            let removal = UpdateTable {
                replica_deletes: vec![region.to_owned()],
                ..UpdateTable::default()
            };
            self.catalog.update_table(table.name(), removal).await?;
            names.push(table.name().to_owned());
        }
        Ok(names)
    }

    /// Whether this region is to give up a replica of a table.
    pub(crate) fn finds_lost(&self, registers: &Registers) -> bool {
        !registers
            .lost(self.local.region(), self.local.orderer().time.now_ms())
            .is_empty()
    }

    /// Takes away what is left here of replicas that others have given up.
    pub(crate) async fn drop_given_up(&self) -> Result<()> {
        loop {
            let Some(table) = self.catalog.given_up.lock().pop() else {
                return Ok(());
            };
            let dropped = self.drop_data(&table).await;
            if dropped.is_err() {
                self.catalog.given_up.lock().push(table);
                return dropped;
            }
        }
    }
}
