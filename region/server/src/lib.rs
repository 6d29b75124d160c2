//! The `geodynamo` process: it wires the house together, and is the only place that reads configuration.
//!
//! `geodynamo-http` is the port for clients, `geodynamo-admin` the one for operators. What they need of the layers below is in two
//! traits, [`Handler`](geodynamo_http::Handler) and [`Admin`](geodynamo_admin::Admin), so both can be tested without a database.
//! [`region`] puts the database behind them.

pub mod access;
mod accounts;
pub mod api;
pub mod audit;
pub mod build;
pub mod certs;
pub mod cli;
mod clock;
pub mod collectors;
pub mod config;
mod conflicts;
mod console;
mod copies;
mod demo;
mod doctor;
mod files;
mod imports;
mod insights;
mod links;
mod manuals;
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
mod sinks;
pub mod telemetry;
pub mod triggers;
mod verify;
