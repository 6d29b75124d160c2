//! The tables, as the replicator knows them.

use std::{any::Any, future::Future, sync::Arc};

use bytes::Bytes;
use geodynamo_backup::Backups;
use geodynamo_http::Shutdown;
use geodynamo_replicator::Host;
use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Change, CopyError, CopyMark, CopyOrder, CopyPage, CopyRequest, CopyRows, CopyStart,
    HostError, Identity, LogId, LogInfo, Millis, Peer, Position, Stamp, TableId, TraceContext, Version,
    verify::{Answer, Done, Question, Task, Verified, VerifyOrder},
};
use geodynamo_storage::Engine;
use geodynamo_table::{Tables, TimeSource};
use tokio::sync::watch;

use crate::{copies, session, telemetry::traces};

/// Answers the replicator from a region's tables.
pub struct TablesHost<E: Engine> {
    /// The tables.
    pub tables: Arc<Tables<E>>,
    /// The backups, for copies that come from other regions.
    pub backups: Backups<E>,
    /// The cluster's name.
    pub cluster: String,
    /// The clock that the tables have, too.
    pub time: Arc<dyn TimeSource>,
    /// When to wait for nothing any more.
    pub shutdown: Shutdown,
}

impl<E: Engine> TablesHost<E> {
    /// Waits until the engine takes writes. So a link stands still meanwhile, and its cursors with it, instead of bringing
    /// the same deltas again and again.
    async fn writable(&self) {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = self.tables.local().writable() => {}
            () = shutdown.wait() => {}
        }
    }
}

impl<E: Engine> Host for TablesHost<E> {
    fn identity(&self) -> Identity {
        Identity {
            cluster: self.cluster.clone(),
            region: self.tables.region().to_owned(),
            replica: self.tables.replica(),
        }
    }

    fn now_ms(&self) -> Millis {
        self.time.now_ms()
    }

    fn writes(&self) -> watch::Receiver<u64> {
        self.tables.logs().growth()
    }

    fn catalog(&self) -> watch::Receiver<u64> {
        self.tables.local().catalog_changes()
    }

    fn logs_to(&self, region: &str) -> Vec<LogInfo> {
        self.tables.logs().logs_to(region)
    }

    fn log_end(&self, log: LogId) -> Position {
        self.tables.local().log_end(log)
    }

    fn grown_since(&self, write: u64) -> Vec<(LogId, Position)> {
        self.tables.logs().grown_since(write)
    }

