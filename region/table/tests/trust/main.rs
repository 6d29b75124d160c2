//! Replicas that can be trusted: verified, healed, forgetting what may be forgotten, and closed to a hostile peer. On the
//! regions of the other tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![allow(dead_code, reason = "what the tests of `tables` share is more than is used here")]

mod collecting;
mod hostile;
mod mend;
mod outage;
#[path = "../tables/regions.rs"]
mod regions;
#[path = "../tables/support.rs"]
mod support;
mod verify;
