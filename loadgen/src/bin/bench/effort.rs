//! How long and how often is measured.

use std::time::Duration;

use geodynamo_loadgen::client::Endpoint;
use geodynamo_loadgen::load::Plan;
use geodynamo_loadgen::workload::{Operation, Workload};

use crate::Arguments;

/// The table of every part.
pub(crate) const TABLE: &str = "bench";
/// Bytes of an item, as DynamoDB counts them.
const ITEM_BYTES: usize = 300;

/// How long and how often.
pub(crate) struct Effort {
    /// Runs of each server in a comparison, by turns.
    pub(crate) runs: usize,
    /// Before each run.
    pub(crate) warm_up: Duration,
    /// A run in a closed loop.
    pub(crate) closed: Duration,
    /// A run in an open loop.
    pub(crate) open: Duration,
    /// How long a backlog must stay flat.
    pub(crate) flat: Duration,
    /// Items of a table.
    pub(crate) keys: u64,
    /// Items of tables that are compared with a small one, from the least.
    pub(crate) sizes: Vec<u64>,
    /// Threads of the client.
    client_threads: usize,
}

impl Effort {
    pub(crate) fn new(arguments: &Arguments) -> Effort {
        let seconds = |long, quick| Duration::from_secs_f64(if arguments.quick { quick } else { long });
        let mut sizes = arguments.sizes.clone();
        if sizes.is_empty() {
            let all = [100_000, 1_000_000, 10_000_000];
            sizes = all[..if arguments.quick { 1 } else { 3 }].to_vec();
        }
        sizes.sort_unstable();
        Effort {
            runs: if arguments.quick { 3 } else { 5 },
            warm_up: seconds(1.0, 0.3),
            closed: seconds(5.0, 1.5),
            open: seconds(10.0, 4.0),
            flat: seconds(60.0, 8.0),
            keys: if arguments.quick { 20_000 } else { 100_000 },
            sizes,
            client_threads: arguments.client_threads,
        }
    }

    /// One operation on a table without a sort key.
    pub(crate) fn workload(&self, operation: Operation) -> Workload {
        Workload {
            table: TABLE.into(),
            mix: vec![(operation, 1)],
            keys: self.keys,
            collection: None,
            item_bytes: ITEM_BYTES,
        }
    }

    /// One operation on a table of so many items, so many of which have the same partition key.
    pub(crate) fn sorted_workload(&self, operation: Operation, keys: u64, collection: u64) -> Workload {
        Workload {
            keys,
            collection: Some(collection),
            ..self.workload(operation)
        }
    }

    /// A run in a closed loop.
    pub(crate) fn plan(&self, endpoint: &Endpoint, workload: &Workload, connections: usize, seed: u64) -> Plan {
        Plan {
            endpoint: endpoint.clone(),
            workload: workload.clone(),
            connections,
            threads: self.client_threads,
            rate: None,
            warm_up: self.warm_up,
            duration: self.closed,
            seed,
        }
    }
}
