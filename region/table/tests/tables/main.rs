//! The table layer on the in-memory engine, alone and as regions that exchange deltas without a network.

mod reads;
mod regions;
mod replication;
mod restart;
mod support;
mod writes;
