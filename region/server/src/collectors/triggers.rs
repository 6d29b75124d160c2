//! What event source mappings have done.

use std::{fmt, sync::Arc};

use geodynamo_engine::RegionEngine;
use geodynamo_metrics::{
    NoLabels,
    catalogue::{self, Kind, Metric},
    describe,
};
use geodynamo_triggers::{MappingStatus, Triggers};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Shows the mappings.
#[derive(Debug)]
pub struct TriggerCollector(pub Arc<Triggers<RegionEngine>>);

/// A mapping's number: its metric, and how to read it in the metric's unit.
type Reading = (&'static Metric, fn(&MappingStatus) -> f64);

const READINGS: [Reading; 8] = [
    (&catalogue::TRIGGER_ENABLED, |mapping| {
        f64::from(u8::from(mapping.enabled))
    }),
    (&catalogue::TRIGGER_ITERATOR_AGE, |mapping| {
        mapping.age_ms as f64 / 1000.0
    }),
    (&catalogue::TRIGGER_INVOCATIONS, |mapping| mapping.invocations as f64),
    (&catalogue::TRIGGER_ERRORS, |mapping| mapping.errors as f64),
    (&catalogue::TRIGGER_NOT_REACHED, |mapping| mapping.not_reached as f64),
    (&catalogue::TRIGGER_DELIVERED_RECORDS, |mapping| {
        mapping.delivered as f64
    }),
    (&catalogue::TRIGGER_FILTERED_RECORDS, |mapping| mapping.filtered as f64),
    (&catalogue::TRIGGER_DISCARDED_RECORDS, |mapping| {
        mapping.discarded as f64
    }),
];

impl Collector for TriggerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.status();
        for (metric, read) in READINGS {
            let mut family = describe(&mut encoder, metric)?;
            for mapping in &all {
                let labels = [
                    ("mapping", mapping.uuid.as_str()),
                    ("function", mapping.function.as_str()),
                    ("table", mapping.table.as_str()),
                ];
                let mut one = family.encode_family(&labels)?;
                match metric.kind {
                    Kind::Counter => one.encode_counter::<NoLabels, f64, f64>(&read(mapping), None)?,
                    _ => one.encode_gauge(&read(mapping))?,
                }
            }
        }
        Ok(())
    }
}
