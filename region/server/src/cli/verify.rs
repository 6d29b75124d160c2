//! The arguments of `geodynamo verify` and `geodynamo region`.

use clap::{Args, Subcommand};
use geodynamo_command::OutputForm;
use geodynamo_topology::RegionName;

use super::Printed;

/// Arguments of `region`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RegionArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: RegionCommand,
}

/// What to do with a region.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum RegionCommand {
    /// Takes a region that is lost for good out of every table of the region that is asked.
    ///
    /// The others give each other what they have of its writes; what only it had is lost. If it comes back after all, it
    /// drops its replicas and may be added anew. A region that is connected is not forgotten
    #[command(after_help = "Examples:\n  geodynamo region forget eu-west-1")]
    Forget(ForgetRegion),
}

/// Arguments of `region forget`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ForgetRegion {
    /// The region that is lost
    pub region: RegionName,
    /// The admin port of a region that is not
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

/// Arguments of `verify`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct VerifyArguments {
    /// The table; all that other regions have too, and the service's own, if it is not told
    pub table: Option<String>,
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// Only shows what earlier verifications have shown
    #[arg(long)]
    pub report: bool,
    /// How long to wait for the end, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub timeout: u64,
    /// How to print it
    #[arg(long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}
