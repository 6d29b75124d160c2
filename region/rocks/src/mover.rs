//! The thread that moves rows from one column family to the other: see [`crate::classes`].
//!
//! It reads rows that are still where they were, and hands them to the committer, who moves those that nobody has written
//! meanwhile: a page for a batch, at a bounded rate. When none is left the move is done, but for the marks that the moved rows
//! have left, which still take their room: those are compacted away, part by part.

use std::{ops::Bound, time::Duration};

use bytes::Bytes;
use geodynamo_storage::{Direction, Prefix, Scan, StorageError};

use crate::{
    classes::{Family, Place},
    committer::Shared,
    queue::Job,
    rows::just_behind,
};

/// Rows and bytes that are moved at once: what the committer has to do for them delays other commits by a millisecond or so.
const PAGE_ROWS: usize = 128;
const PAGE_BYTES: usize = 128 * 1024;
/// How long the mover waits while no writes are taken.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// Bytes of files that are compacted at once, about: so long the engine may wait for it when it is closed.
const SWEEP_BYTES: u64 = 256 * 1024 * 1024;
/// The most parts that are compacted one after the other.
const SWEEP_PARTS_MAX: u64 = 256;

/// A step of a move, which the committer carries out.
#[derive(Debug)]
pub(crate) enum Step {
    /// Rows that are to be moved. Up to a key there are no others.
    Rows {
        prefix: Prefix,
        since: u64,
        rows: Vec<(Bytes, Bytes)>,
        up_to: Bytes,
    },
    /// All have been.
    Moved { prefix: Prefix, since: u64 },
    /// Nothing of them takes room where they were any more.
    Swept { prefix: Prefix },
}

impl Step {
    pub(crate) fn prefix(&self) -> Prefix {
        match self {
            Self::Rows { prefix, .. } | Self::Moved { prefix, .. } | Self::Swept { prefix } => *prefix,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Rows { rows, .. } => rows.iter().map(|(key, value)| 2 * key.len() + value.len()).sum(),
            Self::Moved { .. } | Self::Swept { .. } => 0,
        }
    }
}

/// Moves what is to be moved until it is told to end. `rate`: bytes a second; 0 for no limit.
pub(crate) fn run(shared: &Shared, rate: u64) {
    while let Some((prefix, place)) = shared.classes.wait_for_work() {
        let done = match place {
            Place::Moving { to, since, below } => move_page(shared, prefix, to, since, &below),
            Place::Settled { family, .. } => sweep(shared, prefix, family.other()),
        };
        let pause = match done {
            Ok(bytes) if rate > 0 => Duration::from_micros(bytes.saturating_mul(1_000_000) / rate),
            Ok(_) => Duration::ZERO,
            Err(StorageError::Closed) => return,
            Err(error) => {
                tracing::debug!(%error, "rows were not moved to another class yet");
                RETRY_EVERY
            }
        };
        if !pause.is_zero() && shared.classes.pause(pause) {
            return;
        }
    }
}

/// Moves a page; gives its bytes.
fn move_page(shared: &Shared, prefix: Prefix, to: Family, since: u64, below: &Bytes) -> Result<u64, StorageError> {
    let scan = Scan {
        from: Bound::Included(below.clone()),
        to: end_of(prefix),
        direction: Direction::Forward,
        rows_max: PAGE_ROWS,
        bytes_max: PAGE_BYTES,
        // The committer reads them once more.
        once: false,
    };
    let page = {
        let store = shared.holder.now().ok_or_else(being_opened)?;
        shared.counters.counted(store.scan_in(to.other(), &scan))?
    };
    let Some((last, _)) = page.rows.last() else {
        carry_out(shared, Step::Moved { prefix, since })?;
        tracing::info!(prefix = %hex(prefix), to = to.name(), "rows were moved to another class");
        return Ok(0);
    };
    let step = Step::Rows {
        prefix,
        since,
        up_to: just_behind(last).into(),
        rows: page.rows,
    };
    let bytes = step.bytes() as u64;
    carry_out(shared, step)?;
    shared.counters.moved(bytes);
    Ok(bytes)
}

/// Compacts away what moved rows have left.
fn sweep(shared: &Shared, prefix: Prefix, family: Family) -> Result<u64, StorageError> {
    let (from, to) = (Bytes::copy_from_slice(&prefix.0), end_of(prefix));
    let bytes = {
        let store = shared.holder.now().ok_or_else(being_opened)?;
        let to = match &to {
            Bound::Excluded(to) => &to[..],
            _ => &[0xff; Prefix::BYTES + 1],
        };
        // What is in memtables is not in files yet.
        store.flush(true)?;
        store.file_bytes(family, &from, to)?
    };
    let parts = (bytes / SWEEP_BYTES).clamp(1, SWEEP_PARTS_MAX);
    for part in 0..parts {
        let bound = |part: u64| {
            // Routes are hashes, so parts of them are of one size, about.
            let route = (u128::from(part) << 64) / u128::from(parts);
            let route = u64::try_from(route).ok()?;
            Some([&prefix.0[..], &route.to_be_bytes()].concat())
        };
        let end = bound(part + 1).or_else(|| Some(prefix.next()?.0.to_vec()));
        {
            let store = shared.holder.now().ok_or_else(being_opened)?;
            store.compact_in(family, bound(part).as_deref(), end.as_deref())?;
        }
        if shared.classes.pause(Duration::ZERO) {
            return Err(StorageError::Closed);
        }
    }
    carry_out(shared, Step::Swept { prefix })?;
    Ok(0)
}

fn carry_out(shared: &Shared, step: Step) -> Result<(), StorageError> {
    let answer = shared.queue.push(Job::Move(step))?;
    answer.blocking_recv().unwrap_or(Err(StorageError::Closed)).map(drop)
}

fn end_of(prefix: Prefix) -> Bound<Bytes> {
    let next = prefix.next();
    next.map_or(Bound::Unbounded, |next| {
        Bound::Excluded(Bytes::copy_from_slice(&next.0))
    })
}

fn being_opened() -> StorageError {
    StorageError::Io("the store is being opened anew".into())
}

fn hex(prefix: Prefix) -> String {
    prefix.0.iter().map(|byte| format!("{byte:02x}")).collect()
}
