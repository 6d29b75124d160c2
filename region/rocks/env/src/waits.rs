//! What a write waited for within RocksDB.

use std::time::Duration;

unsafe extern "C" {
    fn geodynamo_note_waits(on: bool);
    fn geodynamo_waits(synced: *mut u64, delayed: *mut u64);
}

/// What a write waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Until files were on the disk; zero if nothing was synced.
    pub synced: Duration,
    /// Until RocksDB took it: compaction had to catch up.
    pub delayed: Duration,
}

/// Writes, and tells what this thread waited for meanwhile. Costs some ten looks at the clock.
pub fn timed<T>(write: impl FnOnce() -> T) -> (T, Waits) {
    // SAFETY: it changes a variable of this thread's.
    unsafe { geodynamo_note_waits(true) };
    let before = so_far();
    let written = write();
    let after = so_far();
    // SAFETY: as above.
    unsafe { geodynamo_note_waits(false) };
    let waits = Waits {
        synced: after.synced.saturating_sub(before.synced),
        delayed: after.delayed.saturating_sub(before.delayed),
    };
    (written, waits)
}

fn so_far() -> Waits {
    let (mut synced, mut delayed) = (0, 0);
    // SAFETY: both are places for a number, which it writes.
    unsafe { geodynamo_waits(&raw mut synced, &raw mut delayed) };
    Waits {
        synced: Duration::from_nanos(synced),
        delayed: Duration::from_nanos(delayed),
    }
}
