//! What the replicator asks of the house it lives in.

use std::{any::Any, future::Future};

use bytes::Bytes;
use geodynamo_replicator_core::{
    Applied, ApplyError, Batch, Change, CopyError, CopyMark, CopyOrder, CopyPage, CopyRequest, CopyRows, CopyStart,
    HostError, Identity, LogId, LogInfo, Millis, Peer, Position, Stamp, TableId, TraceContext, Version,
    verify::{Answer, Done, Question, Task, Verified, VerifyOrder},
};
use tokio::sync::watch;

/// The questions the replicator asks of whoever holds the tables. The answers' data types are in
/// [`geodynamo_replicator_core::host`], so the holder of the tables need not know this crate.
///
/// Methods that are not async answer from memory, within microseconds: they are called for every log at every wake-up.
/// Async methods may be called concurrently; for one log, `apply` is called once at a time per connection.
pub trait Host: Send + Sync + 'static {
    /// Who this node is. Never changes while the replicator runs.
    fn identity(&self) -> Identity;

    /// This node's wall clock, in milliseconds since the Unix epoch.
    fn now_ms(&self) -> Millis;

    /// The number of the last write to a change log. Changes whenever something that links have to send was added to any,
    /// once it is durable; the number may count other additions too.
    fn writes(&self) -> watch::Receiver<u64>;

    /// Changes its value whenever an answer of [`Host::logs_to`], [`Host::cursor`] or [`Host::copies_due`] may have changed.
    fn catalog(&self) -> watch::Receiver<u64>;

    /// The logs of this replica that a peer region must get: those of every table that has, or is admitting, a replica
    /// there, and the catalog's.
    fn logs_to(&self, region: &str) -> Vec<LogInfo>;

    /// The position of the newest readable record of one of this replica's logs; [`Position::START`] if it is empty or
    /// not known. Never goes back.
    fn log_end(&self, log: LogId) -> Position;

    /// This replica's logs that have grown since a write (by its number in [`Host::writes`]), with their newest readable
    /// positions. What it costs goes by how many have grown, not by how many there are.
    fn grown_since(&self, write: u64) -> Vec<(LogId, Position)>;

    /// How far this replica's own logs of a table go, for `region` to hold against its cursors, in the form that hosts have among
    /// themselves; `None` if that region gets nothing of the table.
    fn own_ends(&self, region: &str, table: TableId) -> Option<Vec<u8>>;

    /// Records of one of this replica's logs after a position, in order: at most `rows_max`, and no more once `bytes_max`
    /// is reached (but at least one, if there is one).
    fn read_log(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<(Position, Change)>, HostError>> + Send;

    /// The current versions of keys (tombstones included), in their order, and no more once `bytes_max` is reached: the
    /// answer may be shorter than the question, but has at least one entry. `None` where nothing is held. Every change
    /// that [`Host::read_log`] has given is in them.
    fn versions(
        &self,
        table: TableId,
        keys: Vec<Bytes>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<Option<Version>>, HostError>> + Send;

    /// A peer has durably applied or parked one of this replica's logs up to a position: what is before it need not be
    /// kept for this peer. Need not be synced at once.
    fn acked(&self, peer: &Peer, log: LogId, position: Position) -> impl Future<Output = ()> + Send;

    /// The durable cursor for a peer's log: `None` while the table is not known here, has no replica here, or waits for
    /// its copy's start. A log never heard of, of a table that is served here, starts at [`Position::START`].
    fn cursor(&self, peer: &Peer, info: &LogInfo) -> impl Future<Output = Result<Option<Position>, HostError>> + Send;

    /// Applies stretches of several of a peer's logs of one table durably (see [`Batch`]), and answers for each in their
    /// order. All of them are one commit: under load that is what makes a link cheap. Once begun it is not dropped.
    fn apply(&self, batches: Vec<Batch>) -> impl Future<Output = Vec<Result<Applied, ApplyError>>> + Send;

    /// The source's side of a copy, first: whether `region` may have it, and every cursor and own log end of the table,
    /// taken together, before any row is read. Everything at or before them must show in [`Host::copy_out_page`].
    fn copy_out_start(
        &self,
        region: &str,
        request: &CopyRequest,
    ) -> impl Future<Output = Result<CopyStart, CopyError>> + Send;

    /// The source's side of a copy, then: the next rows after a mark, about `bytes_max` of them, at least one if there is
    /// one. All deltas of a key (its version, what is parked of it, its conflict records) come in one page.
    fn copy_out_page(
        &self,
        table: TableId,
        after: Option<CopyMark>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<CopyPage, CopyError>> + Send;

    /// The joining side: the copies that this node should be fetching now.
    fn copies_due(&self) -> Vec<CopyOrder>;

    /// The joining side, first: stores the source's cursors as this node's own, durably, unless this join has stored
    /// some already (then nothing changes: the first start's stay).
    fn copy_in_start(&self, order: &CopyOrder, start: CopyStart)
    -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// The joining side, then: merges rows like any delta and stores the mark of the last, durably, in one commit.
    fn copy_in_rows(
        &self,
        order: &CopyOrder,
        from: &Peer,
        rows: CopyRows,
    ) -> impl Future<Output = Result<Applied, ApplyError>> + Send;

    /// The joining side, last: the copy is whole and durable. The order is not due any more.
    fn copy_in_end(&self, order: &CopyOrder) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// The trace under which a version goes to a peer region, if it is traced. From memory.
    fn trace_to(&self, region: &str, stamp: Stamp) -> Option<TraceContext> {
        let _ = (region, stamp);
        None
    }

    /// Versions of these traces, which a peer wrote, are being applied: until what this gives is dropped.
    fn applying(&self, from: &Peer, table: TableId, traces: &[TraceContext]) -> Option<Box<dyn Any + Send>> {
        let _ = (from, table, traces);
        None
    }

    /// The asking side of verifications: one that this node should begin with a peer region now, if there is one. It counts
    /// as begun, and [`Host::verify_ended`] follows.
    fn verification_due(&self, region: &str) -> Option<VerifyOrder> {
        let _ = region;
        None
    }

    /// The asking side: does what the verifier wants done.
    fn verify_do(
        &self,
        order: &VerifyOrder,
        peer: &Peer,
        task: Task,
    ) -> impl Future<Output = Result<Done, HostError>> + Send {
        let _ = (order, peer, task);
        async { Err(HostError("this node verifies nothing".into())) }
    }

    /// The asking side: how it ended.
    fn verify_ended(&self, order: &VerifyOrder, ended: Result<Verified, String>) {
        let _ = (order, ended);
    }

    /// The answering side: answers a peer region's question about a table, where it is one that is answered. Refuses where
    /// not both of them serve the table.
    fn verify_answer(
        &self,
        region: &str,
        table: TableId,
        question: Question,
    ) -> impl Future<Output = Result<Option<Answer>, HostError>> + Send {
        let _ = (region, table, question);
        async { Err(HostError("this node verifies nothing".into())) }
    }

    /// Answers a service of a peer region that asks its like here ([`crate::Asker::call`]).
    fn called(
        &self,
        region: &str,
        service: &str,
        body: Bytes,
    ) -> impl Future<Output = Result<Vec<u8>, HostError>> + Send {
        let _ = (region, body);
        let refused = HostError(format!("there is no service '{service}' here"));
        async { Err(refused) }
    }
}
