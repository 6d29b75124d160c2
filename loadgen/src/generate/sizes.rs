//! How large items are.

use std::str::FromStr;

use rand::Rng;
use serde::Serialize;

/// The smallest item, in bytes as DynamoDB counts them: keys, version and a name for the rest.
pub const ITEM_BYTES_MIN: usize = 64;
/// The largest; DynamoDB's limit is 400 KB.
pub const ITEM_BYTES_MAX: usize = 400 * 1024;

/// How an item's size is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// All alike.
    Constant(usize),
    /// From one size to another, each as likely.
    Uniform(usize, usize),
    /// Half below the median; the logarithm is normally distributed, with the deviation sigma.
    Lognormal {
        /// The median, in bytes.
        median: usize,
        /// The deviation of the natural logarithm.
        sigma: f64,
    },
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is no size: BYTES, FROM..TO or lognormal:MEDIAN,SIGMA ({ITEM_BYTES_MIN} to {ITEM_BYTES_MAX} bytes)"
            )
        };
        let bytes = |text: &str| {
            let bytes: usize = text.trim().parse().map_err(|_| wrong())?;
            if (ITEM_BYTES_MIN..=ITEM_BYTES_MAX).contains(&bytes) {
                Ok(bytes)
            } else {
                Err(wrong())
            }
        };
        if let Some(values) = text.strip_prefix("lognormal:") {
            let (median, sigma) = values.split_once(',').ok_or_else(wrong)?;
            let sigma: f64 = sigma.trim().parse().map_err(|_| wrong())?;
            if !(0.0..=5.0).contains(&sigma) {
                return Err(wrong());
            }
            return Ok(Self::Lognormal {
                median: bytes(median)?,
                sigma,
            });
        }
        match text.split_once("..") {
            Some((from, to)) if bytes(from)? <= bytes(to)? => Ok(Self::Uniform(bytes(from)?, bytes(to)?)),
            Some(_) => Err(wrong()),
            None => bytes(text).map(Self::Constant),
        }
    }
}

impl Sizes {
    /// A size.
    pub fn draw(&self, random: &mut impl Rng) -> usize {
        match *self {
            Self::Constant(bytes) => bytes,
            Self::Uniform(from, to) => random.random_range(from..=to),
            Self::Lognormal { median, sigma } => {
                // Box and Muller's transformation.
                let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
                let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                let bytes = median as f64 * (sigma * normal).exp();
                (bytes as usize).clamp(ITEM_BYTES_MIN, ITEM_BYTES_MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, expect: Option<Sizes>| assert_eq!(text.parse().ok(), expect, "{text}");
        check("300", Some(Sizes::Constant(300)));
        check("100..200", Some(Sizes::Uniform(100, 200)));
        check(
            "lognormal:300,0.5",
            Some(Sizes::Lognormal {
                median: 300,
                sigma: 0.5,
            }),
        );
        for bad in ["", "1", "9999999", "200..100", "lognormal:300", "lognormal:300,-1"] {
            check(bad, None);
        }
    }

    #[test]
    fn half_of_a_lognormal_is_below_its_median() {
        let sizes: Sizes = "lognormal:1000,0.8".parse().unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let below = (0..10_000).filter(|_| sizes.draw(&mut random) < 1000).count();
        assert!((4_800..5_200).contains(&below), "{below}");
    }
}
