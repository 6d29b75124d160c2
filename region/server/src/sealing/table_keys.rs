//! The keys of tables that have one of their own.

use std::sync::Arc;

use geodynamo_seal::MasterKeys;
use geodynamo_storage::Engine;
use geodynamo_table::Tables;
use tokio::sync::watch;

use super::{SealingError, keywatch::until};
use crate::config::Config;

/// What seals the data keys of tables; `None` if no service is configured.
pub(crate) fn table_keys(config: &Config) -> Result<Option<Arc<dyn MasterKeys>>, SealingError> {
    let keys = config.table_keys.keys(config.region.as_str())?;
    Ok(keys.map(|keys| keys as Arc<dyn MasterKeys>))
}

/// Looks after them until it is told to stop.
pub(crate) fn keep_table_keys<E: Engine>(config: &Config, tables: &Arc<Tables<E>>, stop: watch::Receiver<bool>) {
    if !tables.sealing().has_master_keys() {
        return;
    }
    let (tables, options) = (Arc::clone(tables), config.table_keys.options());
    tokio::spawn(async move {
        until(stop, tables.keys().keep_table_keys(options)).await;
    });
}
