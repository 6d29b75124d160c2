//! What reading all files in the background has come to.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{catalogue, counter, gauge};
use crate::scrub::Scrub;

/// Shows how much was read, and what is damaged.
#[derive(Debug)]
pub(crate) struct ScrubCollector(pub(crate) Scrub);

impl Collector for ScrubCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (bytes, passes, damaged) = self.0.status();
        let e = &mut encoder;
        counter(e, &catalogue::STORAGE_SCRUBBED_BYTES, bytes)?;
        counter(e, &catalogue::STORAGE_SCRUBS, passes)?;
        gauge(e, &catalogue::STORAGE_DAMAGED_FILES, damaged)
    }
}
