//! The command line.

mod accounts;
mod links;
mod printed;
mod schema;
mod sinks;
mod verify;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use geodynamo_command::{
    BackupArguments, ExportArguments, ImportArguments, InsightsArguments, OutputForm, RestoreCommand, StatusArguments,
    TablesArguments, TopArguments,
};
use geodynamo_topology::RegionName;

pub use self::{
    accounts::{AccountArguments, AccountCommand, CreateAccount, ListAccounts, OfAccount},
    links::{FaultOn, LinkArguments, LinkCommand},
    printed::Printed,
    schema::{CassandraSchema, SchemaArguments, SchemaCommand},
    sinks::{AddSink, ListSinks, RemoveSink, SinkArguments, SinkCommand},
    verify::{ForgetRegion, RegionArguments, RegionCommand, VerifyArguments},
};

/// A self-hosted, multi-region DynamoDB.
#[derive(Clone, PartialEq, Debug, Parser)]
#[command(
    name = "geodynamo",
    version = crate::build::version(),
    about,
    max_term_width = 100,
    after_help = "Examples:\n  geodynamo demo\n  geodynamo dev --data ./data\n  geodynamo serve --config region.toml\n  geodynamo status\n  geodynamo doctor --config region.toml\n\nEach command's --help has examples of its own."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum Command {
    /// Runs one region's process, as a configuration file says
    #[command(
        after_help = "Examples:\n  geodynamo serve --config /etc/geodynamo/region.toml\n  geodynamo serve --config region.toml --auth warn"
    )]
    Serve(Serve),
    /// Runs a single region for development, without a configuration file
    #[command(
        after_help = "Examples:\n  geodynamo dev\n  geodynamo dev --port 8000 --admin-port 8001 --data ./data\n  geodynamo dev --auth enforce --throttle --region eu-west-1"
    )]
    Dev(Dev),
    /// Runs three regions on this machine, linked by an emulated wide-area network, and shows what they do
    #[command(
        after_help = "Examples:\n  geodynamo demo\n  geodynamo demo --json --data ./demo\n  geodynamo demo --engine cassandra"
    )]
    Demo(Demo),
    /// Shows regions and links at a glance, and what needs somebody; fails if something does
    #[command(
        after_help = "Examples:\n  geodynamo status\n  geodynamo status --admin db-eu:8001\n  geodynamo status --output json"
    )]
    Status(StatusArguments),
    /// Lists a region's tables: state, items, size, replicas, recovery
    #[command(
        after_help = "Examples:\n  geodynamo tables\n  geodynamo tables orders customers --output json\n  geodynamo tables --endpoint https://db-eu:8000 --region eu-west-1 --profile lab"
    )]
    Tables(TablesArguments),
    /// Shows the keys of a table that are accessed, and throttled, most
    ///
    /// Contributor insights are switched on by `aws dynamodb update-contributor-insights`
    #[command(
        after_help = "Examples:\n  geodynamo insights\n  geodynamo insights orders\n  geodynamo insights orders --index by-customer --minutes 60 --output json"
    )]
    Insights(InsightsArguments),
    /// Shows rates, latencies and links, live
    #[command(
        after_help = "Examples:\n  geodynamo top\n  geodynamo top --admin db-eu:8001 --every 5\n  geodynamo top --plain --count 3\n  geodynamo top --count 1 --output json"
    )]
    Top(TopArguments),
    /// Examines a machine and a configuration: disk, limits, ports, certificates, topology, peers and their clocks; says what to
    /// change and why, and fails if something is wrong
    #[command(
        after_help = "Examples:\n  geodynamo doctor --config /etc/geodynamo/region.toml\n  geodynamo doctor --data /var/lib/geodynamo --output json\n  geodynamo doctor --config region.toml --strict"
    )]
    Doctor(Doctor),
    /// Makes, lists, shows and deletes backups of tables
    #[command(
        after_help = "Examples:\n  geodynamo backup create orders --name before-the-sale --wait\n  geodynamo backup list --table orders"
    )]
    Backup(BackupArguments),
    /// Brings tables back: while a region runs, one from a backup or as it was at a moment; while it does not, all from an archive
    #[command(
        after_help = "Examples:\n  geodynamo restore table orders --to orders-before --at 2026-11-30T06:12:00Z --wait\n  geodynamo restore backup arn:aws:dynamodb:eu-west-1:000000000000:table/orders/backup/01700000000000-abcdef01 --to orders-again\n  geodynamo restore --from s3://backups/eu --config region.toml\n  geodynamo restore --from ./archive --config region.toml --table orders --at 1764483120"
    )]
    Restore(Restore),
    /// Exports tables to S3
    #[command(
        after_help = "Examples:\n  geodynamo export start orders --to s3://exports/orders --wait\n  geodynamo export list"
    )]
    Export(ExportArguments),
    /// Makes tables of files in S3
    #[command(
        after_help = "Examples:\n  geodynamo import start orders --from s3://lake/orders.csv --format csv --key id:S --wait\n  geodynamo import list"
    )]
    Import(ImportArguments),
    /// Makes the certificates that nodes show to each other
    #[command(after_help = "Examples:\n  geodynamo certs --topology topology.toml --out certs")]
    Certs(Certs),
    /// Looks after an archive of backups
    #[command(after_help = "Examples:\n  geodynamo archive verify --config region.toml")]
    Archive(ArchiveArguments),
    /// Shows writes that lost to concurrent ones of other regions, and puts one back
    #[command(
        after_help = "Examples:\n  geodynamo conflicts list orders\n  geodynamo conflicts show orders ID\n  geodynamo conflicts restore orders ID"
    )]
    Conflicts(ConflictsArguments),
    /// Looks after the accounts of a cluster: each has tables and principals of its own
    #[command(after_help = "Examples:\n  geodynamo account list\n  geodynamo account create shop")]
    Account(AccountArguments),
    /// Looks after a region's sinks: copies of its tables that other systems query
    #[command(after_help = "Examples:\n  geodynamo sink list")]
    Sink(SinkArguments),
    /// Puts faults on a region's links, for game days, and ends them
    #[command(
        after_help = "Examples:\n  geodynamo link cut eu-west-1 --for 60\n  geodynamo link list\n  geodynamo link resume eu-west-1"
    )]
    Link(LinkArguments),
    /// Compares tables with other regions' now, heals what differs here, and shows what is known to be equal up to when
    #[command(
        after_help = "Examples:\n  geodynamo verify\n  geodynamo verify orders --output json\n  geodynamo verify orders --report"
    )]
    Verify(VerifyArguments),
    /// Looks after which regions have tables
    #[command(after_help = "Examples:\n  geodynamo region forget eu-west-1")]
    Region(RegionArguments),
    /// Tells what a store has to have before a region runs on it
    #[command(after_help = "Examples:\n  geodynamo schema cassandra --config region.toml")]
    Schema(SchemaArguments),
    /// Looks after the keys that a region's files are encrypted under
    #[command(
        after_help = "Examples:\n  geodynamo keys status --config region.toml\n  geodynamo keys rotate --config region.toml"
    )]
    Keys(KeysArguments),
    /// Asks a region whether it is ready; for health checks of containers
    #[command(after_help = "Examples:\n  geodynamo health\n  geodynamo health --admin 127.0.0.1:8001 --path /healthz")]
    Health(Health),
    /// Prints what a shell needs to complete this command's arguments
    #[command(
        after_help = "Examples:\n  geodynamo completions bash > ~/.local/share/bash-completion/completions/geodynamo\n  geodynamo completions zsh > ~/.zfunc/_geodynamo\n  geodynamo completions fish > ~/.config/fish/completions/geodynamo.fish"
    )]
    Completions(Completions),
    /// Prints the table of metrics, as the documentation has it
    #[command(hide = true)]
    Metrics,
    /// Writes man pages and shell completions, as packages have them
    #[command(hide = true)]
    Manuals(Manuals),
}

