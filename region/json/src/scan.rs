//! Finding the bytes in a string that cannot stand in JSON as they are.

/// The first byte at or after `from` that is `"`, `\` or a control character below 0x20; the length if there is none.
#[inline]
pub(crate) fn special(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    // Eight bytes at a time, by the usual word tricks (each may err only on bytes above the first hit in the word, which
    // the least significant hit bit hides, because the word is little-endian).
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let hits = below_space(word) | zero_bytes(word ^ spread(b'"')) | zero_bytes(word ^ spread(b'\\'));
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .position(|byte| is_special(*byte))
        .map_or(bytes.len(), |n| at + n)
}

/// Whether the byte cannot stand in a JSON string as it is.
pub(crate) fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

const fn spread(byte: u8) -> u64 {
    u64::MAX / 255 * byte as u64
}

const HIGH_BITS: u64 = spread(0x80);

const fn below_space(word: u64) -> u64 {
    word.wrapping_sub(spread(0x20)) & !word & HIGH_BITS
}

const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(spread(1)) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(
            bytes in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'!'), Just(b'"'), Just(b'\\'), any::<u8>()], 0..40),
            from in 0usize..20,
        ) {
            let plain = (from..bytes.len()).find(|at| is_special(bytes[*at])).unwrap_or(bytes.len());
            prop_assert_eq!(special(&bytes, from), plain);
        }
    }
}
