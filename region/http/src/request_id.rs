//! The id that every answer carries in `x-amzn-requestid`.

use std::cell::Cell;

use http::HeaderValue;

/// DynamoDB's ids have 52 characters of base 32.
const LENGTH: usize = 52;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// A fresh id: 260 bits of a generator that each thread seeds with 64 bits of the operating system's randomness. Unique
/// for all that matters, not secret.
pub(crate) fn next() -> HeaderValue {
    let mut text = [0; LENGTH];
    for chunk in text.chunks_mut(12) {
        let mut bits = next_u64();
        for character in chunk {
            *character = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
    }
    // The alphabet has only characters that a header may hold.
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): five multiplications an id.
fn next_u64() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(rand::random());
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mut mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct_and_of_the_right_shape() {
        let ids: HashSet<_> = (0..10_000).map(|_| next()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(
            ids.iter()
                .all(|id| id.len() == LENGTH && id.as_bytes().iter().all(|byte| ALPHABET.contains(byte)))
        );
    }
}
