//! How commands that do something print what they did.

use std::{
    error::Error,
    io::{self, Write as _},
};

use clap::Args;
use geodynamo_command::OutputForm;
use serde_json::Value;

/// How what was done is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Args)]
pub struct Printed {
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
}

impl Printed {
    /// Prints a text for people, or what it says for programs.
    pub(crate) fn say(self, text: &str, found: &Value) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut out = io::stdout();
        match self.output {
            OutputForm::Json => writeln!(out, "{found:#}")?,
            OutputForm::Table if text.is_empty() => {}
            OutputForm::Table => writeln!(out, "{}", text.trim_end())?,
        }
        Ok(())
    }
}
