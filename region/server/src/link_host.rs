//! What the replicator asks of this region, answered by its tables.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_replicator::Host;
use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Change, CopyError, CopyMark, CopyOrder, CopyPage, CopyRequest, CopyRows, CopyStart,
    HostError, Identity, LogId, LogInfo, Millis, Peer, Position, TableId, Version,
};
use geodynamo_storage::Engine;
use geodynamo_table::{Tables, TimeSource};
use tokio::sync::watch;

use crate::{clock::SystemClock, finish::finish};

/// A region's tables, as the replicator knows them.
pub struct LinkHost<E: Engine> {
    cluster: String,
    tables: Arc<Tables<E>>,
}

impl<E: Engine> LinkHost<E> {
    /// The host of a cluster's region.
    pub fn new(cluster: impl Into<String>, tables: Arc<Tables<E>>) -> Self {
        Self {
            cluster: cluster.into(),
            tables,
        }
    }
}

/// Applying is a write: once begun it runs to its end, also if the connection goes away meanwhile.
impl<E: Engine> Host for LinkHost<E> {
    fn identity(&self) -> Identity {
        Identity {
            cluster: self.cluster.clone(),
            region: self.tables.region().to_owned(),
            replica: self.tables.replica(),
        }
    }

    fn now_ms(&self) -> Millis {
        SystemClock.now_ms()
    }

    fn writes(&self) -> watch::Receiver<u64> {
        self.tables.writes()
    }

    fn catalog(&self) -> watch::Receiver<u64> {
        self.tables.catalog()
    }

    fn logs_to(&self, region: &str) -> Vec<LogInfo> {
        self.tables.logs_to(region)
    }

    fn log_end(&self, log: LogId) -> Position {
        self.tables.log_end(log)
    }

    async fn read_log(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(Position, Change)>, HostError> {
        self.tables.read_log(log, after, rows_max, bytes_max).await
    }

    async fn versions(
        &self,
        table: TableId,
        keys: Vec<Bytes>,
        bytes_max: usize,
    ) -> Result<Vec<Option<Version>>, HostError> {
        self.tables.versions(table, keys, bytes_max).await
    }

    async fn acked(&self, peer: &Peer, log: LogId, position: Position) {
        self.tables.acked(&peer.region, log, position);
    }

    async fn cursor(&self, _peer: &Peer, info: &LogInfo) -> Result<Option<Position>, HostError> {
        Ok(self.tables.cursor(info))
    }

    async fn apply(&self, batch: Batch) -> Result<Applied, ApplyError> {
        let tables = Arc::clone(&self.tables);
        finish(async move { tables.apply(batch).await }).await
    }

    async fn copy_out_start(&self, region: &str, request: &CopyRequest) -> Result<CopyStart, CopyError> {
        self.tables.copy_out_start(region, request).await
    }

    async fn copy_out_page(
        &self,
        table: TableId,
        after: Option<CopyMark>,
        bytes_max: usize,
    ) -> Result<CopyPage, CopyError> {
        self.tables.copy_out_page(table, after, bytes_max).await
    }

    fn copies_due(&self) -> Vec<CopyOrder> {
        self.tables.copies_due()
    }

    async fn copy_in_start(&self, order: &CopyOrder, start: CopyStart) -> Result<(), ApplyError> {
        let (tables, order) = (Arc::clone(&self.tables), order.clone());
        finish(async move { tables.copy_in_start(&order, start).await }).await
    }

    async fn copy_in_rows(&self, order: &CopyOrder, from: &Peer, rows: CopyRows) -> Result<Applied, ApplyError> {
        let (tables, order, from) = (Arc::clone(&self.tables), order.clone(), from.clone());
        finish(async move { tables.copy_in_rows(&order, &from, rows).await }).await
    }

    async fn copy_in_end(&self, order: &CopyOrder) -> Result<(), ApplyError> {
        let (tables, order) = (Arc::clone(&self.tables), order.clone());
        finish(async move { tables.copy_in_end(&order).await }).await
    }
}
