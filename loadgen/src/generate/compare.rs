//! Two runs side by side: which differences are beyond noise.
//!
//! Noise is judged from the seconds of each run: a figure's values by the second have a mean and a standard error, and a
//! difference counts if it is more than three of their joint errors and more than two percent. Seconds are not independent of
//! each other, so this errs towards seeing differences; runs of less than [`SECONDS_MIN`] seconds are not judged.

use std::{collections::BTreeMap, fmt::Write as _};

use super::outcome::Outcome;

/// The fewest seconds of a run that can be judged.
pub const SECONDS_MIN: usize = 5;
/// So many joint standard errors are noise.
const ERRORS: f64 = 3.0;
/// So much of the first run's figure is noise, whatever the errors.
const SHARE_MIN: f64 = 0.02;

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What it is: `done per s`, `REGION OPERATION p99 ms`, `lag FROM to TO ms`.
    pub figure: String,
    /// The first run's mean by the second; of lag, by the probe.
    pub first: f64,
    /// The second run's.
    pub second: f64,
    /// Whether the difference is beyond noise; `None` if the runs are too short to tell.
    pub beyond_noise: Option<bool>,
}

/// Compares rates and latencies, of all requests and by region and operation, and how far regions lag behind each other. What
/// only one of the runs has is left out.
pub fn compare(first: &Outcome, second: &Outcome) -> Vec<Difference> {
    let (of_first, mut of_second) = (figures(first), figures(second).into_iter().collect::<BTreeMap<_, _>>());
    let both = of_first
        .into_iter()
        .filter_map(|(figure, values)| Some((of_second.remove(&figure)?, figure, values)));
    both.map(|(b, figure, a)| difference(figure, &a, &b)).collect()
}

fn difference(figure: String, a: &[f64], b: &[f64]) -> Difference {
    let ((mean_a, error_a), (mean_b, error_b)) = (mean_and_error(a), mean_and_error(b));
    let noise = (ERRORS * error_a.hypot(error_b)).max(SHARE_MIN * mean_a.abs());
    let enough = a.len() >= SECONDS_MIN && b.len() >= SECONDS_MIN;
    Difference {
        figure,
        first: mean_a,
        second: mean_b,
        beyond_noise: enough.then_some((mean_a - mean_b).abs() > noise),
    }
}

/// A run's figures, each with its values by the second.
fn figures(outcome: &Outcome) -> Vec<(String, Vec<f64>)> {
    let names = ["done per s", "p50 ms", "p99 ms", "p99.9 ms"];
    let seconds = || outcome.timeline.iter().filter(|second| !second.rest);
    let mut all: Vec<(String, Vec<f64>)> = names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
    for second in seconds() {
        let values = [second.done as f64, second.p50_ms, second.p99_ms, second.p999_ms];
        all.iter_mut().zip(values).for_each(|((_, all), value)| all.push(value));
    }
    for one in &outcome.operations {
        let mut found: Vec<(String, Vec<f64>)> = names[..3]
            .iter()
            .map(|name| (format!("{} {} {name}", one.region, one.operation), Vec::new()))
            .collect();
        for second in seconds() {
            let of_second = second
                .operations
                .iter()
                .find(|other| (&other.region, &other.operation) == (&one.region, &one.operation));
            found[0].1.push(of_second.map_or(0.0, |one| one.done as f64));
            // A second in which nothing was done has a rate, but no latency.
            for (at, name) in [(1, "p50"), (2, "p99")] {
                found[at].1.extend(of_second.and_then(|one| one.response_ms.get(name)));
            }
        }
        all.extend(found);
    }
    for lag in &outcome.lag {
        let values = lag.series.iter().map(|(_, milliseconds)| *milliseconds).collect();
        all.push((format!("lag {} to {} ms", lag.from, lag.to), values));
    }
    all
}

/// The comparison as a table.
pub fn table(differences: &[Difference]) -> String {
    let width = differences.iter().map(|one| one.figure.len()).max().unwrap_or_default();
    let mut text = format!("{:<width$} {:>12} {:>12} {:>8}", "", "first", "second", "ratio");
    for difference in differences {
        let verdict = match difference.beyond_noise {
            Some(true) => "beyond noise",
            Some(false) => "within noise",
            None => "too short to tell",
        };
        let ratio = difference.second / difference.first;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{:<width$} {:>12.2} {:>12.2} {ratio:>8.3}  {verdict}",
            difference.figure, difference.first, difference.second
        );
    }
    text
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::{super::outcome::tests::outcome, *};

    #[test]
    fn a_run_is_like_itself_and_unlike_a_slower_one() {
        let (fast, slow) = (outcome(5), outcome(8));
        assert!(
            compare(&fast, &fast)
                .iter()
                .all(|difference| difference.beyond_noise == Some(false))
        );
        let differences = compare(&fast, &slow);
        let of = |figure: &str| {
            differences
                .iter()
                .find(|difference| difference.figure == figure)
                .unwrap()
                .beyond_noise
        };
        assert_eq!((of("p99 ms"), of("done per s")), (Some(true), Some(false)));
        assert_eq!(of("us-east-1 get p99 ms"), Some(true));
        assert_eq!(of("us-east-1 get done per s"), Some(false));
        assert_eq!(of("lag us-east-1 to eu-west-1 ms"), Some(true));
        let mut short = outcome(5);
        short.timeline.truncate(2);
        assert_eq!(compare(&short, &slow)[0].beyond_noise, None);
        assert!(table(&differences).contains("beyond noise"));
        let mut rest = outcome(5);
        rest.timeline.last_mut().unwrap().rest = true;
        rest.timeline.last_mut().unwrap().done = 100_000;
        assert_eq!(compare(&rest, &fast)[0].beyond_noise, Some(false));
    }
}
