//! Transactions of four puts against the same four records in one group commit.

use std::io;
use std::path::Path;

use geodynamo_loadgen::workload::{Operation, TRANSACTION_ITEMS};
use serde_json::Value;

use crate::comparison::Comparison;
use crate::effort::Effort;
use crate::pair::{Pair, Tuning};
use crate::peaks::CONNECTIONS;

/// Of the skeleton's rate, at least.
const RATIO_WANTED: f64 = 0.4;

/// Measures them.
pub(crate) fn measure(effort: &Effort, folder: &Path) -> io::Result<Value> {
    let pair = Pair::start(folder, "transaction", Tuning::Default)?;
    let workload = effort.workload(Operation::Transact);
    pair.create(&workload)?;
    pair.fill(&workload, 0)?;
    println!(
        "\nTransactWriteItems of {TRANSACTION_ITEMS} puts of 300 B with a client token, against {TRANSACTION_ITEMS} puts \
         in one group commit; closed loop, medians of {} runs\n",
        effort.runs
    );
    println!("{}", Comparison::heading());
    let comparisons = CONNECTIONS.into_iter().map(|connections| {
        let comparison = Comparison::measure(effort, &pair, "Transact", &workload, connections, RATIO_WANTED)?;
        Ok(comparison.to_json())
    });
    comparisons.collect()
}
