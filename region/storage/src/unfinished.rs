//! Work that goes on when nobody waits for it any more.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Runs a future in place, and in a task of its own from the moment that it is dropped unfinished.
///
/// A client that hangs up drops its request's future. A write that is dropped half-way would let go of its key before it
/// is durable; so it must run to its end, but needs no task, which costs more than most requests, while the client waits.
///
/// A panic is caught, and the future, in whatever state it is, is never polled again: nothing else sees its state, as far
/// as what it shares survives a panic (parking_lot's locks are not poisoned).
#[derive(Debug)]
pub struct Unfinished<F: Future<Output: Send> + Send + 'static> {
    /// `None` once it has ended.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future<Output: Send> + Send + 'static> Unfinished<F> {
    /// Runs nothing yet: a future runs when it is awaited.
    pub fn new(future: F) -> Self {
        Self {
            future: Some(Box::pin(future)),
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Unfinished<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Polling again what has ended is a mistake that the next poll's caller would wait for in vain.
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        let result = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        self.future = None;
        Poll::Ready(result)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Unfinished<F> {
    fn drop(&mut self) {
        // Without a runtime, the process is ending.
        if let (Some(future), Ok(runtime)) = (self.future.take(), Handle::try_current()) {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use tokio::sync::{Notify, oneshot};

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_goes_on() {
        let go = Arc::new(Notify::new());
        let (done, is_done) = oneshot::channel();
        let waiting = Arc::clone(&go);
        let mut unfinished = Box::pin(Unfinished::new(async move {
            waiting.notified().await;
            done.send(()).unwrap();
        }));
        let is_pending = poll_fn(|context| Poll::Ready(unfinished.as_mut().poll(context).is_pending())).await;
        assert!(is_pending);
        drop(unfinished);
        go.notify_one();
        is_done.await.expect("it was dropped");
    }

    #[tokio::test]
    async fn a_panic_is_a_result() {
        let result = Unfinished::new(async { panic!("as asked") }).await;
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"as asked"));
        assert_eq!(Unfinished::new(async { 7 }).await.unwrap(), 7);
    }
}
