//! `make soak`: millions of items under a memory limit, whose peer is cut off for half of them.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use geodynamo_loadgen::process::sibling;
use geodynamo_loadgen::soak::Soak;

#[derive(Parser)]
struct Arguments {
    /// Items of 300 B to load.
    #[arg(long, default_value_t = 5_000_000)]
    items: u64,
    /// Resident memory that no region may pass, in MiB.
    #[arg(long, default_value_t = 512)]
    limit_mb: u64,
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let folder = tempfile::Builder::new().prefix("geodynamo-soak-").tempdir()?;
    let soak = Soak {
        binary: sibling("geodynamo")?,
        folder: folder.path().to_owned(),
        items: arguments.items,
        connections: arguments.connections,
        catch_up_max: Duration::from_secs(3_600),
    };
    let figures = soak.run(|what| eprintln!("{what}"))?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    let within = figures.rss_max_mb() < arguments.limit_mb;
    println!(
        "memory: at most {} MiB, limit {} MiB: {}",
        figures.rss_max_mb(),
        arguments.limit_mb,
        if within { "kept" } else { "BROKEN" }
    );
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
