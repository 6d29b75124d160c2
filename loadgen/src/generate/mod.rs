//! The load generator proper: workloads by name, arrivals by schedule, several regions at once, results that can be kept.
//!
//! - [`workload`] what is asked: YCSB A to F and DynamoDB's own kinds; [`keys`] of which items, [`sizes`] how large, and [`requests`]
//!   as what requests.
//! - [`arrivals`] when: an open loop's schedule, or a closed loop.
//! - [`worker`] asks and measures, until [`ending`]; [`record`] keeps what was measured; [`verify`] reads back what was written;
//!   [`lag`] looks when it is visible elsewhere; [`newest`] numbers what is added.
//! - [`outcome`] a run's results as JSON, `.hlog`, `.hgrm`; [`page`] as HTML; [`compare`] two of them; [`slo`] judges one.
//!
//! In an open loop a request's *response time* counts from when it was due, whether a connection was free then or not, so a
//! server that stalls cannot hide the requests that waited for it (no coordinated omission); its *service time* counts from
//! when it was sent. What is due and not answered when the run ends is still sent and waited for, a little; what has no answer then
//! counts as an error, and with the time that it had waited, which is less than it would have taken.

pub mod arrivals;
pub mod compare;
pub mod ending;
pub mod keys;
pub mod lag;
pub mod newest;
pub mod outcome;
pub mod page;
pub mod record;
pub mod requests;
pub mod run;
pub mod sizes;
pub mod slo;
pub mod verify;
pub mod worker;
pub mod workload;
