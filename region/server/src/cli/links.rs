//! The arguments of `geodynamo link`.

use clap::{Args, Subcommand};
use geodynamo_command::OutputForm;

/// Arguments of `link`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct LinkArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: LinkCommand,
    /// The region's admin port
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How to print the links, as they are then
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: OutputForm,
}

/// What to do with a link.
///
/// Changes are signed with the key of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or of a profile (AWS_PROFILE), and end by
/// themselves.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum LinkCommand {
    /// Lists the links: whether they are up, and what is wrong with them on purpose
    #[command(after_help = "Examples:\n  geodynamo link list\n  geodynamo link list --admin db-eu:8001")]
    List,
    /// Sends nothing to a peer; the connection stays up
    #[command(after_help = "Examples:\n  geodynamo link pause eu-west-1\n  geodynamo link pause eu-west-1 --for 300")]
    Pause(FaultOn),
    /// Lets no packet through, in either direction
    #[command(after_help = "Examples:\n  geodynamo link cut eu-west-1 --for 30")]
    Cut(FaultOn),
    /// Loses packets, in either direction
    #[command(after_help = "Examples:\n  geodynamo link lose eu-west-1 --percent 5")]
    Lose {
        /// How many, in percent
        #[arg(long)]
        percent: f64,
        /// Where and for how long.
        #[command(flatten)]
        on: FaultOn,
    },
    /// Keeps packets to the peer back
    #[command(after_help = "Examples:\n  geodynamo link delay eu-west-1 --ms 200 --for 120")]
    Delay {
        /// For how many milliseconds
        #[arg(long)]
        ms: u64,
        /// Where and for how long.
        #[command(flatten)]
        on: FaultOn,
    },
    /// Ends what is wrong with a link
    #[command(after_help = "Examples:\n  geodynamo link resume eu-west-1")]
    Resume {
        /// The region at its other end
        peer: String,
    },
}

/// Where a fault is put, and for how long.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct FaultOn {
    /// The region at the link's other end
    pub peer: String,
    /// How long it lasts, in seconds; an hour at most
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60)]
    pub seconds: u64,
}
