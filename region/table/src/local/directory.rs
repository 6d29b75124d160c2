//! The tables of a region, by name and by id, as the catalog's registers make them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use geodynamo_replicator_core::ReplicaId;

use crate::{
    Table,
    table::{
        registers::Registers,
        replicas::{self, Claim},
    },
};

/// The tables of this region, by name and by id, and all registers.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) by_name: BTreeMap<String, Arc<Table>>,
    pub(crate) by_id: HashMap<u64, Arc<Table>>,
    pub(crate) registers: BTreeMap<u64, Registers>,
}

impl Directory {
    /// Every table of a name that anything is known of, in whatever region it is.
    pub(crate) fn of_name<'a>(&'a self, name: &str) -> impl Iterator<Item = (u64, &'a Registers)> {
        self.registers.iter().filter_map(move |(id, registers)| {
            let named = registers
                .definition
                .as_ref()
                .is_some_and(|definition| definition.name == name);
            named.then_some((*id, registers))
        })
    }

    /// The table that has a name in a region.
    pub(crate) fn holder(&self, name: &str, region: &str, replica: ReplicaId) -> Option<(u64, Claim)> {
        let tables = self.of_name(name);
        let there = tables.filter_map(|(id, registers)| Some((id, registers.replicas.get(region)?)));
        replicas::holder(there, replica.0)
    }

    /// Gives a name to the table that has it now.
    pub(crate) fn settle_name(&mut self, name: &str, region: &str, replica: ReplicaId) {
        let holder = self.holder(name, region, replica);
        match holder.and_then(|(id, _)| self.by_id.get(&id)).cloned() {
            Some(table) => drop(self.by_name.insert(name.into(), table)),
            None => drop(self.by_name.remove(name)),
        }
    }
}
