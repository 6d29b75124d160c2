//! What Kinesis streaming destinations have done.

use std::fmt;

use geodynamo_engine::RegionEngine;
use geodynamo_kinesis::{DestinationStats, Kinesis};
use geodynamo_metrics::{
    NoLabels,
    catalogue::{self, Kind, Metric},
    describe,
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Shows the destinations, if there can be any.
#[derive(Debug)]
pub struct KinesisCollector(pub Option<Kinesis<RegionEngine>>);

/// A destination's number: its metric, and how to read it in the metric's unit.
type Reading = (&'static Metric, fn(&DestinationStats) -> f64);

const READINGS: [Reading; 4] = [
    (&catalogue::KINESIS_AGE, |to| to.age_ms as f64 / 1000.0),
    (&catalogue::KINESIS_DELIVERED_RECORDS, |to| to.delivered as f64),
    (&catalogue::KINESIS_FAILURES, |to| to.failures as f64),
    (&catalogue::KINESIS_LOST_RECORDS, |to| to.lost as f64),
];

impl Collector for KinesisCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.as_ref().map(Kinesis::stats).unwrap_or_default();
        for (metric, read) in READINGS {
            let mut family = describe(&mut encoder, metric)?;
            for to in &all {
                let labels = [("table", to.table.as_str()), ("stream", to.stream.as_str())];
                let mut one = family.encode_family(&labels)?;
                match metric.kind {
                    Kind::Counter => one.encode_counter::<NoLabels, f64, f64>(&read(to), None)?,
                    _ => one.encode_gauge(&read(to))?,
                }
            }
        }
        Ok(())
    }
}
