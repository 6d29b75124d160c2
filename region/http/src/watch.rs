//! What a connection is doing, so that slow and silent clients can be told from busy ones.
//!
//! Timers cost more than anything else a connection does per request, so there are none: the connection's task looks at
//! this a few times per time limit, and sees in which phase it is and whether it was in the same one when it looked last.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one connection is doing. Every field is a hint for the watchdog and orders nothing, hence `Relaxed` throughout.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Requests whose head was read, since the connection began.
    requests: AtomicU64,
    /// Requests that are not answered yet.
    in_flight: AtomicU32,
    /// Of them, those whose body is still coming.
    in_body: AtomicU32,
    /// Bytes came that no request has claimed yet.
    has_unclaimed_bytes: AtomicBool,
    /// Goes up with everything that is written.
    writes: AtomicU64,
    /// Streams share the connection, so bytes do not mean the beginning of a request.
    is_http2: AtomicBool,
    /// The body that is being read has had its time (HTTP/1.1).
    is_body_late: AtomicBool,
}

/// How long each phase may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Patience {
    pub(crate) header: Duration,
    pub(crate) body: Duration,
    pub(crate) idle: Duration,
}

/// What a connection does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Waiting for the end of a request's head.
    Header,
    /// Waiting for the end of a body.
    Body,
    /// Answering. Takes what it takes.
    Busy,
    /// Waiting for a request's first byte, or for the client to take an answer.
    Idle,
}

/// Judges the phases over time.
#[derive(Debug)]
pub(crate) struct Watchdog {
    patience: Patience,
    /// The phase with what tells one from the next of the same kind, and when it was first seen.
    seen: Option<(Phase, u64, u64, Instant)>,
}

impl Watch {
    /// A request's head was read. The guard tells of its end, however it ends.
    pub(crate) fn request(self: &Arc<Self>, is_http2: bool) -> RequestGuard {
        self.begin_request(is_http2);
        RequestGuard {
            watch: Arc::clone(self),
            is_in_body: true,
        }
    }

    fn begin_request(&self, is_http2: bool) {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        self.in_body.fetch_add(1, Relaxed);
        self.has_unclaimed_bytes.store(false, Relaxed);
        self.is_body_late.store(false, Relaxed);
        if is_http2 {
            self.is_http2.store(true, Relaxed);
        }
    }

    fn end_body(&self) {
        self.in_body.fetch_sub(1, Relaxed);
        self.has_unclaimed_bytes.store(false, Relaxed);
    }

    fn end_request(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    fn is_body_late(&self) -> bool {
        self.is_body_late.load(Relaxed)
    }

    fn phase(&self) -> Phase {
        if self.in_body.load(Relaxed) > 0 {
            Phase::Body
        } else if self.in_flight.load(Relaxed) > 0 {
            Phase::Busy
        } else if !self.is_http2.load(Relaxed)
            && (self.has_unclaimed_bytes.load(Relaxed) || self.requests.load(Relaxed) == 0)
        {
            Phase::Header
        } else {
            Phase::Idle
        }
    }
}

/// A request on its way through. A stream that is reset drops it wherever it is.
#[derive(Debug)]
pub(crate) struct RequestGuard {
    watch: Arc<Watch>,
    is_in_body: bool,
}

impl RequestGuard {
    /// The body was read, or given up.
    pub(crate) fn end_body(&mut self) {
        if std::mem::take(&mut self.is_in_body) {
            self.watch.end_body();
        }
    }

