//! The WAN emulator: a UDP relay between regions that delays, loses, doubles, reorders, throttles and cuts.
//!
//! Kernels here and there lack netem, so the wide area is made in user space. For each ordered pair of regions there is a
//! UDP socket on the loopback interface; what is sent to it comes out at the other region, and replies come back the same
//! way. Each *directed* link has its own [`Shape`], which every packet that travels in that direction goes through, whoever
//! dialled: so a cut from A to B also drops B's dialled connections' replies from A.
//!
//! Shapes are changed while it runs, by [`WanEmulator::change`] or over HTTP ([`control`]).

pub mod config;
pub mod control;
pub mod emulator;
pub mod link;
pub mod shape;

mod queue;
mod relay;

pub use config::{WanConfig, WanRegion};
pub use emulator::{ChangeError, LinkStatus, WanEmulator, WanError};
pub use link::Counters;
pub use shape::{Shape, ShapeChange, ShapeError};
