//! The replicator's transport: QUIC around the core.

pub mod host;

pub use host::Host;
