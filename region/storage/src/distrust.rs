//! What an engine holds but does not vouch for: ranges of keys of which a damaged file had rows.
//!
//! An engine that finds a part of what it stores unreadable takes it out of use, and says so here before it does: a key in
//! such a range may have had a row that is gone, or a newer one than is there. Whoever answers a client must not; whoever
//! brings such a range up to date by comparing it with a copy may read what is there, and then says that it can be trusted.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::{LogId, Position, Scan, StorageError};

/// Where a record of a change log lies: its segment, its log, its position.
pub type RecordPlace = (u64, LogId, Position);

/// What is not vouched for, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distrust {
    /// Ranges of keys, `[from, to)`, that do not overlap.
    rows: BTreeMap<Bytes, Bytes>,
    /// Ranges of places of records, likewise: records that lay there are gone.
    records: BTreeMap<RecordPlace, RecordPlace>,
}

impl Distrust {
    /// Whether all is vouched for.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.records.is_empty()
    }

    /// The ranges of keys, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.rows.iter()
    }

    /// The ranges of records' places, in order.
    pub fn records(&self) -> impl Iterator<Item = (&RecordPlace, &RecordPlace)> {
        self.records.iter()
    }

    /// The parts of a range of keys that are not vouched for.
    pub fn within<'a>(&'a self, from: &'a [u8], to: &'a [u8]) -> impl Iterator<Item = (Bytes, Bytes)> + 'a {
        let before = self.rows.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(to)));
        before
            .filter(move |(_, end)| end.as_ref() > from)
            .map(move |(begin, end)| {
                let begin = if begin.as_ref() < from {
                    Bytes::copy_from_slice(from)
                } else {
                    begin.clone()
                };
                let end = if end.as_ref() > to {
                    Bytes::copy_from_slice(to)
                } else {
                    end.clone()
                };
                (begin, end)
            })
    }

    /// Whether a key is in one of them.
    pub fn covers(&self, key: &[u8]) -> bool {
        let before = (Bound::Unbounded, Bound::Included(key));
        let last = self.rows.range::<[u8], _>(before).next_back();
        last.is_some_and(|(_, to)| key < to.as_ref())
    }

    /// Whether a log may lack records.
    pub fn may_lack(&self, log: LogId) -> bool {
        self.records
            .iter()
            .any(|(from, to)| from.0 != to.0 || (from.1 <= log && log <= to.1))
    }

    /// Whether another one has all of it.
    fn is_part_of(&self, other: &Self) -> bool {
        fn is_part<K: Ord>(some: &BTreeMap<K, K>, of: &BTreeMap<K, K>) -> bool {
            let holds = |(from, to): (&K, &K)| of.range(..=from).next_back().is_some_and(|(_, end)| to <= end);
            some.iter().all(holds)
        }
        is_part(&self.rows, &other.rows) && is_part(&self.records, &other.records)
    }

    /// Adds a range of keys.
    pub fn add_rows(&mut self, from: Bytes, to: Bytes) {
        add(&mut self.rows, from, to);
    }

    /// Adds a range of records' places.
    pub fn add_records(&mut self, from: RecordPlace, to: RecordPlace) {
        add(&mut self.records, from, to);
    }

    /// Takes a range of keys out.
    pub fn remove_rows(&mut self, from: &Bytes, to: &Bytes) {
        let touched: Vec<_> = self
            .rows
            .range::<[u8], _>((Bound::Unbounded, Bound::Excluded(to.as_ref())))
            .filter(|(_, end)| *end > from)
            .map(|(begin, end)| (begin.clone(), end.clone()))
            .collect();
        for (begin, end) in touched {
            self.rows.remove(&begin);
            if begin < *from {
                self.rows.insert(begin, from.clone());
            }
            if *to < end {
                self.rows.insert(to.clone(), end);
            }
        }
    }

    /// Takes all ranges of records' places out.
    pub fn remove_records(&mut self) {
        self.records.clear();
    }
}

/// Adds a range, merged with those that it overlaps or touches.
fn add<K: Ord + Clone>(ranges: &mut BTreeMap<K, K>, mut from: K, mut to: K) {
    if from >= to {
        return;
    }
    let touched: Vec<K> = ranges
        .range(..=&to)
        .filter(|(_, end)| **end >= from)
        .map(|(begin, _)| begin.clone())
        .collect();
    for begin in touched {
        if let Some(end) = ranges.remove(&begin) {
            from = from.min(begin);
            to = to.max(end);
        }
    }
    ranges.insert(from, to);
}

/// What is not vouched for, as it changes. Reading costs next to nothing while there is none.
#[derive(Debug, Default)]
pub struct Distrusted {
    /// How often it has changed; 0: there never was any.
    changes: AtomicU64,
    /// How often something was added to it.
    losses: AtomicU64,
    now: RwLock<Arc<Distrust>>,
}

/// What was not vouched for when a read began.
#[derive(Clone, Debug, Default)]
pub struct Doubt {
    changes: u64,
    of: Option<Arc<Distrust>>,
}

impl Distrusted {
    /// As it is now.
    pub fn now(&self) -> Arc<Distrust> {
        self.now.read().clone()
    }

    /// How often something was added to it: whoever mends begins anew when that changes.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// A read begins.
    pub fn doubt(&self) -> Doubt {
        let changes = self.changes.load(Ordering::Acquire);
        let of = (changes > 0).then(|| self.now()).filter(|now| !now.is_empty());
        Doubt { changes, of }
    }

