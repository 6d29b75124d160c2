//! What watching costs: puts and gets of a region that is watched, against one that is not, by turns; and what the load generator
//! costs beside the server that it loads.
//!
//! *Watched* is: its metrics are scraped every [`SCRAPE_EVERY`], one request in a hundred is traced, and traces and metrics go to a
//! collector. The collector takes what comes and says nothing: what it would do with it is not the region's.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use geodynamo_loadgen::cluster::{Cluster, ask_admin};
use geodynamo_loadgen::generate::arrivals::Arrivals;
use geodynamo_loadgen::generate::keys::KeyChoice;
use geodynamo_loadgen::generate::outcome::Outcome;
use geodynamo_loadgen::generate::run::{Plan, TIMEOUT, run};
use geodynamo_loadgen::generate::sizes::Sizes;
use geodynamo_loadgen::generate::workload::Workload;
use geodynamo_loadgen::process::{cpu_time, wait_idle};
use geodynamo_loadgen::report::median;
use geodynamo_loadgen::tables;
use geodynamo_loadgen::workload::Operation;
use serde_json::{Value, json};

use crate::comparison::Samples;
use crate::effort::{Effort, TABLE};
use crate::pair::{IDLE_MAX, Side, block_on, region, settings};
use crate::peaks::CONNECTIONS;
use crate::verdict::verdict;

/// Of an unwatched region's rate, at least.
const RATIO_WANTED: f64 = 0.98;
const REGION: &str = "us-east-1";
/// As often as a Prometheus that is in a hurry.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);
/// A collector that is asked to end looks so often.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A request's body to the collector that is longer than this is none.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Measures both.
pub(crate) fn measure(effort: &Effort, folder: &Path) -> io::Result<Value> {
    let collector = Collector::start()?;
    let endpoint = format!("http://{}", collector.address);
    let (_off, plain) = start(effort, folder, "plain", &[])?;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
    ];
    let (on, watched) = start(effort, folder, "watched", &environment)?;
    let scraper = Scraper::start(on.nodes[0].admin);
    println!(
        "\nA region that is watched (scraped every {SCRAPE_EVERY:?}, 1 % traced) against one that is not; closed loop, medians of {} \
         runs\n",
        effort.runs
    );
    println!(
        "{:<10} {:>11} {:>12} {:>12} {:>7} {:>7}   {:>12} {:>12} {:>7}",
        "", "connections", "off", "on", "ratio", "wanted", "off µs", "on µs", "ratio"
    );
    let mut figures = Vec::new();
    for operation in [Operation::Put, Operation::Get] {
        for connections in CONNECTIONS {
            figures.push(compare(effort, &plain, &watched, operation, connections)?);
        }
    }
    let scrapes = scraper.stop()?;
    let (requests, bytes) = collector.taken();
    println!(
        "\n{scrapes} scrapes; the collector was sent {requests} times, {} kB",
        bytes >> 10
    );
    if scrapes == 0 || requests == 0 {
        return Err(io::Error::other("the watched region was not watched"));
    }
    let generator = generator(effort, &plain)?;
    Ok(json!({
        "watched": figures, "scrapes": scrapes, "exports": requests, "export_bytes": bytes, "generator": generator,
    }))
}

/// A region with these environment variables, its table filled.
fn start(effort: &Effort, folder: &Path, name: &str, environment: &[(&str, &str)]) -> io::Result<(Cluster, Side)> {
    let mut cluster = Cluster::new(settings(folder, name, &[REGION])?)?;
    cluster.write(&BTreeMap::new())?;
    let environment: Vec<(&str, &Path)> = environment
        .iter()
        .map(|(name, value)| (*name, Path::new(*value)))
        .collect();
    cluster.nodes[0].start(&environment)?;
    cluster.nodes[0].wait_ready()?;
    let side = region(&cluster)?;
    let workload = effort.workload(Operation::Put);
    block_on(tables::create_for(&side.endpoint, &workload))?;
    block_on(tables::fill_from(0, &side.endpoint, &workload, CONNECTIONS[0], |_| ()))?;
    wait_idle(side.pid, IDLE_MAX)?;
    Ok((cluster, side))
}

fn compare(
    effort: &Effort,
    plain: &Side,
    watched: &Side,
    operation: Operation,
    connections: usize,
) -> io::Result<Value> {
    let workload = effort.workload(operation);
    let (mut off, mut on) = (Samples::default(), Samples::default());
    for run in 0..effort.runs {
        // By turns, and each is first as often.
        let mut sides = [(&mut off, plain), (&mut on, watched)];
        if run % 2 == 1 {
            sides.reverse();
        }
        for (samples, side) in sides {
            samples.add(effort, side, &workload, connections)?;
        }
    }
    let name = format!("{operation:?}");
    let ratio = on.rate() / off.rate();
    println!(
        "{name:<10} {connections:>11} {:>12.0} {:>12.0} {ratio:>7.3} {RATIO_WANTED:>7.2}   {:>12.1} {:>12.1} {:>7.3}{}",
        off.rate(),
        on.rate(),
        off.cpu_us(),
        on.cpu_us(),
        off.cpu_us() / on.cpu_us(),
        if ratio >= RATIO_WANTED { "" } else { "  short of it" }
    );
    Ok(json!({
        "name": name, "connections": connections, "wanted": RATIO_WANTED, "ratio": ratio,
        "off": off.rate(), "on": on.rate(), "off_cpu_us": off.cpu_us(), "on_cpu_us": on.cpu_us(),
    }))
}

