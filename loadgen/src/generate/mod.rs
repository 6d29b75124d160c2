//! The load generator proper: workloads by name, arrivals by schedule, several regions at once, results that can be kept.
//!
//! - [`workload`] what is asked: YCSB A to F and DynamoDB's own kinds, [`keys`] of which items, [`sizes`] how large.
//! - [`arrivals`] when: an open loop's schedule, or a closed loop.
//! - [`worker`] asks and measures; [`record`] keeps what was measured; [`verify`] reads back what was written.
//! - [`outcome`] a run's results as JSON, `.hlog`, `.hgrm`; [`page`] as HTML; [`compare`] two of them; [`slo`] judges one.
//!
//! In an open loop a request's *response time* counts from when it was due, whether a connection was free then or not, so a
//! server that stalls cannot hide the requests that waited for it (no coordinated omission); its *service time* counts from
//! when it was sent.

pub mod arrivals;
pub mod compare;
pub mod keys;
pub mod outcome;
pub mod page;
pub mod record;
pub mod run;
pub mod sizes;
pub mod slo;
pub mod verify;
pub mod worker;
pub mod workload;
