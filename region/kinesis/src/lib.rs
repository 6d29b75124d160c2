//! Kinesis streaming destinations: every change of a table goes to a Kinesis data stream, in AWS's form.
//!
//! A destination reads the change logs of its table from the moment it was enabled, with a reader for each, and puts records by
//! Kinesis's own API, of whatever service has it ([`Options::endpoint`]). How far it has come is stored after the stream has
//! taken the records: they may come twice, as AWS's do, and those of an item in their order. What a stream does not take is
//! tried again for as long as the table's logs are held for it.
//!
//! Sources: "Change data capture with Kinesis Data Streams" in DynamoDB's developer guide; Kinesis's API reference, PutRecords.

mod put;
mod record;
mod row;
mod service;

use std::{collections::BTreeMap, time::Duration};

use geodynamo_outgoing::{Client, Endpoint};

pub use crate::service::{DestinationStats, Kinesis};

/// How destinations are set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The service that has the streams of the cluster's own account.
    pub endpoint: Endpoint,
    /// The same service as other accounts reach it, each with a key of its own. One that is not here has no streams.
    pub of_accounts: BTreeMap<String, Endpoint>,
    /// What calls are made with.
    pub client: Client,
    /// For how long records wait for a stream that does not take them. Older ones are lost, as AWS's are.
    pub held_for: Duration,
}

/// For how long records wait unless told otherwise.
pub const HELD_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// The most destinations of one table that are on.
pub const DESTINATIONS_MAX: usize = 2;