    /// Whether whoever reads the body should give up.
    pub(crate) fn is_body_late(&self) -> bool {
        self.watch.is_body_late()
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.end_body();
        self.watch.end_request();
    }
}

impl Watchdog {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, seen: None }
    }

    /// How often to look: four times per shortest limit, and often enough that a stopping server need not wait for it.
    pub(crate) fn period(&self) -> Duration {
        let Patience { header, body, idle } = self.patience;
        (header.min(body).min(idle) / 4).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }

    /// Looks once. The phase that has lasted too long, if it has.
    pub(crate) fn look(&mut self, watch: &Watch, now: Instant) -> Option<Phase> {
        let (phase, requests) = (watch.phase(), watch.requests.load(Relaxed));
        // A client that takes its answer slowly, but takes it, is not idle.
        let writes = if phase == Phase::Idle {
            watch.writes.load(Relaxed)
        } else {
            0
        };
        let since = match self.seen {
            Some((seen, seen_requests, seen_writes, since))
                if (seen, seen_requests, seen_writes) == (phase, requests, writes) =>
            {
                since
            }
            _ => {
                self.seen = Some((phase, requests, writes, now));
                now
            }
        };
        let limit = match phase {
            Phase::Header => self.patience.header,
            // Streams have their own timers; see `body::collect`.
            Phase::Body if watch.is_http2.load(Relaxed) => return None,
            Phase::Body => self.patience.body,
            Phase::Idle => self.patience.idle,
            Phase::Busy => return None,
        };
        if now.duration_since(since) < limit {
            return None;
        }
        if phase == Phase::Body {
            watch.is_body_late.store(true, Relaxed);
        }
        Some(phase)
    }
}

/// A socket that tells its watch what passes.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    pub(crate) fn new(inner: T, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > filled {
            self.watch.has_unclaimed_bytes.store(true, Relaxed);
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note_write(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<T> Watched<T> {
    fn note_write(&self, result: &Poll<io::Result<usize>>) {
        if matches!(result, Poll::Ready(Ok(written)) if *written > 0) {
            self.watch.writes.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_limit() {
        let watch = Watch::default();
        let patience = Patience {
            header: Duration::from_secs(1),
            body: Duration::from_secs(2),
            idle: Duration::from_secs(3),
        };
        let mut dog = Watchdog::new(patience);
        assert_eq!(dog.period(), Duration::from_millis(250));
        let start = Instant::now();
        let mut check = |at_s: u64, expect: Option<Phase>| {
            assert_eq!(
                dog.look(&watch, start + Duration::from_secs(at_s)),
                expect,
                "at {at_s} s: {watch:?}"
            );
        };
        // Nothing came yet: a client that connects and says nothing is as slow as one that sends half a head.
        check(0, None);
        check(1, Some(Phase::Header));
        watch.begin_request(false);
        check(10, None);
        check(11, None);
        check(12, Some(Phase::Body));
        assert!(watch.is_body_late());
        watch.end_body();
        check(12, None);
        check(1000, None);
        watch.end_request();
        check(1000, None);
        check(1002, None);
        watch.writes.fetch_add(1, Relaxed);
        check(1003, None);
        check(1005, None);
        check(1006, Some(Phase::Idle));
        watch.has_unclaimed_bytes.store(true, Relaxed);
        check(1006, None);
        check(1007, Some(Phase::Header));
        // A second request is a new phase, though of the same kind.
        watch.begin_request(false);
        assert!(!watch.is_body_late());
        check(1007, None);
        watch.end_body();
        watch.end_request();
        watch.begin_request(false);
        check(1009, None);
        check(1011, Some(Phase::Body));
    }

    #[test]
    fn streams_are_not_heads() {
        let watch = Watch::default();
        let patience = Patience {
            header: Duration::from_secs(1),
            body: Duration::from_secs(1),
            idle: Duration::from_secs(3),
        };
        let mut dog = Watchdog::new(patience);
        let start = Instant::now();
        watch.begin_request(true);
        assert_eq!(dog.look(&watch, start), None);
        assert_eq!(dog.look(&watch, start + Duration::from_secs(9)), None);
        watch.end_body();
        watch.end_request();
        watch.has_unclaimed_bytes.store(true, Relaxed);
        assert_eq!(dog.look(&watch, start + Duration::from_secs(10)), None);
        assert_eq!(dog.look(&watch, start + Duration::from_secs(12)), None);
        assert_eq!(dog.look(&watch, start + Duration::from_secs(13)), Some(Phase::Idle));
    }
}
