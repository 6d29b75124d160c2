//! Two runs side by side: which differences are beyond noise.
//!
//! Noise is judged from the seconds of each run: a figure's values by the second have a mean and a standard error, and a
//! difference counts if it is more than three of their joint errors and more than two percent. Seconds are not independent of
//! each other, so this errs towards seeing differences; runs of less than [`SECONDS_MIN`] seconds are not judged.

use std::fmt::Write as _;

use super::outcome::{Outcome, Second};

/// The fewest seconds of a run that can be judged.
pub const SECONDS_MIN: usize = 5;
/// So many joint standard errors are noise.
const ERRORS: f64 = 3.0;
/// So much of the first run's figure is noise, whatever the errors.
const SHARE_MIN: f64 = 0.02;

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What it is.
    pub figure: &'static str,
    /// The first run's mean by the second.
    pub first: f64,
    /// The second run's.
    pub second: f64,
    /// Whether the difference is beyond noise; `None` if the runs are too short to tell.
    pub beyond_noise: Option<bool>,
}

/// A figure's name, and how to read it of a second.
type Figure = (&'static str, fn(&Second) -> f64);

/// Compares rates and latencies.
pub fn compare(first: &Outcome, second: &Outcome) -> Vec<Difference> {
    let figures: [Figure; 4] = [
        ("done per s", |second| second.done as f64),
        ("p50 ms", |second| second.p50_ms),
        ("p99 ms", |second| second.p99_ms),
        ("p99.9 ms", |second| second.p999_ms),
    ];
    figures
        .into_iter()
        .map(|(figure, read)| {
            let values = |outcome: &Outcome| outcome.timeline.iter().map(read).collect::<Vec<f64>>();
            let (a, b) = (values(first), values(second));
            let ((mean_a, error_a), (mean_b, error_b)) = (mean_and_error(&a), mean_and_error(&b));
            let difference = (mean_a - mean_b).abs();
            let noise = (ERRORS * error_a.hypot(error_b)).max(SHARE_MIN * mean_a.abs());
            let enough = a.len() >= SECONDS_MIN && b.len() >= SECONDS_MIN;
            Difference {
                figure,
                first: mean_a,
                second: mean_b,
                beyond_noise: enough.then_some(difference > noise),
            }
        })
        .collect()
}

/// The comparison as a table.
pub fn table(differences: &[Difference]) -> String {
    let mut text = format!("{:<12} {:>12} {:>12} {:>8}", "", "first", "second", "ratio");
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
            "\n{:<12} {:>12.2} {:>12.2} {ratio:>8.3}  {verdict}",
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
        let of = |figure| {
            differences
                .iter()
                .find(|difference| difference.figure == figure)
                .unwrap()
                .beyond_noise
        };
        assert_eq!((of("p99 ms"), of("done per s")), (Some(true), Some(false)));
        let mut short = outcome(5);
        short.timeline.truncate(2);
        assert_eq!(compare(&short, &slow)[0].beyond_noise, None);
        assert!(table(&differences).contains("beyond noise"));
    }
}
