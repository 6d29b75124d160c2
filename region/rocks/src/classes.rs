//! Which of two column families a row lies in, and how rows come from one to the other while they are read and written.
//!
//! Rows of the class Infrequent lie in a family of their own (`RocksOptions::cold`). A prefix is in one family, or it is being
//! moved. While it is, **each of its rows is in one of the two**: whatever is written goes to where the prefix is moved to, and
//! out of the other family, in the same batch; and the mover takes what is left there, a few rows at a time, likewise. So a read
//! at one sequence number that looks into both finds each row once. The state of a prefix stands in a row (`layout.rs`): a move
//! that is broken off goes on when the store is opened.
//!
//! # Readers
//! States change between two batches, and the new one is published before anything is written by it. A reader takes the state,
//! reads, and reads again if there is another state by then: otherwise all that it can have seen was written by the state that
//! it took, or before. Only changes of a prefix's state count; how far a move is does not.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use geodynamo_storage::{Prefix, Scan, StorageClass, StorageError};
use parking_lot::{Condvar, Mutex};

use crate::{
    layout::{COLD, DATA},
    rows::just_behind,
};

/// Where rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// With most of them.
    Data,
    /// Where keeping them costs least.
    Cold,
}

impl Family {
    pub(crate) fn of(class: StorageClass) -> Self {
        match class {
            StorageClass::Standard => Self::Data,
            StorageClass::Infrequent => Self::Cold,
        }
    }

    pub(crate) fn class(self) -> StorageClass {
        match self {
            Self::Data => StorageClass::Standard,
            Self::Cold => StorageClass::Infrequent,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Data => DATA,
            Self::Cold => COLD,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Data => Self::Cold,
            Self::Cold => Self::Data,
        }
    }
}

/// The state of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// All rows are in one family.
    Settled {
        family: Family,
        /// Whether what was moved out of the other one still takes room there.
        unswept: bool,
    },
    /// They are being moved.
    Moving {
        to: Family,
        /// Which move this is: the placement's epoch when it began.
        since: u64,
        /// The other family has no rows before this key.
        below: Bytes,
    },
}

impl Place {
    /// Where its rows are to be in the end.
    fn family(&self) -> Family {
        match self {
            Self::Settled { family, .. } => *family,
            Self::Moving { to, .. } => *to,
        }
    }

    /// Whether there is something to do about it.
    fn is_due(&self) -> bool {
        !matches!(self, Self::Settled { unswept: false, .. })
    }

    /// As it is stored; none for how all rows are of which nothing is said.
    pub(crate) fn stored(&self) -> Option<u8> {
        Some(match self {
            Self::Settled {
                family: Family::Data,
                unswept: false,
            } => return None,
            Self::Settled {
                family: Family::Cold,
                unswept: false,
            } => 1,
            Self::Moving { to: Family::Cold, .. } => 2,
            Self::Moving { to: Family::Data, .. } => 3,
            Self::Settled {
                family: Family::Cold,
                unswept: true,
            } => 4,
            Self::Settled {
                family: Family::Data,
                unswept: true,
            } => 5,
        })
    }

    fn from_stored(prefix: Prefix, stored: u8) -> Option<Self> {
        let settled = |family, unswept| Self::Settled { family, unswept };
        let moving = |to| Self::Moving {
            to,
            since: 0,
            below: Bytes::copy_from_slice(&prefix.0),
        };
        Some(match stored {
            1 => settled(Family::Cold, false),
            2 => moving(Family::Cold),
            3 => moving(Family::Data),
            4 => settled(Family::Cold, true),
            5 => settled(Family::Data, true),
            _ => return None,
        })
    }
}

/// Where a key's row can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    In(Family),
    /// In either; when it is written, in this one.
    Either(Family),
}

/// Where rows of a range can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    In(Family),
    /// In both. The first has no rows before a key, if there is one.
    Both(Option<(Family, Bytes)>),
}

