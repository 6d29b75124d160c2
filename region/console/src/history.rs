//! What this region's links were like in the last hour: a page that is opened now has not seen it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

/// How often links are looked at.
const EVERY: Duration = Duration::from_secs(10);
/// How many looks are kept: an hour's.
const KEPT: usize = 360;
/// How many links' are kept, at most: a topology has no more regions.
const LINKS_MAX: usize = 64;

/// A link as it is: counters since the process began, and gauges.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LinkReading {
    /// Whether the peer is connected.
    pub up: bool,
    /// The age of the oldest write that the peer has not applied, in seconds, if that is known.
    pub lag_s: Option<f64>,
    /// The round-trip time in seconds.
    pub rtt_s: f64,
    /// Deltas sent.
    pub deltas: u64,
    /// Bytes sent.
    pub bytes: u64,
}

/// Where links are read from.
pub trait Links: Send + Sync + 'static {
    /// The links to all peers, by the peer's region.
    fn read(&self) -> BTreeMap<String, LinkReading>;
}

#[derive(Clone, Copy)]
struct Sample {
    up: bool,
    lag_s: Option<f64>,
    rtt_s: f64,
    deltas_per_s: f64,
    bytes_per_s: f64,
}

#[derive(Default)]
struct Kept {
    last: Option<(Instant, LinkReading)>,
    samples: VecDeque<Sample>,
}

/// The last hour of every link.
#[derive(Default)]
pub(crate) struct History(Mutex<BTreeMap<String, Kept>>);

impl History {
    /// Looks at the links again and again, for as long as somebody has the history.
    pub(crate) async fn watch(history: Weak<Self>, links: Arc<dyn Links>) {
        let mut turn = tokio::time::interval(EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let Some(history) = history.upgrade() else { return };
            history.note(Instant::now(), links.read()).await;
        }
    }

    async fn note(&self, now: Instant, readings: BTreeMap<String, LinkReading>) {
        let mut kept = self.0.lock().await;
        for (peer, reading) in readings {
            if kept.len() >= LINKS_MAX && !kept.contains_key(&peer) {
                continue;
            }
            let of = kept.entry(peer).or_default();
            if let Some((at, before)) = of.last.replace((now, reading)) {
                let elapsed = (now - at).as_secs_f64();
                let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / elapsed;
                of.samples.push_back(Sample {
                    up: reading.up,
                    lag_s: reading.lag_s,
                    rtt_s: reading.rtt_s,
                    deltas_per_s: rate(reading.deltas, before.deltas),
                    bytes_per_s: rate(reading.bytes, before.bytes),
                });
            }
            while of.samples.len() > KEPT {
                of.samples.pop_front();
            }
        }
    }

    /// All of it, the oldest first: a list for each number.
    pub(crate) async fn to_json(&self) -> Value {
        let kept = self.0.lock().await;
        let list = |of: &Kept, read: fn(&Sample) -> Value| of.samples.iter().map(read).collect::<Vec<_>>();
        let links: serde_json::Map<_, _> = kept
            .iter()
            .map(|(peer, of)| {
                let lists = json!({
                    "up": list(of, |sample| json!(sample.up)),
                    "lag_s": list(of, |sample| json!(sample.lag_s)),
                    "rtt_s": list(of, |sample| json!(sample.rtt_s)),
                    "deltas_per_s": list(of, |sample| json!(sample.deltas_per_s)),
                    "bytes_per_s": list(of, |sample| json!(sample.bytes_per_s)),
                });
                (peer.clone(), lists)
            })
            .collect();
        json!({ "every_s": EVERY.as_secs(), "links": links })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(deltas: u64) -> LinkReading {
        LinkReading {
            up: true,
            lag_s: Some(0.5),
            rtt_s: 0.1,
            deltas,
            bytes: deltas * 10,
        }
    }

    #[tokio::test]
    async fn rates_are_those_between_two_looks_and_an_hour_is_kept() {
        let history = History::default();
        let start = Instant::now();
        for look in 0..400_u32 {
            let links = BTreeMap::from([("a".to_owned(), reading(u64::from(look) * 50))]);
            history.note(start + EVERY * look, links).await;
        }
        // The process began anew: no rate is negative.
        history
            .note(start + EVERY * 400, BTreeMap::from([("a".to_owned(), reading(0))]))
            .await;
        let all = history.to_json().await;
        let rates = all["links"]["a"]["deltas_per_s"].as_array().unwrap();
        assert_eq!(rates.len(), KEPT);
        assert_eq!((rates[0].as_f64(), rates[KEPT - 1].as_f64()), (Some(5.0), Some(0.0)));
        assert_eq!(all["links"]["a"]["bytes_per_s"][0], json!(50.0));
    }

    #[tokio::test]
    async fn there_is_room_for_a_topologys_links() {
        let history = History::default();
        let links = (0..1000).map(|peer| (peer.to_string(), reading(0))).collect();
        history.note(Instant::now(), links).await;
        assert_eq!(history.to_json().await["links"].as_object().unwrap().len(), LINKS_MAX);
    }
}
