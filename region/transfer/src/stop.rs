//! The end of the process, as jobs hear of it.

use tokio::sync::watch;

/// Tells jobs that the process ends. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new(stop: watch::Receiver<bool>) -> Self {
        Self(stop)
    }

    /// Whether the process ends; so it does if whoever could say so is gone.
    pub(crate) fn is_told(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until [`Self::is_told`].
    pub(crate) async fn told(&self) {
        // An error means that nobody can say so any more.
        let _ = self.0.clone().wait_for(|stopped| *stopped).await;
    }
}
