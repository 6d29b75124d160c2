//! p99.9 of each operation at a part of geodynamo's peak, open loop; the skeleton's at the same rate beside it.

use std::io;

use geodynamo_loadgen::load::run;
use geodynamo_loadgen::report::{heading, row};
use serde_json::{Value, json};

use crate::effort::Effort;
use crate::pair::Pair;
use crate::peaks::{OPERATIONS, Peak, best};
use crate::verdict::{no_errors, verdict};

/// Of the peak.
const LOAD_PART: f64 = 0.7;
const TAIL_WANTED_MS: f64 = 10.0;

/// Measures them all.
pub(crate) fn measure(effort: &Effort, pair: &Pair, peaks: &[Peak]) -> io::Result<Value> {
    println!(
        "\ntails, open loop at 70 % of geodynamo's peak, latency from when a request was due\n\n{}",
        heading()
    );
    let mut tails = Vec::new();
    for operation in OPERATIONS {
        let rate = LOAD_PART * best(peaks, operation);
        let mut p999 = [0.0; 2];
        for (place, (name, server)) in [("skeleton", &pair.skeleton), ("geodynamo", &pair.geodynamo)]
            .into_iter()
            .enumerate()
        {
            let mut plan = effort.plan(&server.endpoint, &effort.workload(operation), 128, 77);
            (plan.rate, plan.duration) = (Some(rate), effort.open);
            let outcome = run(&plan)?;
            no_errors(&outcome)?;
            p999[place] = outcome.quantile_ms(0.999);
            println!("{}", row(&format!("{operation:?} {name}"), &outcome));
        }
        let kept = p999[1] < TAIL_WANTED_MS.max(3.0 * p999[0]);
        println!(
            "    p99.9 wanted: below {TAIL_WANTED_MS} ms or 3 × the skeleton's: {}",
            verdict(kept)
        );
        tails.push(json!({
            "operation": operation, "rate": rate, "skeleton_p999_ms": p999[0], "geodynamo_p999_ms": p999[1], "kept": kept,
        }));
    }
    Ok(tails.into())
}
