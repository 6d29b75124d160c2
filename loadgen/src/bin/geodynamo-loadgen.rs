//! `geodynamo-loadgen`: load at a fixed rate, or as fast as the server answers, against any DynamoDB endpoint.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use geodynamo_loadgen::client::Endpoint;
use geodynamo_loadgen::load::{Plan, run};
use geodynamo_loadgen::probe::Probe;
use geodynamo_loadgen::signer::Credentials;
use geodynamo_loadgen::workload::{Operation, Workload};
use geodynamo_loadgen::{report, tables};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a DynamoDB endpoint: rates, and latencies from the moment each request was due.
#[derive(Parser)]
#[command(name = "geodynamo-loadgen", version)]
struct Arguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct ServerArguments {
    /// The server's address, HTTP without TLS: 127.0.0.1:8000
    #[arg(long)]
    endpoint: SocketAddr,
    /// The region of the signatures.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    #[arg(long, env = "AWS_ACCESS_KEY_ID", default_value = "local")]
    access_key_id: String,
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", default_value = "local", hide_env_values = true)]
    secret_access_key: String,
    /// The table; partition key `pk` (S).
    #[arg(long, default_value = "loadgen")]
    table: String,
    /// Items to each partition key, told apart by a sort key `sk` (S), as queries need them; without it, the table has no
    /// sort key.
    #[arg(long)]
    collection: Option<u64>,
}

#[derive(Subcommand)]
enum Command {
    /// Create the table and put every key of the key space.
    Fill {
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
        #[arg(long, default_value_t = 300)]
        item_bytes: usize,
        #[arg(long, default_value_t = 16)]
        connections: usize,
    },
    /// Send requests and report.
    Run {
        /// An operation and its weight, as put=1; may be given several times.
        #[arg(long = "mix", value_parser = parse_weight, default_values = ["put=1", "get=1"])]
        mix: Vec<(Operation, u32)>,
        /// Requests a second; without it, as many as are answered.
        #[arg(long)]
        rate: Option<f64>,
        #[arg(long, default_value_t = 32)]
        connections: usize,
        /// Threads of the client.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
        #[arg(long, default_value_t = 300)]
        item_bytes: usize,
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        #[arg(long, default_value_t = 1.0)]
        warm_up_seconds: f64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// One JSON object in place of the table.
        #[arg(long)]
        json: bool,
    },
    /// Write here, look there: when does a write become visible in another region?
    Probe {
        /// The other region's address.
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        to_region: String,
        /// The other region's key, if it is another one.
        #[arg(long)]
        to_access_key_id: Option<String>,
        #[arg(long)]
        to_secret_access_key: Option<String>,
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        #[arg(long, default_value_t = 10)]
        pause_ms: u64,
        /// Taken off the figures.
        #[arg(long, default_value_t = 0.0)]
        one_way_ms: f64,
        #[arg(long)]
        json: bool,
    },
}

fn main() -> io::Result<()> {
    let Arguments { server, command } = Arguments::parse();
    let credentials = Credentials {
        access_key_id: server.access_key_id,
        secret_access_key: server.secret_access_key,
        region: server.region,
    };
    let endpoint = Endpoint {
        address: server.endpoint,
        credentials,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Fill {
            keys,
            item_bytes,
            connections,
        } => runtime.block_on(async {
            let workload = Workload {
                table: server.table.clone(),
                mix: vec![],
                keys,
                collection: server.collection,
                item_bytes,
            };
            tables::create_for(&endpoint, &workload).await?;
            tables::fill(&endpoint, &workload, connections, move |done| {
                eprintln!("{done} of {keys}")
            })
            .await
        }),
        Command::Run {
            mix,
            rate,
            connections,
            threads,
            keys,
            item_bytes,
            seconds,
            warm_up_seconds,
            seed,
            json,
        } => {
            let outcome = run(&Plan {
                endpoint,
                workload: Workload {
                    table: server.table,
                    mix,
                    keys,
                    collection: server.collection,
                    item_bytes,
                },
                connections,
                threads,
                rate,
                warm_up: Duration::from_secs_f64(warm_up_seconds),
                duration: Duration::from_secs_f64(seconds),
                seed,
            })?;
            let name = rate.map_or("closed loop".to_owned(), |rate| {
                format!("open loop, {rate:.0} a second")
            });
            if json {
                println!("{}", report::to_json(&name, &outcome));
            } else {
                println!("{}\n{}", report::heading(), report::row(&name, &outcome));
                if let Some(error) = &outcome.first_error {
                    println!("first error: {error}");
                }
            }
            Ok(())
        }
        Command::Probe {
            to,
            to_region,
            to_access_key_id,
            to_secret_access_key,
            seconds,
            pause_ms,
            one_way_ms,
            json,
        } => {
            let mut credentials = endpoint.credentials.clone();
            credentials.region = to_region;
            credentials.access_key_id = to_access_key_id.unwrap_or(credentials.access_key_id);
            credentials.secret_access_key = to_secret_access_key.unwrap_or(credentials.secret_access_key);
            let probe = Probe {
                from: endpoint,
                to: Endpoint {
                    address: to,
                    credentials,
                },
                table: server.table,
                duration: Duration::from_secs_f64(seconds),
                pause: Duration::from_millis(pause_ms),
                name: format!("{}", std::process::id()),
            };
            let seen = runtime.block_on(probe.run())?;
            let figure = |quantile| seen.after_ack_ms(quantile) - one_way_ms;
            if json {
                println!(
                    "{}",
                    serde_json::json!({
                        "probes": seen.after_ack_ns.len(), "one_way_ms": one_way_ms,
                        "p50_ms": figure(0.5), "p99_ms": figure(0.99), "max_ms": figure(1.0),
                    })
                );
            } else {
                println!(
                    "{} probes; visible after the ack, less one way of {one_way_ms} ms: p50 {:.2} ms, p99 {:.2} ms, \
                     max {:.2} ms",
                    seen.after_ack_ns.len(),
                    figure(0.5),
                    figure(0.99),
                    figure(1.0)
                );
            }
            Ok(())
        }
    }
}

fn parse_weight(text: &str) -> Result<(Operation, u32), String> {
    let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
    let operation = <Operation as clap::ValueEnum>::from_str(name, true)?;
    Ok((operation, weight.parse().map_err(|error| format!("{weight}: {error}"))?))
}
