//! The `geodynamo` process: it wires the house together, and is the only place that reads configuration.
//!
//! [`data`] is the port for clients, [`admin`] the one for operators. What they need of the layers below is in two traits,
//! [`handler::Handler`] and [`admin::Admin`], so both can be tested without a database. [`region`] puts the database
//! behind them.

pub mod access;
mod accounts;
pub mod admin;
pub mod api;
pub mod audit;
pub mod build;
pub mod certs;
pub mod cli;
mod clock;
pub mod config;
mod conflicts;
mod console;
mod copies;
pub mod data;
mod demo;
mod doctor;
mod files;
pub mod handler;
mod imports;
mod insights;
mod links;
mod manuals;
pub mod metrics;
mod nodes;
mod notify;
pub mod peers;
mod plain_http;
pub mod process;
mod reach;
mod recovery;
pub mod region;
pub mod run;
mod schema;
mod scrub;
mod sealing;
pub mod session;
pub mod shutdown;
mod sinks;
pub mod telemetry;
pub mod triggers;
mod verify;
