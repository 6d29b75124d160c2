//! When requests are due.

use std::{str::FromStr, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

/// The most requests a second that a schedule may ask for.
pub const RATE_MAX: f64 = 10_000_000.0;
/// The most steps of a schedule.
pub const STEPS_MAX: usize = 1_000;

/// How requests arrive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Each connection asks again as soon as it is answered.
    Closed,
    /// Evenly, so many a second.
    Constant(f64),
    /// At random and independently of each other, so many a second on average.
    Poisson(f64),
    /// Evenly, from one rate to another over the whole run.
    Ramp(f64, f64),
    /// Evenly, at one rate after the other, each for an equal part of the run.
    Steps(Vec<f64>),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no schedule: closed, constant:RATE, poisson:RATE, ramp:FROM..TO or steps:RATE,RATE,… (requests a second)"
)]
pub struct ArrivalsError(String);

impl FromStr for Arrivals {
    type Err = ArrivalsError;

    fn from_str(text: &str) -> Result<Self, ArrivalsError> {
        let wrong = || ArrivalsError(text.to_owned());
        let rate = |text: &str| {
            let rate: f64 = text.trim().parse().map_err(|_| wrong())?;
            if (0.001..=RATE_MAX).contains(&rate) {
                Ok(rate)
            } else {
                Err(wrong())
            }
        };
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "closed" if value.is_empty() => Ok(Self::Closed),
            "constant" => Ok(Self::Constant(rate(value)?)),
            "poisson" => Ok(Self::Poisson(rate(value)?)),
            "ramp" => {
                let (from, to) = value.split_once("..").ok_or_else(wrong)?;
                Ok(Self::Ramp(rate(from)?, rate(to)?))
            }
            "steps" => {
                let rates = value.split(',').map(rate).collect::<Result<Vec<_>, _>>()?;
                if rates.len() > STEPS_MAX {
                    return Err(wrong());
                }
                Ok(Self::Steps(rates))
            }
            _ => Err(wrong()),
        }
    }
}

impl Arrivals {
    /// The rate that is asked for at a moment of a run of a length; `None` for a closed loop.
    pub fn rate_at(&self, at: Duration, length: Duration) -> Option<f64> {
        let part = (at.as_secs_f64() / length.as_secs_f64()).clamp(0.0, 1.0);
        Some(match self {
            Self::Closed => return None,
            Self::Constant(rate) | Self::Poisson(rate) => *rate,
            Self::Ramp(from, to) => from + (to - from) * part,
            Self::Steps(rates) => {
                let place = (part * rates.len() as f64) as usize;
                *rates.get(place).or(rates.last())?
            }
        })
    }

    /// How many requests are due within a run of a length.
    pub fn total(&self, length: Duration) -> Option<f64> {
        let seconds = length.as_secs_f64();
        Some(match self {
            Self::Closed => return None,
            Self::Constant(rate) | Self::Poisson(rate) => rate * seconds,
            Self::Ramp(from, to) => (from + to) / 2.0 * seconds,
            Self::Steps(rates) => rates.iter().sum::<f64>() / rates.len().max(1) as f64 * seconds,
        })
    }

    /// The schedule of a run.
    pub fn schedule(&self, length: Duration, seed: u64) -> Schedule {
        Schedule {
            arrivals: self.clone(),
            length,
            next: Duration::ZERO,
            random: StdRng::seed_from_u64(seed),
        }
    }
}

/// When each request of a run is due, after its start, in order.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    length: Duration,
    next: Duration,
    random: StdRng,
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = self.next;
        if due >= self.length {
            return None;
        }
        let rate = self.arrivals.rate_at(due, self.length)?.max(0.001);
        let gap = match self.arrivals {
            // Of a Poisson process, the gaps are distributed exponentially.
            Arrivals::Poisson(_) => -(1.0 - self.random.random::<f64>()).ln() / rate,
            _ => 1.0 / rate,
        };
        self.next = due + Duration::from_secs_f64(gap);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, expect: Option<Arrivals>| assert_eq!(text.parse().ok(), expect, "{text}");
        check("closed", Some(Arrivals::Closed));
        check("constant:500", Some(Arrivals::Constant(500.0)));
        check("poisson:0.5", Some(Arrivals::Poisson(0.5)));
        check("ramp:10..1000", Some(Arrivals::Ramp(10.0, 1000.0)));
        check("steps:1,2,3", Some(Arrivals::Steps(vec![1.0, 2.0, 3.0])));
        for bad in [
            "",
            "constant",
            "constant:-1",
            "constant:nan",
            "ramp:5",
            "steps:",
            "closed:1",
            "constant:1e99",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn as_many_are_due_as_were_asked_for() {
        let length = Duration::from_secs(10);
        for text in ["constant:1000", "poisson:1000", "ramp:100..1900", "steps:500,1500"] {
            let arrivals: Arrivals = text.parse().unwrap();
            let times: Vec<_> = arrivals.schedule(length, 7).collect();
            assert!(times.is_sorted());
            let (got, wanted) = (times.len() as f64, arrivals.total(length).unwrap());
            assert!((got / wanted - 1.0).abs() < 0.05, "{text}: {got} of {wanted}");
        }
        assert_eq!(Arrivals::Closed.schedule(length, 7).next(), None);
    }

    #[test]
    fn a_poisson_processs_gaps_vary_as_much_as_they_are_long() {
        let times: Vec<_> = Arrivals::Poisson(1000.0).schedule(Duration::from_secs(20), 3).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((deviation / mean - 1.0).abs() < 0.05, "{deviation} {mean}");
    }
}
