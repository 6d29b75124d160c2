//! How far regions lag behind each other while a run goes on: a probe for each directed pair.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{outcome::quantiles, run::Plan, worker::Shared};
use crate::probe::{Probe, Visibility};

/// The pause between two probes of a pair.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause between two looks for a probe; the figures are no more precise than this.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// When writes of one region were visible in another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// Where they were made.
    pub from: String,
    /// Where they were looked for.
    pub to: String,
    /// How many.
    pub probes: u64,
    /// From the acknowledgement to being visible, in milliseconds, by quantile. One that was not visible at the end counts with how
    /// long it had been looked for.
    pub visible_ms: BTreeMap<String, f64>,
    /// (seconds since the start of the run, milliseconds), in order.
    pub series: Vec<(f64, f64)>,
    /// Why probing stopped before the end, if it did.
    pub error: Option<String>,
}

impl Lag {
    /// A quantile of the probes' times, in milliseconds; none if there was no probe.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let mut times: Vec<f64> = self.series.iter().map(|(_, milliseconds)| *milliseconds).collect();
        times.sort_by(f64::total_cmp);
        // The least time that so many of them do not exceed.
        let rank = (quantile * times.len() as f64).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied()
    }
}

/// Probes each directed pair until the run ends, on a thread of its own. Fails if the thread cannot be made.
pub fn watch(plan: &Plan, shared: &Arc<Shared>) -> io::Result<JoinHandle<io::Result<Vec<Lag>>>> {
    let mut probes = Vec::new();
    for (from, written) in &plan.regions {
        for (to, read) in plan.regions.iter().filter(|(to, _)| to != from) {
            let probe = Probe {
                from: written.clone(),
                to: read.clone(),
                table: plan.table.clone(),
                collections: plan.workload.collections,
                duration: plan.warm_up + plan.duration,
                pause: PAUSE,
                look_pause: LOOK_PAUSE,
                name: format!("{}-{from}-{to}", std::process::id()),
            };
            probes.push((from.clone(), to.clone(), probe));
        }
    }
    let shared = shared.clone();
    std::thread::Builder::new().name("probe".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lags = probes
            .into_iter()
            .map(|(from, to, probe)| measure(from, to, probe, &shared));
        Ok(runtime.block_on(futures_util::future::join_all(lags)))
    })
}

/// To a thousandth: no more of it means anything.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

async fn measure(from: String, to: String, probe: Probe, shared: &Shared) -> Lag {
    tokio::time::sleep_until(shared.measured_from.into()).await;
    let mut seen = Visibility::new(shared.start);
    let ended = tokio::select! {
        ended = probe.run_into(&mut seen) => ended,
        () = shared.ending.ends() => Ok(()),
    };
    seen.end_waiting(Instant::now());
    Lag {
        from,
        to,
        probes: seen.after_ack_ns.len(),
        visible_ms: quantiles(&seen.after_ack_ns),
        series: seen
            .series
            .iter()
            .map(|(at, lag)| (rounded(*at), rounded(*lag)))
            .collect(),
        error: ended.err().map(|error| error.to_string()),
    }
}
