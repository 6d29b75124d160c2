//! How many requests of one source are told why they are refused.
//!
//! A request with a wrong signature costs a hash and an answer. Whoever tries keys is told nothing any more once
//! [`REFUSED_BURST`] of its requests were refused, until [`REFUSED_PER_SECOND`] a second have been forgotten. Requests that are
//! signed as they must be are let in from there, too: many clients may share one address. A call that bears no signature but a
//! token of a web identity provider costs more than a hash, and a record in the audit trail: it is not looked at before its
//! source has been forgiven.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Instant,
};

use parking_lot::Mutex;

/// Refused requests of one source that are answered at once.
const REFUSED_BURST: f64 = 1000.0;
/// And so many more in a second.
const REFUSED_PER_SECOND: f64 = 50.0;
/// The most sources that are counted. When there are more, those that were quiet longest are forgotten.
const SOURCES_MAX: usize = 10_000;
/// Of an IPv6 address, what tells sources apart: its network of 64 bits, all of which one host may use.
const NETWORK_V6: u128 = !0 << 64;

/// Refused requests by source.
#[derive(Debug, Default)]
pub struct RefusedBySource {
    sources: Mutex<HashMap<IpAddr, Source>>,
}

/// What a source may still be told, as of a moment.
#[derive(Clone, Copy, Debug)]
struct Source {
    left: f64,
    at: Instant,
}

impl RefusedBySource {
    /// Counts a refused request; whether it is to be told why.
    pub fn admit(&self, source: IpAddr, now: Instant) -> bool {
        let source = network(source);
        let mut sources = self.sources.lock();
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&source) {
            forget_half(&mut sources);
        }
        let state = sources.entry(source).or_insert(Source {
            left: REFUSED_BURST,
            at: now,
        });
        state.left = state.left_at(now);
        state.at = now;
        if state.left < 1.0 {
            return false;
        }
        state.left -= 1.0;
        true
    }

    /// Whether the next refused request of a source would be told nothing.
    pub fn is_spent(&self, source: IpAddr, now: Instant) -> bool {
        let sources = self.sources.lock();
        let known = sources.get(&network(source));
        known.is_some_and(|state| state.left_at(now) < 1.0)
    }
}

impl Source {
    /// How many refusals it may be told at a moment.
    fn left_at(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + seconds * REFUSED_PER_SECOND).min(REFUSED_BURST)
    }
}

/// What tells sources apart.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & NETWORK_V6)),
        v4 => v4,
    }
}

fn forget_half(sources: &mut HashMap<IpAddr, Source>) {
    let mut times: Vec<Instant> = sources.values().map(|source| source.at).collect();
    let middle = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(middle);
    let middle = *middle;
    sources.retain(|_, source| source.at > middle);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(refused: &RefusedBySource, source: &str, times: usize, now: Instant) -> usize {
        let source = source.parse().unwrap();
        (0..times).filter(|_| refused.admit(source, now)).count()
    }

    #[test]
    fn a_source_is_told_so_often() {
        let (refused, now) = (RefusedBySource::default(), Instant::now());
        let first = "10.0.0.1".parse().unwrap();
        assert!(!refused.is_spent(first, now));
        assert_eq!(told(&refused, "10.0.0.1", 2000, now), 1000);
        assert!(refused.is_spent(first, now) && !refused.is_spent(first, now + Duration::from_secs(1)));
        // Others are not concerned; a second later some more are told.
        assert_eq!(told(&refused, "10.0.0.2", 10, now), 10);
        assert_eq!(told(&refused, "10.0.0.1", 100, now + Duration::from_secs(1)), 50);
        assert_eq!(told(&refused, "10.0.0.1", 2000, now + Duration::from_secs(60)), 1000);
    }

    #[test]
    fn a_network_of_version_6_is_one_source() {
        let (refused, now) = (RefusedBySource::default(), Instant::now());
        assert_eq!(told(&refused, "2001:db8::1", 600, now), 600);
        assert_eq!(told(&refused, "2001:db8::ffff:2", 600, now), 400);
        assert_eq!(told(&refused, "2001:db8:0:1::1", 600, now), 600);
    }

    #[test]
    fn sources_are_bounded() {
        let (refused, now) = (RefusedBySource::default(), Instant::now());
        for number in 0..3 * u32::try_from(SOURCES_MAX).unwrap() {
            let at = now + Duration::from_millis(number.into());
            refused.admit(IpAddr::V4(number.into()), at);
            assert!(refused.sources.lock().len() <= SOURCES_MAX);
        }
    }
}
