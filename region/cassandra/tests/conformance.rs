//! The conformance suite on a real Cassandra.

// A test: it panics on purpose.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicI32, Ordering};

use geodynamo_storage::conformance;

mod common;

use common::{open, options, schema};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs Cassandra, which scripts/test.py starts: scripts/test.py cassandra"]
async fn passes_the_suite() {
    let options = options();
    schema(&options).await;
    let slots = AtomicI32::new(100);
    conformance::run(|| open(&options, slots.fetch_add(1, Ordering::Relaxed))).await;
    conformance::run_reopen(|store| open(&options, store as i32)).await;
}
