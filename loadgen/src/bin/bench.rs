//! `make bench`: geodynamo's speed as ratios to a bare skeleton's, in one run on one machine.
//!
//! 1. Peaks: PutItem, GetItem, UpdateItem of 300 B items, closed loop, at 32 and 128 connections; the two servers by
//!    turns, the median of the runs.
//! 2. p99.9 of each operation at 70 % of geodynamo's peak, open loop; the skeleton's at the same rate beside it.
//! 3. Two regions, linked directly over loopback (so one way takes no time): the highest rate of puts whose backlog stays
//!    flat, then, at half of it, when writes become visible in the peer.
//!
//! Client, both servers and the disk share the machine: the ratios mean something, the rates only here. Signatures are
//! checked by both servers. geodynamo runs as `geodynamo serve` does, with its defaults.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use geodynamo_loadgen::client::{Connection, Endpoint};
use geodynamo_loadgen::cluster::{Cluster, Settings};
use geodynamo_loadgen::load::{Outcome, Plan, run};
use geodynamo_loadgen::probe::{Probe, Visibility};
use geodynamo_loadgen::process::{Server, sibling};
use geodynamo_loadgen::report::{heading, median, row};
use geodynamo_loadgen::signer::Credentials;
use geodynamo_loadgen::tables;
use geodynamo_loadgen::workload::{Operation, Workload};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// Short runs, for development; its figures are rough.
    #[arg(long)]
    quick: bool,
    /// Also write all figures as JSON to this file.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    /// Only this part of it.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Threads of the client.
    #[arg(long, default_value_t = 1)]
    client_threads: usize,
}

/// A part of the bench.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Peaks and tails of one region, beside the skeleton's.
    One,
    /// Two regions.
    Two,
}

/// How long and how often.
struct Effort {
    runs: usize,
    warm_up: Duration,
    closed: Duration,
    open: Duration,
    flat: Duration,
    keys: u64,
    client_threads: usize,
}

const TABLE: &str = "bench";
const OPERATIONS: [Operation; 3] = [Operation::Put, Operation::Get, Operation::Update];
const CONNECTIONS: [usize; 2] = [32, 128];
/// What the project asks of each operation at least, as a part of the skeleton's peak.
const RATIOS_WANTED: [f64; 3] = [0.35, 0.5, 0.3];
/// Of the peak, for the tail.
const LOAD_PART: f64 = 0.7;
const TAIL_WANTED_MS: f64 = 10.0;
/// After the one-way delay, p99.
const VISIBLE_WANTED_MS: f64 = 10.0;
/// Rates that are tried for a flat backlog, as parts of the peak of puts, from above.
const FLAT_PARTS: [f64; 8] = [0.9, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
const PROBES: usize = 4;
/// The rates tried in two regions are parts of this where the peak was not measured.
const PUT_PEAK_UNKNOWN: f64 = 40_000.0;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let effort = Effort::new(&arguments);
    let folder = tempfile::Builder::new().prefix("geodynamo-bench-").tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut figures = json!({"quick": arguments.quick});

    let mut put_peak = PUT_PEAK_UNKNOWN;
    if arguments.only != Some(Part::Two) {
        let peaks = measure_one(&effort, folder.path(), &runtime, &mut figures)?;
        put_peak = best(&peaks, Operation::Put);
    }
    if arguments.only != Some(Part::One) {
        figures["regions"] = measure_regions(&effort, folder.path(), put_peak, &runtime)?;
    }
    if let Some(path) = arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}

/// One region's peaks and tails beside the skeleton's.
fn measure_one(
    effort: &Effort,
    folder: &Path,
    runtime: &tokio::runtime::Runtime,
    figures: &mut Value,
) -> io::Result<Vec<Peak>> {
    let (_skeleton, skeleton) = start_skeleton(folder)?;
    let mut cluster = Cluster::new(settings(folder, "one", &["us-east-1"])?)?;
    cluster.write(&BTreeMap::new())?;
    cluster.start()?;
    let geodynamo = cluster.nodes[0].endpoint();
    println!("filling both with {} items", effort.keys);
    runtime.block_on(async {
        tables::create(&geodynamo, TABLE).await?;
        for endpoint in [&skeleton, &geodynamo] {
            tables::fill(endpoint, &effort.workload(Operation::Put), 16, |_| ()).await?;
        }
        io::Result::Ok(())
    })?;
    let peaks = measure_peaks(effort, &skeleton, &geodynamo)?;
    figures["peaks"] = peaks.iter().map(Peak::to_json).collect();
    figures["tails"] = measure_tails(effort, &skeleton, &geodynamo, &peaks)?;
    Ok(peaks)
}

