//! A directed link: its shape, and the fate of each packet.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use geodynamo_topology::{RegionName, partition_hash};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

use crate::{
    config::default_shape,
    shape::{Shape, ShapeChange, ShapeError},
};

/// The most bytes under way on a link; more are dropped, as a router with a full queue does.
pub const IN_FLIGHT_BYTES_MAX: u64 = 32 << 20;
/// The longest a packet waits for bandwidth; one that would wait longer is dropped.
pub const QUEUE_TIME_MAX: Duration = Duration::from_millis(200);
/// How long a reordered packet is held back.
pub const REORDER_HOLD: Duration = Duration::from_millis(5);
/// How long a jitter holds before the next is drawn: packets close together meet the same queues.
const JITTER_HOLD: Duration = Duration::from_millis(10);

/// A directed link.
pub(crate) struct Link {
    pub(crate) from: RegionName,
    pub(crate) to: RegionName,
    state: std::sync::Mutex<State>,
    tally: Tally,
    /// Counts cuts: a packet that entered before the latest cut does not come out.
    cuts: AtomicU64,
}

struct State {
    shape: Shape,
    rng: StdRng,
    /// When the last packet has left the bandwidth's queue.
    idle_at: Option<Instant>,
    /// When the last packet in order comes out.
    last_exit: Option<Instant>,
    jitter: Duration,
    jitter_until: Option<Instant>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// When it comes out.
    pub(crate) exit: Instant,
    /// Whether it comes out twice.
    pub(crate) twice: bool,
    /// How many cuts there had been when it went in.
    pub(crate) cuts: u64,
}

/// What a link has done since it was made. `in_flight` is a level, the rest only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Packets that came in.
    pub received: u64,
    /// Packets that went out, copies included.
    pub delivered: u64,
    /// Bytes that went out.
    pub delivered_bytes: u64,
    /// Packets lost by chance.
    pub lost: u64,
    /// Packets lost to a cut.
    pub cut_off: u64,
    /// Packets dropped because a queue was full.
    pub overflowed: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Packets held back.
    pub reordered: u64,
    /// Bytes under way.
    pub in_flight_bytes: u64,
}

#[derive(Default)]
struct Tally {
    received: AtomicU64,
    delivered: AtomicU64,
    delivered_bytes: AtomicU64,
    lost: AtomicU64,
    cut_off: AtomicU64,
    overflowed: AtomicU64,
    duplicated: AtomicU64,
    reordered: AtomicU64,
    in_flight_bytes: AtomicU64,
}

impl Link {
    /// A link with the default shape of its regions. Its fates follow from the seed and its regions' names.
    pub(crate) fn new(from: RegionName, to: RegionName, seed: u64) -> Self {
        let names = format!("{seed}/{from}/{to}");
        let state = State {
            shape: default_shape(&from, &to),
            rng: StdRng::seed_from_u64(partition_hash(names.as_bytes())),
            idle_at: None,
            last_exit: None,
            jitter: Duration::ZERO,
            jitter_until: None,
        };
        Self {
            from,
            to,
            state: std::sync::Mutex::new(state),
            tally: Tally::default(),
            cuts: AtomicU64::new(0),
        }
    }

    /// The fate of a packet of that many bytes that comes in now; `None` if it is dropped.
    pub(crate) fn enter(&self, now: Instant, bytes: usize) -> Option<Passage> {
        let bytes = bytes as u64;
        let tally = &self.tally;
        add(&tally.received, 1);
        let mut state = self.state();
        // Every packet draws the same number of times, so that a setting that changes moves no other one's draws.
        let [lost, twice, late]: [f64; 3] = state.rng.random();
        let jitter: f64 = state.rng.random();

        let shape = state.shape;
        if shape.cut {
            add(&tally.cut_off, 1);
            return None;
        }
        if lost < shape.loss {
            add(&tally.lost, 1);
            return None;
        }
        if tally.in_flight_bytes.load(Ordering::Relaxed) + bytes > IN_FLIGHT_BYTES_MAX {
            add(&tally.overflowed, 1);
            return None;
        }
        let Some(sent) = state.transmit(now, bytes) else {
            add(&tally.overflowed, 1);
            return None;
        };
        let mut exit = sent + shape.delay + state.jitter(now, jitter);
        if late < shape.reorder {
            exit += REORDER_HOLD;
            add(&tally.reordered, 1);
        } else {
            exit = state.last_exit.map_or(exit, |last| exit.max(last));
            state.last_exit = Some(exit);
        }
        let twice = twice < shape.duplicate;
        add(&tally.in_flight_bytes, bytes);
        add(&tally.duplicated, u64::from(twice));
        Some(Passage {
            exit,
            twice,
            cuts: self.cuts.load(Ordering::Relaxed),
        })
    }

