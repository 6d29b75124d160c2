//! What every engine checks of a commit and of a scan before it does anything.

use std::ops::Bound;

use bytes::Bytes;

use crate::{
    Append, COMMIT_BYTES_MAX, COMMIT_WRITES_MAX, Commit, Group, KEY_BYTES_MAX, KEY_HEAD, Precondition, Scan,
    StorageError, Write,
};

impl Commit {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.preconditions.is_empty() && self.writes.is_empty() && self.appends.is_empty()
    }

    /// Refuses a commit that passes a limit: of a key's length, of the number of writes (preconditions and appends are
    /// held to the same number, each for itself), of all bytes together.
    pub fn check(&self) -> Result<(), StorageError> {
        self.check_within(COMMIT_BYTES_MAX)
    }

    /// As [`Commit::check`], for an engine that takes so many bytes at most.
    pub fn check_within(&self, bytes_max: usize) -> Result<(), StorageError> {
        if self.writes.len() > COMMIT_WRITES_MAX {
            return Err(StorageError::TooLarge("too many writes in one commit"));
        }
        if self.preconditions.len() > COMMIT_WRITES_MAX {
            return Err(StorageError::TooLarge("too many preconditions in one commit"));
        }
        if self.appends.len() > COMMIT_WRITES_MAX {
            return Err(StorageError::TooLarge("too many log records in one commit"));
        }
        let range_ends = self.writes.iter().filter_map(|write| match write {
            Write::DeleteRange(_, to) => Some(to),
            Write::Put(..) | Write::Delete(_) => None,
        });
        if self.keys().chain(range_ends).any(|key| key.len() > KEY_BYTES_MAX) {
            return Err(StorageError::TooLarge("a key is too long"));
        }
        if self.bytes() > bytes_max {
            return Err(StorageError::TooLarge("too many bytes in one commit"));
        }
        Ok(())
    }

    /// The bytes of all keys, values and records.
    pub fn bytes(&self) -> usize {
        let preconditions = self.preconditions.iter().map(|precondition| match precondition {
            Precondition::Absent(key) => key.len(),
            Precondition::Equals(key, value) => key.len().saturating_add(value.len()),
        });
        let writes = self.writes.iter().map(|write| match write {
            Write::Put(key, value) => key.len().saturating_add(value.len()),
            Write::Delete(key) => key.len(),
            Write::DeleteRange(from, to) => from.len().saturating_add(to.len()),
        });
        let appends = self.appends.iter().map(|Append { record, .. }| record.len());
        preconditions
            .chain(writes)
            .chain(appends)
            .fold(0, usize::saturating_add)
    }

    /// Whether all keys that the commit reads or writes are in one group. Appends don't count: a log belongs to the
    /// commit. A deleted range must begin and end in one space of the group; as the end itself is not deleted, the range of a whole
    /// group (which ends at the next group's first key) is in one group too.
    pub fn in_one_group(&self) -> bool {
        let mut groups = self.keys().map(|key| Group::of(key));
        let one = groups.next().is_none_or(|first| groups.all(|group| group == first));
        one && self.writes.iter().all(|write| match write {
            Write::Put(..) | Write::Delete(_) => true,
            Write::DeleteRange(from, to) => from >= to || head_of(from) == head_of(to) || ends_group(from, to),
        })
    }

    /// The keys of preconditions and writes; of a range the first.
    fn keys(&self) -> impl Iterator<Item = &Bytes> {
        let preconditions = self.preconditions.iter().map(|precondition| match precondition {
            Precondition::Absent(key) | Precondition::Equals(key, _) => key,
        });
        let writes = self.writes.iter().map(|write| match write {
            Write::Put(key, _) | Write::Delete(key) | Write::DeleteRange(key, _) => key,
        });
        preconditions.chain(writes)
    }
}

/// A key's head; a shorter key is padded with zeros.
fn head_of(key: &[u8]) -> [u8; KEY_HEAD] {
    let mut head = [0; KEY_HEAD];
    for (to, from) in head.iter_mut().zip(key) {
        *to = *from;
    }
    head
}

/// Whether `to` is the least key behind all keys that share `from`'s space and group.
fn ends_group(from: &[u8], to: &[u8]) -> bool {
    let mut head = head_of(from);
    for at in (0..head.len()).rev() {
        match head[at].checked_add(1) {
            Some(next) => {
                head[at] = next;
                // Trailing zeros of the end may be written or not: a shorter key is padded with them.
                let end = &head[..=at];
                return to.starts_with(end) && to.len() <= head.len() && to[end.len()..].iter().all(|byte| *byte == 0);
            }
            None => head[at] = 0,
        }
    }
    false
}

impl Scan {
    /// Whether no key can be within the bounds.
    pub fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        }
    }
}
