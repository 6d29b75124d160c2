//! The `geodynamo` command.

use std::process::ExitCode;

use clap::Parser;
use geodynamo::{
    cli::{Cli, Command},
    demo, run,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(arguments) => run::serve(&arguments),
        Command::Dev(arguments) => run::dev(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Certs(arguments) => run::certs(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("geodynamo: {error}");
            ExitCode::FAILURE
        }
    }
}