    fn read_log(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<(Position, Change)>, HostError>> + Send {
        self.tables.logs().read_log(log, after, rows_max, bytes_max)
    }

    fn versions(
        &self,
        table: TableId,
        keys: Vec<Bytes>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<Option<Version>>, HostError>> + Send {
        self.tables.logs().versions(table, keys, bytes_max)
    }

    fn own_ends(&self, region: &str, table: TableId) -> Option<Vec<u8>> {
        let may = self
            .tables
            .merge()
            .served_elsewhere(table.0)
            .iter()
            .any(|other| other == region);
        let seen = self.tables.merge().own_seen(table.0).filter(|_| may)?;
        // One that does not fit would say less than there is.
        Some(seen.to_bytes(session::ENDS)).and_then(|(bytes, left)| (left == 0).then_some(bytes))
    }

    async fn acked(&self, peer: &Peer, log: LogId, position: Position) {
        self.tables.logs().acked(&peer.region, log, position);
    }

    async fn cursor(&self, peer: &Peer, info: &LogInfo) -> Result<Option<Position>, HostError> {
        Ok(self.tables.merge().cursor_of(peer, info))
    }

    fn trace_to(&self, region: &str, stamp: Stamp) -> Option<TraceContext> {
        self.tables
            .local()
            .trace_of(stamp)
            .map(|write| traces::ship(write, region))
    }

    fn applying(&self, from: &Peer, table: TableId, traces: &[TraceContext]) -> Option<Box<dyn Any + Send>> {
        traces::apply(from, table, traces)
    }

    async fn apply(&self, batches: Vec<Batch>) -> Vec<Result<Applied, ApplyError>> {
        self.writable().await;
        self.tables.merge().apply_all(batches).await
    }

    fn copy_out_start(
        &self,
        region: &str,
        request: &CopyRequest,
    ) -> impl Future<Output = Result<CopyStart, CopyError>> + Send {
        self.tables.merge().copy_out_start(region, request)
    }

    fn copy_out_page(
        &self,
        table: TableId,
        after: Option<CopyMark>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<CopyPage, CopyError>> + Send {
        self.tables.merge().copy_out_page(table, after, bytes_max)
    }

    fn copies_due(&self) -> Vec<CopyOrder> {
        self.tables.merge().copies_due()
    }

    async fn copy_in_start(&self, order: &CopyOrder, start: CopyStart) -> Result<(), ApplyError> {
        self.writable().await;
        let (tables, order) = (Arc::clone(&self.tables), order.clone());
        to_its_end(async move { tables.merge().copy_in_start(&order, start).await }).await
    }

    async fn copy_in_rows(&self, order: &CopyOrder, from: &Peer, rows: CopyRows) -> Result<Applied, ApplyError> {
        self.writable().await;
        let (tables, order, from) = (Arc::clone(&self.tables), order.clone(), from.clone());
        to_its_end(async move { tables.merge().copy_in_rows(&order, &from, rows).await }).await
    }

    async fn copy_in_end(&self, order: &CopyOrder) -> Result<(), ApplyError> {
        let (tables, order) = (Arc::clone(&self.tables), order.clone());
        to_its_end(async move { tables.merge().copy_in_end(&order).await }).await
    }

    fn verification_due(&self, region: &str) -> Option<VerifyOrder> {
        self.tables.verify().verification_due(region)
    }

    async fn verify_do(&self, order: &VerifyOrder, peer: &Peer, task: Task) -> Result<Done, HostError> {
        let writes = matches!(task, Task::Heal { .. });
        if !writes {
            return self.tables.verify().verify_do(order, peer, task).await;
        }
        self.writable().await;
        let (tables, order, peer) = (Arc::clone(&self.tables), order.clone(), peer.clone());
        let healed = tokio::spawn(async move { tables.verify().verify_do(&order, &peer, task).await }).await;
        healed.unwrap_or_else(|error| Err(HostError(format!("healing broke off: {error}"))))
    }

    fn verify_ended(&self, order: &VerifyOrder, ended: Result<Verified, String>) {
        self.tables.verify().verify_ended(order, ended);
    }

    async fn called(&self, _region: &str, service: &str, body: Bytes) -> Result<Vec<u8>, HostError> {
        if service != copies::SERVICE {
            return Err(HostError(format!("there is no service '{service}' here")));
        }
        let backups = self.backups.clone();
        // What was begun ends, also if the connection goes away meanwhile.
        let answered = tokio::spawn(async move { backups.answer(&body).await }).await;
        let answered = answered.unwrap_or_else(|error| Err(format!("the answer broke off: {error}")));
        answered.map(Vec::from).map_err(HostError)
    }

    async fn verify_answer(
        &self,
        region: &str,
        table: TableId,
        question: Question,
    ) -> Result<Option<Answer>, HostError> {
        match question {
            Question::Begin { replica, standing, .. } => {
                let ready = self
                    .tables
                    .verify()
                    .verify_begin(region, table, replica, standing)
                    .await;
                ready.map(Some)
            }
            question => self.tables.verify().verify_answer(region, table, question).await,
        }
    }
}

/// Runs a write in a task of its own: once begun it ends, also if the connection that brought it goes away meanwhile.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApplyError>> + Send + 'static,
) -> Result<T, ApplyError> {
    let ended = tokio::spawn(work).await;
    ended.unwrap_or_else(|error| Err(ApplyError::Failed(format!("applying broke off: {error}"))))
}
