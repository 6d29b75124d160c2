//! What was counted in the last hour, minute by minute.

use std::collections::{BTreeMap, VecDeque};

use geodynamo_replicator_core::Millis;

use super::sketch::Sketch;

/// How long one window is.
const WINDOW_MS: Millis = 60_000;
/// For how many minutes counts are kept, the current one with them.
pub const INSIGHTS_MINUTES_MAX: u64 = 60;
/// How many keys a report tells of, as CloudWatch's graphs do.
pub const INSIGHTS_KEYS_MAX: usize = 25;
/// For how many of the heaviest keys the current minute has counters, of each kind.
const COUNTERS: usize = 128;
/// The most bytes of keys that a past minute keeps, of each kind. A key has 3 KB at most, so one is always kept.
const KEY_BYTES_MAX: usize = 32 << 10;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsightsKind {
    /// Capacity that was consumed, by partition key.
    AccessedPartitions,
    /// Requests that were throttled, by partition key.
    ThrottledPartitions,
    /// Capacity that was consumed, by partition and sort key.
    AccessedItems,
    /// Requests that were throttled, by partition and sort key.
    ThrottledItems,
}

impl InsightsKind {
    /// All kinds, in the order of their rules.
    pub const ALL: [Self; 4] = [
        Self::AccessedPartitions,
        Self::ThrottledPartitions,
        Self::AccessedItems,
        Self::ThrottledItems,
    ];

    /// How CloudWatch's rules call it. Source: AWS developer guide, "CloudWatch Contributor Insights for DynamoDB: How it works".
    pub fn code(self) -> &'static str {
        match self {
            Self::AccessedPartitions => "PKC",
            Self::ThrottledPartitions => "PKT",
            Self::AccessedItems => "SKC",
            Self::ThrottledItems => "SKT",
        }
    }

    /// Whether it counts requests that were throttled.
    pub fn is_of_throttled(self) -> bool {
        matches!(self, Self::ThrottledPartitions | Self::ThrottledItems)
    }

    /// Whether it tells items apart.
    pub fn is_of_items(self) -> bool {
        matches!(self, Self::AccessedItems | Self::ThrottledItems)
    }
}

/// The counts of one kind over some minutes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// The heaviest keys with their weight, the heaviest first.
    pub(crate) keys: Vec<(Box<[u8]>, f64)>,
    /// All weight.
    pub(crate) total: f64,
    /// By how much a key's weight may be told too high.
    pub(crate) error: f64,
}

/// Counts of the last hour.
#[derive(Debug)]
pub(super) struct Windows {
    /// The minute that is being counted.
    minute: u64,
    open: [Sketch; 4],
    /// Minutes before, the last one at the end. Minutes in which nothing happened are not there.
    closed: VecDeque<(u64, [Counted; 4])>,
}

impl Windows {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            minute: now / WINDOW_MS,
            open: sketches(),
            closed: VecDeque::new(),
        }
    }

    /// Counts a key.
    pub(super) fn add(&mut self, now: Millis, kind: InsightsKind, key: &[u8], weight: f64) {
        self.turn(now);
        self.open[kind as usize].add(key, weight);
    }

    /// The counts of one kind over the last minutes; the current one is counted as a minute.
    pub(crate) fn counted(&mut self, now: Millis, kind: InsightsKind, minutes: u64) -> Counted {
        self.turn(now);
        let since = self.minute.saturating_sub(minutes.saturating_sub(1));
        let open = close(&self.open[kind as usize]);
        let past = self.closed.iter().filter(|(minute, _)| *minute >= since);
        let mut sum = Counted::default();
        let mut keys = BTreeMap::<&[u8], f64>::new();
        for counted in past.map(|(_, kinds)| &kinds[kind as usize]).chain([&open]) {
            sum.total += counted.total;
            sum.error += counted.error;
            for (key, weight) in &counted.keys {
                *keys.entry(key).or_default() += weight;
            }
        }
        sum.keys = keys.into_iter().map(|(key, weight)| (key.into(), weight)).collect();
        sum.keys.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        sum.keys.truncate(INSIGHTS_KEYS_MAX);
        sum
    }

    /// Ends the current minute if it is over. A clock that goes back changes nothing until it is where it was.
    fn turn(&mut self, now: Millis) {
        let minute = now / WINDOW_MS;
        if minute <= self.minute {
            return;
        }
        let over = std::mem::replace(&mut self.open, sketches());
        if over.iter().any(|sketch| sketch.total() > 0.0) {
            self.closed.push_back((self.minute, over.each_ref().map(close)));
        }
        self.minute = minute;
        while let Some((oldest, _)) = self.closed.front()
            && oldest + INSIGHTS_MINUTES_MAX <= minute
        {
            self.closed.pop_front();
        }
    }
}

