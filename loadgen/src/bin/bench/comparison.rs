//! The two servers by turns under the same load.

use std::io;
use std::time::Duration;

use geodynamo_loadgen::load::run;
use geodynamo_loadgen::process::cpu_time;
use geodynamo_loadgen::report::median;
use geodynamo_loadgen::workload::Workload;
use serde_json::{Value, json};

use crate::effort::Effort;
use crate::pair::{Pair, Side};
use crate::verdict::no_errors;

/// What runs gave: answers a second, and processor time for each answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
    /// The first run's seed is the next.
    seed: u64,
}

impl Samples {
    /// No runs yet; theirs will be the seeds after this one. Runs of one seed draw the same keys.
    pub(crate) fn after_seed(seed: u64) -> Samples {
        Samples {
            seed,
            ..Samples::default()
        }
    }

    /// Runs the workload once more.
    pub(crate) fn add(
        &mut self,
        effort: &Effort,
        side: &Side,
        workload: &Workload,
        connections: usize,
    ) -> io::Result<()> {
        let seed = self.seed + self.rates.len() as u64 + 1;
        let used = || cpu_time(side.pid).ok_or_else(|| io::Error::other("a server is gone"));
        let before = used()?;
        let outcome = run(&effort.plan(&side.endpoint, workload, connections, seed))?;
        let used: Duration = used()?.saturating_sub(before);
        no_errors(&outcome)?;
        // A run in which the disk gave no answer at all has a rate, zero, but no cost.
        self.rates.push(outcome.rate());
        if outcome.answered > 0 {
            self.cpu_us.push(used.as_secs_f64() * 1e6 / outcome.answered as f64);
        }
        Ok(())
    }

    /// Answers a second; the median.
    pub(crate) fn rate(&self) -> f64 {
        median(&self.rates)
    }

    /// The server's processor time for an answer, in microseconds; the median.
    pub(crate) fn cpu_us(&self) -> f64 {
        median(&self.cpu_us)
    }
}

/// A load under which both servers were measured.
pub(crate) struct Comparison {
    name: String,
    connections: usize,
    pub(crate) skeleton: Samples,
    pub(crate) geodynamo: Samples,
    wanted: f64,
}

impl Comparison {
    /// The heading of the rows.
    pub(crate) fn heading() -> String {
        format!(
            "{:<10} {:>11} {:>12} {:>12} {:>7} {:>7}   {:>12} {:>12} {:>7}",
            "", "connections", "skeleton", "geodynamo", "ratio", "wanted", "skeleton µs", "geodynamo µs", "ratio"
        )
    }

    /// Measures, and prints a row. `wanted`: of the skeleton's rate, at least.
    pub(crate) fn measure(
        effort: &Effort,
        pair: &Pair,
        name: &str,
        workload: &Workload,
        connections: usize,
        wanted: f64,
    ) -> io::Result<Comparison> {
        let mut comparison = Comparison {
            name: name.to_owned(),
            connections,
            skeleton: Samples::default(),
            geodynamo: Samples::default(),
            wanted,
        };
        for _ in 0..effort.runs {
            comparison.skeleton.add(effort, &pair.skeleton, workload, connections)?;
            comparison
                .geodynamo
                .add(effort, &pair.geodynamo, workload, connections)?;
        }
        println!("{}", comparison.row());
        Ok(comparison)
    }

    fn row(&self) -> String {
        let (skeleton, geodynamo) = (&self.skeleton, &self.geodynamo);
        format!(
            "{:<10} {:>11} {:>12.0} {:>12.0} {:>7.2} {:>7.2}   {:>12.1} {:>12.1} {:>7.2}{}",
            self.name,
            self.connections,
            skeleton.rate(),
            geodynamo.rate(),
            self.ratio(),
            self.wanted,
            skeleton.cpu_us(),
            geodynamo.cpu_us(),
            skeleton.cpu_us() / geodynamo.cpu_us(),
            if self.ratio() >= self.wanted {
                ""
            } else {
                "  short of it"
            }
        )
    }

    fn ratio(&self) -> f64 {
        self.geodynamo.rate() / self.skeleton.rate()
    }

    /// All figures.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "connections": self.connections, "wanted": self.wanted, "ratio": self.ratio(),
            "skeleton": self.skeleton.rate(), "geodynamo": self.geodynamo.rate(),
            "skeleton_cpu_us": self.skeleton.cpu_us(), "geodynamo_cpu_us": self.geodynamo.cpu_us(),
        })
    }
}
