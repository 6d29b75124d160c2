//! What ends an operation before it has read everything.

use std::time::Duration;

use tokio::sync::watch;

use crate::{Error, Result, stop::Stop};

/// Tells an operation that it is to end. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Halt {
    /// Whether the process ends.
    stop: Stop,
    /// Whether the operation is cancelled.
    cancel: watch::Receiver<bool>,
}

impl Halt {
    pub(crate) fn new(stop: Stop, cancel: watch::Receiver<bool>) -> Self {
        Self { stop, cancel }
    }

    /// Whether the process ends.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_told()
    }

    /// Whether the operation is cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// # Errors
    /// [`Error::Stopped`] and [`Error::Cancelled`], if it is to end.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_stopped() {
            Err(Error::Stopped)
        } else if self.is_cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Waits, but no longer than until it is to end.
    pub(crate) async fn pause(&self, length: Duration) -> Result<()> {
        self.or(tokio::time::sleep(length)).await
    }

    /// Waits for something, but no longer than until it is to end.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) async fn or<T>(&self, waiting: impl Future<Output = T>) -> Result<T> {
        let mut cancel = self.cancel.clone();
        tokio::select! {
            biased;
            () = self.stop.told() => Err(Error::Stopped),
            Ok(_) = cancel.wait_for(|cancelled| *cancelled) => Err(Error::Cancelled),
            done = waiting => Ok(done),
        }
    }
}
