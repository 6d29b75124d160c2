//! What RocksDB counts by itself.

use std::fmt;

use rocksdb::{
    Options,
    statistics::{StatsLevel, Ticker},
};

use crate::RocksMetrics;

/// RocksDB's counters of everything that is opened with [`Statistics::options`], one store after the other.
///
/// Counters only, no times and no histograms: a counter is an atomic of the processor's own, of which a read of a row takes
/// some ten.
pub(crate) struct Statistics(Options);

impl Default for Statistics {
    fn default() -> Self {
        let mut options = Options::default();
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        // RocksDB would keep a history of them in memory.
        options.set_stats_persist_period_sec(0);
        Self(options)
    }
}

impl Statistics {
    /// Options of a database that counts here; all others are RocksDB's own.
    pub(crate) fn options(&self) -> Options {
        self.0.clone()
    }

    /// Puts them where they are shown.
    pub(crate) fn tell(&self, metrics: &mut RocksMetrics) {
        let read = |ticker| self.0.get_ticker_count(ticker);
        metrics.block_cache_hits = read(Ticker::BlockCacheHit);
        metrics.block_cache_misses = read(Ticker::BlockCacheMiss);
        metrics.flushed_bytes = read(Ticker::FlushWriteBytes);
        metrics.compaction_read_bytes = read(Ticker::CompactReadBytes);
        metrics.compaction_written_bytes = read(Ticker::CompactWriteBytes);
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statistics").finish_non_exhaustive()
    }
}
