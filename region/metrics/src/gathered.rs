//! All metrics at one moment, in a form that every exposition is made from.

use std::{collections::BTreeMap, sync::Arc};

use crate::exposition::{Exposition, Sample};
use geodynamo_histogram::Snapshot;

use super::catalogue::{self, Kind, Metric};

/// A label and its value.
pub type Label = (&'static str, String);

/// All histograms of a metric.
pub(super) type Readings = (&'static Metric, Vec<HistogramReading>);

/// A metric with everything that it tells now.
#[derive(Debug)]
pub struct Gathered {
    /// Which.
    pub of: &'static Metric,
    /// The numbers of all kinds but histograms.
    pub samples: Vec<Sample>,
    /// The histograms of one.
    pub histograms: Vec<HistogramReading>,
}

/// A histogram of one set of labels.
#[derive(Clone, PartialEq, Debug)]
pub struct HistogramReading {
    /// Its labels.
    pub labels: Vec<Label>,
    /// What it has counted.
    pub counts: Snapshot,
    /// For each of its buckets with bounds, a value of a request that was traced, if there was one.
    pub exemplars: Vec<Option<Exemplar>>,
}

/// A value, and the trace of what had it.
#[derive(Clone, PartialEq, Debug)]
pub struct Exemplar {
    /// The trace's id: 32 hexadecimal digits.
    pub trace_id: String,
    /// The value.
    pub value: f64,
    /// When it was, in seconds since 1970.
    pub at_unix_s: f64,
}

/// Has histograms.
pub trait Histograms: Send + Sync + std::fmt::Debug {
    /// All of them, each with other labels.
    fn read(&self) -> Vec<HistogramReading>;
}

impl<H: Histograms + ?Sized> Histograms for Arc<H> {
    fn read(&self) -> Vec<HistogramReading> {
        (**self).read()
    }
}

impl HistogramReading {
    /// One of which no value was traced.
    pub fn plain(labels: Vec<Label>, counts: Snapshot) -> Self {
        Self {
            labels,
            counts,
            exemplars: Vec::new(),
        }
    }

    /// The upper bound of each bucket, how many values are in it and in those below it, and its exemplar.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64, Option<&Exemplar>)> {
        let bounds = self.counts.bounds.iter().copied().chain([f64::INFINITY]);
        let mut sum = 0;
        bounds
            .zip(&self.counts.classic)
            .enumerate()
            .map(move |(place, (bound, count))| {
                sum += count;
                let exemplar = self.exemplars.get(place).and_then(Option::as_ref);
                (bound, sum, exemplar)
            })
    }
}

/// Puts what was written as text, and histograms, in the catalogue's order.
pub(super) fn gather(text: &str, histograms: Vec<Readings>) -> Vec<Gathered> {
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in Exposition::parse(text).into_samples() {
        samples.entry(sample.name.clone()).or_default().push(sample);
    }
    let mut histograms: BTreeMap<&str, _> = histograms.into_iter().map(|(of, all)| (of.name, all)).collect();
    let of = |of: &'static Metric| {
        let gathered = Gathered {
            of,
            samples: match of.kind {
                Kind::Histogram => Vec::new(),
                _ => samples.remove(&of.full_name()).unwrap_or_default(),
            },
            histograms: histograms.remove(of.name).unwrap_or_default(),
        };
        (!gathered.samples.is_empty() || !gathered.histograms.is_empty()).then_some(gathered)
    };
    catalogue::ALL.iter().filter_map(of).collect()
}