/// Arguments of `manuals`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Manuals {
    /// Where to put the files
    pub out: PathBuf,
}

/// Arguments of `completions`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `doctor`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Doctor {
    /// The region's configuration file. Without it, the machine alone is examined
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory, where no configuration names it
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "config")]
    pub data: PathBuf,
    /// Fail for warnings, too
    #[arg(long)]
    pub strict: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
}

/// Arguments of `restore`.
#[derive(Clone, PartialEq, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Restore {
    /// What to restore, while the region runs.
    #[command(subcommand)]
    pub command: Option<RestoreCommand>,
    /// Of the archive.
    #[command(flatten)]
    pub archive: RestoreArchive,
}

/// Arguments of `restore` from an archive.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RestoreArchive {
    /// The archive: s3://BUCKET/PREFIX, or a folder. Keys and servers of S3 come from AWS's environment variables
    #[arg(long, value_name = "ARCHIVE", required = true)]
    pub from: Option<String>,
    /// The configuration file of the region that gets the tables
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Option<PathBuf>,
    /// The region whose tables they were; the configuration's if it is not told
    #[arg(long, value_name = "REGION")]
    pub region: Option<RegionName>,
    /// The moment, in seconds since the Unix epoch; the last one that each table has if it is not told
    #[arg(long, value_name = "SECONDS")]
    pub at: Option<u64>,
    /// Only this table; may be told several times
    #[arg(long = "table", value_name = "NAME")]
    pub tables: Vec<String>,
    /// How to print what was restored
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
}