impl Effort {
    fn new(arguments: &Arguments) -> Effort {
        let seconds = |long, quick| Duration::from_secs_f64(if arguments.quick { quick } else { long });
        Effort {
            runs: if arguments.quick { 3 } else { 5 },
            warm_up: seconds(1.0, 0.3),
            closed: seconds(5.0, 1.5),
            open: seconds(20.0, 5.0),
            flat: seconds(60.0, 8.0),
            keys: if arguments.quick { 20_000 } else { 100_000 },
            client_threads: arguments.client_threads,
        }
    }

    fn workload(&self, operation: Operation) -> Workload {
        Workload {
            table: TABLE.into(),
            mix: vec![(operation, 1)],
            keys: self.keys,
            item_bytes: 300,
        }
    }

    fn plan(&self, endpoint: &Endpoint, operation: Operation, connections: usize, seed: u64) -> Plan {
        Plan {
            endpoint: endpoint.clone(),
            workload: self.workload(operation),
            connections,
            threads: self.client_threads,
            rate: None,
            warm_up: self.warm_up,
            duration: self.closed,
            seed,
        }
    }
}

fn settings(folder: &Path, name: &str, regions: &[&str]) -> io::Result<Settings> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let regions = regions.iter().map(|&region| region.to_owned()).collect();
    Ok(Settings {
        binary: sibling("geodynamo")?,
        folder,
        regions,
        sync: true,
        more: String::new(),
    })
}

fn start_skeleton(folder: &Path) -> io::Result<(Server, Endpoint)> {
    let data = folder.join("skeleton");
    let arguments = [OsStr::new("--data"), data.as_os_str()];
    let server = Server::start(&sibling("skeleton")?, &arguments, &folder.join("skeleton.log"))?;
    let address = server.hello["endpoint"].as_str().and_then(|text| text.parse().ok());
    let credentials = Credentials {
        access_key_id: "skeleton".into(),
        secret_access_key: "skeleton-secret".into(),
        region: "us-east-1".into(),
    };
    let address = address.ok_or_else(|| io::Error::other("the skeleton did not say where it listens"))?;
    Ok((server, Endpoint { address, credentials }))
}

/// Medians of the runs.
struct Peak {
    operation: Operation,
    connections: usize,
    skeleton: f64,
    geodynamo: f64,
    wanted: f64,
}

impl Peak {
    fn ratio(&self) -> f64 {
        self.geodynamo / self.skeleton
    }

    fn to_json(&self) -> Value {
        json!({
            "operation": self.operation, "connections": self.connections, "skeleton": self.skeleton,
            "geodynamo": self.geodynamo, "ratio": self.ratio(), "wanted": self.wanted,
        })
    }
}

fn best(peaks: &[Peak], operation: Operation) -> f64 {
    peaks
        .iter()
        .filter(|peak| peak.operation == operation)
        .map(|peak| peak.geodynamo)
        .fold(0.0, f64::max)
}

fn measure_peaks(effort: &Effort, skeleton: &Endpoint, geodynamo: &Endpoint) -> io::Result<Vec<Peak>> {
    println!(
        "\npeaks, closed loop, answers a second, median of {} runs\n",
        effort.runs
    );
    println!(
        "{:<8} {:>11} {:>12} {:>12} {:>7} {:>7}",
        "", "connections", "skeleton", "geodynamo", "ratio", "wanted"
    );
    let mut peaks = Vec::new();
    for (operation, wanted) in OPERATIONS.into_iter().zip(RATIOS_WANTED) {
        for connections in CONNECTIONS {
            let (mut bare, mut ours) = (Vec::new(), Vec::new());
            for number in 0..effort.runs {
                for (endpoint, rates) in [(skeleton, &mut bare), (geodynamo, &mut ours)] {
                    let outcome = run(&effort.plan(endpoint, operation, connections, number as u64 + 1))?;
                    no_errors(&outcome)?;
                    rates.push(outcome.rate());
                }
            }
            let peak = Peak {
                operation,
                connections,
                skeleton: median(&bare),
                geodynamo: median(&ours),
                wanted,
            };
            println!(
                "{:<8} {:>11} {:>12.0} {:>12.0} {:>7.2} {:>7.2}{}",
                format!("{operation:?}"),
                connections,
                peak.skeleton,
                peak.geodynamo,
                peak.ratio(),
                wanted,
                if peak.ratio() >= wanted { "" } else { "  short of it" }
            );
            peaks.push(peak);
        }
    }
    Ok(peaks)
}

