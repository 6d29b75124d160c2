//! The `geodynamo` command.

use std::process::ExitCode;

use clap::Parser;
use geodynamo::{cli::Cli, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run::run(Cli::parse())
}
