//! Event source mappings and Kinesis streaming destinations on a region's tables.

use std::sync::Arc;

use geodynamo_kinesis::{HELD_FOR, Kinesis, Options as KinesisOptions};
use geodynamo_outgoing::{Client, ClientError, EndpointError};
use geodynamo_storage::Engine;
use geodynamo_table::{TableError, Tables};
use geodynamo_triggers::{Options, Triggers};

use crate::config::{Config, FunctionError, triggers};

/// Why there are no event source mappings.
#[derive(Debug, thiserror::Error)]
pub enum TriggersStartError {
    /// No calls can be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An address is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A function cannot be had.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// They cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Opens the streaming destinations of a region's tables, and runs them; none where no Kinesis is configured.
pub(crate) async fn start_kinesis<E: Engine>(
    config: &Config,
    tables: &Arc<Tables<E>>,
) -> Result<Option<Kinesis<E>>, TriggersStartError> {
    let Some((endpoint, of_accounts)) = triggers::kinesis(&config.destinations, config.region.as_str())? else {
        return Ok(None);
    };
    let options = KinesisOptions {
        endpoint,
        of_accounts,
        client: Client::new(config.triggers.ca_file.as_deref())?,
        held_for: HELD_FOR,
    };
    Ok(Some(Kinesis::start(Arc::clone(tables), options).await?))
}

/// Opens the mappings of a region's tables, and runs them.
pub(crate) async fn start<E: Engine>(
    config: &Config,
    tables: &Arc<Tables<E>>,
) -> Result<Arc<Triggers<E>>, TriggersStartError> {
    let region = config.region.as_str();
    let options = Options {
        functions: triggers::functions(&config.functions, region)?,
        destinations: triggers::destinations(&config.destinations, region)?,
        client: Client::new(config.triggers.ca_file.as_deref())?,
        memory_bytes: config.triggers.memory_mb.to_usize() << 20,
        checkpoint_first: config.triggers.checkpoint_first,
    };
    if options.checkpoint_first {
        tracing::warn!("checkpoint_first is on: a crash loses records that functions have not taken");
    }
    Ok(Triggers::start(Arc::clone(tables), options).await?)
}
