//! Requests and replies, whole, on the in-memory engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod authorization;
mod batches;
mod captured;
mod client;
mod guarded;
mod items;
mod others;
mod pages;
mod statements;
mod streams;
mod tables;
