//! Work that is not dropped halfway.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Runs a future to its end, whatever becomes of whoever waits for it: if the wait is dropped, the rest runs as a task of
/// its own. Costs one allocation; nothing is handed to another thread unless the wait is dropped.
pub fn finish<F>(work: F) -> Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    Finish(Some(Box::pin(work)))
}

/// See [`finish`].
pub struct Finish<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> Future for Finish<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Finish<F> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and unacknowledged work may end with it.
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                work.await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn dropped_work_ends_all_the_same() {
        let (go, wait) = oneshot::channel::<()>();
        let (ended, end) = oneshot::channel();
        let mut work = finish(async move {
            wait.await.unwrap();
            ended.send(()).unwrap();
        });
        assert!(tokio::time::timeout(Duration::ZERO, &mut work).await.is_err(), "it waits");
        drop(work);
        go.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), end).await.unwrap().unwrap();
    }
}
