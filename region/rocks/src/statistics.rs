//! What RocksDB counts by itself.

use std::fmt;

use rocksdb::{
    Options,
    statistics::{StatsLevel, Ticker},
};

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

    /// Blocks that were looked for and were in the block cache, and those that were not.
    pub(crate) fn block_cache(&self) -> (u64, u64) {
        let read = |ticker| self.0.get_ticker_count(ticker);
        (read(Ticker::BlockCacheHit), read(Ticker::BlockCacheMiss))
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Statistics").field(&self.block_cache()).finish()
    }
}
