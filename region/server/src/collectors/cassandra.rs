//! What a node of a region on Cassandra counts.

use std::{fmt, sync::Arc};

use geodynamo_cassandra::Standing;
use geodynamo_engine::RegionEngine;
use geodynamo_metrics::{catalogue, counter, describe, gauge};
use geodynamo_storage::Trouble;
use geodynamo_table::Tables;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use tokio::sync::watch;

use crate::nodes::{Passing, Reading};

/// Shows what the engine on Cassandra counts; nothing of a region on another one.
pub(crate) struct CassandraCollector(pub(crate) Arc<Tables<RegionEngine>>);

/// Shows how a node stands by.
pub(crate) struct StandByCollector {
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) reading: Arc<Reading>,
    pub(crate) passing: Arc<Passing>,
}

impl Collector for CassandraCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(engine) = self.0.engine().cassandra() else {
            return Ok(());
        };
        let metrics = engine.metrics();
        let e = &mut encoder;
        let whole = |place: i64| place.cast_unsigned();
        gauge(e, &catalogue::CASSANDRA_OWNER, 1)?;
        gauge(e, &catalogue::CASSANDRA_EPOCH, whole(metrics.epoch))?;
        gauge(e, &catalogue::CASSANDRA_POSITION, whole(metrics.committed))?;
        gauge(
            e,
            &catalogue::CASSANDRA_BEHIND,
            whole(metrics.committed - metrics.followed),
        )?;
        gauge(e, &catalogue::CASSANDRA_OVERLAY_BYTES, metrics.overlay_bytes)?;
        counter(e, &catalogue::CASSANDRA_ENTRIES, metrics.entries)?;
        counter(e, &catalogue::CASSANDRA_UNKNOWN, metrics.unknown)?;
        counter(e, &catalogue::CASSANDRA_ROWS, metrics.rows)?;
        counter(e, &catalogue::CASSANDRA_READS, metrics.reads)?;
        counter(e, &catalogue::STORAGE_COMMITS, metrics.commits)?;
        counter(e, &catalogue::STORAGE_ROW_CACHE_HITS, metrics.row_cache_hits)?;
        counter(e, &catalogue::STORAGE_ROW_CACHE_MISSES, metrics.row_cache_misses)?;
        gauge(e, &catalogue::STORAGE_QUEUE_JOBS, metrics.queue_jobs)?;
        gauge(e, &catalogue::STORAGE_QUEUE_BYTES, metrics.queue_bytes)?;
        let mut unwritable = describe(e, &catalogue::STORAGE_UNWRITABLE)?;
        for trouble in Trouble::ALL {
            let value = i64::from(metrics.trouble == Some(trouble));
            unwritable
                .encode_family(&[("reason", trouble.name())])?
                .encode_gauge(&value)?;
        }
        Ok(())
    }
}

impl Collector for StandByCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        let epoch = self.standing.borrow().lease.epoch;
        gauge(e, &catalogue::CASSANDRA_OWNER, 0)?;
        gauge(e, &catalogue::CASSANDRA_EPOCH, epoch.cast_unsigned())?;
        gauge(e, &catalogue::CASSANDRA_PASSED_ON, self.passing.under_way())?;
        let Some(age) = self.reading.age() else { return Ok(()) };
        describe(e, &catalogue::CASSANDRA_READ_AGE)?.encode_gauge(&age.as_secs_f64())
    }
}

impl fmt::Debug for CassandraCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CassandraCollector")
    }
}

impl fmt::Debug for StandByCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StandByCollector")
    }
}