    /// Whether nothing has changed since a read began: else what it found may be of either state, and it is done once more.
    pub fn is_still(&self, doubt: &Doubt) -> bool {
        self.changes.load(Ordering::Acquire) == doubt.changes
    }

    /// Changes it: before anything is taken out of use, and after it can be trusted.
    pub fn change(&self, to: Distrust) {
        let mut now = self.now.write();
        if **now != to {
            if !to.is_part_of(&now) {
                self.losses.fetch_add(1, Ordering::AcqRel);
            }
            *now = Arc::new(to);
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Doubt {
    /// Refuses a key that is not vouched for.
    ///
    /// # Errors
    /// [`StorageError::Distrusted`].
    pub fn check(&self, key: &[u8]) -> Result<(), StorageError> {
        match &self.of {
            Some(distrust) if distrust.covers(key) => Err(StorageError::Distrusted),
            _ => Ok(()),
        }
    }

    /// Refuses a page of a scan that went over keys that are not vouched for. `last` is the key of its last row, if the scan may
    /// go on behind it.
    ///
    /// # Errors
    /// [`StorageError::Distrusted`].
    pub fn check_scan(&self, scan: &Scan, last: Option<&Bytes>) -> Result<(), StorageError> {
        let Some(distrust) = &self.of else { return Ok(()) };
        let forward = scan.direction == crate::Direction::Forward;
        let edge = |bound: &Bound<Bytes>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.clone()),
            Bound::Unbounded => None,
        };
        let low = if forward { None } else { last.cloned() }.or_else(|| edge(&scan.from));
        let high = if forward { last.cloned() } else { None };
        let is_inclusive = high.is_some() || matches!(scan.to, Bound::Included(_));
        let high = high.or_else(|| edge(&scan.to));
        let touches = distrust.rows.iter().any(|(from, to)| {
            let begins = high
                .as_ref()
                .is_none_or(|high| if is_inclusive { from <= high } else { from < high });
            begins && low.as_ref().is_none_or(|low| to > low)
        });
        if touches { Err(StorageError::Distrusted) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn some(ranges: &[(&'static str, &'static str)]) -> Distrust {
        let mut distrust = Distrust::default();
        for (from, to) in ranges {
            distrust.add_rows(bytes(from), bytes(to));
        }
        distrust
    }

    #[test]
    fn ranges_are_merged_and_divided() {
        let mut distrust = some(&[("b", "d"), ("f", "h"), ("d", "e")]);
        assert_eq!(distrust, some(&[("b", "e"), ("f", "h")]));
        distrust.add_rows(bytes("x"), bytes("x"));
        assert_eq!(distrust.rows().count(), 2);
        distrust.remove_rows(&bytes("c"), &bytes("g"));
        assert_eq!(distrust, some(&[("b", "c"), ("g", "h")]));
        let within: Vec<_> = distrust.within(b"bb", b"gg").collect();
        assert_eq!(within, [(bytes("bb"), bytes("c")), (bytes("g"), bytes("gg"))]);
        assert!(distrust.covers(b"b") && distrust.covers(b"bz") && !distrust.covers(b"c") && !distrust.covers(b"a"));
        distrust.remove_rows(&bytes("a"), &bytes("z"));
        assert!(distrust.is_empty());
    }

    #[test]
    fn scans_are_refused_where_they_went_over_it() {
        let distrusted = Distrusted::default();
        assert!(distrusted.doubt().check(b"g").is_ok());
        let before = distrusted.doubt();
        distrusted.change(some(&[("f", "h"), ("p", "q")]));
        assert_eq!(distrusted.losses(), 1);
        distrusted.change(some(&[("f", "h")]));
        assert_eq!(distrusted.losses(), 1);
        assert!(!distrusted.is_still(&before));
        let doubt = distrusted.doubt();
        assert!(doubt.check(b"g").is_err() && doubt.check(b"h").is_ok());
        let scan = |from, to, direction| Scan {
            from: Bound::Included(bytes(from)),
            to: Bound::Excluded(bytes(to)),
            direction,
            rows_max: 9,
            bytes_max: 9,
            once: false,
        };
        let forward = scan("a", "z", Direction::Forward);
        assert!(doubt.check_scan(&forward, None).is_err());
        assert!(doubt.check_scan(&forward, Some(&bytes("e"))).is_ok());
        assert!(doubt.check_scan(&forward, Some(&bytes("i"))).is_err());
        assert!(doubt.check_scan(&scan("a", "f", Direction::Forward), None).is_ok());
        assert!(doubt.check_scan(&scan("h", "z", Direction::Forward), None).is_ok());
        let reverse = scan("a", "z", Direction::Reverse);
        assert!(doubt.check_scan(&reverse, Some(&bytes("k"))).is_ok());
        assert!(doubt.check_scan(&reverse, Some(&bytes("c"))).is_err());
    }

    #[test]
    fn records_are_of_logs() {
        let mut distrust = Distrust::default();
        let place = |segment, log, position| (segment, LogId(log), Position(position));
        distrust.add_records(place(3, 5, 1), place(3, 7, 9));
        assert!(distrust.may_lack(LogId(6)) && !distrust.may_lack(LogId(8)));
        distrust.add_records(place(4, 9, 1), place(5, 1, 1));
        assert!(distrust.may_lack(LogId(8)));
        distrust.remove_records();
        assert!(distrust.is_empty());
    }
}
