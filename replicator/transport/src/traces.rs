//! Traces of versions on their way.

use std::collections::{BTreeMap, VecDeque};

use geodynamo_replicator_core::{Batch, Delta, Stamp, TRACES_PER_FRAME_MAX, TraceContext, Traced};

/// The most traced versions that a link remembers until they are applied. The oldest are forgotten first: their traces end
/// on the way.
const HELD_MAX: usize = 1024;

/// The traces of a frame's versions, as far as there is room for them.
pub(crate) fn of_deltas(deltas: &[Delta], trace: impl Fn(Stamp) -> Option<TraceContext>) -> Vec<Traced> {
    let traced = deltas.iter().filter_map(|delta| {
        let stamp = stamp(delta)?;
        trace(stamp).map(|context| Traced { stamp, context })
    });
    traced.take(TRACES_PER_FRAME_MAX).collect()
}

/// Traces of versions that came and are not yet applied.
#[derive(Debug, Default)]
pub(crate) struct Held {
    by_stamp: BTreeMap<Stamp, TraceContext>,
    in_order: VecDeque<Stamp>,
}

impl Held {
    /// Takes in what a frame tells, but no more than one may tell.
    pub(crate) fn take_in(&mut self, traces: &[Traced]) {
        for Traced { stamp, context } in traces.iter().take(TRACES_PER_FRAME_MAX) {
            if self.by_stamp.insert(*stamp, *context).is_none() {
                self.in_order.push_back(*stamp);
            }
            while self.in_order.len() > HELD_MAX {
                if let Some(oldest) = self.in_order.pop_front() {
                    self.by_stamp.remove(&oldest);
                }
            }
        }
    }

    /// Gives out the traces of what is about to be applied.
    pub(crate) fn give_out(&mut self, batches: &[Batch]) -> Vec<Traced> {
        if self.by_stamp.is_empty() {
            return Vec::new();
        }
        let stamps = batches.iter().flat_map(|batch| &batch.deltas).filter_map(stamp);
        let given = stamps.filter_map(|stamp| {
            let context = self.by_stamp.remove(&stamp)?;
            Some(Traced { stamp, context })
        });
        let given: Vec<_> = given.collect();
        if !given.is_empty() {
            self.in_order.retain(|stamp| self.by_stamp.contains_key(stamp));
        }
        given
    }
}

/// The stamp of a delta's version; none of a conflict's loser, whose trace has ended.
fn stamp(delta: &Delta) -> Option<Stamp> {
    match delta {
        Delta::Version { version, .. } => Some(version.stamp),
        Delta::Conflict { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use geodynamo_replicator_core::{Hlc, LogInfo, Past, Peer, Position, ReplicaId, TableId, Version};

    use super::*;

    fn delta(time: u64) -> Delta {
        Delta::Version {
            key: Bytes::from_static(b"key"),
            version: Version::tombstone(Stamp::new(Hlc(time), ReplicaId(1)), Past::new()),
        }
    }

    fn context(stamp: Stamp) -> TraceContext {
        TraceContext {
            trace_id: u128::from(stamp.time.0),
            span_id: 1,
        }
    }

    fn batch(deltas: Vec<Delta>) -> Batch {
        Batch {
            log: LogInfo::new(ReplicaId(1), TableId(1), 0, (0, u64::MAX)),
            from: Peer {
                region: "r".into(),
                replica: ReplicaId(1),
            },
            after: Position::START,
            up_to: Position(1),
            deltas,
            sent_ms: 0,
        }
    }

    #[test]
    fn a_frame_tells_of_so_many() {
        let deltas: Vec<_> = (1..=200).map(delta).collect();
        let traces = of_deltas(&deltas, |stamp| (stamp.time.0 % 2 == 0).then(|| context(stamp)));
        assert_eq!(traces.len(), TRACES_PER_FRAME_MAX);
        assert_eq!(traces[1].stamp.time, Hlc(4));
        assert!(of_deltas(&deltas, |_| None).is_empty());
    }

    #[test]
    fn what_is_applied_is_given_out_once() {
        let mut held = Held::default();
        let deltas = vec![delta(1), delta(2), delta(3)];
        held.take_in(&of_deltas(&deltas[..2], |stamp| Some(context(stamp))));
        let batches = [batch(deltas)];
        let given: Vec<_> = held
            .give_out(&batches)
            .iter()
            .map(|traced| (traced.stamp.time, traced.context.trace_id))
            .collect();
        assert_eq!(given, [(Hlc(1), 1), (Hlc(2), 2)]);
        assert!(held.give_out(&batches).is_empty() && held.in_order.is_empty());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut held = Held::default();
        for round in 0..100 {
            let deltas: Vec<_> = (round * 100..round * 100 + 50).map(delta).collect();
            held.take_in(&of_deltas(&deltas, |stamp| Some(context(stamp))));
        }
        assert_eq!((held.by_stamp.len(), held.in_order.len()), (HELD_MAX, HELD_MAX));
        assert!(held.give_out(&[batch(vec![delta(0)])]).is_empty());
        assert_eq!(held.give_out(&[batch(vec![delta(9_949)])]).len(), 1);
    }
}
