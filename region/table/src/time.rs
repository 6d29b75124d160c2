//! Local time, as tests may step it.

use geodynamo_replicator_core::Millis;

/// Gives local time in milliseconds since the Unix epoch. The server's reads the system's clock; tests step their own.
pub trait TimeSource: Send + Sync + 'static {
    /// Now.
    fn now_ms(&self) -> Millis;
}
