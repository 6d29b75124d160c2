//! Whether a table's key is there.

use std::sync::atomic::{AtomicU64, Ordering};

use geodynamo_replicator_core::Millis;

/// Whether the key that a table is sealed under is there: it is, until something else is known.
#[derive(Debug, Default)]
pub(crate) struct KeyPresence {
    /// Since when it is away, in milliseconds since the Unix epoch; 0 if it is there.
    away_since: AtomicU64,
    /// When the key service gave it last.
    last_seen: AtomicU64,
}

impl KeyPresence {
    /// Since when it is away, if it is.
    pub(crate) fn away_since(&self) -> Option<Millis> {
        Some(self.away_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// Whether it is away.
    pub(crate) fn is_away(&self) -> bool {
        self.away_since().is_some()
    }

    /// Takes note of whether it is there.
    pub(crate) fn set(&self, there: bool, now: Millis) {
        match (there, self.away_since()) {
            (true, _) => self.away_since.store(0, Ordering::Relaxed),
            (false, None) => self.away_since.store(now.max(1), Ordering::Relaxed),
            (false, Some(_)) => {}
        }
    }

    /// When the key service gave it last.
    pub(crate) fn last_seen(&self) -> Millis {
        self.last_seen.load(Ordering::Relaxed)
    }

    /// The key service has given it.
    pub(crate) fn seen(&self, now: Millis) {
        self.last_seen.store(now, Ordering::Relaxed);
    }
}
