//! `geodynamo-wan`: the WAN emulator as a process of its own, for containers and network namespaces.

use std::{error::Error, fs, net::SocketAddr, path::PathBuf};

use clap::Parser;
use geodynamo_topology::Topology;
use geodynamo_wan::{WanConfig, WanEmulator};
use tokio::signal::unix::{SignalKind, signal};

/// Relays the links of a topology, each with the delay between its real regions
///
/// Every [[link]] of the file that has a 'via' is dialled there and ends at the other region's node. Links are read and
/// changed while it runs: `GET /links`, `PUT /links/FROM/TO` with any of delay_ms, jitter_ms, loss, duplicate, reorder,
/// bandwidth_mbps, cut.
#[derive(Debug, Parser)]
#[command(name = "geodynamo-wan", version, max_term_width = 100)]
struct Arguments {
    /// The topology file
    #[arg(long, value_name = "FILE")]
    topology: PathBuf,
    /// Where to answer over HTTP
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9090")]
    control: SocketAddr,
    /// With the same seed, links treat their packets alike
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let path = &arguments.topology;
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let topology = Topology::parse(&path.display().to_string(), &text)?;
    let config = WanConfig {
        control: arguments.control,
        seed: arguments.seed,
        ..WanConfig::of_topology(&topology)?
    };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let emulator = WanEmulator::start(config).await?;
    println!(
        "relaying {} links; control at http://{}",
        emulator.links().len(),
        emulator.control()
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
