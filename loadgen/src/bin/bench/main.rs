//! `make bench`: geodynamo's speed as ratios to a bare skeleton's, in one run on one machine.
//!
//! - `one`: PutItem, GetItem, UpdateItem of 300 B items, closed loop, at 32 and 128 connections; the two servers by turns,
//!   the median of the runs. Then p99.9 of each operation at 70 % of geodynamo's peak, open loop; the skeleton's at the same
//!   rate beside it.
//! - `two`: two regions, linked directly over loopback (so one way takes no time): the highest rate of puts whose backlog
//!   stays flat, then, at half of it, when writes become visible in the peer.
//! - `query`: queries of 100 items, against a RocksDB iterator and JSON.
//! - `transaction`: TransactWriteItems of four puts, against the four records in one group commit.
//! - `policies`: GetItem and PutItem of a user under ten policies of ten statements, against root's; and how soon a changed
//!   policy takes effect.
//! - `growth`: GetItem, PutItem, UpdateItem and Query in tables of 100,000 to 10 million items, against one of 10,000.
//!   It takes about an hour and 20 GB of disk.
//! - `recovery`: imports against BatchWriteItem, puts with and without point-in-time recovery, bytes archived for each byte
//!   written, restores against a plain copy.
//! - `telemetry`: puts and gets of a region whose metrics are scraped and of whose requests 1 % are traced, against one that
//!   nobody watches; and processor time a request of `geodynamo-loadgen` and of the server.
//!
//! Client, both servers and the disk share the machine: the ratios mean something, the rates only here. Beside the rates
//! stands the processor time that the server used for each request: other work on the machine makes rates lower, but
//! hardly makes a request take more processor time. Signatures are checked by both servers. geodynamo runs as
//! `geodynamo serve` does, with its defaults.

use std::io;

use clap::Parser;
use geodynamo_loadgen::workload::Operation;
use serde_json::json;

mod comparison;
mod effort;
mod growth;
mod pair;
mod peaks;
mod policies;
mod query;
mod recovery;
mod regions;
mod tails;
mod telemetry;
mod transaction;
mod verdict;

use effort::Effort;
use pair::{Pair, Tuning};
use peaks::Peak;

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
    /// Only these parts of it, as query,transaction; all of them unless told.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Items of the tables of `growth`, as 100000,1000000.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    sizes: Vec<u64>,
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
    /// Queries.
    Query,
    /// Transactions.
    Transaction,
    /// What policies cost requests.
    Policies,
    /// Costs in tables of all sizes.
    Growth,
    /// Backups, imports and restores.
    Recovery,
    /// What metrics and traces cost, and the load generator.
    Telemetry,
}

/// The rates tried in two regions are parts of this where the peak was not measured.
const PUT_PEAK_UNKNOWN: f64 = 40_000.0;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let effort = Effort::new(&arguments);
    let folder = tempfile::Builder::new().prefix("geodynamo-bench-").tempdir()?;
    let folder = folder.path();
    let mut figures = json!({"quick": arguments.quick});
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);

    let mut put_peak = PUT_PEAK_UNKNOWN;
    if wanted(Part::One) {
        let pair = Pair::start(folder, "one", Tuning::Default)?;
        let workload = effort.workload(Operation::Put);
        println!("filling both with {} items", effort.keys);
        pair.create(&workload)?;
        pair.fill(&workload, 0)?;
        let peaks = peaks::measure(&effort, &pair)?;
        figures["peaks"] = peaks
            .iter()
            .map(|Peak { comparison, .. }| comparison.to_json())
            .collect();
        figures["tails"] = tails::measure(&effort, &pair)?;
        put_peak = peaks::best(&peaks, Operation::Put);
    }
    if wanted(Part::Query) {
        figures["query"] = query::measure(&effort, folder)?;
    }
    if wanted(Part::Transaction) {
        figures["transaction"] = transaction::measure(&effort, folder)?;
    }
    if wanted(Part::Two) {
        figures["regions"] = regions::measure(&effort, folder, put_peak)?;
    }
    if wanted(Part::Policies) {
        figures["policies"] = policies::measure(&effort, folder)?;
    }
    if wanted(Part::Growth) {
        figures["growth"] = growth::measure(&effort, folder)?;
    }
    if wanted(Part::Recovery) {
        figures["recovery"] = recovery::measure(&effort, folder)?;
    }
    if wanted(Part::Telemetry) {
        figures["telemetry"] = telemetry::measure(&effort, folder)?;
    }
    if let Some(path) = arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}
