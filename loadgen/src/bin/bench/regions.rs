//! Two regions, linked directly over loopback: the rate whose backlog stays flat, and when writes become visible.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::cluster::{Cluster, Node};
use geodynamo_loadgen::load::{Outcome, run};
use geodynamo_loadgen::probe::{LOOK_PAUSE, Probe, Visibility};
use geodynamo_loadgen::process::wait_idle;
use geodynamo_loadgen::report::median;
use geodynamo_loadgen::tables;
use geodynamo_loadgen::workload::Operation;
use serde_json::{Value, json};

use crate::effort::{Effort, TABLE};
use crate::pair::{IDLE_MAX, block_on, settings};
use crate::verdict::{no_errors, verdict};

/// After the one-way delay, p99.
const VISIBLE_WANTED_MS: f64 = 10.0;
/// Rates that are tried for a flat backlog, as parts of the peak of puts, from above.
const FLAT_PARTS: [f64; 8] = [0.9, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
const PROBES: usize = 4;
/// The first look at a rate takes this part of the time.
const LOOK_PART: u32 = 6;

/// Tries rates from above, as parts of a peak of puts; then measures visibility at half of the one that stayed flat.
pub(crate) fn measure(effort: &Effort, folder: &Path, put_peak: f64) -> io::Result<Value> {
    let mut cluster = Cluster::new(settings(folder, "two", &["us-east-1", "eu-west-1"])?)?;
    cluster.write(&BTreeMap::new())?;
    cluster.start()?;
    let (from, to) = (cluster.nodes[0].endpoint(), cluster.nodes[1].endpoint());
    block_on(async {
        tables::create(&from, TABLE).await?;
        tables::add_replica(&from, TABLE, &to.credentials.region).await?;
        let mut connection = Connection::open(&to).await?;
        tables::wait(&mut connection, TABLE, |about| {
            about["Table"]["TableStatus"] == "ACTIVE"
        })
        .await
    })?;
    println!(
        "\ntwo regions: puts at a rate for {:?}; flat: neither the client's backlog nor the peer's lag grows\n",
        effort.flat
    );
    for part in FLAT_PARTS {
        let rate = part * put_peak;
        // A short look first: most rates from above are far from flat.
        let is_flat = looks_flat(effort.flat / LOOK_PART, effort, &from, &to, rate)? && {
            settle(&cluster)?;
            looks_flat(effort.flat, effort, &from, &to, rate)?
        };
        settle(&cluster)?;
        if is_flat {
            return visibility(effort, &from, &to, rate);
        }
    }
    println!("no rate that was tried stayed flat");
    Ok(Value::Null)
}

/// Whether, at a rate, neither the client's backlog nor the peer's lag grows for so long.
fn looks_flat(duration: Duration, effort: &Effort, from: &Endpoint, to: &Endpoint, rate: f64) -> io::Result<bool> {
    let (outcome, seen) = drive(duration, effort, from, to, rate)?;
    let Some(seen) = seen else {
        println!("{rate:>8.0} a second: not flat (writes did not become visible)");
        return Ok(false);
    };
    let (early, late) = (seen.median_of_part(0.25, 0.5), seen.median_of_part(0.75, 1.0));
    let flat = outcome.backlog_is_flat(rate, 0.01) && late <= early + 20.0;
    println!(
        "{rate:>8.0} a second for {duration:?}: {:.0} answered, p99 {:.1} ms; visible after {early:.1} ms early, {late:.1} ms \
         late: {}",
        outcome.rate(),
        outcome.quantile_ms(0.99),
        if flat { "flat" } else { "not flat" }
    );
    Ok(flat)
}

/// When writes become visible at half of a rate: the medians of runs that take as long together as flatness was looked at.
fn visibility(effort: &Effort, from: &Endpoint, to: &Endpoint, flat_rate: f64) -> io::Result<Value> {
    let rate = flat_rate / 2.0;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    println!("\nvisible in the peer at {rate:.0} a second, one way 0 ms, after the ack");
    for _ in 0..effort.runs {
        let (outcome, seen) = drive(effort.flat / effort.runs as u32, effort, from, to, rate)?;
        no_errors(&outcome)?;
        let seen = seen.ok_or_else(|| io::Error::other("writes did not become visible at half the rate"))?;
        p50.push(seen.after_ack_ms(0.5));
        p99.push(seen.after_ack_ms(0.99));
        println!(
            "    {} probes: p50 {:.2} ms, p99 {:.2} ms ({:.2} ms after sending); puts: p99 {:.2} ms",
            seen.after_ack_ns.len(),
            seen.after_ack_ms(0.5),
            seen.after_ack_ms(0.99),
            seen.after_send_ms(0.99),
            outcome.quantile_ms(0.99),
        );
    }
    let (p50, p99) = (median(&p50), median(&p99));
    let kept = p99 <= VISIBLE_WANTED_MS;
    println!(
        "    medians: p50 {p50:.2} ms, p99 {p99:.2} ms; p99 wanted: within {VISIBLE_WANTED_MS} ms: {}",
        verdict(kept)
    );
    Ok(json!({"flat_rate": flat_rate, "visible_p50_ms": p50, "visible_p99_ms": p99, "kept": kept}))
}

/// Puts at a rate in the one region, probes beside it. No visibility if a probe failed.
fn drive(
    duration: Duration,
    effort: &Effort,
    from: &Endpoint,
    to: &Endpoint,
    rate: f64,
) -> io::Result<(Outcome, Option<Visibility>)> {
    let mut plan = effort.plan(from, &effort.workload(Operation::Put), 128, 99);
    (plan.rate, plan.duration) = (Some(rate), duration);
    // Probes of an earlier run are visible already.
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run_number = RUNS.fetch_add(1, Ordering::Relaxed);
    let probes = (0..PROBES).map(|number| Probe {
        from: from.clone(),
        to: to.clone(),
        table: TABLE.into(),
        duration,
        collections: false,
        pause: Duration::from_millis(20),
        look_pause: LOOK_PAUSE,
        name: format!("{run_number}-{number}"),
    });
    let probes: Vec<Probe> = probes.collect();
    let watcher = std::thread::spawn(move || -> io::Result<Visibility> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for probe in probes {
                tasks.spawn(async move { probe.run().await });
            }
            let mut all: Option<Visibility> = None;
            while let Some(seen) = tasks.join_next().await {
                let seen = seen.map_err(io::Error::other)??;
                match &mut all {
                    Some(all) => all.merge(&seen),
                    None => all = Some(seen),
                }
            }
            all.ok_or_else(|| io::Error::other("no probes"))
        })
    });
    let outcome = run(&plan)?;
    let seen = watcher.join().map_err(|_| io::Error::other("the probes panicked"))?;
    if let Err(error) = &seen {
        println!("    a probe: {error}");
    }
    Ok((outcome, seen.ok()))
}

/// Waits until the peer has caught up and both have compacted what was written: a rate is looked at for itself, not for what
/// was left of the rate before.
fn settle(cluster: &Cluster) -> io::Result<()> {
    for _ in 0..120 {
        if cluster.nodes[0].digest(TABLE)? == cluster.nodes[1].digest(TABLE)? {
            let running = cluster.nodes.iter().filter_map(Node::pid);
            return running.into_iter().try_for_each(|pid| wait_idle(pid, IDLE_MAX));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Err(io::Error::other("the peer did not catch up"))
}