    /// A packet comes out: whether it may, or was on its way when the link was cut.
    pub(crate) fn leave(&self, passage: Passage, bytes: usize) -> bool {
        self.tally.in_flight_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
        let whole = passage.cuts == self.cuts.load(Ordering::Relaxed);
        if !whole {
            add(&self.tally.cut_off, 1);
        }
        whole
    }

    /// A packet or its copy was sent, or the socket had no room for it.
    pub(crate) fn sent(&self, bytes: usize, sent: bool) {
        if sent {
            add(&self.tally.delivered, 1);
            add(&self.tally.delivered_bytes, bytes as u64);
        } else {
            add(&self.tally.overflowed, 1);
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.state().shape
    }

    /// Changes the shape and returns the new one. Packets under way keep their exits, unless the link is cut.
    pub(crate) fn change(&self, change: &ShapeChange) -> Result<Shape, ShapeError> {
        let mut state = self.state();
        let shape = change.apply(state.shape)?;
        if shape.cut && !state.shape.cut {
            add(&self.cuts, 1);
        }
        // A shorter delay takes effect at once: later packets may overtake those under the longer one, as when a route
        // changes.
        state.last_exit = None;
        state.jitter_until = None;
        if shape.bandwidth_mbps != state.shape.bandwidth_mbps {
            state.idle_at = None;
        }
        state.shape = shape;
        Ok(shape)
    }

    pub(crate) fn counters(&self) -> Counters {
        let tally = &self.tally;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            received: get(&tally.received),
            delivered: get(&tally.delivered),
            delivered_bytes: get(&tally.delivered_bytes),
            lost: get(&tally.lost),
            cut_off: get(&tally.cut_off),
            overflowed: get(&tally.overflowed),
            duplicated: get(&tally.duplicated),
            reordered: get(&tally.reordered),
            in_flight_bytes: get(&tally.in_flight_bytes),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing under the lock panics, and a half-made state would only be a wrong delay.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    /// When a packet that comes in now has been put on the wire; `None` if it would wait too long for it.
    fn transmit(&mut self, now: Instant, bytes: u64) -> Option<Instant> {
        let Some(mbps) = self.shape.bandwidth_mbps else {
            return Some(now);
        };
        let start = self.idle_at.map_or(now, |idle| idle.max(now));
        if start - now > QUEUE_TIME_MAX {
            return None;
        }
        let end = start + Duration::from_secs_f64(bytes as f64 * 8.0 / (mbps * 1e6));
        self.idle_at = Some(end);
        Some(end)
    }

    fn jitter(&mut self, now: Instant, draw: f64) -> Duration {
        if self.jitter_until.is_none_or(|until| until <= now) {
            self.jitter = self.shape.jitter.mul_f64(draw);
            self.jitter_until = Some(now + JITTER_HOLD);
        }
        self.jitter
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(seed: u64, change: ShapeChange) -> Link {
        let link = Link::new(RegionName::new("a").unwrap(), RegionName::new("b").unwrap(), seed);
        let still = ShapeChange {
            delay_ms: Some(10.0),
            ..change
        };
        link.change(&still).unwrap();
        link
    }

    fn fates(link: &Link, start: Instant) -> Vec<Option<Passage>> {
        (0..1000)
            .map(|at| link.enter(start + Duration::from_millis(at), 1000))
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let change = ShapeChange {
            loss: Some(0.2),
            duplicate: Some(0.2),
            reorder: Some(0.2),
            jitter_ms: Some(3.0),
            ..ShapeChange::default()
        };
        let start = Instant::now();
        let one = fates(&link(1, change), start);
        assert_eq!(one, fates(&link(1, change), start));
        assert_ne!(one, fates(&link(2, change), start));
    }

    #[test]
    fn a_setting_moves_no_other_ones_draws() {
        let loss = ShapeChange {
            loss: Some(0.2),
            ..ShapeChange::default()
        };
        let both = ShapeChange {
            duplicate: Some(0.9),
            ..loss
        };
        let start = Instant::now();
        let lost = |change| {
            fates(&link(1, change), start)
                .iter()
                .map(Option::is_none)
                .collect::<Vec<_>>()
        };
        assert_eq!(lost(loss), lost(both));
    }

    #[test]
    fn packets_stay_in_order_unless_reordered() {
        let change = ShapeChange {
            jitter_ms: Some(50.0),
            ..ShapeChange::default()
        };
        let start = Instant::now();
        let exits: Vec<_> = fates(&link(7, change), start)
            .into_iter()
            .map(|fate| fate.unwrap().exit)
            .collect();
        assert!(exits.is_sorted());
        let jitters = exits
            .iter()
            .zip(0..)
            .map(|(exit, at)| *exit - start - Duration::from_millis(at + 10));
        assert!(jitters.clone().all(|jitter| jitter <= Duration::from_millis(50)));
        assert!(jitters.max() > Some(Duration::from_millis(40)));

        let change = ShapeChange {
            reorder: Some(0.1),
            ..ShapeChange::default()
        };
        let link = link(7, change);
        let exits: Vec<_> = fates(&link, start).into_iter().map(|fate| fate.unwrap().exit).collect();
        assert!(!exits.is_sorted());
        assert!((60..150).contains(&link.counters().reordered), "{:?}", link.counters());
    }

    #[test]
    fn bandwidth_spaces_packets_and_its_queue_is_bounded() {
        let change = ShapeChange {
            bandwidth_mbps: Some(Some(8.0)),
            ..ShapeChange::default()
        };
        let link = link(1, change);
        let now = Instant::now();
        // A thousand bytes at 8 Mbit/s take one millisecond; 200 ms of them fit into the queue.
        let fates: Vec<_> = (0..300).map(|_| link.enter(now, 1000)).collect();
        for (at, fate) in (1..).zip(&fates).take(201) {
            assert_eq!(fate.map(|fate| fate.exit - now), Some(Duration::from_millis(10 + at)));
        }
        assert!(fates[201..].iter().all(Option::is_none));
        assert_eq!(link.counters().overflowed, 99);
        // The queue drains with time.
        assert!(link.enter(now + Duration::from_millis(100), 1000).is_some());
    }

    #[test]
    fn a_cut_drops_what_is_under_way() {
        let link = link(1, ShapeChange::default());
        let now = Instant::now();
        let before = link.enter(now, 100).unwrap();
        link.change(&ShapeChange {
            cut: Some(true),
            ..ShapeChange::default()
        })
        .unwrap();
        assert_eq!(link.enter(now, 100), None);
        link.change(&ShapeChange {
            cut: Some(false),
            ..ShapeChange::default()
        })
        .unwrap();
        assert!(!link.leave(before, 100));
        let after = link.enter(now, 100).unwrap();
        assert!(link.leave(after, 100));
        let counters = link.counters();
        assert_eq!((counters.cut_off, counters.in_flight_bytes), (2, 0));
    }

    #[test]
    fn bytes_under_way_are_bounded() {
        let link = link(1, ShapeChange::default());
        let now = Instant::now();
        let packets = (0..2000).filter(|_| link.enter(now, 65_000).is_some()).count() as u64;
        assert_eq!(packets, IN_FLIGHT_BYTES_MAX / 65_000);
    }
}
