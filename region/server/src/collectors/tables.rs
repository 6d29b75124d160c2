//! What tables are used for, by table.

use std::{fmt, sync::Arc};

use geodynamo_engine::RegionEngine;
use geodynamo_metrics::{
    HistogramReading, Histograms, MetricsRegistry, NoLabels,
    catalogue::{self, Kind, Metric},
    describe,
};
use geodynamo_table::{
    Tables,
    usage::{OperationCounts, StreamCounts, TableCounts, UnitCounts},
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Shows what is counted of each table that is told apart, and of all others.
#[derive(Clone)]
pub struct UsageCollector(pub Arc<Tables<RegionEngine>>);

type OfTable = (&'static Metric, fn(&TableCounts) -> u64);
type OfStream = (&'static Metric, fn(&StreamCounts) -> u64);
type OfOperation = (&'static Metric, fn(&OperationCounts) -> Option<u64>);
type OfUnits = (&'static Metric, fn(&UnitCounts) -> Option<f64>);

const OF_TABLE: [OfTable; 3] = [
    (&catalogue::TABLE_FAILED_CONDITIONS, |table| table.failed_conditions),
    (&catalogue::TABLE_TRANSACTION_CONFLICTS, |table| {
        table.transaction_conflicts
    }),
    (&catalogue::TABLE_EXPIRED_ITEMS, |table| table.expired_items),
];

const OF_STREAM: [OfStream; 2] = [
    (&catalogue::STREAM_RETURNED_RECORDS, |stream| stream.records),
    (&catalogue::STREAM_RETURNED_BYTES, |stream| stream.bytes),
];

const OF_OPERATION: [OfOperation; 4] = [
    (&catalogue::TABLE_THROTTLED_REQUESTS, |operation| {
        Some(operation.throttled)
    }),
    (&catalogue::TABLE_USER_ERRORS, |operation| Some(operation.user_errors)),
    (&catalogue::TABLE_SYSTEM_ERRORS, |operation| {
        Some(operation.system_errors)
    }),
    (&catalogue::TABLE_RETURNED_ITEMS, |operation| {
        operation.operation.counts_items().then_some(operation.returned_items)
    }),
];

const OF_UNITS: [OfUnits; 6] = [
    (&catalogue::TABLE_CONSUMED_READ_UNITS, |units| Some(units.consumed[0])),
    (&catalogue::TABLE_CONSUMED_WRITE_UNITS, |units| Some(units.consumed[1])),
    (&catalogue::TABLE_THROTTLED_READS, |units| Some(units.refused[0] as f64)),
    (&catalogue::TABLE_THROTTLED_WRITES, |units| {
        Some(units.refused[1] as f64)
    }),
    (&catalogue::TABLE_PROVISIONED_READ_UNITS, |units| {
        units.provisioned.map(|units| units[0] as f64)
    }),
    (&catalogue::TABLE_PROVISIONED_WRITE_UNITS, |units| {
        units.provisioned.map(|units| units[1] as f64)
    }),
];

/// How far behind readers of tables' streams are.
#[derive(Clone)]
struct StreamAges(Arc<Tables<RegionEngine>>);

impl Histograms for StreamAges {
    fn read(&self) -> Vec<HistogramReading> {
        let counts = self.0.local().table_counts().into_iter();
        let of = |table: TableCounts| Some(HistogramReading::plain(vec![("table", table.name)], table.stream?.age));
        counts.filter_map(of).collect()
    }
}

impl fmt::Debug for StreamAges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamAges")
    }
}

impl UsageCollector {
    /// Adds it to a registry.
    pub fn register(self, registry: &MetricsRegistry) {
        registry.register_histograms(&catalogue::TABLE_REQUEST_DURATION, Box::new(self.clone()));
        let ages = StreamAges(Arc::clone(&self.0));
        registry.register_histograms(&catalogue::STREAM_ITERATOR_AGE, Box::new(ages));
        registry.register(|registry| registry.register_collector(Box::new(self)));
    }
}

impl Collector for UsageCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tables = self.0.local().table_counts();
        let e = &mut encoder;
        for (of, read) in OF_TABLE {
            let mut metric = describe(e, of)?;
            for table in &tables {
                metric
                    .encode_family(&[("table", table.name.as_str())])?
                    .encode_counter::<NoLabels, u64, f64>(&read(table), None)?;
            }
        }
        for (of, read) in OF_STREAM {
            let mut metric = describe(e, of)?;
            for (table, stream) in tables.iter().filter_map(|table| Some((table, table.stream.as_ref()?))) {
                metric
                    .encode_family(&[("table", table.name.as_str())])?
                    .encode_counter::<NoLabels, u64, f64>(&read(stream), None)?;
            }
        }
        for (of, read) in OF_OPERATION {
            let mut metric = describe(e, of)?;
            let all = tables
                .iter()
                .flat_map(|table| table.operations.iter().map(move |counts| (table, counts)));
            for (table, counts) in all {
                let Some(value) = read(counts) else { continue };
                metric
                    .encode_family(&[("table", table.name.as_str()), ("operation", counts.operation.name())])?
                    .encode_counter::<NoLabels, u64, f64>(&value, None)?;
            }
        }
        for (of, read) in OF_UNITS {
            let mut metric = describe(e, of)?;
            let all = tables
                .iter()
                .flat_map(|table| table.units.iter().map(move |units| (table, units)));
            for (table, units) in all {
                let Some(value) = read(units) else { continue };
                let labels = [("table", table.name.as_str()), ("index", units.index.as_str())];
                let mut metric = metric.encode_family(&labels)?;
                match of.kind {
                    Kind::Counter => metric.encode_counter::<NoLabels, f64, f64>(&value, None)?,
                    _ => metric.encode_gauge(&value)?,
                }
            }
        }
        Ok(())
    }
}

impl Histograms for UsageCollector {
    fn read(&self) -> Vec<HistogramReading> {
        let mut all = Vec::new();
        for table in self.0.local().table_counts() {
            for counts in table.operations {
                if counts.latency.count() > 0 {
                    let labels = vec![
                        ("table", table.name.clone()),
                        ("operation", counts.operation.name().to_owned()),
                    ];
                    all.push(HistogramReading::plain(labels, counts.latency));
                }
            }
        }
        all
    }
}

impl fmt::Debug for UsageCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UsageCollector")
    }
}
