//! The `geodynamo` command.

use std::process::ExitCode;

use clap::Parser;
use geodynamo::{cli::Cli, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The first write to a huge page clears 2 MiB, which takes some milliseconds where a hypervisor has to find them first: a
    // commit that begins a part of a memtable waits for that. Where it cannot be told so, it is only slower now and then.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    run::run(Cli::parse())
}
