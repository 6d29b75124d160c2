//! Reads request bodies: whole, bounded each and all together, and not forever.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;

use super::watch::RequestGuard;

/// How much of a body that is too large is read and thrown away, in bytes, so that the client, which is still sending,
/// gets to read the refusal. What sends more than this has its connection closed.
const DISCARDED_BYTES_MAX: u64 = 64 << 20;

/// Memory for bodies, shared by all connections.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In KiB, so that a semaphore can count any machine's memory.
    kib: Semaphore,
    total_kib: u32,
}

/// Memory that one request holds until it is answered.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    kib: u32,
}

/// Why there is no body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyError {
    /// Longer than a request may be.
    TooLarge,
    /// It did not come, or there was no memory for it, in time.
    Late,
    /// The connection or the stream broke.
    Broken,
}

/// The limits of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) bytes_max: usize,
    /// For streams, which have no watchdog.
    pub(crate) stream_timeout: Option<Duration>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        // At least 1 KiB; at most what a semaphore takes and 32 bits hold (4 TiB).
        let total_kib = (bytes / 1024).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize)) as u32;
        Self {
            kib: Semaphore::new(total_kib as usize),
            total_kib,
        }
    }

    /// Bytes held by requests now, to the next KiB.
    pub(crate) fn held_bytes(&self) -> u64 {
        (u64::from(self.total_kib) - self.kib.available_permits().min(self.total_kib as usize) as u64) * 1024
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        Held {
            budget: Arc::clone(self),
            kib: 0,
        }
    }
}

impl Held {
    /// Holds at least so many bytes, waiting for them if need be.
    pub(crate) async fn grow_to(&mut self, bytes: usize) {
        // More than everything can never be had: one request may hold all of it, and that must be enough.
        let wanted = u32::try_from(bytes.div_ceil(1024))
            .unwrap_or(u32::MAX)
            .min(self.budget.total_kib);
        let missing = wanted.saturating_sub(self.kib);
        if missing == 0 {
            return;
        }
        let permit = match self.budget.kib.try_acquire_many(missing) {
            Ok(permit) => Ok(permit),
            Err(_) => self.budget.kib.acquire_many(missing).await,
        };
        // The semaphore is never closed, so there is always a permit.
        if let Ok(permit) = permit {
            permit.forget();
            self.kib += missing;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.kib.add_permits(self.kib as usize);
    }
}

/// Reads a body to its end, holding memory for what has come.
///
/// A body that is too large is read on for a while without being kept; see [`DISCARDED_BYTES_MAX`].
pub(crate) async fn collect(
    body: Incoming,
    limits: BodyLimits,
    held: &mut Held,
    guard: &mut RequestGuard,
) -> Result<Bytes, BodyError> {
    let result = {
        let reading = pin!(collect_patiently(body, limits.bytes_max, held));
        let mut timed = Timed { inner: reading, guard };
        match limits.stream_timeout {
            None => poll_fn(|context| timed.poll(context)).await,
            Some(limit) => tokio::time::timeout(limit, poll_fn(|context| timed.poll(context)))
                .await
                .unwrap_or(Err(BodyError::Late)),
        }
    };
    guard.end_body();
    result
}

/// A reading that ends when the watchdog says so. The connection's task polls it after the watchdog has looked.
struct Timed<'a, F> {
    inner: Pin<&'a mut F>,
    guard: &'a RequestGuard,
}

impl<F: Future<Output = Result<Bytes, BodyError>>> Timed<'_, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.inner.as_mut().poll(context) {
            Poll::Pending if self.guard.is_body_late() => Poll::Ready(Err(BodyError::Late)),
            other => other,
        }
    }
}

async fn collect_patiently(mut body: Incoming, bytes_max: usize, held: &mut Held) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return discard(body, 0).await;
    }
    // Most bodies come in one piece, which is then used as it is.
    let first = match next_piece(&mut body).await? {
        None => return Ok(Bytes::new()),
        Some(first) => first,
    };
    if first.len() > bytes_max {
        return discard(body, first.len() as u64).await;
    }
    held.grow_to(first.len()).await;
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole: Option<BytesMut> = None;
    while let Some(piece) = next_piece(&mut body).await? {
        let so_far = whole.as_ref().map_or(first.len(), BytesMut::len);
        let length = so_far + piece.len();
        if length > bytes_max {
            drop(whole);
            return discard(body, length as u64).await;
        }
        // A buffer that grows holds its old and its new memory for a moment; the old is at most half of the new.
        held.grow_to(length).await;
        whole
            .get_or_insert_with(|| BytesMut::from(&first[..]))
            .extend_from_slice(&piece);
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

async fn discard(mut body: Incoming, already: u64) -> Result<Bytes, BodyError> {
    let mut count = already;
    while count <= DISCARDED_BYTES_MAX {
        match next_piece(&mut body).await {
            Ok(Some(piece)) => count += piece.len() as u64,
            Ok(None) | Err(_) => break,
        }
    }
    Err(BodyError::TooLarge)
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::Broken),
            // Trailers say nothing to us.
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_held_and_given_back() {
        let budget = Arc::new(Budget::new(10 * 1024));
        let mut one = budget.hold();
        one.grow_to(1).await;
        assert_eq!(budget.held_bytes(), 1024);
        one.grow_to(1024).await;
        assert_eq!(budget.held_bytes(), 1024);
        one.grow_to(9 * 1024).await;
        assert_eq!(budget.held_bytes(), 9 * 1024);
        let mut other = budget.hold();
        let mut growing = Box::pin(other.grow_to(2048));
        let first = poll_fn(|context| Poll::Ready(growing.as_mut().poll(context).is_pending())).await;
        assert!(first, "there was memory where there was none");
        drop(one);
        growing.await;
        assert_eq!(budget.held_bytes(), 2048);
        // More than there is: all of it.
        other.grow_to(1 << 30).await;
        assert_eq!(budget.held_bytes(), 10 * 1024);
        drop(other);
        assert_eq!(budget.held_bytes(), 0);
    }
}
