//! `geodynamo schema`: what a store has to have before a region runs on it.

use geodynamo_cassandra::{create_schema, schema};
use serde_json::json;
use tokio::runtime::Builder;

use crate::{
    cli::{CassandraSchema, SchemaArguments, SchemaCommand},
    config::{CassandraEntry, CassandraName, Config},
    run::Done,
};

/// Prints a schema, or makes it.
pub(crate) fn run(arguments: &SchemaArguments) -> Done {
    match &arguments.command {
        SchemaCommand::Cassandra(arguments) => cassandra(arguments),
    }
}

fn cassandra(arguments: &CassandraSchema) -> Done {
    let (keyspace, replication) = match &arguments.config {
        Some(path) => {
            let config = Config::load(path)?;
            let entry = config.storage.on_cassandra();
            let entry = entry.ok_or_else(|| format!("{}: the engine is not \"cassandra\"", path.display()))?;
            if arguments.create {
                create(&config, entry)?;
                let text = format!("the keyspace {} is there", entry.keyspace.as_str());
                return arguments
                    .printed
                    .say(&text, &json!({ "keyspace": entry.keyspace.as_str() }));
            }
            (entry.keyspace.as_str().to_owned(), entry.replication())
        }
        None => {
            // The command line asks for it where there is no configuration.
            let datacenter = CassandraName::new(arguments.datacenter.as_deref().unwrap_or_default())?;
            let replication = CassandraEntry::replicated(&datacenter, arguments.replication_factor);
            (
                CassandraName::keyspace(&arguments.keyspace)?.as_str().to_owned(),
                replication,
            )
        }
    };
    let statements: Vec<String> = schema(&keyspace, &replication)
        .into_iter()
        .map(|statement| format!("{statement};"))
        .collect();
    arguments
        .printed
        .say(&statements.join("\n"), &json!({ "statements": statements }))
}

fn create(config: &Config, entry: &CassandraEntry) -> Done {
    let options = entry.options(config, String::new())?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(create_schema(&options, &entry.replication()))?;
    Ok(())
}