fn measure_tails(effort: &Effort, skeleton: &Endpoint, geodynamo: &Endpoint, peaks: &[Peak]) -> io::Result<Value> {
    println!(
        "\ntails, open loop at 70 % of geodynamo's peak, latency from when a request was due\n\n{}",
        heading()
    );
    let mut tails = Vec::new();
    for operation in OPERATIONS {
        let rate = LOAD_PART * best(peaks, operation);
        let mut p999 = [0.0; 2];
        for (place, (name, endpoint)) in [("skeleton", skeleton), ("geodynamo", geodynamo)]
            .into_iter()
            .enumerate()
        {
            let mut plan = effort.plan(endpoint, operation, 128, 77);
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

fn measure_regions(
    effort: &Effort,
    folder: &Path,
    put_peak: f64,
    runtime: &tokio::runtime::Runtime,
) -> io::Result<Value> {
    let mut cluster = Cluster::new(settings(folder, "two", &["us-east-1", "eu-west-1"])?)?;
    cluster.write(&BTreeMap::new())?;
    cluster.start()?;
    let (from, to) = (cluster.nodes[0].endpoint(), cluster.nodes[1].endpoint());
    runtime.block_on(async {
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
        let (outcome, seen) = drive(effort, &from, &to, rate)?;
        let Some(seen) = seen else {
            println!("{rate:>8.0} a second: not flat (writes did not become visible)");
            continue;
        };
        let (early, late) = (seen.median_of_part(0.25, 0.5), seen.median_of_part(0.75, 1.0));
        let flat = outcome.backlog_is_flat(rate, 0.01) && late <= early + 20.0;
        println!(
            "{rate:>8.0} a second: visible after {early:.1} ms early, {late:.1} ms late: {}",
            if flat { "flat" } else { "not flat" }
        );
        if !flat {
            settle(&cluster)?;
            continue;
        }
        settle(&cluster)?;
        let (outcome, seen) = drive(effort, &from, &to, rate / 2.0)?;
        no_errors(&outcome)?;
        let seen = seen.ok_or_else(|| io::Error::other("writes did not become visible at half the rate"))?;
        let (p50, p99) = (seen.after_ack_ms(0.5), seen.after_ack_ms(0.99));
        let kept = p99 <= VISIBLE_WANTED_MS;
        println!(
            "\nvisible in the peer at {:.0} a second, {} probes, one way 0 ms: p50 {p50:.2} ms, p99 {p99:.2} ms after the \
             ack ({:.2} ms after sending)\n    p99 wanted: within {VISIBLE_WANTED_MS} ms: {}",
            rate / 2.0,
            seen.after_ack_ns.len(),
            seen.after_send_ms(0.99),
            verdict(kept)
        );
        return Ok(json!({"flat_rate": rate, "visible_p50_ms": p50, "visible_p99_ms": p99, "kept": kept}));
    }
    println!("no rate that was tried stayed flat");
    Ok(Value::Null)
}

/// Puts at a rate in the one region, probes beside it. No visibility if a probe failed.
fn drive(effort: &Effort, from: &Endpoint, to: &Endpoint, rate: f64) -> io::Result<(Outcome, Option<Visibility>)> {
    let mut plan = effort.plan(from, Operation::Put, 128, 99);
    (plan.rate, plan.duration) = (Some(rate), effort.flat);
    let probes = (0..PROBES).map(|number| Probe {
        from: from.clone(),
        to: to.clone(),
        table: TABLE.into(),
        duration: effort.flat,
        pause: Duration::from_millis(20),
        name: format!("{rate:.0}-{number}"),
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

/// Waits until the peer has caught up.
fn settle(cluster: &Cluster) -> io::Result<()> {
    for _ in 0..120 {
        if cluster.nodes[0].digest(TABLE)? == cluster.nodes[1].digest(TABLE)? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Err(io::Error::other("the peer did not catch up"))
}

fn no_errors(outcome: &Outcome) -> io::Result<()> {
    match &outcome.first_error {
        None if outcome.done > 0 => Ok(()),
        None => Err(io::Error::other("no request was answered")),
        Some(error) => Err(io::Error::other(format!(
            "{} requests failed; the first: {error}",
            outcome.errors
        ))),
    }
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "BROKEN" }
}
