//! How rows are kept: what costs least depends on how often they are read.

use crate::key_head;

/// How rows are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StorageClass {
    /// So that reading and writing costs least.
    #[default]
    Standard,
    /// So that keeping them costs least: they are read seldom.
    Infrequent,
}

/// The part of a key's head that has a class of its own: its space and its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(pub [u8; Prefix::BYTES]);

impl Prefix {
    /// Bytes of a prefix.
    pub const BYTES: usize = 9;

    /// The prefix of an owner's keys in a space.
    pub fn new(space: u8, owner: u64) -> Self {
        let mut prefix = [0; Self::BYTES];
        prefix.copy_from_slice(&key_head(space, owner, 0, 0)[..Self::BYTES]);
        Self(prefix)
    }

    /// The prefix of a key; none if it is too short to have one.
    pub fn of(key: &[u8]) -> Option<Self> {
        Some(Self(*key.first_chunk()?))
    }

    /// The next prefix, which is behind all keys of this one; none if there is none.
    pub fn next(self) -> Option<Self> {
        let mut next = self.0;
        for byte in next.iter_mut().rev() {
            let (more, over) = byte.overflowing_add(1);
            *byte = more;
            if !over {
                return Some(Self(next));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_before_its_keys_and_the_next_one_behind_them() {
        for owner in [0, 7, 255, u64::MAX] {
            let prefix = Prefix::new(3, owner);
            let key = key_head(3, owner, u64::MAX, 0);
            assert_eq!(Prefix::of(&key), Some(prefix));
            let next = prefix.next().unwrap();
            assert!(prefix.0[..] <= key[..] && key[..] < next.0[..], "{owner}");
            assert_eq!(
                next,
                owner
                    .checked_add(1)
                    .map_or(Prefix::new(4, 0), |owner| Prefix::new(3, owner))
            );
        }
        assert_eq!(Prefix::new(u8::MAX, u64::MAX).next(), None);
        assert_eq!(Prefix::of(b"short"), None);
    }
}
