//! The arguments of `geodynamo sink`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use geodynamo_command::OutputForm;

use super::Printed;

/// Arguments of `sink`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct SinkArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: SinkCommand,
}

/// What to do with sinks.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum SinkCommand {
    /// Begins to copy a table: as it is, then every change
    #[command(
        after_help = "Examples:\n  geodynamo sink add lake --table orders --iceberg s3://lake/orders --commit-seconds 5\n  geodynamo sink add pg --table orders --postgres postgres://geodynamo@db:5432/shop --password-file /etc/geodynamo/pg"
    )]
    Add(Box<AddSink>),
    /// Lists the sinks: what they do, how far they are behind
    #[command(after_help = "Examples:\n  geodynamo sink list\n  geodynamo sink list --output json")]
    List(ListSinks),
    /// Ends a sink that was added. Its copy stays as it is
    #[command(after_help = "Examples:\n  geodynamo sink remove lake")]
    Remove(RemoveSink),
}

/// Arguments of `sink add`.
#[derive(Clone, PartialEq, Debug, Args)]
#[command(group = clap::ArgGroup::new("to").required(true).multiple(false))]
pub struct AddSink {
    /// What the sink is called
    pub name: String,
    /// The table
    #[arg(long)]
    pub table: String,
    /// Copy it to PostgreSQL: postgres://USER@HOST:PORT/DATABASE, without a password
    #[arg(long, value_name = "ADDRESS", group = "to")]
    pub postgres: Option<String>,
    /// The file with the password, on the region's machine
    #[arg(long, value_name = "FILE", requires = "postgres")]
    pub password_file: Option<PathBuf>,
    /// The file with the authorities that are trusted, in PEM, on the region's machine; the system's if it is not told
    #[arg(long, value_name = "FILE", requires = "postgres")]
    pub ca_file: Option<PathBuf>,
    /// The schema in PostgreSQL
    #[arg(long, default_value = "public", requires = "postgres")]
    pub schema: String,
    /// What the copy is called in PostgreSQL; as the table if it is not told
    #[arg(long, value_name = "NAME", requires = "postgres")]
    pub into: Option<String>,
    /// Copy it as an Apache Iceberg table below a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE", group = "to")]
    pub iceberg: Option<String>,
    /// The S3 API's server; AWS's own if it is not told
    #[arg(long, value_name = "URL", requires = "iceberg")]
    pub s3_endpoint: Option<String>,
    /// The access key for S3; from AWS's environment variables of the region if it is not told
    #[arg(long, value_name = "ID", requires = "iceberg")]
    pub access_key_id: Option<String>,
    /// The file with its secret, on the region's machine
    #[arg(long, value_name = "FILE", requires = "iceberg")]
    pub secret_access_key_file: Option<PathBuf>,
    /// For how long changes gather before they are committed to the Iceberg table
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "iceberg")]
    pub commit_seconds: u64,
    /// For how long snapshots of the Iceberg table are kept
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "iceberg")]
    pub keep_seconds: u64,
    /// Give all attributes columns in the Iceberg table, of the types that they have
    #[arg(long, requires = "iceberg")]
    pub typed_columns: bool,
    /// The address of a catalogue with Iceberg's REST API, which then has the table; the place has its files
    #[arg(long, value_name = "URL", requires = "iceberg", requires = "namespace")]
    pub catalog: Option<String>,
    /// The file with the authorities that are trusted of that address, in PEM, on the region's machine
    #[arg(long, value_name = "FILE", requires = "catalog")]
    pub catalog_ca_file: Option<PathBuf>,
    /// The catalogue's warehouse, if it has several
    #[arg(long, value_name = "NAME", requires = "catalog")]
    pub warehouse: Option<String>,
    /// The namespace in the catalogue, with points between its levels
    #[arg(long, value_name = "NAME", requires = "catalog")]
    pub namespace: Option<String>,
    /// The file with the catalogue's token, on the region's machine
    #[arg(long, value_name = "FILE", requires = "catalog", conflicts_with = "client_id")]
    pub token_file: Option<PathBuf>,
    /// Who asks for tokens by OAuth 2
    #[arg(long, value_name = "ID", requires = "client_secret_file")]
    pub client_id: Option<String>,
    /// The file with its secret, on the region's machine
    #[arg(long, value_name = "FILE", requires = "client_id", requires = "catalog")]
    pub client_secret_file: Option<PathBuf>,
    /// The address that gives tokens; the catalogue's own if it is not told
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub oauth2_server: Option<String>,
    /// What tokens are asked for; `catalog` if it is not told
    #[arg(long, requires = "client_id")]
    pub scope: Option<String>,
    /// Write items as DynamoDB's JSON, which tells the types
    #[arg(long)]
    pub dynamodb_json: bool,
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}

/// Arguments of `sink list`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ListSinks {
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How to print them
    #[arg(long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}

/// Arguments of `sink remove`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RemoveSink {
    /// The sink
    pub name: String,
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}