/// Arguments of `archive`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ArchiveArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ArchiveCommand,
}

/// What to do with an archive.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum ArchiveCommand {
    /// Reads every object and tells of those that are damaged
    #[command(
        after_help = "Examples:\n  geodynamo archive verify --config region.toml\n  geodynamo archive verify --from s3://backups/eu --output json"
    )]
    Verify(VerifyArchive),
}

/// Arguments of `archive verify`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct VerifyArchive {
    /// The archive: s3://BUCKET/PREFIX, or a folder
    #[arg(
        long,
        value_name = "ARCHIVE",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    pub from: Option<String>,
    /// The configuration file that names it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
}

/// Arguments of `conflicts`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ConflictsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ConflictsCommand,
}

/// What to do with conflicts.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum ConflictsCommand {
    /// Lists a table's conflicts: what lost, when and where it was written, and the item's key
    #[command(
        after_help = "Examples:\n  geodynamo conflicts list orders\n  geodynamo conflicts list orders --limit 10 --output json"
    )]
    List(ListConflicts),
    /// Shows one conflict: the version that lost beside the item as it is now
    #[command(after_help = "Examples:\n  geodynamo conflicts show orders ID")]
    Show(ShowOneConflict),
    /// Writes the version that lost anew, as a put or delete of its item; all regions get it.
    ///
    /// The request is signed with the key of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or of a profile.
    #[command(
        after_help = "Examples:\n  geodynamo conflicts restore orders ID --endpoint 127.0.0.1:8000 --region eu-west-1"
    )]
    Restore(RestoreConflict),
}

/// Arguments of `conflicts list`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ListConflicts {
    /// The table
    pub table: String,
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// The most conflicts
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    /// How to print them
    #[arg(long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}

/// Arguments of `conflicts show`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ShowOneConflict {
    /// Which one.
    #[command(flatten)]
    pub conflict: ShowConflict,
    /// How to print it
    #[arg(long, value_enum, default_value_t = OutputForm::Json)]
    pub output: OutputForm,
}

/// A conflict of a table.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ShowConflict {
    /// The table
    pub table: String,
    /// The conflict, as `conflicts list` names it
    pub id: String,
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
}

/// Arguments of `conflicts restore`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RestoreConflict {
    /// Which one.
    #[command(flatten)]
    pub conflict: ShowConflict,
    /// The region's data port: HOST:PORT, or https://HOST:PORT where it speaks TLS
    #[arg(long, alias = "data", value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    pub endpoint: String,
    /// The region that the request is signed for
    #[arg(long, default_value = "us-east-1")]
    pub region: RegionName,
    /// The profile of ~/.aws that has the key. If it is not told: the key in AWS's environment variables, then AWS_PROFILE, then
    /// `default`
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// A file of authorities (PEM) that the data port's certificate is checked by
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

/// Arguments of `keys`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct KeysArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What to do with keys.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum KeysCommand {
    /// Makes a file with a new region key
    #[command(after_help = "Examples:\n  geodynamo keys new /etc/geodynamo/region.key")]
    New(NewKey),
    /// Tells which keys there are, and how many files each has
    #[command(
        after_help = "Examples:\n  geodynamo keys status --config region.toml\n  geodynamo keys status --config region.toml --output json"
    )]
    Status(KeysOf),
    /// Wraps the data keys under a new region key, at once: a new one where they are in a file, else the first one that the
    /// variable or the command gives. The region may go on meanwhile
    #[command(
        after_help = "Examples:\n  geodynamo keys rotate --config region.toml\n  geodynamo keys rotate --config region.toml --data-key"
    )]
    Rotate(RotateKeys),
    /// Encrypts a data directory that is not, while its region does not run. Broken off, it is run again
    #[command(after_help = "Examples:\n  geodynamo keys encrypt --config region.toml")]
    Encrypt(KeysOf),
}

/// Arguments of `keys new`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct NewKey {
    /// Where to put it. Its owner alone may read it
    pub file: PathBuf,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