fn sketches() -> [Sketch; 4] {
    std::array::from_fn(|_| Sketch::new(COUNTERS))
}

fn close(sketch: &Sketch) -> Counted {
    let mut keys = sketch.heaviest(INSIGHTS_KEYS_MAX);
    let mut bytes = 0;
    keys.retain(|(key, _)| {
        bytes += key.len();
        bytes <= KEY_BYTES_MAX
    });
    Counted {
        keys,
        total: sketch.total(),
        error: sketch.error(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: InsightsKind = InsightsKind::AccessedPartitions;

    fn keys(counted: &Counted) -> Vec<(&[u8], f64)> {
        counted.keys.iter().map(|(key, weight)| (&**key, *weight)).collect()
    }

    #[test]
    fn minutes_are_summed_and_end() {
        let start = 100 * WINDOW_MS;
        let mut windows = Windows::new(start);
        windows.add(start, KIND, b"a", 2.0);
        windows.add(start + WINDOW_MS, KIND, b"b", 3.0);
        windows.add(start + WINDOW_MS, InsightsKind::ThrottledItems, b"b", 1.0);
        let now = start + 2 * WINDOW_MS;
        windows.add(now, KIND, b"a", 2.0);
        assert_eq!(keys(&windows.counted(now, KIND, 1)), [(&b"a"[..], 2.0)]);
        assert_eq!(
            keys(&windows.counted(now, KIND, 2)),
            [(&b"b"[..], 3.0), (&b"a"[..], 2.0)]
        );
        assert_eq!(
            keys(&windows.counted(now, KIND, 60)),
            [(&b"a"[..], 4.0), (&b"b"[..], 3.0)]
        );
        assert_eq!(windows.counted(now, KIND, 60).total, 7.0);
        // A clock that was put back.
        windows.add(start, KIND, b"a", 1.0);
        assert_eq!(keys(&windows.counted(start, KIND, 1)), [(&b"a"[..], 3.0)]);
        // The first minute is over an hour ago, then all are.
        let later = start + INSIGHTS_MINUTES_MAX * WINDOW_MS;
        assert_eq!(windows.counted(later, KIND, 60).total, 6.0);
        assert_eq!(windows.counted(later + 3 * WINDOW_MS, KIND, 60), Counted::default());
    }

    #[test]
    fn memory_is_bounded() {
        let mut windows = Windows::new(0);
        for minute in 0..200u64 {
            for key in 0..500u64 {
                let mut long = vec![7; 3000];
                long.extend_from_slice(&(key % 400).to_be_bytes());
                windows.add(minute * WINDOW_MS, KIND, &long, 1.0);
            }
        }
        assert_eq!(windows.closed.len() as u64, INSIGHTS_MINUTES_MAX - 1);
        for (_, kinds) in &windows.closed {
            let bytes: usize = kinds[KIND as usize].keys.iter().map(|(key, _)| key.len()).sum();
            assert!(bytes > 0 && bytes <= KEY_BYTES_MAX);
        }
    }
}
