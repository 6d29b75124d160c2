//! The one source of chance in a world.

/// PCG-XSH-RR 64/32: small, and the same on every machine and in every release, so that named seeds keep their meaning.
/// Source: O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms" (2014).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
    const INCREMENT: u64 = 1_442_695_040_888_963_407;

    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_add(Self::INCREMENT));
        rng.next();
        rng
    }

    fn next(&mut self) -> u32 {
        let state = self.0;
        self.0 = state.wrapping_mul(Self::MULTIPLIER).wrapping_add(Self::INCREMENT);
        let shifted = (((state >> 18) ^ state) >> 27) as u32;
        shifted.rotate_right((state >> 59) as u32)
    }

    /// A number from 0 to below `n`, which must not be 0. The bias of at most n/2^32 does not matter here.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u64::from(self.next()) * n) >> 32).min(n - 1)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a thousand.
    pub(crate) fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// An index into something of that length, which must not be 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let mut rng = Rng::new(42);
        let drawn: Vec<_> = (0..4).map(|_| rng.below(1000)).collect();
        assert_eq!(drawn, GOLDEN);
        assert!((0..10_000).all(|_| (3..=5).contains(&rng.between(3, 5))));
    }

    /// Fixed: the corpus of named seeds depends on it.
    const GOLDEN: [u64; 4] = [761, 418, 448, 266];
}