/// The states of all prefixes at one moment. Prefixes of which nothing is said are in [`Family::Data`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Counts the changes of states.
    epoch: u64,
    places: BTreeMap<Prefix, Place>,
}

impl Placement {
    /// From rows as they are stored.
    pub(crate) fn load(rows: impl IntoIterator<Item = (Prefix, u8)>) -> Result<Self, StorageError> {
        let place = |(prefix, stored)| {
            let place = Place::from_stored(prefix, stored);
            Ok((
                prefix,
                place.ok_or_else(|| crate::layout::damaged("how rows are kept"))?,
            ))
        };
        let places = rows.into_iter().map(place).collect::<Result<_, StorageError>>()?;
        Ok(Self { epoch: 0, places })
    }

    pub(crate) fn spot(&self, key: &[u8]) -> Spot {
        if self.places.is_empty() {
            return Spot::In(Family::Data);
        }
        match Prefix::of(key).and_then(|prefix| self.places.get(&prefix)) {
            None => Spot::In(Family::Data),
            Some(Place::Settled { family, .. }) => Spot::In(*family),
            Some(Place::Moving { to, below, .. }) if *key < **below => Spot::In(*to),
            Some(Place::Moving { to, .. }) => Spot::Either(*to),
        }
    }

    /// Where rows of `[from, to)` can be.
    pub(crate) fn span(&self, from: &[u8], to: &[u8]) -> Span {
        self.span_of(from, Some(to))
    }

    pub(crate) fn span_of_scan(&self, scan: &Scan) -> Span {
        let from = match &scan.from {
            Bound::Included(key) | Bound::Excluded(key) => &key[..],
            Bound::Unbounded => &[],
        };
        match &scan.to {
            Bound::Excluded(key) => self.span_of(from, Some(key)),
            Bound::Included(key) => self.span_of(from, Some(&just_behind(key))),
            Bound::Unbounded => self.span_of(from, None),
        }
    }

    fn span_of(&self, from: &[u8], to: Option<&[u8]>) -> Span {
        if self.places.is_empty() {
            return Span::In(Family::Data);
        }
        if let Some(prefix) = Prefix::of(from).filter(|prefix| is_within(*prefix, to)) {
            return match self.places.get(&prefix) {
                None => Span::In(Family::Data),
                Some(Place::Settled { family, .. }) => Span::In(*family),
                Some(Place::Moving { to: new, below, .. }) if to.is_some_and(|to| *to <= **below) => Span::In(*new),
                Some(Place::Moving { to: new, below, .. }) => Span::Both(Some((new.other(), below.clone()))),
            };
        }
        let touched = |prefix: &Prefix| prefix.next().is_none_or(|next| next.0[..] > *from);
        let mut behind = self.places.keys().filter(|prefix| touched(prefix));
        match behind.any(|prefix| to.is_none_or(|to| prefix.0[..] <= *to)) {
            true => Span::Both(None),
            false => Span::In(Family::Data),
        }
    }

    pub(crate) fn get(&self, prefix: Prefix) -> Option<&Place> {
        self.places.get(&prefix)
    }

    /// Chooses a class for a prefix; gives its state if that is another one then.
    pub(crate) fn choose(&mut self, prefix: Prefix, class: StorageClass) -> Option<Place> {
        let family = Family::of(class);
        let before = self.places.get(&prefix).map_or(Family::Data, Place::family);
        if before == family {
            return None;
        }
        // What is yet to be swept from where it is moved to will be written over, or swept with what is left.
        let moving = Place::Moving {
            to: family,
            since: self.epoch + 1,
            below: Bytes::copy_from_slice(&prefix.0),
        };
        self.set(prefix, moving.clone());
        Some(moving)
    }

    /// Gives a prefix another state.
    pub(crate) fn set(&mut self, prefix: Prefix, place: Place) {
        self.epoch += 1;
        if place.stored().is_some() {
            self.places.insert(prefix, place);
        } else {
            self.places.remove(&prefix);
        }
    }

