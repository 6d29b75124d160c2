//! Which items are asked for.

use std::str::FromStr;

use rand::Rng;
use serde::Serialize;

/// The skew of YCSB's zipfian choice.
const ZIPFIAN: f64 = 0.99;
/// Of a hotspot: this part of the requests …
const HOT_REQUESTS: f64 = 0.8;
/// … goes to this part of the items.
const HOT_ITEMS: f64 = 0.2;

/// How items are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyChoice {
    /// Each as likely.
    Uniform,
    /// A few far likelier than the rest, spread over the key space (YCSB's scrambled zipfian).
    Zipfian,
    /// The newest likeliest.
    Latest,
    /// 80 % of the requests for 20 % of the items.
    Hotspot,
}

impl FromStr for KeyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "uniform" => Self::Uniform,
            "zipfian" => Self::Zipfian,
            "latest" => Self::Latest,
            "hotspot" => Self::Hotspot,
            _ => {
                return Err(format!(
                    "'{text}' is no choice of keys: uniform, zipfian, latest or hotspot"
                ));
            }
        })
    }
}

/// Chooses items of a key space of which the first `count` are there. Made once: a zipfian choice needs a sum over all items.
#[derive(Clone, Debug)]
pub struct KeyChooser {
    choice: KeyChoice,
    zipfian: Zipfian,
}

impl KeyChooser {
    /// A chooser among `count` items, at least one.
    pub fn new(choice: KeyChoice, count: u64) -> Self {
        Self {
            choice,
            zipfian: Zipfian::new(count.max(1)),
        }
    }

    /// The number of an item, below `count`. Of the newest, a larger count than before is learnt, in time for each item more.
    pub fn choose(&mut self, count: u64, random: &mut impl Rng) -> u64 {
        let count = count.max(1);
        if self.choice == KeyChoice::Latest {
            self.zipfian.grow(count);
        }
        match self.choice {
            KeyChoice::Uniform => random.random_range(0..count),
            KeyChoice::Zipfian => scramble(self.zipfian.rank(random)) % count,
            KeyChoice::Latest => count - 1 - self.zipfian.rank(random).min(count - 1),
            KeyChoice::Hotspot => {
                let hot = ((count as f64 * HOT_ITEMS) as u64).max(1);
                if random.random::<f64>() < HOT_REQUESTS || hot == count {
                    random.random_range(0..hot)
                } else {
                    random.random_range(hot..count)
                }
            }
        }
    }
}

/// Ranks with probabilities that fall as 1/rank^0.99. Source: Gray et al., "Quickly Generating Billion-Record Synthetic
/// Databases", SIGMOD 1994, as in YCSB.
#[derive(Clone, Debug)]
struct Zipfian {
    items: f64,
    /// Of two items.
    zeta_two: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipfian {
    fn new(items: u64) -> Self {
        let zeta = |n: u64| (1..=n).map(part).sum::<f64>();
        let mut made = Self {
            items: 0.0,
            zeta_two: zeta(2.min(items)),
            alpha: 1.0 / (1.0 - ZIPFIAN),
            zeta: zeta(items),
            eta: 0.0,
        };
        made.set_items(items);
        made
    }

    /// Takes more items in.
    fn grow(&mut self, items: u64) {
        let known = self.items as u64;
        if items > known {
            self.zeta += (known + 1..=items).map(part).sum::<f64>();
            self.zeta_two = (1..=2.min(items)).map(part).sum();
            self.set_items(items);
        }
    }

    fn set_items(&mut self, items: u64) {
        self.items = items as f64;
        self.eta = (1.0 - (2.0 / self.items).powf(1.0 - ZIPFIAN)) / (1.0 - self.zeta_two / self.zeta);
    }

    fn rank(&self, random: &mut impl Rng) -> u64 {
        let u: f64 = random.random();
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        if uz < 1.0 + 0.5_f64.powf(ZIPFIAN) {
            return 1;
        }
        let rank = self.items * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.items as u64 - 1)
    }
}

/// A rank's part of the sum.
fn part(rank: u64) -> f64 {
    (rank as f64).powf(-ZIPFIAN)
}

/// FNV-1a of a number's bytes, as YCSB scrambles ranks.
fn scramble(rank: u64) -> u64 {
    rank.to_le_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn counts(choice: KeyChoice, items: u64) -> BTreeMap<u64, u64> {
        let mut chooser = KeyChooser::new(choice, items);
        let mut random = StdRng::seed_from_u64(1);
        let mut counts = BTreeMap::new();
        for _ in 0..100_000 {
            let key = chooser.choose(items, &mut random);
            assert!(key < items);
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    #[test]
    fn choices_are_as_skewed_as_they_say() {
        let most = |choice| counts(choice, 1_000).into_values().max().unwrap();
        assert!(most(KeyChoice::Uniform) < 200);
        // The likeliest of 1,000 items gets 1/zeta(1000) ≈ 13 %.
        assert!((11_000..16_000).contains(&most(KeyChoice::Zipfian)));
        let hot: u64 = counts(KeyChoice::Hotspot, 1_000)
            .range(..200)
            .map(|(_, count)| count)
            .sum();
        assert!((79_000..81_000).contains(&hot), "{hot}");
        let latest = counts(KeyChoice::Latest, 1_000);
        assert!(latest[&999] > latest[&998] && latest[&998] > 1_000);
    }

    #[test]
    fn a_choice_that_grew_is_as_one_that_was_made_so() {
        let (mut grown, made) = (Zipfian::new(10), Zipfian::new(1_000));
        grown.grow(600);
        grown.grow(1_000);
        assert!((grown.zeta - made.zeta).abs() < 1e-9 && (grown.eta - made.eta).abs() < 1e-9);
    }

    #[test]
    fn one_item_will_do() {
        for choice in [
            KeyChoice::Uniform,
            KeyChoice::Zipfian,
            KeyChoice::Latest,
            KeyChoice::Hotspot,
        ] {
            for items in [1, 2, 3] {
                counts(choice, items);
            }
        }
    }
}
