//! p99.9 of each operation at a part of geodynamo's peak, open loop; the skeleton's at the same rate beside it.

use std::io;

use geodynamo_loadgen::load::run;
use geodynamo_loadgen::report::{heading, median, row};
use serde_json::{Value, json};

use crate::effort::Effort;
use crate::pair::Pair;
use crate::peaks::OPERATIONS;
use crate::verdict::{no_errors, verdict};

/// Of the peak.
const LOAD_PART: f64 = 0.7;
const TAIL_WANTED_MS: f64 = 10.0;
/// As in the peaks with more of them.
const CONNECTIONS: usize = 128;

/// Measures them all. Each round takes geodynamo's peak anew, and then both tails at a part of that: a machine whose speed
/// changes from minute to minute would else be loaded with another part of what it can do. The medians of the rounds count.
pub(crate) fn measure(effort: &Effort, pair: &Pair) -> io::Result<Value> {
    println!(
        "\ntails, open loop at 70 % of geodynamo's peak just before, latency from when a request was due\n\n{}",
        heading()
    );
    let mut tails = Vec::new();
    for operation in OPERATIONS {
        let workload = effort.workload(operation);
        let (mut rates, mut skeleton, mut geodynamo) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..effort.runs {
            let seed = 77 + number as u64;
            let peak = run(&effort.plan(&pair.geodynamo.endpoint, &workload, CONNECTIONS, seed))?;
            no_errors(&peak)?;
            let rate = LOAD_PART * peak.rate();
            rates.push(rate);
            for (name, server, p999) in [
                ("skeleton", &pair.skeleton, &mut skeleton),
                ("geodynamo", &pair.geodynamo, &mut geodynamo),
            ] {
                let mut plan = effort.plan(&server.endpoint, &workload, CONNECTIONS, seed);
                (plan.rate, plan.duration) = (Some(rate), effort.open);
                let outcome = run(&plan)?;
                no_errors(&outcome)?;
                p999.push(outcome.quantile_ms(0.999));
                println!("{}", row(&format!("{operation:?} {name}"), &outcome));
            }
        }
        let (skeleton, geodynamo) = (median(&skeleton), median(&geodynamo));
        let kept = geodynamo < TAIL_WANTED_MS.max(3.0 * skeleton);
        println!(
            "    p99.9 of {operation:?}, medians: skeleton {skeleton:.2} ms, geodynamo {geodynamo:.2} ms; wanted: below \
             {TAIL_WANTED_MS} ms or 3 × the skeleton's: {}",
            verdict(kept)
        );
        tails.push(json!({
            "operation": operation, "rate": median(&rates), "skeleton_p999_ms": skeleton, "geodynamo_p999_ms": geodynamo,
            "kept": kept,
        }));
    }
    Ok(tails.into())
}
