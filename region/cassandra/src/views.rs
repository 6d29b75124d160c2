//! Views of one moment.
//!
//! Rows in Cassandra are as of the last entry that they have followed. A view keeps the overlay of its moment, so it needs
//! nothing but that rows do not go on past it. They wait for views, which are mostly one page long; for one that stays open
//! they go on, and what they write over is kept for it: its undo.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_storage::StorageError;
use imbl::OrdMap;
use parking_lot::Mutex;

use crate::{
    logs::Ends,
    overlay::{Overlay, Value},
    shared::Shared,
};

/// Bytes that are kept for one view; one that would need more can be read no longer.
pub(crate) const UNDO_BYTES_MAX: usize = 64 << 20;

/// What belongs to a view.
#[derive(Debug)]
pub(crate) struct Moment {
    /// The last entry that it sees.
    pub(crate) place: i64,
    pub(crate) overlay: Overlay,
    pub(crate) ends: Ends,
    pub(crate) undo: Mutex<Undo>,
}

/// What rows were before they went on past a view.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    rows: OrdMap<Bytes, Value>,
    bytes: usize,
    is_lost: bool,
}

impl Undo {
    /// Whether what a row was is still to be kept.
    pub(crate) fn wants(&self, key: &[u8]) -> bool {
        !self.is_lost && !self.rows.contains_key(key)
    }

    /// Whether it has outgrown its limit.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Keeps what a row was.
    pub(crate) fn keep(&mut self, key: &Bytes, value: Value) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        if self.bytes > UNDO_BYTES_MAX {
            self.is_lost = true;
            self.rows.clear();
        } else {
            self.rows.insert(key.clone(), value);
        }
    }

    /// What is kept.
    pub(crate) fn rows(&self) -> Result<OrdMap<Bytes, Value>, StorageError> {
        if self.is_lost {
            Err(StorageError::Io(
                "the snapshot is too old: more was written since than is kept for it".into(),
            ))
        } else {
            Ok(self.rows.clone())
        }
    }
}

/// An open view.
#[derive(Debug)]
pub(crate) struct View {
    shared: Arc<Shared>,
    id: u64,
    moment: Arc<Moment>,
}

impl View {
    /// A view of this moment.
    pub(crate) fn open(shared: &Arc<Shared>) -> Self {
        let mut state = shared.state.lock();
        let moment = Arc::new(Moment {
            place: state.committed,
            overlay: state.overlay.clone(),
            ends: state.ends.clone(),
            undo: Mutex::default(),
        });
        state.last_view += 1;
        let id = state.last_view;
        state.views.insert(id, Arc::clone(&moment));
        Self {
            shared: Arc::clone(shared),
            id,
            moment,
        }
    }

    pub(crate) fn moment(&self) -> &Moment {
        &self.moment
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.shared.state.lock().views.remove(&self.id);
        self.shared.view_closed.notify_one();
    }
}
