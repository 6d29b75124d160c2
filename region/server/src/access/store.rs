//! IAM's rows in the tables' system table.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_iam::{Change, Store, StoreError};
use geodynamo_storage::Engine;
use geodynamo_table::{SystemTable, TableError, Tables};

/// The system table of principals and policies.
pub(crate) struct TablesStore<E: Engine>(pub(crate) Arc<Tables<E>>);

fn failed(error: TableError) -> StoreError {
    StoreError(error.to_string())
}

impl<E: Engine> Store for TablesStore<E> {
    async fn rows(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.0.rows().system_rows(SystemTable::Access).await.map_err(failed)
    }

    async fn get(&self, rows: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.0
            .rows()
            .system_get(SystemTable::Access, rows)
            .await
            .map_err(failed)
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let tables = Arc::clone(&self.0);
        let commit = async move { tables.rows().system_commit(SystemTable::Access, changes).await };
        let committed = tokio::spawn(commit).await;
        committed
            .map_err(|error| StoreError(format!("the commit broke off: {error}")))?
            .map_err(failed)
    }
}
