//! What the engine and the tables count.

use std::{fmt, sync::Arc};

use geodynamo_engine::RegionEngine;
use geodynamo_histogram::Snapshot;
use geodynamo_metrics::{
    HistogramReading, Histograms, MetricsRegistry, NoLabels,
    catalogue::{self, Metric},
    counter, describe, gauge,
};
use geodynamo_rocks::RocksMetrics;
use geodynamo_storage::Trouble;
use geodynamo_table::{Counts, HealReason, Tables, usage::TOLD_APART_MAX};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Shows what the RocksDB engine counts; nothing of a region on another one.
pub struct RocksCollector(pub Arc<Tables<RegionEngine>>);

/// A histogram's metric, and how to read it.
type OfRocks = (&'static Metric, fn(RocksMetrics) -> Snapshot);

/// One of the engine's histograms.
struct RocksHistogram {
    tables: Arc<Tables<RegionEngine>>,
    of: fn(RocksMetrics) -> Snapshot,
}

impl RocksCollector {
    /// Adds it to a registry.
    pub fn register(self, registry: &MetricsRegistry) {
        let histograms: [OfRocks; 3] = [
            (&catalogue::STORAGE_BATCH_COMMITS, |metrics| metrics.batch_commits),
            (&catalogue::STORAGE_WRITE, |metrics| metrics.write_seconds),
            (&catalogue::STORAGE_SYNC, |metrics| metrics.sync_seconds),
        ];
        for (metric, of) in histograms {
            let tables = Arc::clone(&self.0);
            registry.register_histograms(metric, Box::new(RocksHistogram { tables, of }));
        }
        registry.register(|registry| registry.register_collector(Box::new(self)));
    }
}

impl Histograms for RocksHistogram {
    fn read(&self) -> Vec<HistogramReading> {
        let engine = self.tables.engine().rocks();
        let counts = engine.map(|engine| (self.of)(engine.metrics()));
        counts
            .into_iter()
            .map(|counts| HistogramReading::plain(Vec::new(), counts))
            .collect()
    }
}

/// Shows what the tables count: merges, conflicts, what is parked.
pub struct TableCollector(pub Arc<Tables<RegionEngine>>);

impl Collector for RocksCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(engine) = self.0.engine().rocks() else {
            return Ok(());
        };
        let metrics: RocksMetrics = engine.metrics();
        let e = &mut encoder;
        counter(e, &catalogue::STORAGE_COMMITS, metrics.commits)?;
        counter(e, &catalogue::STORAGE_COMMITS_REFUSED, metrics.refused)?;
        counter(e, &catalogue::STORAGE_COMMITS_FAILED, metrics.failed)?;
        counter(e, &catalogue::STORAGE_READS_FAILED, metrics.reads_failed)?;
        counter(e, &catalogue::STORAGE_RECOVERIES, metrics.recoveries)?;
        counter(e, &catalogue::STORAGE_WRITTEN_BYTES, metrics.bytes_written)?;
        counter(e, &catalogue::STORAGE_ROW_CACHE_HITS, metrics.row_cache_hits)?;
        counter(e, &catalogue::STORAGE_ROW_CACHE_MISSES, metrics.row_cache_misses)?;
        describe(e, &catalogue::STORAGE_STALLED)?
            .encode_counter::<NoLabels, f64, f64>(&metrics.stalled_seconds, None)?;
        counter(e, &catalogue::STORAGE_BLOCK_CACHE_HITS, metrics.block_cache_hits)?;
        counter(e, &catalogue::STORAGE_BLOCK_CACHE_MISSES, metrics.block_cache_misses)?;
        gauge(e, &catalogue::STORAGE_QUEUE_JOBS, metrics.queue_jobs as u64)?;
        gauge(e, &catalogue::STORAGE_QUEUE_BYTES, metrics.queue_bytes as u64)?;
        gauge(e, &catalogue::STORAGE_CACHE_BYTES, metrics.cache_bytes)?;
        gauge(e, &catalogue::STORAGE_ROW_CACHE_BYTES, metrics.row_cache_bytes)?;
        gauge(e, &catalogue::STORAGE_MEMTABLE_BYTES, metrics.memtable_bytes)?;
        gauge(e, &catalogue::STORAGE_TABLE_BYTES, metrics.table_bytes)?;
        let mut classes = describe(e, &catalogue::STORAGE_CLASS_BYTES)?;
        let by_class = [
            ("STANDARD", metrics.standard_bytes),
            ("STANDARD_INFREQUENT_ACCESS", metrics.infrequent_bytes),
        ];
        for (class, bytes) in by_class {
            classes
                .encode_family(&[("class", class)])?
                .encode_gauge(&(bytes as f64))?;
        }
        gauge(e, &catalogue::STORAGE_CLASS_MOVES, metrics.moving as u64)?;
        counter(e, &catalogue::STORAGE_CLASS_MOVED_BYTES, metrics.moved_bytes)?;
        counter(e, &catalogue::STORAGE_FLUSHED_BYTES, metrics.flushed_bytes)?;
        let (read, written) = (metrics.compaction_read_bytes, metrics.compaction_written_bytes);
        counter(e, &catalogue::STORAGE_COMPACTION_READ_BYTES, read)?;
        counter(e, &catalogue::STORAGE_COMPACTION_WRITTEN_BYTES, written)?;
        let pending = metrics.compaction_pending_bytes;
        gauge(e, &catalogue::STORAGE_COMPACTION_PENDING_BYTES, pending)?;
        let limit = metrics.write_rate_limit;
        gauge(e, &catalogue::STORAGE_WRITE_LIMIT, limit)?;
        gauge(e, &catalogue::STORAGE_RESERVE_BYTES, metrics.reserve_bytes)?;
        let mut unwritable = describe(e, &catalogue::STORAGE_UNWRITABLE)?;
        for trouble in Trouble::ALL {
            let labels = [("reason", trouble.name())];
            let value = i64::from(metrics.trouble == Some(trouble));
            unwritable.encode_family(&labels)?.encode_gauge(&value)?;
        }
        gauge(e, &catalogue::STORAGE_WRITES_STOPPED, metrics.writes_stopped.into())
    }
}

