//! The table layer on the in-memory engine, alone and as regions that exchange deltas without a network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod bulk;
mod collections;
mod conflicts;
mod encryption;
mod gated;
mod groups;
mod indexes;
mod insights;
mod lost;
mod names;
mod reads;
mod regions;
mod rejoins;
mod replication;
mod restart;
mod stream_readers;
mod streams;
mod support;
mod system;
mod throttle;
mod transactions;
mod trimming;
mod ttl;
mod turns;
mod writes;
