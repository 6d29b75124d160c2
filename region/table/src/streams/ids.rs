//! How shards, sequence numbers and iterators are written.

use geodynamo_replicator_core::{LogId, Millis, Position};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Added to every sequence number, so that all have 21 digits and compare as numbers and as texts alike.
const SEQUENCE_FIRST: u128 = 100_000_000_000_000_000_000;
/// What a shard id begins with.
const SHARD_PREFIX: &str = "shardId-";
/// Hex digits behind a shard id's time.
const SHARD_DIGITS: usize = 8;
/// Decimal digits of a shard id's time.
const SHARD_TIME_DIGITS: usize = 20;
/// Bytes of an iterator before its tag.
const ITERATOR_BYTES: usize = 27;
/// Bytes of an iterator's tag.
const TAG_BYTES: usize = 8;

/// A shard of a stream: the time in its id, and its partition.
///
/// Ids look like AWS's: `shardId-`, the milliseconds since the Unix epoch in 20 digits, then the partition and a check
/// of its log, four hex digits each. So the order of ids is the order of generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShardKey {
    pub(crate) id_ms: Millis,
    pub(crate) partition: u16,
}

impl ShardKey {
    /// Its id.
    pub(crate) fn id(self, log: LogId) -> String {
        let Self { id_ms, partition } = self;
        format!("{SHARD_PREFIX}{id_ms:020}-{partition:04x}{:04x}", log.0 & 0xffff)
    }

    /// The shard that an id may be of; whether it is must be seen by writing the id again.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let (time, rest) = id.strip_prefix(SHARD_PREFIX)?.split_once('-')?;
        let digits = time.len() == SHARD_TIME_DIGITS && time.bytes().all(|byte| byte.is_ascii_digit());
        let hex = rest.len() == SHARD_DIGITS && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || !hex {
            return None;
        }
        Some(Self {
            id_ms: time.parse().ok()?,
            partition: u16::from_str_radix(rest.get(..4)?, 16).ok()?,
        })
    }
}

/// The sequence numbers of one generation of a stream.
///
/// A generation takes two numbers besides its positions, one before its first record and one behind its last: so a
/// shard's range is never empty, and no two shards of a partition share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequences {
    /// The stream's.
    pub(crate) base: u64,
    /// The generation's number.
    pub(crate) generation: u32,
}

impl Sequences {
    /// The number of the record at a position; of the position before a shard's first record, its starting number.
    pub(crate) fn at(self, position: Position) -> String {
        (self.zero() + u128::from(position.0)).to_string()
    }

    /// The ending number of a shard whose last position this is.
    pub(crate) fn end(self, position: Position) -> String {
        (self.zero() + u128::from(position.0) + 1).to_string()
    }

    /// The position that a number stands for; `None` if no position of this generation has it.
    pub(crate) fn position(self, number: &str) -> Option<Position> {
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let position = number.parse::<u128>().ok()?.checked_sub(self.zero())?;
        u64::try_from(position).ok().map(Position)
    }

    fn zero(self) -> u128 {
        SEQUENCE_FIRST + u128::from(self.base) + 2 * u128::from(self.generation) + 1
    }
}

/// Where an iterator reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    /// At the oldest record that there is when it is used.
    TrimHorizon,
    /// Behind a position.
    After(Position),
}

/// A shard iterator.
///
/// It is written in hex with a tag over what it says, keyed by the replica, the table and the stream: a text that this
/// replica did not give out for the stream is not read as one. The tag keeps mistakes out, not an adversary: whoever may
/// read the stream may read all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardIterator {
    pub(crate) shard: ShardKey,
    pub(crate) from: ReadFrom,
    /// When it was given out, in milliseconds since the Unix epoch.
    pub(crate) issued_ms: Millis,
}