impl Collector for TableCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.counts();
        let builds = self.0.indexes().index_builds();
        let e = &mut encoder;
        gauge(e, &catalogue::INDEXES_BUILDING, builds.len() as u64)?;
        gauge(
            e,
            &catalogue::INDEX_BACKFILL_ITEMS,
            builds.iter().map(|build| build.looked_at).sum(),
        )?;
        gauge(
            e,
            &catalogue::INDEX_BACKFILL_TABLE_ITEMS,
            builds.iter().map(|build| build.items).sum(),
        )?;
        counter(e, &catalogue::VERSIONS_APPLIED, counts.applied)?;
        counter(e, &catalogue::VERSIONS_DUPLICATE, counts.duplicates)?;
        counter(e, &catalogue::VERSIONS_PARKED, counts.parked)?;
        counter(e, &catalogue::VERSIONS_RELEASED, counts.released)?;
        conflicts(e, &counts)?;
        self.copies(e, &counts)?;
        counter(e, &catalogue::ITEMS_EXPIRED, counts.expired)?;
        counter(e, &catalogue::REQUESTS_THROTTLED, counts.throttled)?;
        counter(e, &catalogue::REPLICAS_REFUSED, counts.refused_replicas)?;
        counter(e, &catalogue::COPIES_REFUSED, counts.refused_copies)?;
        counter(e, &catalogue::REGISTERS_REFUSED, counts.refused_registers)?;
        counter(e, &catalogue::REPLICAS_EXPELLED, counts.expelled)?;
        counter(e, &catalogue::REPLICAS_ALONE, counts.gone_alone)?;
        let mut silent = describe(e, &catalogue::REGION_SILENT_SECONDS)?;
        for (region, ms) in self.0.catalog().silences() {
            let labels = [("peer_region", region.as_str())];
            silent.encode_family(&labels)?.encode_gauge(&(ms as f64 / 1e3))?;
        }
        let failed = self.0.local().failed_replicas() as u64;
        gauge(e, &catalogue::REPLICAS_FAILED, failed)?;
        gauge(e, &catalogue::VERSIONS_WAITING, counts.waiting)?;
        self.verifications(e)
    }
}

/// Conflicts, by what came of them here.
fn conflicts(e: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
    let (refused, displaced) = (counts.conflicts_refused, counts.conflicts_displaced);
    let reported = counts.conflicts.saturating_sub(refused + displaced);
    let mut metric = describe(e, &catalogue::CONFLICTS)?;
    for (resolution, count) in [("refused", refused), ("displaced", displaced), ("reported", reported)] {
        metric
            .encode_family(&[("resolution", resolution)])?
            .encode_counter::<NoLabels, u64, u64>(&count, None)?;
    }
    Ok(())
}

impl TableCollector {
    fn copies(&self, e: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
        counter(e, &catalogue::COPIED_ROWS, counts.copied_rows)?;
        let copies = self.0.merge().copies_under_way();
        gauge(e, &catalogue::COPIES, copies.len() as u64)?;
        let mut progress = describe(e, &catalogue::COPY_PROGRESS)?;
        for copy in copies.iter().take(TOLD_APART_MAX) {
            let labels = [("table", copy.table.as_str()), ("peer_region", copy.source.as_str())];
            progress.encode_family(&labels)?.encode_gauge(&copy.share)?;
        }
        Ok(())
    }

    fn verifications(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.verify().verify_counts();
        counter(e, &catalogue::VERIFICATIONS, counts.ended)?;
        counter(e, &catalogue::VERIFICATIONS_FAILED, counts.failed)?;
        counter(e, &catalogue::VERIFIED_ROWS, counts.rows)?;
        let mut healed = describe(e, &catalogue::HEALED_ROWS)?;
        for reason in HealReason::ALL {
            let labels = [("reason", reason.name())];
            let rows = counts.healed.get(&reason).copied().unwrap_or_default();
            healed
                .encode_family(&labels)?
                .encode_counter::<NoLabels, u64, u64>(&rows, None)?;
        }
        gauge(e, &catalogue::UNHEALED_ROWS, counts.unhealed)?;
        let remains = self.0.verify().remains();
        gauge(e, &catalogue::TOMBSTONES, remains.tombstones)?;
        gauge(e, &catalogue::TOMBSTONE_BYTES, remains.tombstone_bytes)?;
        counter(e, &catalogue::TOMBSTONES_COLLECTED, remains.tombstones_collected)?;
        let kept = remains
            .collected_to_ms
            .map_or(0, |to| self.0.now_ms().saturating_sub(to) / 1000);
        gauge(e, &catalogue::TOMBSTONES_AGE, kept)?;
        gauge(e, &catalogue::CONFLICT_RECORDS, remains.conflicts)?;
        gauge(e, &catalogue::CONFLICT_RECORD_BYTES, remains.conflict_bytes)?;
        counter(e, &catalogue::CONFLICTS_DROPPED, remains.conflicts_dropped)?;
        let mut ages = describe(e, &catalogue::VERIFICATION_AGE)?;
        for (peer, since) in &counts.oldest_proof {
            let age = self.0.now_ms().saturating_sub(*since) as f64 / 1e3;
            ages.encode_family(&[("peer_region", peer.as_str())])?
                .encode_gauge(&age)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RocksHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RocksHistogram")
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
