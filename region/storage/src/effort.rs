//! What a request waited for in storage, so that one that was slow can say why.
//!
//! It is measured for whoever asks ([`measuring`]), in the task that asks; what other tasks do for it is not.

use std::{cell::Cell, time::Duration};

tokio::task_local! {
    static EFFORT: Cell<Effort>;
}

/// What was waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Until commits were taken up, behind others'.
    pub queue: Duration,
    /// Until they were durable, from then on.
    pub sync: Duration,
    /// For rows that were not in memory.
    pub reads: Duration,
    /// How many times rows were read that were not in memory.
    pub misses: u32,
    /// How often there was no capacity left.
    pub throttled: u32,
}

/// Carries a request out, and gives what it waited for.
pub async fn measuring<F: Future>(request: F) -> (F::Output, Effort) {
    EFFORT
        .scope(Cell::default(), async {
            let output = request.await;
            (output, EFFORT.with(Cell::get))
        })
        .await
}

/// Whether anyone asks, in this task.
pub fn is_measured() -> bool {
    EFFORT.try_with(|_| ()).is_ok()
}

/// A commit was waited for, of which this much was the batch's write.
pub fn committed(waited: Duration, write: Duration) {
    add(|effort| {
        let sync = write.min(waited);
        effort.sync += sync;
        effort.queue += waited - sync;
    });
}

/// Rows were read that were not in memory.
pub fn missed(took: Duration) {
    add(|effort| {
        effort.reads += took;
        effort.misses = effort.misses.saturating_add(1);
    });
}

/// There was no capacity left.
pub fn throttled() {
    add(|effort| effort.throttled = effort.throttled.saturating_add(1));
}

fn add(change: impl FnOnce(&mut Effort)) {
    // An error means that nobody asks.
    let _ = EFFORT.try_with(|cell| {
        let mut effort = cell.get();
        change(&mut effort);
        cell.set(effort);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_measured_for_who_asks() {
        let ms = Duration::from_millis;
        missed(ms(9));
        let (answer, effort) = measuring(async {
            assert!(is_measured());
            committed(ms(10), ms(4));
            committed(ms(1), ms(4));
            missed(ms(3));
            throttled();
            7
        })
        .await;
        assert!(!is_measured());
        assert_eq!((answer, effort.queue, effort.sync), (7, ms(6), ms(5)));
        assert_eq!((effort.reads, effort.misses, effort.throttled), (ms(3), 1, 1));
    }
}
