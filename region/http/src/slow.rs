//! Requests that were slow, and why: a line of the log each, and the last of them for the admin port.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use geodynamo_storage::effort::Effort;
use http::StatusCode;
use parking_lot::Mutex;
use serde::Serialize;

/// How many lines there are in a second; of further slow requests their number is told with the next line.
const LINES_PER_SECOND_MAX: u32 = 5;
/// A reason is one if it took at least this share of the time.
const SHARE_MIN: f64 = 0.3;

/// How many slow requests are kept to be shown; older ones go.
const KEPT_MAX: usize = 200;

/// A slow request, as the admin port shows it. Times are in milliseconds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SlowRequest {
    /// When it ended, in seconds since 1970.
    ended: f64,
    operation: &'static str,
    request_id: String,
    status: u16,
    took_ms: f64,
    /// What took most of the time, if anything that is measured did.
    why: &'static str,
    queue_ms: f64,
    fsync_ms: f64,
    reads_ms: f64,
    cache_misses: u32,
    throttled: u32,
}

/// The last slow requests of a process: [`KEPT_MAX`] at most.
#[derive(Debug, Default)]
pub(crate) struct LastSlow(Mutex<VecDeque<SlowRequest>>);

impl LastSlow {
    pub(crate) fn keep(&self, ended: &Ended<'_>) {
        let Ended { took, effort, .. } = ended;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let request = SlowRequest {
            ended: since.map_or(0.0, |since| since.as_secs_f64()),
            operation: ended.operation,
            request_id: ended.request_id.to_owned(),
            status: ended.status.as_u16(),
            took_ms: ms(*took),
            why: why(*took, effort),
            queue_ms: ms(effort.queue),
            fsync_ms: ms(effort.sync),
            reads_ms: ms(effort.reads),
            cache_misses: effort.misses,
            throttled: effort.throttled,
        };
        let mut kept = self.0.lock();
        if kept.len() >= KEPT_MAX {
            kept.pop_back();
        }
        kept.push_front(request);
    }

    /// The newest first.
    pub(crate) fn all(&self) -> Vec<SlowRequest> {
        self.0.lock().iter().cloned().collect()
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Tells of slow requests.
#[derive(Debug)]
pub(crate) struct SlowRequests {
    /// How long a request takes that is slow; nothing is told if it is zero.
    after: Duration,
    lines: Mutex<Lines>,
}

/// What was told in the second that began then.
#[derive(Debug)]
struct Lines {
    since: Instant,
    told: u32,
    untold: u32,
}

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) operation: &'static str,
    pub(crate) request_id: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
    pub(crate) effort: Effort,
}

impl SlowRequests {
    pub(crate) fn new(after: Duration) -> Self {
        let since = Instant::now();
        Self {
            after,
            lines: Mutex::new(Lines {
                since,
                told: 0,
                untold: 0,
            }),
        }
    }

    /// Whether a request that took so long is to be told of.
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        !self.after.is_zero() && took >= self.after
    }

    /// Tells of a slow request, unless too many were.
    pub(crate) fn tell(&self, ended: Ended<'_>) {
        let Some(untold) = self.lines.lock().next(Instant::now()) else {
            return;
        };
        let Ended {
            operation,
            request_id,
            status,
            took,
            effort,
        } = ended;
        tracing::warn!(
            operation,
            request_id,
            status = status.as_u16(),
            took_ms = ms(took),
            why = why(took, &effort),
            queue_ms = ms(effort.queue),
            fsync_ms = ms(effort.sync),
            reads_ms = ms(effort.reads),
            cache_misses = effort.misses,
            throttled = effort.throttled,
            untold,
            "a request was slow"
        );
    }
}

impl Lines {
    /// Whether there is a line left; then how many slow requests were not told of since the last.
    fn next(&mut self, now: Instant) -> Option<u32> {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.told) = (now, 0);
        }
        if self.told >= LINES_PER_SECOND_MAX {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// What took most of the time, if anything that is measured did.
fn why(took: Duration, effort: &Effort) -> &'static str {
    let parts = [
        ("queue", effort.queue),
        ("fsync", effort.sync),
        ("cache miss", effort.reads),
    ];
    let most = parts.into_iter().max_by_key(|(_, time)| *time);
    match most {
        Some((name, time)) if time.as_secs_f64() >= took.as_secs_f64() * SHARE_MIN => name,
        _ if effort.throttled > 0 => "throttle",
        _ => "processor, network or other requests' keys",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slow_ones_are_kept_the_newest_first_and_no_more() {
        let last = LastSlow::default();
        for number in 0..KEPT_MAX + 3 {
            last.keep(&Ended {
                operation: "GetItem",
                request_id: &number.to_string(),
                status: StatusCode::OK,
                took: Duration::from_secs(2),
                effort: Effort {
                    sync: Duration::from_secs(1),
                    ..Effort::default()
                },
            });
        }
        let kept = last.all();
        assert_eq!(kept.len(), KEPT_MAX);
        assert_eq!(kept[0].request_id, (KEPT_MAX + 2).to_string());
        assert_eq!(
            (kept[0].took_ms, kept[0].fsync_ms, kept[0].why),
            (2000.0, 1000.0, "fsync")
        );
    }

    #[test]
    fn the_longest_wait_is_the_reason() {
        let ms = Duration::from_millis;
        let effort = Effort {
            queue: ms(5),
            sync: ms(80),
            reads: ms(7),
            misses: 1,
            throttled: 0,
        };
        assert_eq!(why(ms(100), &effort), "fsync");
        assert_eq!(why(ms(1000), &effort), "processor, network or other requests' keys");
        let throttled = Effort {
            throttled: 2,
            ..Effort::default()
        };
        assert_eq!(why(ms(10), &throttled), "throttle");
        let slow = SlowRequests::new(ms(50));
        assert!(slow.is_slow(ms(50)) && !slow.is_slow(ms(49)));
        assert!(!SlowRequests::new(Duration::ZERO).is_slow(ms(60_000)));
    }

    #[test]
    fn lines_are_bounded() {
        let start = Instant::now();
        let mut lines = Lines {
            since: start,
            told: 0,
            untold: 0,
        };
        let told: Vec<_> = (0..8).map(|_| lines.next(start)).collect();
        assert_eq!(told.iter().flatten().count(), 5);
        assert_eq!(lines.next(start + Duration::from_secs(1)), Some(3));
    }
}