impl ShardIterator {
    /// Its text. `key` is the stream's.
    pub(crate) fn write(self, key: u64) -> String {
        let mut bytes = Vec::with_capacity(ITERATOR_BYTES + TAG_BYTES);
        bytes.extend_from_slice(&self.shard.id_ms.to_be_bytes());
        bytes.extend_from_slice(&self.shard.partition.to_be_bytes());
        let (kind, position) = match self.from {
            ReadFrom::TrimHorizon => (0, 0),
            ReadFrom::After(Position(position)) => (1, position),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&position.to_be_bytes());
        bytes.extend_from_slice(&self.issued_ms.to_be_bytes());
        let tag = xxh3_64_with_seed(&bytes, key);
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// Reads a text; `None` if it was not given out with this key.
    pub(crate) fn read(text: &str, key: u64) -> Option<Self> {
        if text.len() != 2 * (ITERATOR_BYTES + TAG_BYTES) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |at: usize| text.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let bytes = (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
        let (body, tag) = bytes.split_at(ITERATOR_BYTES);
        if xxh3_64_with_seed(body, key).to_be_bytes() != *tag {
            return None;
        }
        let number = |at: usize| {
            body.get(at..at + 8)
                .and_then(|part| part.try_into().ok())
                .map(u64::from_be_bytes)
        };
        let from = match body.get(10)? {
            0 => ReadFrom::TrimHorizon,
            1 => ReadFrom::After(Position(number(11)?)),
            _ => return None,
        };
        Some(Self {
            shard: ShardKey {
                id_ms: number(0)?,
                partition: u16::from_be_bytes([*body.get(8)?, *body.get(9)?]),
            },
            from,
            issued_ms: number(19)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shard_ids_look_like_awss() {
        let shard = ShardKey {
            id_ms: 1_414_562_045_508,
            partition: 0x2bac,
        };
        let id = shard.id(LogId(0xfeed_9cd2));
        assert_eq!(id, "shardId-00000001414562045508-2bac9cd2");
        assert_eq!(ShardKey::parse(&id), Some(shard));
        for bad in [
            "",
            "shardId-00000001414562045508",
            "shardId-1414562045508-2bac9cd2",
            "shardId-00000001414562045508-2bac9cd",
            "shardId-00000001414562045508-2bac9cdg",
            "shardId-+0000001414562045508-2bac9cd2",
            "shardId-99999999999999999999-2bac9cd2",
            "shardId-00000001414562045508-2baä9c",
        ] {
            assert_eq!(ShardKey::parse(bad), None, "{bad}");
        }
    }

    /// Two generations, the first of them empty, then one with records up to position 9.
    #[test]
    fn sequence_numbers_only_grow() {
        let sequences = |generation| Sequences { base: 1000, generation };
        let numbers = [
            sequences(0).at(Position(7)),
            sequences(0).end(Position(7)),
            sequences(1).at(Position(7)),
            sequences(1).at(Position(8)),
            sequences(1).at(Position(9)),
            sequences(1).end(Position(9)),
            sequences(2).at(Position(9)),
        ];
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(numbers.iter().all(|number| number.len() == 21));
        assert_eq!(sequences(1).position(&numbers[4]), Some(Position(9)));
        assert_eq!(sequences(1).position("+00000000000000001009"), None);
        assert_eq!(sequences(1).position("000000000000000000001"), None);
        assert_eq!(sequences(1).position(&"9".repeat(40)), None);
        let last = Sequences {
            base: u64::MAX,
            generation: u32::MAX,
        };
        assert_eq!(last.end(Position(u64::MAX)).len(), 21);
    }

    fn any_iterator() -> impl Strategy<Value = ShardIterator> {
        (any::<u64>(), any::<u16>(), any::<Option<u64>>(), any::<u64>()).prop_map(
            |(id_ms, partition, after, issued_ms)| ShardIterator {
                shard: ShardKey { id_ms, partition },
                from: after.map_or(ReadFrom::TrimHorizon, |after| ReadFrom::After(Position(after))),
                issued_ms,
            },
        )
    }

    proptest! {
        #[test]
        fn iterators_are_read_back(iterator in any_iterator(), key: u64) {
            let text = iterator.write(key);
            prop_assert_eq!(ShardIterator::read(&text, key), Some(iterator));
            prop_assert_eq!(ShardIterator::read(&text, key ^ 1), None);
        }

        #[test]
        fn changed_iterators_are_refused(iterator in any_iterator(), at in any::<prop::sample::Index>(), digit in 0..16_u8) {
            let text = iterator.write(7);
            let mut changed = text.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] = b"0123456789ABCDEF"[usize::from(digit)];
            let changed = String::from_utf8(changed).unwrap();
            prop_assert!(changed == text || ShardIterator::read(&changed, 7).is_none());
        }

        #[test]
        fn texts_never_panic(text in ".{0,80}") {
            let _ = (ShardIterator::read(&text, 7), ShardKey::parse(&text));
        }
    }
}
