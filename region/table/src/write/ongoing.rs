//! Which items have a write, or a transaction, in progress: by their exact keys, so that a conflict is never a
//! coincidence of hashes.
//!
//! Nothing here waits, so nothing here can lock up. Turns among writes, and against what other regions send, are the
//! latches' business (see [`crate::order`]); this only says who has to be told of a conflict.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::local::order::{Latch, latch_of};

/// How many lists the keys are spread over. Each holds few: there are no more entries than requests in progress.
const SHARDS: usize = 1024;

/// The items that are being written.
#[derive(Debug)]
pub(crate) struct Ongoing {
    shards: Box<[Mutex<Vec<Entry>>]>,
}

/// An item's key: its table and its table-relative bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whose {
    pub(crate) table: u64,
    pub(crate) key: Bytes,
}

#[derive(Debug)]
struct Entry {
    whose: Whose,
    /// How many writes; none is a transaction.
    writes: u32,
}

/// What one writes. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    ongoing: &'a Ongoing,
    held: smallvec::SmallVec<[Whose; 1]>,
}

impl Default for Ongoing {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Ongoing {
    /// Begins a write by itself; `None` if a transaction has the item. Other writes of it are no matter.
    pub(crate) fn write(&self, whose: Whose) -> Option<Writing<'_>> {
        let mut shard = self.shard(&whose).lock();
        match shard.iter_mut().find(|entry| entry.whose == whose) {
            Some(entry) if entry.writes == 0 => return None,
            Some(entry) => entry.writes += 1,
            None => shard.push(Entry {
                whose: whose.clone(),
                writes: 1,
            }),
        }
        drop(shard);
        Some(self.writing(whose))
    }

    /// Begins a transaction on distinct items; otherwise says for each, in their order, whether it is being written.
    ///
    /// The items are taken in one order everywhere, so of transactions that meet, one always goes on.
    pub(crate) fn transact(&self, items: &[Whose]) -> Result<Writing<'_>, Vec<bool>> {
        let mut ordered: Vec<_> = items.iter().collect();
        ordered.sort_unstable();
        let mut writing = Writing {
            ongoing: self,
            held: smallvec::SmallVec::with_capacity(items.len()),
        };
        for whose in ordered {
            let mut shard = self.shard(whose).lock();
            if shard.iter().any(|entry| entry.whose == *whose) {
                drop(shard);
                // Lets go first, and then only looks: what this one held is no conflict.
                drop(writing);
                return Err(items
                    .iter()
                    .map(|other| other == whose || self.is_written(other))
                    .collect());
            }
            shard.push(Entry {
                whose: whose.clone(),
                writes: 0,
            });
            drop(shard);
            writing.held.push(whose.clone());
        }
        Ok(writing)
    }

    /// Whether a write or a transaction is in progress on an item.
    pub(crate) fn is_written(&self, whose: &Whose) -> bool {
        self.shard(whose).lock().iter().any(|entry| entry.whose == *whose)
    }

    fn writing(&self, whose: Whose) -> Writing<'_> {
        Writing {
            ongoing: self,
            held: smallvec::smallvec![whose],
        }
    }

    fn shard(&self, whose: &Whose) -> &Mutex<Vec<Entry>> {
        let Latch(number) = latch_of(whose.table, &whose.key);
        &self.shards[number % SHARDS]
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        for whose in &self.held {
            let mut shard = self.ongoing.shard(whose).lock();
            let Some(at) = shard.iter().position(|entry| entry.whose == *whose) else {
                continue;
            };
            match &mut shard[at].writes {
                0 | 1 => drop(shard.swap_remove(at)),
                writes => *writes -= 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(table: u64, key: &'static str) -> Whose {
        Whose {
            table,
            key: Bytes::from_static(key.as_bytes()),
        }
    }

    #[test]
    fn writes_meet_writes_but_no_transaction_and_transactions_meet_nobody() {
        let ongoing = Ongoing::default();
        let (a, b, c) = (item(1, "a"), item(1, "b"), item(2, "a"));
        let first = ongoing.write(a.clone()).unwrap();
        let second = ongoing.write(a.clone()).unwrap();
        let items = [c.clone(), b.clone(), a.clone()];
        assert_eq!(ongoing.transact(&items).unwrap_err(), [false, false, true]);
        assert!(!ongoing.is_written(&b), "what a conflict held is let go");
        drop(first);
        assert!(ongoing.transact(&items).is_err(), "one write is still going on");
        drop(second);

        let transaction = ongoing.transact(&items).unwrap();
        assert!(ongoing.write(b.clone()).is_none());
        assert_eq!(ongoing.transact(&[item(3, "a"), b.clone()]).unwrap_err(), [false, true]);
        assert!(!ongoing.is_written(&item(3, "a")));
        drop(transaction);
        assert!(items.iter().all(|whose| !ongoing.is_written(whose)));
        assert!(ongoing.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn keys_that_share_a_list_are_different_keys() {
        let ongoing = Ongoing::default();
        let numbered = |number: u32| Whose {
            table: 1,
            key: Bytes::copy_from_slice(&number.to_be_bytes()),
        };
        let shard = |whose: &Whose| latch_of(whose.table, &whose.key).0;
        let first = numbered(0);
        // The same latch, so the same list too.
        let other = (1..10_000_000)
            .map(numbered)
            .find(|whose| shard(whose) == shard(&first));
        let other = other.expect("there are 16,384 latches");
        let _transaction = ongoing.transact(&[first]).unwrap();
        assert!(ongoing.write(other.clone()).is_some());
        assert!(ongoing.transact(&[other]).is_ok());
    }
}
