//! The replicator's core: stamps, last-writer-wins merge, links and joins, without I/O.
//!
//! Everything here is a pure function or a state machine that takes `(now, event)` and gives actions. There is no tokio,
//! no clock, no randomness and no hash-map iteration order in this crate (clippy's `disallowed-methods` keeps it so):
//! the same events give the same actions, which is what lets `geodynamo-simulation` run thousands of seeded worlds.
//!
//! The core knows keys, stamps, pasts and opaque bytes. What an item is, it does not know.

pub mod change;
pub mod clock;
mod codec;
pub mod collect;
pub mod delta;
pub mod frame;
pub mod host;
pub mod ids;
pub mod join;
pub mod link;
pub mod merge;
pub mod parking;
pub mod past;
pub mod stamp;
mod trace;
pub mod verify;
pub mod version;

pub use change::{Body, Change, ChangeError, Effect, Images, Origin, TransactionId};
pub use clock::{Clock, ClockError};
pub use delta::Delta;
pub use frame::Frame;
pub use host::{Applied, ApplyError, Batch, CopyError, CopyMark, CopyOrder, CopyPage, HostError, Identity, Peer};
pub use ids::{LogId, LogInfo, Position, TableId};
pub use join::{CopyRequest, CopyRows, CopyStart};
pub use merge::{Judgement, judge};
pub use past::{Past, PastError};
pub use stamp::{Hlc, Millis, ReplicaId, Stamp};
pub use trace::{NotTraced, TRACES_PER_FRAME_MAX, TraceContext, Traced};
pub use version::{MergeKind, Version};
