//! What reading all files in the background has come to.

use std::fmt;

use geodynamo_metrics::{catalogue, counter, gauge};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use crate::scrub::Scrub;

/// Shows how much was read, and what is damaged.
#[derive(Debug)]
pub(crate) struct ScrubCollector(pub(crate) Scrub);

impl Collector for ScrubCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        counter(e, &catalogue::STORAGE_SCRUBBED_BYTES, status.bytes)?;
        counter(e, &catalogue::STORAGE_SCRUBS, status.passes)?;
        gauge(e, &catalogue::STORAGE_DAMAGED_FILES, status.damaged)?;
        counter(e, &catalogue::STORAGE_QUARANTINED_FILES, status.quarantined)?;
        gauge(e, &catalogue::STORAGE_UNMENDED_RANGES, status.unmended)?;
        gauge(e, &catalogue::STORAGE_UNMENDABLE_TABLES, status.hopeless)
    }
}
