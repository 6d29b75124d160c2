//! A region's AWS Backup over an engine and an archive in memory, with a clock that tests move.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod accounts;
mod copies;
mod plans;
mod reference;
mod support;
mod vaults;
