//! Man pages and shell completions, made of the command line's definition.

use std::{fs, path::Path};

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
