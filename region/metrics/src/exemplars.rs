//! Examples of what histograms count: for each bucket, the last value that was traced.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::trace::TraceId;
use parking_lot::Mutex;

use super::Exemplar;

/// The examples of some histograms with the same bounds, by what tells those apart. Only what is traced is written here, so a
/// lock does.
#[derive(Debug)]
pub struct Exemplars<K> {
    bounds: &'static [f64],
    by: Mutex<BTreeMap<K, Vec<Option<Exemplar>>>>,
}

impl<K: Ord> Exemplars<K> {
    /// None yet, of histograms with these upper bounds.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            by: Mutex::default(),
        }
    }

    /// Remembers a traced value as the example of its bucket.
    pub fn remember(&self, of: K, value: f64, trace: TraceId) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut by = self.by.lock();
        let buckets = by.entry(of).or_insert_with(|| vec![None; self.bounds.len() + 1]);
        if let Some(exemplar) = buckets.get_mut(bucket) {
            *exemplar = Some(Exemplar {
                trace_id: trace.to_string(),
                value,
                at_unix_s: since.as_secs_f64(),
            });
        }
    }

    /// The examples of a histogram, for each of its buckets; nothing if there is none.
    pub fn of<Q: Ord + ?Sized>(&self, of: &Q) -> Vec<Option<Exemplar>>
    where
        K: Borrow<Q>,
    {
        self.by.lock().get(of).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_its_last() {
        let exemplars = Exemplars::<String>::new(&[0.1, 1.0]);
        for (value, trace) in [(0.05, 1_u128), (0.1, 2), (0.5, 3), (7.0, 4)] {
            exemplars.remember("a".into(), value, TraceId::from(trace));
        }
        let found: Vec<_> = exemplars.of("a").into_iter().flatten().collect();
        assert_eq!(found.iter().map(|one| one.value).collect::<Vec<_>>(), [0.1, 0.5, 7.0]);
        assert_eq!(found[2].trace_id, format!("{:032x}", 4));
        assert!(exemplars.of("b").is_empty());
    }
}