    /// Notes how far a move is, if it is still the same.
    pub(crate) fn moved(&mut self, prefix: Prefix, move_since: u64, up_to: &Bytes) {
        if let Some(Place::Moving { since, below, .. }) = self.places.get_mut(&prefix)
            && *since == move_since
            && *below < *up_to
        {
            *below = up_to.clone();
        }
    }

    /// The first prefix about which there is something to do.
    fn due(&self) -> Option<(Prefix, Place)> {
        let due = self.places.iter().find(|(_, place)| place.is_due());
        due.map(|(prefix, place)| (*prefix, place.clone()))
    }

    /// Prefixes that are being moved.
    pub(crate) fn moving(&self) -> usize {
        let moving = |place: &&Place| matches!(place, Place::Moving { .. });
        self.places.values().filter(moving).count()
    }

    /// The classes that were chosen, other than the standard one.
    pub(crate) fn classes(&self) -> Vec<(Prefix, StorageClass)> {
        let classes = self
            .places
            .iter()
            .map(|(prefix, place)| (*prefix, place.family().class()));
        classes.filter(|(_, class)| *class != StorageClass::Standard).collect()
    }
}

/// Whether a range that begins in a prefix ends in it, too. Keys have a whole head, so none is before the next prefix's first.
fn is_within(prefix: Prefix, to: Option<&[u8]>) -> bool {
    let Some(to) = to else { return prefix.next().is_none() };
    if to.starts_with(&prefix.0) {
        return true;
    }
    let rest = prefix.next().and_then(|next| to.strip_prefix(&next.0[..]));
    rest.is_some_and(|rest| rest.len() <= 8 && rest.iter().all(|byte| *byte == 0))
}

/// The states, for readers and the mover; the committer publishes them.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    placement: ArcSwap<Placement>,
    stopped: Mutex<bool>,
    /// Told when there may be something to do for the mover.
    work: Condvar,
}

impl Classes {
    pub(crate) fn new(placement: Placement) -> Self {
        Self {
            placement: ArcSwap::from_pointee(placement),
            ..Self::default()
        }
    }

    pub(crate) fn load(&self) -> Guard<Arc<Placement>> {
        self.placement.load()
    }

    pub(crate) fn load_full(&self) -> Arc<Placement> {
        self.placement.load_full()
    }

    /// Whether no state has changed since a placement was loaded.
    pub(crate) fn is_current(&self, placement: &Placement) -> bool {
        self.placement.load().epoch == placement.epoch
    }

    pub(crate) fn publish(&self, placement: Placement) {
        let is_due = placement.due().is_some();
        self.placement.store(Arc::new(placement));
        if is_due {
            let _stopped = self.stopped.lock();
            self.work.notify_all();
        }
    }

    /// Whether there is something to do for the mover.
    #[cfg(test)]
    pub(crate) fn has_work(&self) -> bool {
        self.placement.load().due().is_some()
    }

