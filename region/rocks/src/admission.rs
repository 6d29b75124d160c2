//! Which reads bring what they found into a full cache.
//!
//! Where a table is far larger than its caches, what a read of one row brings in is most often gone before it is read
//! again, and both its coming and the going of what it displaces touch memory that lies in no cache of the processor. So
//! once a cache is full, one in [`ONE_IN`] of such reads brings in what it found, by chance: what is read often still comes
//! in soon, and stays for longer. What the others find on their way is not kept either, indexes and filters of files
//! included: until a file's are in, some reads pay for all of them. (Bimodal insertion: Qureshi et al., "Adaptive Insertion
//! Policies for High Performance Caching", ISCA 2007.)

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;

/// One in so many reads brings in what it found.
pub(crate) const ONE_IN: u32 = 8;

/// Whether this read is one that does.
pub(crate) fn is_lucky() -> bool {
    thread_local! {
        static LAST: Cell<NonZeroU32> = Cell::new(seed());
    }
    LAST.with(|last| {
        let now = next(last.get());
        last.set(now);
        now.get().is_multiple_of(ONE_IN)
    })
}

/// Another one for each thread.
fn seed() -> NonZeroU32 {
    // Half of the hash is as random as all of it.
    NonZeroU32::new(RandomState::new().hash_one(()) as u32).unwrap_or(NonZeroU32::MIN)
}

/// Marsaglia's xorshift of 32 bits: its state is never zero.
fn next(last: NonZeroU32) -> NonZeroU32 {
    let mut state = last.get();
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    NonZeroU32::new(state).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_is_lucky_on_every_thread() {
        let draws = 80_000_u32;
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || (0..draws).filter(|_| is_lucky()).count()))
            .collect();
        for thread in threads {
            let lucky = thread.join().unwrap_or_default();
            let due = (draws / ONE_IN) as usize;
            assert!((due * 9 / 10..due * 11 / 10).contains(&lucky), "{lucky} of {draws}");
        }
    }

    #[test]
    fn no_regular_pattern_of_reads_is_always_out_of_luck() {
        // Every key of a loop over as many keys as there are reads to a lucky one.
        let mut lucky = [0; ONE_IN as usize];
        for read in 0..8_000 {
            lucky[read % lucky.len()] += u32::from(is_lucky());
        }
        assert!(lucky.iter().all(|&times| times > 50), "{lucky:?}");
    }
}
