//! The command line's client side: commands that ask a running region and show its answer, and the doctor.
//!
//! They are thin. What they do to tables and backups goes through the data port, by the API that SDKs use, signed with the
//! caller's own key; what they show of a region's state comes from its admin port. Nothing in here knows of a database. The
//! server's crate puts these commands beside its own and hands the doctor what the configuration says ([`doctor::Subject`]).
//!
//! Where a service is and who asks is told by flags, then by AWS's environment variables and profile files ([`Connection`]).

mod admin;
mod backup;
mod client;
mod connection;
mod copy;
pub mod doctor;
mod insights;
mod output;
mod profile;
mod restore;
mod status;
mod tables;
mod top;
mod transfer;
mod wait;

use std::{error::Error, future::Future};

use serde_json::Value;

pub use geodynamo_outgoing::Credentials;

pub use crate::{
    admin::{AdminPort, is_this_machine},
    backup::{BackupArguments, BackupCommand},
    client::Failure,
    connection::Connection,
    insights::InsightsArguments,
    output::OutputForm,
    restore::RestoreCommand,
    status::StatusArguments,
    tables::TablesArguments,
    top::TopArguments,
    transfer::{ExportArguments, ImportArguments},
};

/// What a command comes to.
pub type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// `geodynamo status`.
///
/// # Errors
/// If the region does not answer, or something is wrong that needs somebody.
pub fn status(arguments: &StatusArguments) -> Done {
    run(status::run(arguments))
}

/// `geodynamo tables`.
///
/// # Errors
/// If the region refuses.
pub fn tables(arguments: &TablesArguments) -> Done {
    run(tables::run(arguments))
}

/// `geodynamo insights`.
///
/// # Errors
/// If the region does not answer, or has no such table.
pub fn insights(arguments: &InsightsArguments) -> Done {
    run(insights::run(arguments))
}

/// `geodynamo top`.
///
/// # Errors
/// If the region does not answer.
pub fn top(arguments: &TopArguments) -> Done {
    top::run(arguments)
}

/// `geodynamo backup`.
///
/// # Errors
/// If the region refuses.
pub fn backup(arguments: &BackupArguments) -> Done {
    run(backup::run(arguments))
}

/// `geodynamo restore table` and `geodynamo restore backup`.
///
/// # Errors
/// If the region refuses.
pub fn restore(command: &RestoreCommand) -> Done {
    run(restore::run(command))
}

/// `geodynamo export`.
///
/// # Errors
/// If the region refuses, or the export that is waited for fails.
pub fn export(arguments: &ExportArguments) -> Done {
    run(transfer::export(arguments))
}

/// `geodynamo import`.
///
/// # Errors
/// If the region refuses, or the import that is waited for fails.
pub fn import(arguments: &ImportArguments) -> Done {
    run(transfer::import(arguments))
}

/// The key that AWS's environment variables, or a profile of its files, have; nothing where neither has one.
///
/// # Errors
/// If a profile is named that is not there, or a file cannot be read.
pub fn credentials() -> Result<Option<Credentials>, Failure> {
    Ok(Connection::default().resolve()?.credentials)
}

/// Calls an operation of DynamoDB once, and waits for its answer. Not for within a runtime.
///
/// # Errors
/// What the region refuses, or that it does not answer.
pub fn call(connection: &Connection, operation: &str, input: &Value) -> Result<Value, Box<dyn Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(client::Client::new(connection)?.call(operation, input))?)
}

/// A command makes one call after another, so one thread is enough.
fn run(work: impl Future<Output = Done>) -> Done {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
