//! What was measured, by region and operation: whole and by the second.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::workload::Operation;

/// Latencies above this are recorded as this, in nanoseconds: a minute.
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// The most kinds of errors that are told apart; further ones are counted as `other`.
pub const EXCEPTIONS_MAX: usize = 64;

/// A histogram of nanoseconds, from 1 µs to a minute, three digits.
pub fn histogram() -> Histogram<u64> {
    // The bounds are constants that the crate accepts: low ≥ 1, high ≥ 2 × low, 0 to 5 digits.
    #[allow(clippy::expect_used)]
    Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3).expect("valid bounds")
}

/// One region's requests of one operation.
#[derive(Clone, Debug)]
pub struct Measured {
    /// From when a request was due (open loop) or sent (closed loop) to its whole answer; of those that got none, how long they
    /// waited for it: their time would have been longer.
    pub response_ns: Histogram<u64>,
    /// From when it was sent, of those that were answered with what they asked for.
    pub service_ns: Histogram<u64>,
    /// Answers that were errors, by exception; broken connections as `connection`, no answer in time as `timeout`, none until
    /// the run ended as `unfinished`.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were answered with what they asked for, after the end.
    pub after_end: u64,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            response_ns: histogram(),
            service_ns: histogram(),
            errors: BTreeMap::new(),
            after_end: 0,
        }
    }
}

impl Measured {
    /// Requests that were answered with what they asked for.
    pub fn done(&self) -> u64 {
        self.service_ns.len()
    }

    /// Adds another's figures to these.
    pub fn add(&mut self, other: &Self) {
        // All have the same bounds.
        let _ = self.response_ns.add(&other.response_ns);
        let _ = self.service_ns.add(&other.service_ns);
        self.after_end += other.after_end;
        for (exception, count) in &other.errors {
            *self.errors.entry(exception.clone()).or_default() += count;
        }
    }

    /// How many errors.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// A region (its place among the endpoints) and an operation.
pub type At = (usize, Operation);

/// By region and operation.
pub type ByOperation = BTreeMap<At, Measured>;

/// What a thread's connections measure: since the start of the measured time, and since somebody last looked.
#[derive(Debug, Default)]
pub struct Recorder {
    /// All of the measured time.
    pub whole: ByOperation,
    /// Since [`Recorder::take`].
    interval: ByOperation,
    /// Requests that have ended in any way, measured or not.
    pub ended: u64,
    /// The first error's whole text.
    pub first_error: Option<String>,
}

impl Recorder {
    /// Notes an answer; `after_end`: it came after the run.
    pub fn answered(&mut self, at: At, response_ns: u64, service_ns: u64, after_end: bool) {
        for measured in [self.whole.entry(at).or_default(), self.interval.entry(at).or_default()] {
            measured.response_ns.saturating_record(response_ns.min(LATENCY_NS_MAX));
            measured.service_ns.saturating_record(service_ns.min(LATENCY_NS_MAX));
            measured.after_end += u64::from(after_end);
        }
    }

    /// Notes an error. `waited_ns`: of a request that got no answer, how long it was waited for since it was due.
    pub fn failed(&mut self, at: At, exception: &str, waited_ns: Option<u64>, text: impl FnOnce() -> String) {
        for measured in [self.whole.entry(at).or_default(), self.interval.entry(at).or_default()] {
            let known = measured.errors.len() < EXCEPTIONS_MAX || measured.errors.contains_key(exception);
            let exception = if known { exception } else { "other" };
            *measured.errors.entry(exception.to_owned()).or_default() += 1;
            if let Some(waited_ns) = waited_ns {
                measured.response_ns.saturating_record(waited_ns.min(LATENCY_NS_MAX));
            }
        }
        self.first_error.get_or_insert_with(text);
    }

    /// What came since the last time.
    pub fn take(&mut self) -> ByOperation {
        std::mem::take(&mut self.interval)
    }
}

/// Adds figures to others.
pub fn add(to: &mut ByOperation, from: &ByOperation) {
    for (at, measured) in from {
        to.entry(*at).or_default().add(measured);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_merge_exactly() {
        let at = (0, Operation::Get);
        let (mut one, mut two, mut both) = (Recorder::default(), Recorder::default(), Recorder::default());
        for value in 1..2_000_u64 {
            let nanoseconds = value * value * 50;
            if value % 3 == 0 { &mut one } else { &mut two }.answered(at, nanoseconds, nanoseconds / 2, false);
            both.answered(at, nanoseconds, nanoseconds / 2, false);
        }
        let mut merged = ByOperation::new();
        add(&mut merged, &one.whole);
        add(&mut merged, &two.whole);
        assert_eq!(merged[&at].response_ns, both.whole[&at].response_ns);
        assert_eq!(merged[&at].service_ns, both.whole[&at].service_ns);
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut recorder = Recorder::default();
        for number in 0..1_000 {
            recorder.failed((0, Operation::Get), &format!("E{number}"), None, || number.to_string());
        }
        let errors = &recorder.whole[&(0, Operation::Get)].errors;
        assert_eq!(errors.len(), EXCEPTIONS_MAX + 1);
        assert_eq!(errors.values().sum::<u64>(), 1_000);
        assert_eq!(recorder.first_error.as_deref(), Some("0"));
    }
}
