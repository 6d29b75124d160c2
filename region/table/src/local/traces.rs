//! Versions that traced requests wrote, so that their traces go on in the regions that they are sent to.
//!
//! They are kept in memory only, and not for long: a trace that a restart or a long cut comes between ends here.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use geodynamo_replicator_core::{Millis, Stamp, TraceContext};
use geodynamo_storage::Engine;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::local::Local;

/// The most versions whose traces are remembered; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 4096;

/// Tells the trace of whoever asks, if it has one that is sampled.
type CurrentTrace = Box<dyn Fn() -> Option<TraceContext> + Send + Sync>;

/// The traces of versions that were written here lately.
#[derive(Default)]
pub(crate) struct Traces {
    current: OnceLock<CurrentTrace>,
    /// Whether any was ever remembered: where nothing is traced, nobody takes the lock.
    any: AtomicBool,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    by_stamp: BTreeMap<Stamp, TracedWrite>,
    in_order: VecDeque<Stamp>,
}

/// The trace of a version, and since when it could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedWrite {
    /// Its trace.
    pub context: TraceContext,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub committed_ms: Millis,
}

impl Traces {
    /// The trace of whoever asks.
    pub(crate) fn current(&self) -> Option<TraceContext> {
        self.current.get().and_then(|current| current())
    }

    fn remember(&self, stamp: Stamp, write: TracedWrite) {
        let mut remembered = self.remembered.lock();
        if remembered.by_stamp.insert(stamp, write).is_none() {
            remembered.in_order.push_back(stamp);
        }
        while remembered.in_order.len() > REMEMBERED_MAX {
            if let Some(oldest) = remembered.in_order.pop_front() {
                remembered.by_stamp.remove(&oldest);
            }
        }
        self.any.store(true, Ordering::Release);
    }

    /// Remembers the trace of versions that were just committed.
    pub(crate) fn committed(&self, traced: &SmallVec<[(Stamp, TraceContext); 1]>, committed_ms: Millis) {
        for (stamp, context) in traced {
            let context = *context;
            self.remember(*stamp, TracedWrite { context, committed_ms });
        }
    }

    fn of(&self, stamp: Stamp) -> Option<TracedWrite> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.remembered.lock().by_stamp.get(&stamp).copied()
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl<E: Engine> Local<E> {
    /// Remembers the traces of writes from now on; `current` tells the trace of whoever asks, if it is sampled. Once only.
    pub fn follow_traces(&self, current: impl Fn() -> Option<TraceContext> + Send + Sync + 'static) {
        let _ = self.traces().current.set(Box::new(current));
    }

    /// The trace of a version that was written here lately.
    pub fn trace_of(&self, stamp: Stamp) -> Option<TracedWrite> {
        self.traces().of(stamp)
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_replicator_core::{Hlc, ReplicaId};

    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let traces = Traces::default();
        assert_eq!(traces.current(), None);
        let stamp = |time| Stamp::new(Hlc(time), ReplicaId(1));
        assert_eq!(traces.of(stamp(1)), None);
        let context = |span_id| TraceContext { trace_id: 7, span_id };
        for time in 1..=REMEMBERED_MAX as u64 + 1 {
            traces.committed(&SmallVec::from_elem((stamp(time), context(time)), 1), 5);
        }
        assert_eq!(traces.of(stamp(1)), None);
        let kept = traces.of(stamp(2)).unwrap();
        assert_eq!((kept.context, kept.committed_ms), (context(2), 5));
        assert_eq!(traces.remembered.lock().in_order.len(), REMEMBERED_MAX);
    }
}
