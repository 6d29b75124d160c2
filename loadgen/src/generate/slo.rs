//! Objectives: `put.p99<8ms`, `*.p99.9<20ms`, `lag.p99<500ms`, `errors<0.1%`, `rate>1000`.

use std::{str::FromStr, time::Duration};

use super::outcome::Outcome;

/// What stands for an operation where the lag between regions is meant.
const LAG: &str = "lag";

/// What a run must keep.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// A quantile of an operation's response time (all operations' if it is `None`) is below a bound.
    Latency {
        /// The operation's name.
        operation: Option<String>,
        /// The quantile, from 0 to 1.
        quantile: f64,
        /// The bound.
        below: Duration,
    },
    /// A quantile of how long writes took to be visible in another region is below a bound, of every directed pair.
    Lag {
        /// The quantile, from 0 to 1.
        quantile: f64,
        /// The bound.
        below: Duration,
    },
    /// The share of requests that failed is below a bound.
    Errors(f64),
    /// Requests done a second are above a bound.
    Rate(f64),
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is no objective: OPERATION.pQUANTILE<TIME (put.p99<8ms, *.p99.9<20ms), lag.p99<500ms, errors<0.1% or \
                 rate>1000"
            )
        };
        if let Some(bound) = text.strip_prefix("errors<") {
            let percent = bound.strip_suffix('%').ok_or_else(wrong)?;
            return Ok(Self::Errors(positive(percent).ok_or_else(wrong)? / 100.0));
        }
        if let Some(bound) = text.strip_prefix("rate>") {
            return Ok(Self::Rate(positive(bound).ok_or_else(wrong)?));
        }
        let (measure, bound) = text.split_once('<').ok_or_else(wrong)?;
        let (operation, quantile) = measure.split_once(".p").ok_or_else(wrong)?;
        let is_lag = operation == LAG;
        let known = is_lag
            || operation == "*"
            || super::workload::Operation::ALL
                .iter()
                .any(|(_, name)| *name == operation);
        let percent = positive(quantile)
            .filter(|percent| *percent <= 100.0)
            .ok_or_else(wrong)?;
        if !known {
            return Err(wrong());
        }
        let (quantile, below) = (percent / 100.0, time(bound).ok_or_else(wrong)?);
        if is_lag {
            return Ok(Self::Lag { quantile, below });
        }
        Ok(Self::Latency {
            operation: (operation != "*").then(|| operation.to_owned()),
            quantile,
            below,
        })
    }
}

fn positive(text: &str) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

fn time(text: &str) -> Option<Duration> {
    let units = [("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("s", 1.0)];
    let (number, scale) = units
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    Duration::try_from_secs_f64(positive(number)? * scale).ok()
}

impl Objective {
    /// Whether it is about how far regions lag behind each other.
    pub fn needs_probes(&self) -> bool {
        matches!(self, Self::Lag { .. })
    }

    /// What was measured where the objective is not kept; `None` if it is.
    pub fn missed(&self, outcome: &Outcome) -> Option<String> {
        match self {
            Self::Latency {
                operation,
                quantile,
                below,
            } => {
                let merged = outcome.response(operation.as_deref());
                let took = Duration::from_nanos(merged.value_at_quantile(*quantile));
                let name = operation.as_deref().unwrap_or("all operations");
                if merged.is_empty() {
                    return Some(format!("{name}: nothing was measured"));
                }
                (took >= *below).then(|| format!("{name}: p{} is {took:.2?}, not below {below:?}", quantile * 100.0))
            }
            Self::Lag { quantile, below } => missed_lag(outcome, *quantile, *below),
            Self::Errors(share) => {
                let (done, failed) = (outcome.done() as f64, outcome.failed() as f64);
                let found = failed / (done + failed).max(1.0);
                (found >= *share && failed > 0.0).then(|| {
                    format!(
                        "{:.3} % of requests failed, not below {} %",
                        found * 100.0,
                        share * 100.0
                    )
                })
            }
            Self::Rate(rate) => {
                (outcome.rate() <= *rate).then(|| format!("{:.0} requests a second, not above {rate}", outcome.rate()))
            }
        }
    }
}

/// The first pair whose lag is not below the bound.
fn missed_lag(outcome: &Outcome, quantile: f64, below: Duration) -> Option<String> {
    if outcome.lag.is_empty() {
        return Some(format!("{LAG}: nothing was measured"));
    }
    outcome.lag.iter().find_map(|lag| {
        let pair = format!("{LAG} from {} to {}", lag.from, lag.to);
        let Some(milliseconds) = lag.quantile(quantile) else {
            return Some(format!("{pair}: nothing was measured"));
        };
        (milliseconds >= below.as_secs_f64() * 1e3).then(|| {
            format!(
                "{pair}: p{} is {milliseconds:.2} ms, not below {below:?}",
                quantile * 100.0
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let latency = |operation: Option<&str>, quantile, below| Objective::Latency {
            operation: operation.map(str::to_owned),
            quantile,
            below,
        };
        let check = |text: &str, expect: Option<Objective>| assert_eq!(text.parse().ok(), expect, "{text}");
        check(
            "put.p99<8ms",
            Some(latency(Some("put"), 0.99, Duration::from_millis(8))),
        );
        check("*.p50<250us", Some(latency(None, 0.5, Duration::from_micros(250))));
        let (quantile, below) = (0.99, Duration::from_millis(500));
        check("lag.p99<500ms", Some(Objective::Lag { quantile, below }));
        check("errors<1%", Some(Objective::Errors(0.01)));
        check("rate>1000", Some(Objective::Rate(1000.0)));
        for bad in [
            "",
            "put<8ms",
            "fly.p99<8ms",
            "put.p101<8ms",
            "put.p99<8",
            "errors<1",
            "rate<5",
            "lag<5ms",
        ] {
            check(bad, None);
        }
    }
}