/// Arguments of `keys status` and `keys encrypt`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct KeysOf {
    /// The region's configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

/// Arguments of `keys rotate`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RotateKeys {
    /// The region's configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Make a new data key as well, which files get that are made after the region's next start
    #[arg(long)]
    pub data_key: bool,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

/// Arguments of `health`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Health {
    /// The region's admin port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8001")]
    pub admin: SocketAddr,
    /// What to ask for
    #[arg(long, default_value = "/readyz")]
    pub path: String,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

/// Arguments of `serve`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Serve {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Whether signatures and policies are checked
    #[arg(long, value_enum, default_value_t = Auth::Enforce)]
    pub auth: Auth,
    /// The folder that has buckets of S3 as its folders, for exports and imports; `s3` in the data directory if it is not told.
    /// Where the configuration names a server of S3, buckets are there
    #[arg(long, value_name = "DIR")]
    pub s3_dir: Option<PathBuf>,
    /// End, as with SIGTERM, when the standard input ends: for whoever starts regions as its children
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// Arguments of `dev`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Dev {
    /// The port for clients; 0 lets the system choose
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// The port for operators (health, metrics); 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    pub admin_port: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub host: IpAddr,
    /// Where to keep the tables; without it they are gone when the process ends
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The folder that has buckets of S3 as its folders, for exports and imports; `s3` beside the tables if it is not told
    #[arg(long, value_name = "DIR")]
    pub s3_dir: Option<PathBuf>,
    /// The region's name
    #[arg(long, default_value = "us-east-1")]
    pub region: RegionName,
    /// Whether signatures and policies are checked. The root user has the key `local` with the secret `local`, or the one in
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, value_enum, default_value_t = Auth::Any)]
    pub auth: Auth,
    /// Throttle requests as DynamoDB does: by provisioned throughput, on-demand maximums, and the ceilings on hot keys
    #[arg(long)]
    pub throttle: bool,
    /// Let tables and indexes pass through DynamoDB's states while they are made, changed and removed; without it, they are
    /// there, or gone, when the request is answered
    #[arg(long)]
    pub delay_transient_statuses: bool,
    /// Encrypt what is kept, as `serve` does: the key is beside DIR, in DIR.key
    #[arg(long)]
    pub encrypt: bool,
    /// A function that event source mappings can name: NAME=URL, which gets each event as a POST request; may be told several
    /// times
    #[arg(long = "function", value_name = "NAME=URL")]
    pub functions: Vec<String>,
}

/// Whether signatures and policies are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Auth {
    /// Takes any credentials and any region, or none; whoever calls may do everything
    Any,
    /// Takes everything, and logs what would be refused
    Warn,
    /// Takes requests that are signed for this region with a key that it knows, and that policies allow
    Enforce,
}

impl From<Auth> for geodynamo_access::Mode {
    fn from(auth: Auth) -> Self {
        match auth {
            Auth::Any => Self::Any,
            Auth::Warn => Self::Warn,
            Auth::Enforce => Self::Enforce,
        }
    }
}

impl Auth {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}

/// Arguments of `demo`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Demo {
    /// Whether signatures and policies are checked
    #[arg(long, value_enum, default_value_t = Auth::Enforce)]
    pub auth: Auth,
    /// Show nothing; print where everything is as one JSON object on the first line, and stay up
    #[arg(long)]
    pub json: bool,
    /// What keeps the first region: RocksDB, as the other two, or Apache Cassandra, which is started on this machine (it takes 1 GB
    /// of memory, Java, and 70 MB that are downloaded once) and serves two nodes
    #[arg(long, value_enum, default_value_t = DemoEngine::Rocksdb)]
    pub engine: DemoEngine,
    /// Where to keep the regions' data; without it, a temporary folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The folder that has buckets of S3 as its folders, for all regions; `s3` beside the regions' data if it is not told
    #[arg(long, value_name = "DIR")]
    pub s3_dir: Option<PathBuf>,
}

/// What keeps the demo's first region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum DemoEngine {
    /// RocksDB.
    Rocksdb,
    /// Apache Cassandra.
    Cassandra,
}

/// Arguments of `certs`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Certs {
    /// The topology file: its cluster is the authority's, each of its nodes gets a certificate
    #[arg(long, value_name = "FILE")]
    pub topology: PathBuf,
    /// Where to put the files. An authority (ca.pem, ca.key) that is there is used again
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

#[cfg(test)]
mod tests;
