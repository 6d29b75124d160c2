//! What is known of a region's keys.

use std::fmt;

use geodynamo_metrics::{catalogue, counter, describe, gauge};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use crate::sealing::KeyWatch;

/// Shows whether the region's key can be had, and what is under which data key.
#[derive(Debug)]
pub(crate) struct KeyCollector(pub(crate) KeyWatch);

impl Collector for KeyCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        gauge(
            e,
            &catalogue::ENCRYPTION_KEY_AWAY_SECONDS,
            status.away.map_or(0, |away| away.as_secs().max(1)),
        )?;
        gauge(
            e,
            &catalogue::ENCRYPTION_DATA_KEY_AGE_SECONDS,
            status.data_key_age.as_secs(),
        )?;
        let keys = ["current", "older"];
        let mut files = describe(e, &catalogue::ENCRYPTION_FILES)?;
        for (key, count) in keys.iter().zip(status.files) {
            files
                .encode_family(&[("data_key", *key)])?
                .encode_gauge(&(count as f64))?;
        }
        let mut bytes = describe(e, &catalogue::ENCRYPTION_FILE_BYTES)?;
        for (key, count) in keys.iter().zip(status.bytes) {
            bytes
                .encode_family(&[("data_key", *key)])?
                .encode_gauge(&(count as f64))?;
        }
        counter(e, &catalogue::ENCRYPTION_REWRITTEN_BYTES, status.rewritten)
    }
}
