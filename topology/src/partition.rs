//! The partition hash and the partition map.
//!
//! The hash decides where every item is stored and replicated, so neither it nor the rule may ever change.

use xxhash_rust::xxh3::xxh3_64;

/// The most segments a parallel scan may have, as in DynamoDB's API model (`ScanTotalSegments`).
pub const SEGMENTS_MAX: u32 = 1_000_000;

/// The partition hash: XXH3-64 with seed 0 over the partition key's order-preserving bytes, before escaping.
pub fn partition_hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// How a table's hash space is cut: partition `i` of `n` holds the hashes in `[i·2^64/n, (i+1)·2^64/n)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMap {
    partitions: u16,
}

impl PartitionMap {
    /// The map while one node holds everything: one partition.
    pub const WHOLE: Self = Self { partitions: 1 };

    /// Equal partitions; `None` if there would be none.
    pub const fn uniform(partitions: u16) -> Option<Self> {
        if partitions == 0 {
            None
        } else {
            Some(Self { partitions })
        }
    }

    /// How many partitions there are, at least 1.
    pub const fn partitions(self) -> u16 {
        self.partitions
    }

    /// The partition that holds a hash.
    pub const fn partition_of(self, hash: u64) -> u16 {
        // hash · n / 2^64, rounded down, is below n, which is a u16.
        ((hash as u128 * self.partitions as u128) >> 64) as u16
    }

    /// The first and the last hash of a partition; `None` if there is no such partition.
    pub const fn range(self, partition: u16) -> Option<(u64, u64)> {
        slice(partition as u32, self.partitions as u32)
    }
}

/// The first and the last hash of a parallel scan's segment, by the same rule as partitions.
///
/// `None` if there is no such segment or `total` is not from 1 to [`SEGMENTS_MAX`].
pub const fn segment_range(segment: u32, total: u32) -> Option<(u64, u64)> {
    if total > SEGMENTS_MAX {
        None
    } else {
        slice(segment, total)
    }
}

/// The hashes in `[i·2^64/n, (i+1)·2^64/n)`, first and last.
const fn slice(i: u32, n: u32) -> Option<(u64, u64)> {
    if i >= n {
        return None;
    }
    let start = ((i as u128) << 64).div_ceil(n as u128);
    let end = ((i as u128 + 1) << 64).div_ceil(n as u128) - 1;
    // i < n, so both are below 2^64.
    Some((start as u64, end as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fixed for ever: data on disk is placed by these. From the reference implementation (PyPI xxhash, xxh3_64).
    #[test]
    fn golden_hashes() {
        let long: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let cases: [(&[u8], u64); 8] = [
            (b"", 0x2d06_8005_38d3_94c2),
            (b"a", 0xe6c6_32b6_1e96_4e1f),
            (b"user-1", 0x7c76_15c1_1438_e5c9),
            (&[0], 0xc44b_dff4_074e_ecdb),
            (&[0, 0xff, 0, 1], 0x4c3d_2ae1_a5fb_793e),
            (b"0123456789abcdef", 0x6443_9946_d8fa_212d),
            (b"the quick brown fox jumps over the lazy dog", 0xe454_1a9c_acf5_45aa),
            (&[0x80, 1], 0xcbb6_2e26_b39e_4890),
        ];
        for (bytes, expect) in cases {
            assert_eq!(partition_hash(bytes), expect, "{bytes:?}");
        }
        assert_eq!(partition_hash(&long), 0xd33d_d80b_46f6_0e50);
    }

    #[test]
    fn ranges() {
        let check = |n: u16, partition: u16, expect: Option<(u64, u64)>| {
            assert_eq!(
                PartitionMap::uniform(n).and_then(|map| map.range(partition)),
                expect,
                "{partition} of {n}"
            );
        };
        check(0, 0, None);
        check(1, 0, Some((0, u64::MAX)));
        check(1, 1, None);
        check(2, 0, Some((0, (1 << 63) - 1)));
        check(2, 1, Some((1 << 63, u64::MAX)));
        check(3, 0, Some((0, 0x5555_5555_5555_5555)));
        check(3, 1, Some((0x5555_5555_5555_5556, 0xaaaa_aaaa_aaaa_aaaa)));
        check(3, 2, Some((0xaaaa_aaaa_aaaa_aaab, u64::MAX)));
        check(u16::MAX, u16::MAX, None);
        assert_eq!(segment_range(0, 0), None);
        assert_eq!(segment_range(0, 1), Some((0, u64::MAX)));
        assert_eq!(segment_range(0, SEGMENTS_MAX + 1), None);
        assert_eq!(PartitionMap::WHOLE.partition_of(u64::MAX), 0);
    }

    proptest! {
        #[test]
        fn partitions_cover_every_hash_once(n in 1..=u16::MAX, hash: u64) {
            let map = PartitionMap::uniform(n).unwrap();
            let partition = map.partition_of(hash);
            let (start, end) = map.range(partition).unwrap();
            prop_assert!(start <= hash && hash <= end);
            if let Some((next, _)) = partition.checked_add(1).and_then(|next| map.range(next)) {
                prop_assert_eq!(end + 1, next);
                prop_assert_eq!(map.partition_of(next), partition + 1);
            } else {
                prop_assert_eq!(end, u64::MAX);
            }
        }

        #[test]
        fn segments_join_without_gaps(total in 1..=SEGMENTS_MAX, segment: u32) {
            let segment = segment % total;
            let (start, end) = segment_range(segment, total).unwrap();
            prop_assert!(start <= end);
            match segment_range(segment + 1, total) {
                Some((next, _)) => prop_assert_eq!(end + 1, next),
                None => prop_assert_eq!(end, u64::MAX),
            }
        }
    }
}
