//! Which client tokens may have been used lately, known without asking the engine: nearly every transaction has a token
//! that was never used, and to look for what is not there costs the engine more than to find an item.
//!
//! A Bloom filter for each of the last two stretches of ten minutes: what it does not have was not used; what it may have
//! is looked for on disk. Memory is bounded, whatever clients send: a filter that fills up only says "maybe" more often.

/// Bits of a stretch's filter: 1 MiB. With a million tokens in ten minutes, one new token in twenty is looked for.
const BITS: usize = 1 << 23;
const WORD_BITS: usize = u64::BITS as usize;

/// The tokens used in the last two stretches.
#[derive(Debug)]
pub(super) struct Recent {
    /// The first stretch all of whose tokens were added here. Those of earlier ones may be on disk only.
    since: u64,
    /// A stretch's place is its number modulo two.
    filters: [Filter; 2],
}

/// The tokens of one stretch.
#[derive(Debug, Default)]
struct Filter {
    stretch: u64,
    /// Nothing until a token is added.
    words: Vec<u64>,
}

impl Recent {
    /// None used yet in any stretch from this one on.
    pub(super) fn since(since: u64) -> Self {
        Self {
            since,
            filters: Default::default(),
        }
    }

    /// Adds a token, by its hash, before it is used in a stretch.
    pub(super) fn add(&mut self, stretch: u64, hash: u64) {
        let filter = &mut self.filters[place(stretch)];
        if filter.words.is_empty() {
            filter.words = vec![0; BITS / WORD_BITS];
            filter.stretch = stretch;
        } else if filter.stretch < stretch {
            filter.words.fill(0);
            filter.stretch = stretch;
        }
        // What comes too late for its stretch needs no place: of a stretch that was displaced, everything is "maybe".
        if filter.stretch == stretch {
            for bit in bits(hash) {
                filter.words[bit / WORD_BITS] |= 1 << (bit % WORD_BITS);
            }
        }
    }

    /// Whether a token may have been used in a stretch; if not, it was not.
    pub(super) fn may_have(&self, stretch: u64, hash: u64) -> bool {
        let filter = &self.filters[place(stretch)];
        if stretch < self.since {
            return true;
        }
        if filter.words.is_empty() || filter.stretch < stretch {
            return false;
        }
        let has = |bit: usize| filter.words[bit / WORD_BITS] & (1 << (bit % WORD_BITS)) != 0;
        filter.stretch > stretch || bits(hash).into_iter().all(has)
    }
}

fn place(stretch: u64) -> usize {
    usize::from(stretch % 2 == 1)
}

/// Two bits of a filter. The hash's halves are independent.
fn bits(hash: u64) -> [usize; 2] {
    [hash as usize % BITS, (hash >> 32) as usize % BITS]
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn hash(number: u64) -> u64 {
        xxh3_64(&number.to_be_bytes())
    }

    #[test]
    fn what_was_added_may_be_there_and_hardly_anything_else() {
        let mut recent = Recent::since(0);
        (0..10_000).for_each(|number| recent.add(7, hash(number)));
        assert!((0..10_000).all(|number| recent.may_have(7, hash(number))));
        let mistaken = (10_000..20_000).filter(|number| recent.may_have(7, hash(*number)));
        assert!(mistaken.count() < 10);
        assert!((0..10_000).all(|number| !recent.may_have(6, hash(number)) && !recent.may_have(8, hash(number))));
    }

    #[test]
    fn two_stretches_are_kept() {
        let mut recent = Recent::since(5);
        assert!(recent.may_have(4, hash(1)), "it may have been used before");
        assert!(!recent.may_have(5, hash(1)));
        recent.add(5, hash(1));
        recent.add(6, hash(2));
        assert!(recent.may_have(5, hash(1)) && !recent.may_have(6, hash(1)));
        recent.add(7, hash(3));
        assert!(recent.may_have(5, hash(9)), "what was displaced is not known any more");
        assert!(recent.may_have(6, hash(2)) && recent.may_have(7, hash(3)));
        assert!(!recent.may_have(7, hash(1)), "a stretch begins with no tokens");
        recent.add(5, hash(4));
        assert!(
            !recent.may_have(7, hash(4)),
            "what comes too late is in no other stretch"
        );
    }
}
