//! The `geodynamo` process: it wires the house together, and is the only place that reads configuration.
//!
//! [`data`] is the port for clients, [`admin`] the one for operators. What they need of the layers below is in two traits,
//! [`handler::Handler`] and [`admin::Admin`], so both can be tested without a database. [`region`] puts the real ones
//! behind them.

pub mod admin;
pub mod certs;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data;
pub mod demo;
pub mod finish;
pub mod handler;
pub mod link_host;
pub mod metrics;
pub mod process;
pub mod region;
mod replication_metrics;
pub mod run;
pub mod shutdown;
pub mod telemetry;
