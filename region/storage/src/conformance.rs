//! The suite that every engine passes.
//!
//! Call it from an engine's tests, on a runtime of several threads. A failure panics with a text that says which promise
//! was broken. That the suite can fail is shown in its own tests, on engines broken on purpose.

// This is a test suite, if one that other crates call: it panics on purpose.
#![allow(clippy::unwrap_used)]

use std::{future::Future, time::Duration};

use crate::Engine;

mod commits;
mod loads;
mod logs;
mod reopen;
mod rows;
mod snapshots;
mod support;

/// How long the suite waits for anything before it calls it a failure.
const DEADLINE: Duration = Duration::from_secs(120);

/// Checks everything that an engine promises while it is open. `open` gives a new, empty engine at every call.
///
/// # Panics
/// If the engine breaks a promise.
pub async fn run<E: Engine, F: Fn() -> E>(open: F) {
    within("rows: reads and writes", rows::reads_and_writes(open())).await;
    within("rows: scan limits", rows::scan_limits(open())).await;
    within("rows: like a model", rows::like_a_model(open())).await;
    within("commits: order of calls", commits::order_of_calls(open())).await;
    within("commits: dropped futures", commits::dropped_futures(open())).await;
    within("commits: preconditions", commits::preconditions(open())).await;
    within(
        "commits: preconditions in a batch",
        commits::preconditions_in_a_batch(open()),
    )
    .await;
    within("commits: compare and swap", commits::compare_and_swap(open())).await;
    within("commits: atomic", commits::atomic(open())).await;
    within("commits: groups", commits::groups(open())).await;
    within("commits: limits", commits::limits(open())).await;
    within("logs: positions", logs::positions(open())).await;
    within("logs: read limits", logs::read_limits(open())).await;
    within("logs: nothing behind a reader", logs::nothing_behind_a_reader(open())).await;
    within("logs: record and row together", logs::record_and_row_together(open())).await;
    within("logs: trim", logs::trim(open())).await;
    within("logs: trim under appends", logs::trim_under_appends(open())).await;
    within("logs: activity", logs::activity(open())).await;
    within("snapshots: isolation", snapshots::isolation(open())).await;
    within("snapshots: log end", snapshots::log_end_is_exact(open())).await;
    within("loads: rows in any order", loads::rows_in_any_order(open())).await;
    within("loads: refusals", loads::refusals(open())).await;
    within("close", commits::close(open())).await;
}

/// Checks what an engine promises across restarts. `open(n)` opens store `n`: empty at the first call with a number, and
/// what the engine before left at the following ones. That engine was dropped; the suite says for each check whether it
/// was closed first.
///
/// # Panics
/// If the engine breaks a promise.
pub async fn run_reopen<E: Engine, F: Fn(usize) -> E>(open: F) {
    within("reopen: after close", reopen::keeps(|| open(0), true)).await;
    within("reopen: after drop", reopen::keeps(|| open(1), false)).await;
    within("reopen: log end after trim", reopen::log_end_after_trim(|| open(2))).await;
    within("reopen: many times", reopen::many_times(|| open(3))).await;
    within("reopen: loads", loads::kept(|| open(4))).await;
}

async fn within(check: &str, run: impl Future<Output = ()>) {
    assert!(
        tokio::time::timeout(DEADLINE, run).await.is_ok(),
        "{check}: not done in time"
    );
}

#[cfg(test)]
mod tests;
