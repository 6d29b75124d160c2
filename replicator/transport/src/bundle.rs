//! What a link applies together.

use geodynamo_replicator_core::{
    Batch, Frame,
    link::{Ticket, receiver::APPLY_BYTES},
};

/// Stretches that are to be applied, parted into what is one commit each: stretches of different logs of one table, about
/// [`APPLY_BYTES`] of them at the most.
#[derive(Debug, Default)]
pub(crate) struct Bundles(pub(crate) Vec<Bundle>);

/// One commit's stretches.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// For the answers, in the order of the batches.
    pub(crate) tickets: Vec<Ticket>,
    /// At least one; all of one table.
    pub(crate) batches: Vec<Batch>,
    weight: u64,
}

impl Bundles {
    /// Puts a stretch where there is room for it.
    pub(crate) fn put(&mut self, ticket: Ticket, batch: Batch) {
        let weight = Frame::weight_of(&batch.deltas);
        match self.0.iter_mut().find(|bundle| bundle.has_room(&batch, weight)) {
            Some(bundle) => {
                bundle.tickets.push(ticket);
                bundle.batches.push(batch);
                bundle.weight += weight;
            }
            None => self.0.push(Bundle {
                tickets: vec![ticket],
                batches: vec![batch],
                weight,
            }),
        }
    }
}

impl Bundle {
    fn has_room(&self, batch: &Batch, weight: u64) -> bool {
        let is_its_table = self
            .batches
            .first()
            .is_some_and(|first| first.log.table == batch.log.table);
        is_its_table && self.weight.saturating_add(weight) <= APPLY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use geodynamo_replicator_core::{
        Delta, Hlc, LogInfo, MergeKind, Past, Peer, Position, ReplicaId, Stamp, TableId, Version,
    };

    use super::*;

    fn batch(table: u64, bytes: usize) -> Batch {
        let stamp = Stamp {
            time: Hlc(1),
            replica: ReplicaId(1),
            expiry: false,
        };
        let version = Version {
            stamp,
            past: Past::new(),
            kind: MergeKind::ItemLww,
            value: Some(Bytes::from(vec![0; bytes])),
        };
        Batch {
            log: LogInfo::new(ReplicaId(1), TableId(table), 0, (0, u64::MAX)),
            from: Peer {
                region: "r".into(),
                replica: ReplicaId(1),
            },
            after: Position(0),
            up_to: Position(1),
            deltas: vec![Delta::Version {
                key: Bytes::from_static(b"k"),
                version,
            }],
            sent_ms: 0,
        }
    }

    #[test]
    fn a_bundle_is_of_one_table_and_bounded() {
        let half = usize::try_from(APPLY_BYTES / 2).unwrap();
        let check = |batches: &[(u64, usize)], expect: &[&[u64]]| {
            let mut bundles = Bundles::default();
            for (number, (table, bytes)) in batches.iter().enumerate() {
                bundles.put(Ticket(number as u64), batch(*table, *bytes));
            }
            let tickets = bundles
                .0
                .iter()
                .map(|bundle| bundle.tickets.iter().map(|ticket| ticket.0).collect::<Vec<_>>());
            assert_eq!(tickets.collect::<Vec<_>>(), expect);
            assert!(
                bundles
                    .0
                    .iter()
                    .all(|bundle| bundle.tickets.len() == bundle.batches.len())
            );
        };
        check(&[], &[]);
        check(&[(1, 10), (1, 10), (1, 10)], &[&[0, 1, 2]]);
        check(&[(1, 10), (2, 10), (1, 10)], &[&[0, 2], &[1]]);
        check(&[(1, half), (1, half), (1, 10)], &[&[0, 2], &[1]]);
        check(&[(1, 3 * half), (1, 10)], &[&[0], &[1]]);
    }
}
