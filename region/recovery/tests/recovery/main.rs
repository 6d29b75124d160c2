//! Backups and restores on the in-memory engine and an archive in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod away;
mod backups;
mod mend;
mod model;
mod scrub;
mod support;
mod windows;
