//! Man pages and shell completions, made of the command line's definition.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{cli::Cli, run::Done};

/// Writes them into a folder: `geodynamo.1` and a page for each subcommand, and completions for bash, zsh and fish.
pub(crate) fn write(folder: &Path) -> Done {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "geodynamo", folder)?;
    }
    Ok(())
}

/// Prints what a shell needs to complete the command's arguments.
pub(crate) fn completions(shell: Shell) -> Done {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "geodynamo", &mut text);
    Ok(io::stdout().write_all(&text)?)
}
