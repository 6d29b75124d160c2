//! What the replicator counts. Whoever serves metrics reads it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use geodynamo_replicator_core::{Millis, TableId, TraceContext};

/// Told of every measurement that belongs in a histogram. Called on hot paths: must not block.
pub trait Observer: Send + Sync + 'static {
    /// A version that a region wrote became durable here, this long after its stamp (0 if clocks disagree).
    fn replicated(&self, from_region: &str, table: TableId, latency_ms: Millis);
    /// Of such a version, which was told of by [`Observer::replicated`]: it is traced.
    fn traced(&self, from_region: &str, latency_ms: Millis, trace: TraceContext);
    /// A batch was applied durably, in this time.
    fn applied(&self, from_region: &str, deltas: usize, seconds: f64);
}

/// One direction of traffic with one peer region. Counters only grow while the process lives.
#[derive(Debug, Default)]
pub struct LinkMetrics {
    /// Whether the peer has introduced itself on a living connection.
    pub connected: AtomicBool,
    /// Connections made.
    pub connections: AtomicU64,
    /// Bytes written to the link's stream, after compression.
    pub bytes_sent: AtomicU64,
    /// Deltas sent.
    pub deltas_sent: AtomicU64,
    /// Changes that needed no delta.
    pub changes_skipped: AtomicU64,
    /// Deltas received.
    pub deltas_received: AtomicU64,
    /// Versions applied.
    pub versions_applied: AtomicU64,
    /// Versions that were held already.
    pub duplicates: AtomicU64,
    /// Versions parked.
    pub parked: AtomicU64,
    /// Conflicts recorded.
    pub conflicts: AtomicU64,
    /// Batches applied.
    pub batches: AtomicU64,
    /// Times a log stalled or applying failed.
    pub apply_failures: AtomicU64,
    /// When the peer last acknowledged something, in milliseconds since the Unix epoch.
    pub last_ack_ms: AtomicU64,
    /// Changes the peer has not acknowledged: log ends less acknowledged positions (an upper bound).
    pub backlog: AtomicU64,
    /// Logs on which the peer is ahead of this replica: data was lost here.
    pub peers_ahead: AtomicU64,
    /// How far the peer's clock is ahead of this node's: whether it is known, and microseconds.
    clock: (AtomicBool, AtomicI64),
    /// The connection's round trip, in microseconds.
    pub rtt_us: AtomicU64,
    /// Packets of this connection that were declared lost.
    pub packets_lost: AtomicU64,
    /// Times the congestion window was cut on this connection.
    pub congestion_events: AtomicU64,
    /// The congestion window, in bytes.
    pub window_bytes: AtomicU64,
}

impl LinkMetrics {
    /// How far the peer's clock was ahead of this node's when it was asked last, in seconds; negative if it was behind. Exact
    /// to half of the round trip, and to a millisecond or two. `None` before the first answer.
    pub fn clock_offset_s(&self) -> Option<f64> {
        let (is_known, micros) = &self.clock;
        is_known.load(Relaxed).then(|| micros.load(Relaxed) as f64 / 1e6)
    }

    pub(crate) fn tell_clock_offset(&self, seconds: f64) {
        let (is_known, micros) = &self.clock;
        micros.store((seconds * 1e6) as i64, Relaxed);
        is_known.store(true, Relaxed);
    }
}

/// Everything the replicator counts, by peer region.
#[derive(Debug, Default)]
pub struct Metrics {
    outgoing: Mutex<BTreeMap<String, Arc<LinkMetrics>>>,
    incoming: Mutex<BTreeMap<String, Arc<LinkMetrics>>>,
}

impl Metrics {
    /// The links to peers, by region.
    pub fn outgoing(&self) -> BTreeMap<String, Arc<LinkMetrics>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The links from peers, by region. Only regions whose certificates were good are in it.
    pub fn incoming(&self) -> BTreeMap<String, Arc<LinkMetrics>> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn to(&self, region: &str) -> Arc<LinkMetrics> {
        entry(&self.outgoing, region)
    }

    pub(crate) fn from(&self, region: &str) -> Arc<LinkMetrics> {
        entry(&self.incoming, region)
    }
}

fn entry(map: &Mutex<BTreeMap<String, Arc<LinkMetrics>>>, region: &str) -> Arc<LinkMetrics> {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(map.entry(region.to_owned()).or_default())
}

pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}
