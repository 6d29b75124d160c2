//! Where this replica's change logs end, and which have grown since when.

use std::collections::{BTreeMap, HashMap};

use geodynamo_replicator_core::{LogId, Position};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

/// The last readable position of each of this replica's logs. Every growth has a number, so that a link that was told of
/// one can ask what has grown since, and pays for that only, however many logs there are.
#[derive(Debug, Default)]
pub(crate) struct LogEnds {
    state: Mutex<State>,
    /// The number of the last growth.
    written: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    ends: HashMap<LogId, End>,
    /// Each log under the number of its last growth.
    grown: BTreeMap<u64, LogId>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct End {
    position: Position,
    grown: u64,
    /// The last that links have something to send of.
    told: Position,
}

/// All ends as of one moment.
pub(crate) struct Ends<'a>(MutexGuard<'a, State>);

impl LogEnds {
    /// A log's end, if it is known.
    pub(crate) fn get(&self, log: LogId) -> Option<Position> {
        self.now().get(log)
    }

    /// The last position of a log that links have something to send of, as far as that is known: what is behind it, they pass over.
    pub(crate) fn told(&self, log: LogId) -> Option<Position> {
        self.state.lock().ends.get(&log).map(|end| end.told)
    }

    /// The ends as they are now. Nothing grows for as long as this is held.
    pub(crate) fn now(&self) -> Ends<'_> {
        Ends(self.state.lock())
    }

    /// Logs can be read up to here. None is lowered: commits may be told of in another order than they took place.
    ///
    /// `tell` is whether links have something to send of it. What they only pass over, as they do with what came from
    /// other replicas, is counted silently: they come across it with what they are told of, or when they look by themselves.
    pub(crate) fn raise(&self, logs: impl IntoIterator<Item = (LogId, Position)>, tell: bool) {
        let last = {
            let mut state = self.state.lock();
            for (log, position) in logs {
                state.raise(log, position, tell);
            }
            state.last
        };
        // Without the lock: whoever looks at the number may hold its lock while they ask what has grown. Told also if the
        // number stays: what is to be sent may have been counted by another's silent growth, which came first.
        self.written.send_if_modified(|number| {
            *number = last.max(*number);
            tell
        });
    }

    /// The logs that have grown after the growth with a number.
    pub(crate) fn grown_since(&self, number: u64) -> Vec<(LogId, Position)> {
        let state = self.state.lock();
        let grown = state.grown.range(number.saturating_add(1)..);
        grown
            .filter_map(|(_, log)| Some((*log, state.ends.get(log)?.position)))
            .collect()
    }

    /// Tells the number of the last growth, whenever there is something to send.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }
}

impl Ends<'_> {
    /// A log's end, if it is known.
    pub(crate) fn get(&self, log: LogId) -> Option<Position> {
        self.0.ends.get(&log).map(|end| end.position)
    }
}

impl State {
    fn raise(&mut self, log: LogId, position: Position, tell: bool) {
        let mut known = self.ends.get(&log).copied();
        if let Some(end) = self.ends.get_mut(&log).filter(|end| tell && end.told < position) {
            end.told = position;
            known = Some(*end);
        }
        if known.is_some_and(|end| end.position >= position) {
            return;
        }
        if let Some(end) = known {
            self.grown.remove(&end.grown);
        }
        self.last += 1;
        let grown = self.last;
        self.grown.insert(grown, log);
        let before = known.map_or(Position::START, |end| end.told);
        let told = if tell { before.max(position) } else { before };
        self.ends.insert(log, End { position, grown, told });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LogId = LogId(1);
    const B: LogId = LogId(2);

    #[test]
    fn what_has_grown_is_told_once_and_nothing_shrinks() {
        let ends = LogEnds::default();
        let mut watch = ends.watch();
        assert_eq!((ends.get(A), ends.grown_since(0)), (None, vec![]));
        ends.raise([(A, Position(3)), (B, Position(1))], true);
        assert!(watch.has_changed().unwrap());
        let number = *watch.borrow_and_update();
        assert_eq!(ends.grown_since(0), [(A, Position(3)), (B, Position(1))]);
        assert_eq!(ends.grown_since(number), []);
        ends.raise([(A, Position(5))], true);
        assert_eq!(ends.grown_since(number), [(A, Position(5))]);
        // Told of in another order than they took place.
        let number = *watch.borrow_and_update();
        ends.raise([(A, Position(4)), (B, Position(1))], true);
        assert_eq!((ends.get(A), ends.grown_since(number)), (Some(Position(5)), vec![]));
        assert_eq!(ends.state.lock().grown.len(), 2, "one entry for each log");
        // Nothing to send: nobody is woken, but whoever looks finds it.
        watch.mark_unchanged();
        ends.raise([(B, Position(2))], false);
        assert!(!watch.has_changed().unwrap());
        assert_eq!(ends.grown_since(number), [(B, Position(2))]);
        let silent = *watch.borrow();
        assert_eq!(ends.grown_since(silent), []);
        ends.raise([(A, Position(6))], true);
        assert!(watch.has_changed().unwrap());
        assert_eq!(ends.grown_since(silent), [(A, Position(6))]);
        // What comes behind what is to be sent is told of first: that must not swallow it.
        let number = *watch.borrow_and_update();
        ends.raise([(A, Position(8))], false);
        assert!(!watch.has_changed().unwrap());
        assert_eq!(ends.told(A), Some(Position(6)));
        ends.raise([(A, Position(7))], true);
        assert_eq!(
            ends.told(A),
            Some(Position(7)),
            "what is to be sent, also where it comes second"
        );
        assert!(watch.has_changed().unwrap());
        assert_eq!(ends.grown_since(number), [(A, Position(8))]);
    }
}
