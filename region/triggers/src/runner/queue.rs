//! Records on their way to a function, and how far a shard has come.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A record that waits to be delivered.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) sequence: Arc<str>,
    /// When it was made, in seconds since the Unix epoch.
    pub(super) created_s: u64,
    /// As events have it.
    pub(super) json: Bytes,
    /// Its share of the memory, given back with it.
    pub(super) _share: Option<Share>,
}

/// The memory that a shard's records take.
#[derive(Debug, Default)]
pub(super) struct Room {
    used: AtomicUsize,
    /// Told when some is given back.
    pub(super) freed: Notify,
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Share {
        self.used.fetch_add(bytes, Relaxed);
        Share {
            room: Arc::clone(self),
            bytes,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Relaxed);
        self.room.freed.notify_one();
    }
}

/// Which of a shard's records are done with. The checkpoint is the last one before which nothing is left: records of items that
/// are ahead are delivered again after a crash.
#[derive(Debug, Default)]
pub(super) struct Progress {
    inner: Mutex<Inner>,
    /// Told when the checkpoint can move.
    pub(super) moved: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// When each record that is under way was made, and whether it is done with. Sequence numbers of a shard have one length.
    under_way: BTreeMap<Arc<str>, (u64, bool)>,
    checkpoint: Option<Arc<str>>,
}

impl Progress {
    pub(super) fn new(checkpoint: Option<&str>) -> Self {
        let inner = Inner {
            checkpoint: checkpoint.map(Arc::from),
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            ..Self::default()
        }
    }

    /// A record was read.
    pub(super) fn begin(&self, sequence: &Arc<str>, created_s: u64) {
        self.inner
            .lock()
            .under_way
            .insert(Arc::clone(sequence), (created_s, false));
    }

    /// Records are done with.
    pub(super) fn finish<'a>(&self, sequences: impl IntoIterator<Item = &'a Arc<str>>) {
        let mut moved = false;
        {
            let mut inner = self.inner.lock();
            for sequence in sequences {
                if let Some((_, done)) = inner.under_way.get_mut(sequence) {
                    *done = true;
                }
            }
            while let Some(first) = inner.under_way.first_entry()
                && first.get().1
            {
                let (sequence, _) = first.remove_entry();
                inner.checkpoint = Some(sequence);
                moved = true;
            }
        }
        if moved {
            self.moved.notify_one();
        }
    }

    pub(super) fn checkpoint(&self) -> Option<Arc<str>> {
        self.inner.lock().checkpoint.clone()
    }

    /// When the oldest record was made that is not done with.
    pub(super) fn oldest_s(&self) -> Option<u64> {
        let inner = self.inner.lock();
        inner.under_way.first_key_value().map(|(_, (created_s, _))| *created_s)
    }
}

#[cfg(test)]
impl Queued {
    pub(super) fn sample(sequence: &str, json: &str) -> Self {
        Self {
            sequence: sequence.into(),
            created_s: 0,
            json: Bytes::from(json.to_owned()),
            _share: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order in which records are done with, the checkpoint is never past one that is not.
        #[test]
        fn nothing_before_the_checkpoint_is_left(order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle()) {
            let progress = Progress::new(None);
            let names: Vec<Arc<str>> = (0..20).map(|place| format!("{:03}", place).into()).collect();
            for (place, name) in names.iter().enumerate() {
                progress.begin(name, place as u64);
            }
            let mut done = [false; 20];
            for place in order {
                done[place] = true;
                progress.finish([&names[place]]);
                let before = done.iter().take_while(|done| **done).count();
                prop_assert_eq!(progress.checkpoint(), before.checked_sub(1).map(|last| Arc::clone(&names[last])));
                prop_assert_eq!(progress.oldest_s(), (before < 20).then_some(before as u64));
            }
        }
    }
}
