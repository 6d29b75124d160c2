//! The arguments of `geodynamo schema`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Printed;

/// Arguments of `schema`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct SchemaArguments {
    /// Of which store.
    #[command(subcommand)]
    pub command: SchemaCommand,
}

/// Stores that have a schema.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum SchemaCommand {
    /// Prints the CQL that makes a region's keyspace and its tables, for cqlsh; or makes them
    #[command(
        after_help = "Examples:\n  geodynamo schema cassandra --datacenter dc1 > schema.cql\n  geodynamo schema cassandra --config region.toml\n  geodynamo schema cassandra --config region.toml --create"
    )]
    Cassandra(CassandraSchema),
}

/// Arguments of `schema cassandra`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct CassandraSchema {
    /// The region's configuration file, which has all the rest
    #[arg(long, value_name = "FILE", conflicts_with_all = ["datacenter", "keyspace", "replication_factor"])]
    pub config: Option<PathBuf>,
    /// The data centre, as Cassandra calls it
    #[arg(long, value_name = "NAME", required_unless_present = "config")]
    pub datacenter: Option<String>,
    /// The keyspace
    #[arg(long, value_name = "NAME", default_value = "geodynamo")]
    pub keyspace: String,
    /// In how many copies Cassandra keeps everything
    #[arg(long, value_name = "COPIES", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub replication_factor: u64,
    /// Make them where they are not there yet, instead of printing
    #[arg(long, requires = "config")]
    pub create: bool,
    /// How.
    #[command(flatten)]
    pub printed: Printed,
}