    /// Ends the mover.
    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.work.notify_all();
    }

    /// Waits until there is something to do; none once the mover is to end.
    pub(crate) fn wait_for_work(&self) -> Option<(Prefix, Place)> {
        let mut stopped = self.stopped.lock();
        loop {
            if *stopped {
                return None;
            }
            if let Some(due) = self.placement.load().due() {
                return Some(due);
            }
            self.work.wait(&mut stopped);
        }
    }

    /// Waits for a time; true if the mover is to end.
    pub(crate) fn pause(&self, time: std::time::Duration) -> bool {
        let deadline = std::time::Instant::now() + time;
        let mut stopped = self.stopped.lock();
        while !*stopped {
            if self.work.wait_until(&mut stopped, deadline).timed_out() {
                break;
            }
        }
        *stopped
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_storage::key_head;

    use super::*;

    const A: Prefix = Prefix([1, 0, 0, 0, 0, 0, 0, 0, 7]);

    fn key(owner: u64, route: u64) -> Vec<u8> {
        key_head(1, owner, route, 0)
    }

    #[test]
    fn a_prefix_goes_there_and_back() {
        let mut placement = Placement::default();
        assert_eq!(placement.choose(A, StorageClass::Standard), None);
        assert_eq!(placement.spot(&key(7, 1)), Spot::In(Family::Data));
        let epoch = placement.epoch;
        let Some(Place::Moving {
            to: Family::Cold,
            since,
            ..
        }) = placement.choose(A, StorageClass::Infrequent)
        else {
            panic!("{placement:?}")
        };
        assert!(placement.epoch > epoch);
        assert_eq!(placement.choose(A, StorageClass::Infrequent), None, "chosen already");
        placement.moved(A, since, &key(7, 5).into());
        placement.moved(A, since, &key(7, 3).into());
        placement.moved(A, since + 1, &key(7, 9).into());
        assert_eq!(placement.spot(&key(7, 4)), Spot::In(Family::Cold));
        assert_eq!(placement.spot(&key(7, 5)), Spot::Either(Family::Cold));
        assert_eq!(placement.spot(&key(8, 5)), Spot::In(Family::Data));
        assert_eq!(placement.classes(), [(A, StorageClass::Infrequent)]);
        let moved_again = placement.choose(A, StorageClass::Standard);
        assert!(matches!(moved_again, Some(Place::Moving { to: Family::Data, since: again, .. }) if again != since));
        assert_eq!(placement.spot(&key(7, 4)), Spot::Either(Family::Data));
        assert_eq!((placement.classes(), placement.moving()), (vec![], 1));
        placement.set(
            A,
            Place::Settled {
                family: Family::Data,
                unswept: false,
            },
        );
        assert!(placement.places.is_empty());
    }

    #[test]
    fn ranges_are_looked_for_where_their_rows_can_be() {
        let mut placement = Placement::default();
        placement.set(
            A,
            Place::Settled {
                family: Family::Cold,
                unswept: false,
            },
        );
        let span = |placement: &Placement, from: &[u8], to: &[u8]| placement.span(from, to);
        assert_eq!(span(&placement, &key(7, 1), &key(7, 9)), Span::In(Family::Cold));
        assert_eq!(
            span(&placement, &key(7, 1), &key(8, 0)),
            Span::In(Family::Cold),
            "all of it"
        );
        assert_eq!(span(&placement, &key(8, 0), &key(9, 0)), Span::In(Family::Data));
        assert_eq!(
            span(&placement, &key(6, 0), &key(7, 0)),
            Span::In(Family::Data),
            "the one before"
        );
        assert_eq!(span(&placement, &key(6, 0), &key(7, 1)), Span::Both(None));
        assert_eq!(span(&placement, &key(7, 0), &key(8, 1)), Span::Both(None));
        assert_eq!(span(&placement, &[], &[0xff]), Span::Both(None));
        assert_eq!(placement.span_of(&[], None), Span::Both(None));
        assert_eq!(placement.span_of(&key(8, 0), None), Span::In(Family::Data));
        placement.choose(A, StorageClass::Standard);
        let below = Bytes::from(key(7, 5));
        let since = placement.epoch;
        placement.moved(A, since, &below);
        assert_eq!(span(&placement, &key(7, 1), &key(7, 5)), Span::In(Family::Data));
        let both = Span::Both(Some((Family::Cold, below)));
        assert_eq!(span(&placement, &key(7, 1), &key(7, 6)), both);
    }

    #[test]
    fn states_are_stored() {
        let moving = |to| Place::Moving {
            to,
            since: 0,
            below: Bytes::copy_from_slice(&A.0),
        };
        let settled = |family, unswept| Place::Settled { family, unswept };
        let families = [Family::Data, Family::Cold];
        let states = families
            .into_iter()
            .flat_map(|family| [moving(family), settled(family, true), settled(family, false)]);
        for place in states {
            let Some(stored) = place.stored() else {
                assert_eq!(place, settled(Family::Data, false));
                continue;
            };
            assert_eq!(Place::from_stored(A, stored), Some(place));
        }
        assert!(Placement::load([(A, 99)]).is_err());
    }
}
