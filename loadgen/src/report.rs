//! A run as a table and as JSON.

use serde_json::{Value, json};

use crate::load::Outcome;

/// The figures of a run as one JSON object: rates a second, latencies in milliseconds.
pub fn to_json(name: &str, outcome: &Outcome) -> Value {
    json!({
        "name": name,
        "requests": outcome.done,
        "errors": outcome.errors,
        "first_error": outcome.first_error,
        "rate": round(outcome.rate(), 1),
        "p50_ms": round(outcome.quantile_ms(0.5), 3),
        "p90_ms": round(outcome.quantile_ms(0.9), 3),
        "p99_ms": round(outcome.quantile_ms(0.99), 3),
        "p999_ms": round(outcome.quantile_ms(0.999), 3),
        "max_ms": round(outcome.latency_ns.max() as f64 / 1e6, 3),
    })
}

/// The heading of `row`'s columns.
pub fn heading() -> String {
    format!(
        "{:<34} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "run", "per s", "errors", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"
    )
}

/// A run in one line.
pub fn row(name: &str, outcome: &Outcome) -> String {
    format!(
        "{:<34} {:>10.0} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
        name,
        outcome.rate(),
        outcome.errors,
        outcome.quantile_ms(0.5),
        outcome.quantile_ms(0.9),
        outcome.quantile_ms(0.99),
        outcome.quantile_ms(0.999),
        outcome.latency_ns.max() as f64 / 1e6,
    )
}

/// The middle one of an odd number of figures (the upper middle of an even number); 0 of none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn round(figure: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (figure * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        let check = |figures: &[f64], expect: f64| assert_eq!(median(figures), expect);
        check(&[], 0.0);
        check(&[3.0], 3.0);
        check(&[5.0, 1.0, 3.0], 3.0);
        check(&[4.0, 1.0, 3.0, 2.0], 3.0);
    }
}
