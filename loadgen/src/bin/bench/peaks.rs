//! Single items, closed loop.

use std::io;

use geodynamo_loadgen::workload::Operation;

use crate::comparison::Comparison;
use crate::effort::Effort;
use crate::pair::Pair;

/// What is measured.
pub(crate) const OPERATIONS: [Operation; 3] = [Operation::Put, Operation::Get, Operation::Update];
/// Of every comparison.
pub(crate) const CONNECTIONS: [usize; 2] = [32, 128];
/// What the project asks of each operation at least, as a part of the skeleton's peak.
const RATIOS_WANTED: [f64; 3] = [0.35, 0.5, 0.3];

/// An operation's, with some number of connections.
pub(crate) struct Peak {
    operation: Operation,
    pub(crate) comparison: Comparison,
}

/// The most answers a second of geodynamo's, over the numbers of connections.
pub(crate) fn best(peaks: &[Peak], operation: Operation) -> f64 {
    peaks
        .iter()
        .filter(|peak| peak.operation == operation)
        .map(|peak| peak.comparison.geodynamo.rate())
        .fold(0.0, f64::max)
}

/// Measures them all.
pub(crate) fn measure(effort: &Effort, pair: &Pair) -> io::Result<Vec<Peak>> {
    println!(
        "\npeaks, closed loop, answers a second and processor time for each, medians of {} runs\n",
        effort.runs
    );
    println!("{}", Comparison::heading());
    let mut peaks = Vec::new();
    for (operation, wanted) in OPERATIONS.into_iter().zip(RATIOS_WANTED) {
        for connections in CONNECTIONS {
            let name = format!("{operation:?}");
            let workload = effort.workload(operation);
            let comparison = Comparison::measure(effort, pair, &name, &workload, connections, wanted)?;
            peaks.push(Peak { operation, comparison });
        }
    }
    Ok(peaks)
}
