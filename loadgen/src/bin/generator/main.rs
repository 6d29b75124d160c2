//! `geodynamo-loadgen`: puts load on any DynamoDB endpoint, several regions at once, and measures what it does.

use std::{
    io::{self, IsTerminal},
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::{Args, Parser, Subcommand};
use crossbeam_channel::Receiver;
use geodynamo_loadgen::{
    client::Endpoint,
    generate::{
        arrivals::Arrivals,
        compare,
        keys::{KeyChoice, KeyChooser},
        outcome::{Outcome, Second},
        requests::{Requests, Source},
        run::{Plan, Ran, TIMEOUT, run},
        sizes::Sizes,
        slo::Objective,
        verify::Verified,
        workload::Workload,
    },
    probe::{LOOK_PAUSE, Probe, Visibility},
    signer::Credentials,
    tables,
    tls::{self, SYSTEM_AUTHORITIES, Tls},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

mod interrupt;
mod search;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why there is nothing to probe.
const TWO_REGIONS: &str = "a probe needs two regions or more: --endpoint A=HOST:PORT --endpoint B=HOST:PORT";
/// BatchWriteItem's own limit.
const BATCH: u64 = 25;

/// Puts load on a DynamoDB endpoint and measures it
///
/// An open loop (--arrivals constant:500) sends requests when they are due, whether the server keeps up or not, and counts
/// response times from then on. A closed loop (the default) asks again as soon as it is answered.
#[derive(Debug, Parser)]
#[command(name = "geodynamo-loadgen", version, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Target {
    /// A region as NAME=URL, or a URL alone (its name is then --region): http://HOST:PORT, https://HOST:PORT, or HOST:PORT,
    /// which is HTTP. Give several for several regions
    #[arg(long = "endpoint", global = true, default_value = "127.0.0.1:8000")]
    endpoints: Vec<String>,
    /// The certificates of authorities that are trusted for HTTPS, in PEM
    #[arg(long, global = true, value_name = "FILE", default_value = SYSTEM_AUTHORITIES)]
    ca: PathBuf,
    /// The region of the signatures where an endpoint does not name it
    #[arg(long, global = true, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    #[arg(long, global = true, env = "AWS_ACCESS_KEY_ID", default_value = "local")]
    access_key_id: String,
    #[arg(
        long,
        global = true,
        env = "AWS_SECRET_ACCESS_KEY",
        default_value = "local",
        hide_env_values = true
    )]
    secret_access_key: String,
    /// The table. Partition key `pk` (S), and a sort key `sk` (S) for workloads with queries
    #[arg(long, global = true, default_value = "loadgen")]
    table: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes the table (and its replicas in the further regions) and fills it
    Load(Fill),
    /// Runs a workload and reports
    Run(Run),
    /// Writes in each region and looks when it is visible in each other
    Probe(ProbeArguments),
    /// Finds the highest rate whose p99 stays under a target
    FindMax(search::FindMax),
    /// Makes the HTML page and the other forms of a result again
    Report {
        /// A result's JSON
        result: PathBuf,
        /// Where to put them
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// Says which differences of two results are beyond noise
    Compare {
        /// A result's JSON
        first: PathBuf,
        /// Another's
        second: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
struct Items {
    /// Items of the table
    #[arg(long, default_value_t = 10_000)]
    items: u64,
    /// An item's size in bytes: 300, 100..1000 or lognormal:MEDIAN,SIGMA
    #[arg(long, default_value = "300", value_parser = Sizes::from_str)]
    size: Sizes,
    /// ycsb-a to ycsb-f, puts, gets, updates, queries, batches, transactions, conflicts, or a mix such as get=95,put=5
    #[arg(long, default_value = "ycsb-a", value_parser = Workload::from_str)]
    workload: Workload,
    /// Connections, all regions together
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Fill {
    #[command(flatten)]
    items: Items,
}

/// What is asked, how and for how long.
#[derive(Clone, Debug, Args)]
struct Load {
    #[command(flatten)]
    items: Items,
    /// Which items: uniform, zipfian, latest or hotspot; the workload's own unless told
    #[arg(long, value_parser = KeyChoice::from_str)]
    keys: Option<KeyChoice>,
    /// The generator's threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Left out of the results
    #[arg(long, default_value_t = 2.0)]
    warm_up_seconds: f64,
    /// A request that is not answered within this time has failed
    #[arg(long, default_value_t = TIMEOUT.as_secs_f64())]
    timeout_seconds: f64,
}

#[derive(Clone, Debug, Args)]
struct Run {
    #[command(flatten)]
    load: Load,
    /// closed, constant:RATE, poisson:RATE, ramp:FROM..TO or steps:RATE,RATE,… (requests a second, all regions together)
    #[arg(long, default_value = "closed", value_parser = Arrivals::from_str)]
    arrivals: Arrivals,
    /// Read back what was written, in every region. Nothing else may write the table meanwhile
    #[arg(long)]
    verify: bool,
    /// Look meanwhile when writes of each region are visible in each other
    #[arg(long)]
    probe: bool,
    /// What must be kept, or the exit code is 2: put.p99<8ms, *.p99.9<20ms, errors<0.1%, rate>1000, or lag.p99<500ms, which is
    /// looked for as by --probe, and of each pair
    #[arg(long = "slo", value_parser = Objective::from_str)]
    objectives: Vec<Objective>,
    /// A folder for NAME.json, .hlog, .hgrm, .service.hgrm and .html
    #[arg(long)]
    out: Option<PathBuf>,
    /// The files' name
    #[arg(long, default_value = "run")]
    name: String,
    /// One JSON object in place of the table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ProbeArguments {
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 10)]
    pause_ms: u64,
    /// The table has a sort key, as for workloads with queries
    #[arg(long)]
    collections: bool,
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match act(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("geodynamo-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(Arguments { target, command }: Arguments) -> io::Result<ExitCode> {
    match command {
        Command::Load(arguments) => load(&target, &arguments.items)?,
        Command::Run(arguments) => return one_run(&target, &arguments),
        Command::Probe(arguments) => return probe(&target, &arguments),
        Command::FindMax(arguments) => return search::find_max(&target, &arguments),
        Command::Report { result, out } => {
            let name = result.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Outcome::read(&result)?.write(&out, &name)?;
        }
        Command::Compare { first, second } => {
            let (first, second) = (Outcome::read(&first)?, Outcome::read(&second)?);
            println!("{}", compare::table(&compare::compare(&first, &second)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Target {
    /// The regions with their names.
    fn regions(&self) -> io::Result<Vec<(String, Endpoint)>> {
        self.endpoints
            .iter()
            .map(|text| {
                let (name, address) = text.split_once('=').unwrap_or((&self.region, text));
                let (address, tls) = resolve(address, &self.ca)?;
                let credentials = Credentials {
                    access_key_id: self.access_key_id.clone(),
                    secret_access_key: self.secret_access_key.clone(),
                    region: name.to_owned(),
                };
                let endpoint = Endpoint {
                    address,
                    credentials,
                    tls,
                };
                Ok((name.to_owned(), endpoint))
            })
            .collect()
    }
}

/// An endpoint's address, and how HTTPS is spoken with it.
fn resolve(endpoint: &str, ca: &Path) -> io::Result<(SocketAddr, Option<Tls>)> {
    let wrong = |error: &dyn std::fmt::Display| {
        io::Error::other(format!(
            "endpoint '{endpoint}': {error}; HOST:PORT or https://HOST[:PORT] is wanted"
        ))
    };
    let secure = endpoint.strip_prefix("https://");
    let plain = secure.unwrap_or(endpoint.strip_prefix("http://").unwrap_or(endpoint));
    let plain = plain.trim_end_matches('/');
    let (host, port) = match (plain.rsplit_once(':'), secure) {
        (Some((host, port)), _) if !port.ends_with(']') => (host, port.parse().map_err(|error| wrong(&error))?),
        (_, Some(_)) => (plain, tls::PORT),
        (_, None) => return Err(wrong(&"no port")),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = (host, port).to_socket_addrs().map_err(|error| wrong(&error))?;
    let address = found.next().ok_or_else(|| wrong(&"no address"))?;
    let tls = secure.map(|_| Tls::new(host, ca)).transpose()?;
    Ok((address, tls))
}

fn load(target: &Target, items: &Items) -> io::Result<()> {
    let regions = target.regions()?;
    let home = &regions[0].1;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tables::create_keyed(home, &target.table, items.workload.collections).await?;
        for (region, _) in &regions[1..] {
            tables::add_replica(home, &target.table, region).await?;
        }
        let bar = progress(items.items);
        // Loading chooses nothing.
        let chooser = KeyChooser::new(items.workload.keys, 1);
        let total = items.items;
        let bodies = (0..total)
            .step_by(BATCH as usize)
            .map(move |from| from..total.min(from + BATCH));
        let mut requests = Requests::new(
            &items.workload,
            &target.table,
            items.size,
            chooser,
            items.items,
            Source::load(items.items),
            items.seed,
        );
        let bodies = bodies.map(move |range| (range.end - range.start, requests.load(range)));
        tables::put_batches(home, items.connections, bodies, |done| bar.inc(done)).await?;
        bar.finish();
        Ok(())
    })
}

fn plan(target: &Target, load: &Load, arrivals: Arrivals) -> io::Result<Plan> {
    let mut workload = load.items.workload.clone();
    workload.keys = load.keys.unwrap_or(workload.keys);
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(io::Error::other);
    Ok(Plan {
        regions: target.regions()?,
        table: target.table.clone(),
        workload,
        arrivals,
        sizes: load.items.size,
        items: load.items.items,
        connections: load.items.connections.max(1),
        threads: load.threads,
        warm_up: seconds(load.warm_up_seconds)?,
        duration: seconds(load.seconds)?,
        seed: load.items.seed,
        timeout: seconds(load.timeout_seconds)?,
        verify: false,
        probe: false,
    })
}

fn one_run(target: &Target, arguments: &Run) -> io::Result<ExitCode> {
    let plan = Plan {
        verify: arguments.verify,
        probe: arguments.probe || arguments.objectives.iter().any(Objective::needs_probes),
        ..plan(target, &arguments.load, arguments.arrivals.clone())?
    };
    if plan.probe && plan.regions.len() < 2 {
        return Err(io::Error::other(TWO_REGIONS));
    }
    let interrupts = interrupt::listen()?;
    let Ran { mut outcome, written } = watched(&plan, &interrupts, arguments.json)?;
    let keep = |outcome: &Outcome| match &arguments.out {
        Some(folder) => outcome.write(folder, &arguments.name),
        None => Ok(()),
    };
    // Before reading back, too: that may take a while, and may be broken off.
    keep(&outcome)?;
    if plan.verify {
        outcome.verified = Some(written.read_back(&plan)?);
        keep(&outcome)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&outcome).map_err(io::Error::other)?);
    } else {
        print(&outcome);
    }
    Ok(ExitCode::from(judge(&outcome, &arguments.objectives)))
}

/// Says what went wrong; gives the exit code.
fn judge(outcome: &Outcome, objectives: &[Objective]) -> u8 {
    for complaint in outcome.complaints() {
        eprintln!("{complaint}");
    }
    let missed: Vec<_> = objectives
        .iter()
        .filter_map(|objective| objective.missed(outcome))
        .collect();
    for missed in &missed {
        eprintln!("objective missed: {missed}");
    }
    let is_read_back = |verified: &Verified| verified.faults == 0 && verified.broken_off.is_none();
    let error = outcome.first_error.as_deref().unwrap_or("no request was sent");
    if !outcome.verified.as_ref().is_none_or(is_read_back) {
        3
    } else if outcome.broken_off {
        interrupt::CODE
    } else if !missed.is_empty() {
        2
    } else if outcome.done() == 0 {
        eprintln!("not one request was done; first error: {error}");
        1
    } else {
        0
    }
}

/// Runs with a live view: a bar on a terminal, a line every ten seconds elsewhere.
fn watched(plan: &Plan, interrupts: &Receiver<()>, quiet: bool) -> io::Result<Ran> {
    let bar = progress(plan.duration.as_secs());
    let terminal = io::stderr().is_terminal();
    let ran = run(plan, interrupts, |second: &Second| {
        let text = format!(
            "{} per s, p50 {:.2} ms, p99 {:.2}, p99.9 {:.2}, {} errors",
            second.done, second.p50_ms, second.p99_ms, second.p999_ms, second.failed
        );
        bar.inc(1);
        if !terminal && !quiet && (second.at_s as u64).is_multiple_of(10) {
            eprintln!("{:>5.0} s  {text}", second.at_s);
        }
        bar.set_message(text);
    });
    bar.finish_and_clear();
    ran
}

fn print(outcome: &Outcome) {
    println!("{}", outcome.table());
    let client = &outcome.client;
    println!(
        "generator: {:.1} µs of processor a request, {:.0} % of its {} threads; {} requests sent over 1 ms late, {} by its own fault",
        client.cpu_us_per_request,
        client.cpu_share * 100.0,
        client.threads,
        client.late,
        client.own_fault
    );
    if let Some(limit) = &client.limit {
        println!("the load generator, not the server, limited this run: {limit}");
    }
    if let Some(error) = &outcome.first_error {
        println!("first error: {error}");
    }
    if let Some(verified) = &outcome.verified {
        println!("read back: {} items, {} faults", verified.items, verified.faults);
    }
}

/// Probes one pair after the other. A pair that cannot be probed to the end keeps what was seen until then, and makes the exit code 1.
fn probe(target: &Target, arguments: &ProbeArguments) -> io::Result<ExitCode> {
    let regions = target.regions()?;
    if regions.len() < 2 {
        return Err(io::Error::other(TWO_REGIONS));
    }
    let duration = Duration::try_from_secs_f64(arguments.seconds).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut pairs, mut code) = (Vec::new(), ExitCode::SUCCESS);
    for (from, written) in &regions {
        for (to, read) in regions.iter().filter(|(to, _)| to != from) {
            let probe = Probe {
                from: written.clone(),
                to: read.clone(),
                table: target.table.clone(),
                collections: arguments.collections,
                duration,
                pause: Duration::from_millis(arguments.pause_ms),
                look_pause: LOOK_PAUSE,
                name: format!("{}-{from}-{to}", std::process::id()),
            };
            let mut seen = Visibility::new(Instant::now());
            let ended = runtime.block_on(probe.run_into(&mut seen));
            seen.end_waiting(Instant::now());
            let error = ended.err().map(|error| error.to_string());
            let (p50, p99, max) = (seen.after_ack_ms(0.5), seen.after_ack_ms(0.99), seen.after_ack_ms(1.0));
            if !arguments.json {
                println!(
                    "{from} to {to}: visible after p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms ({} probes)",
                    seen.after_ack_ns.len()
                );
            }
            if let Some(error) = &error {
                eprintln!("{from} to {to}: {error}");
                code = ExitCode::FAILURE;
            }
            pairs.push(serde_json::json!({
                "from": from, "to": to, "probes": seen.after_ack_ns.len(), "p50_ms": p50, "p99_ms": p99, "max_ms": max,
                "error": error,
            }));
        }
    }
    if arguments.json {
        println!("{}", serde_json::Value::from(pairs));
    }
    Ok(code)
}

fn progress(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}