/// Processor time a request of `geodynamo-loadgen`'s own code and of the server that it loads, in the same runs.
fn generator(effort: &Effort, side: &Side) -> io::Result<Value> {
    println!(
        "\nProcessor time a request of the load generator and of the server that it loads, medians of {} runs\n",
        effort.runs
    );
    println!(
        "{:<10} {:>11} {:>12} {:>12} {:>7}",
        "", "connections", "generator µs", "server µs", "ratio"
    );
    let mut figures = Vec::new();
    for workload in ["puts", "gets"] {
        for connections in CONNECTIONS {
            let (mut generator, mut server) = (Vec::new(), Vec::new());
            for seed in 0..effort.runs as u64 {
                let (own, others) = one_run(effort, side, workload, connections, seed)?;
                generator.push(own);
                server.push(others);
            }
            let (generator, server) = (median(&generator), median(&server));
            println!(
                "{workload:<10} {connections:>11} {generator:>12.1} {server:>12.1} {:>7.2}  {}",
                generator / server,
                verdict(generator < server)
            );
            figures.push(json!({
                "name": workload, "connections": connections, "generator_us": generator, "server_us": server,
            }));
        }
    }
    Ok(figures.into())
}

/// Microseconds a request: the generator's, the server's. There is no warm-up: both are of the whole run.
fn one_run(effort: &Effort, side: &Side, workload: &str, connections: usize, seed: u64) -> io::Result<(f64, f64)> {
    let mut workload = Workload::named(workload).ok_or_else(|| io::Error::other("no such workload"))?;
    workload.keys = KeyChoice::Uniform;
    let plan = Plan {
        regions: vec![(REGION.into(), side.endpoint.clone())],
        table: TABLE.into(),
        workload,
        arrivals: Arrivals::Closed,
        sizes: Sizes::Constant(300),
        items: effort.keys,
        connections,
        threads: 1,
        warm_up: Duration::ZERO,
        duration: effort.warm_up + effort.closed,
        seed,
        timeout: TIMEOUT,
        verify: false,
        probe: false,
    };
    let used = || cpu_time(side.pid).ok_or_else(|| io::Error::other("the server is gone"));
    let before = used()?;
    let outcome: Outcome = run(&plan, &crossbeam_channel::never(), |_| ())?.outcome;
    let used = used()?.saturating_sub(before);
    if outcome.failed() > 0 || outcome.done() == 0 {
        return Err(io::Error::other(format!("{:?}", outcome.first_error)));
    }
    Ok((
        outcome.client.cpu_us_per_request,
        used.as_secs_f64() * 1e6 / outcome.done() as f64,
    ))
}

/// Scrapes an admin port until it is told to stop.
struct Scraper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Scraper {
    fn start(admin: SocketAddr) -> Scraper {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut scrapes = 0;
            while !told.load(Ordering::Relaxed) {
                let (status, _) = ask_admin(admin, "/metrics")?;
                if status != 200 {
                    return Err(io::Error::other(format!("/metrics: {status}")));
                }
                scrapes += 1;
                std::thread::park_timeout(SCRAPE_EVERY);
            }
            Ok(scrapes)
        });
        Scraper { stop, thread }
    }

    /// How often it scraped.
    fn stop(self) -> io::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread
            .join()
            .map_err(|_| io::Error::other("the scraper panicked"))?
    }
}

/// What was sent to a collector.
#[derive(Default)]
struct Taken {
    requests: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

/// A collector that takes OTLP over HTTP and answers that all is well.
struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
}

impl Collector {
    fn start() -> io::Result<Collector> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let taken = Arc::new(Taken::default());
        let of_thread = taken.clone();
        std::thread::spawn(move || {
            while !of_thread.stop.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(LOOK_EVERY);
                    continue;
                };
                let taken = of_thread.clone();
                // Ends when the region closes the connection.
                std::thread::spawn(move || {
                    let _ = stream.set_nonblocking(false);
                    while let Ok(Some(bytes)) = take(&stream) {
                        taken.requests.fetch_add(1, Ordering::Relaxed);
                        taken.bytes.fetch_add(bytes, Ordering::Relaxed);
                    }
                });
            }
        });
        Ok(Collector { address, taken })
    }

    /// Requests and bytes so far.
    fn taken(&self) -> (u64, u64) {
        (
            self.taken.requests.load(Ordering::Relaxed),
            self.taken.bytes.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.taken.stop.store(true, Ordering::Relaxed);
    }
}

/// Takes one request; gives its body's length, none at the end.
fn take(mut stream: &TcpStream) -> io::Result<Option<u64>> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(io::Error::other("a body over its limit"));
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")?;
    Ok(Some(length))
}
