//! What the engine and the tables count.

use std::{fmt, sync::Arc};

use geodynamo_rocks::{Distribution, RocksEngine, RocksMetrics};
use geodynamo_table::Tables;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::{NoLabels, counter, gauge};

/// Shows what the RocksDB engine counts.
pub struct RocksCollector(pub Arc<Tables<RocksEngine>>);

/// Shows what the tables count: merges, conflicts, what is parked.
pub struct TableCollector(pub Arc<Tables<RocksEngine>>);

impl Collector for RocksCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics: RocksMetrics = self.0.engine().metrics();
        let e = &mut encoder;
        counter(e, "storage_commits", "Commits carried out", metrics.commits)?;
        counter(
            e,
            "storage_commits_refused",
            "Commits refused by a precondition",
            metrics.refused,
        )?;
        counter(e, "storage_commits_failed", "Commits that failed", metrics.failed)?;
        counter(
            e,
            "storage_written_bytes",
            "Bytes of written batches",
            metrics.bytes_written,
        )?;
        counter(
            e,
            "storage_row_cache_hits",
            "Reads of single rows that the row cache answered",
            metrics.row_cache_hits,
        )?;
        counter(
            e,
            "storage_row_cache_misses",
            "Reads of single rows that the row cache did not answer",
            metrics.row_cache_misses,
        )?;
        let size = |count| count as f64;
        histogram(
            e,
            "storage_batch_commits",
            "Commits in a batch, which has one sync",
            &metrics.batch_commits,
            size,
        )?;
        let seconds = |micros| micros as f64 / 1e6;
        histogram(
            e,
            "storage_write_seconds",
            "Time that a batch's write took",
            &metrics.write_micros,
            seconds,
        )?;
        gauge(
            e,
            "storage_queue_jobs",
            "Jobs that wait for the committer",
            metrics.queue_jobs as u64,
        )?;
        gauge(
            e,
            "storage_queue_bytes",
            "Bytes of the jobs that wait",
            metrics.queue_bytes as u64,
        )?;
        gauge(
            e,
            "storage_cache_bytes",
            "Bytes in the cache, memtables included",
            metrics.cache_bytes,
        )?;
        gauge(
            e,
            "storage_row_cache_bytes",
            "Bytes of rows kept because they were read lately",
            metrics.row_cache_bytes,
        )?;
        gauge(
            e,
            "storage_memtable_bytes",
            "Bytes in memtables",
            metrics.memtable_bytes,
        )?;
        gauge(
            e,
            "storage_table_bytes",
            "Bytes of table files on disk",
            metrics.table_bytes,
        )?;
        let pending = metrics.compaction_pending_bytes;
        gauge(
            e,
            "storage_compaction_pending_bytes",
            "Bytes that compaction has to rewrite",
            pending,
        )?;
        let limit = metrics.write_rate_limit;
        gauge(
            e,
            "storage_write_limit_bytes_per_second",
            "What writes are slowed to; 0 if they are not",
            limit,
        )?;
        gauge(
            e,
            "storage_writes_stopped",
            "1 while writes are stopped",
            metrics.writes_stopped.into(),
        )
    }
}

impl Collector for TableCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.counts();
        let builds = self.0.index_builds();
        let e = &mut encoder;
        gauge(
            e,
            "indexes_building",
            "Global indexes whose copy here is being filled",
            builds.len() as u64,
        )?;
        gauge(
            e,
            "index_backfill_items",
            "Items that the fillings under way have looked at",
            builds.iter().map(|build| build.looked_at).sum(),
        )?;
        gauge(
            e,
            "index_backfill_table_items",
            "Items of the tables of the fillings under way",
            builds.iter().map(|build| build.items).sum(),
        )?;
        counter(
            e,
            "versions_applied",
            "Versions of other regions that became this one's",
            counts.applied,
        )?;
        counter(
            e,
            "versions_duplicate",
            "Versions that came again, or were outdated",
            counts.duplicates,
        )?;
        counter(
            e,
            "versions_parked",
            "Versions parked, their stamps too far ahead",
            counts.parked,
        )?;
        counter(
            e,
            "versions_released",
            "Parked versions that were merged since",
            counts.released,
        )?;
        counter(e, "conflicts", "Conflicts recorded", counts.conflicts)?;
        counter(
            e,
            "items_expired",
            "Items deleted here because their time to live was over",
            counts.expired,
        )?;
        counter(
            e,
            "requests_throttled",
            "Requests, or items of batches, refused or cut short for want of capacity",
            counts.throttled,
        )?;
        counter(
            e,
            "replicas_refused",
            "Replicas that this region was asked for and did not take",
            counts.refused_replicas,
        )?;
        gauge(
            e,
            "replicas_failed",
            "Replicas that could not be made, of all tables and in all regions, as far as is known here",
            self.0.failed_replicas() as u64,
        )?;
        gauge(e, "versions_waiting", "Versions that are parked now", counts.waiting)
    }
}

impl fmt::Debug for RocksCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RocksCollector")
    }
}

impl fmt::Debug for TableCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableCollector")
    }
}

fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &Distribution,
    scale: impl Fn(u64) -> f64,
) -> fmt::Result {
    let bounds = values.bounds.iter().map(|bound| scale(*bound)).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(values.counts.iter().copied()).collect();
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabels>(scale(values.sum), values.count(), &buckets, None)
}
