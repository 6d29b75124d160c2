//! What sinks have done.

use std::fmt;

use geodynamo_engine::RegionEngine;
use geodynamo_metrics::{
    NoLabels,
    catalogue::{self, Kind, Metric},
    describe,
};
use geodynamo_sinks::{SinkStatus, Sinks};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Shows the sinks.
#[derive(Debug)]
pub struct SinkCollector(pub Sinks<RegionEngine>);

/// A sink's number: its metric, and how to read it in the metric's unit.
type Reading = (&'static Metric, fn(&SinkStatus) -> f64);

const READINGS: [Reading; 6] = [
    (&catalogue::SINK_LAG, |sink| sink.lag_ms as f64 / 1000.0),
    (&catalogue::SINK_CHANGES, |sink| sink.changes as f64),
    (&catalogue::SINK_COMMITS, |sink| sink.commits as f64),
    (&catalogue::SINK_FAILURES, |sink| sink.failures as f64),
    (&catalogue::SINK_LOADS, |sink| sink.loads as f64),
    (&catalogue::SINK_LOADED_ITEMS, |sink| sink.loaded as f64),
];

impl Collector for SinkCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.list();
        for (metric, read) in READINGS {
            let mut family = describe(&mut encoder, metric)?;
            for sink in &all {
                let labels = [("sink", sink.spec.name.as_str()), ("table", sink.spec.table.as_str())];
                let mut one = family.encode_family(&labels)?;
                match metric.kind {
                    Kind::Counter => one.encode_counter::<NoLabels, f64, f64>(&read(sink), None)?,
                    _ => one.encode_gauge(&read(sink))?,
                }
            }
        }
        Ok(())
    }
}
