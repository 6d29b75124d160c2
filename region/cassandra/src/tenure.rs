//! How long this node may answer from memory: its lease, by a clock that goes on while the process is stopped.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use geodynamo_storage::StorageError;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// How long a read waits for a lease that is late in being renewed.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Milliseconds of a clock that no one sets, and that does not stand still while the machine sleeps.
pub(crate) fn now_ms() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}

#[derive(Debug)]
pub(crate) struct Tenure {
    valid_until_ms: AtomicI64,
    renewed: watch::Sender<u64>,
    lost: watch::Sender<bool>,
}

impl Default for Tenure {
    fn default() -> Self {
        Self {
            valid_until_ms: AtomicI64::new(i64::MIN),
            renewed: watch::Sender::new(0),
            lost: watch::Sender::new(false),
        }
    }
}

impl Tenure {
    /// The lease was renewed by a request that was sent at a moment, and lasts so long from then on.
    pub(crate) fn renew(&self, sent_ms: i64, lasts: Duration) {
        let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        self.valid_until_ms
            .fetch_max(sent_ms.saturating_add(lasts), Ordering::AcqRel);
        self.renewed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Another node writes the log, or may.
    pub(crate) fn lose(&self) {
        self.lost.send_replace(true);
        self.renewed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    pub(crate) fn lost(&self) -> watch::Receiver<bool> {
        self.lost.subscribe()
    }

    /// Whether nobody else can have committed anything so far. Waits for a renewal that is late.
    pub(crate) async fn check(&self) -> Result<(), StorageError> {
        let holds = || !self.is_lost() && now_ms() < self.valid_until_ms.load(Ordering::Acquire);
        if holds() {
            return Ok(());
        }
        let mut renewed = self.renewed.subscribe();
        let waiting = renewed.wait_for(|_| holds() || self.is_lost());
        let _ = tokio::time::timeout(RENEWAL_TIMEOUT, waiting).await;
        if holds() {
            Ok(())
        } else if self.is_lost() {
            Err(StorageError::Closed)
        } else {
            Err(StorageError::Io("this node's lease could not be renewed".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_are_answered_while_the_lease_lasts_and_not_once_it_is_lost() {
        let tenure = Tenure::default();
        tenure.renew(now_ms(), Duration::from_secs(60));
        tenure.check().await.unwrap();
        tenure.lose();
        assert!(matches!(tenure.check().await, Err(StorageError::Closed)));
    }

    #[tokio::test]
    async fn a_read_waits_for_a_late_renewal() {
        let tenure = std::sync::Arc::new(Tenure::default());
        tenure.renew(now_ms() - 1000, Duration::from_millis(10));
        let waiting = tokio::spawn({
            let tenure = tenure.clone();
            async move { tenure.check().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        tenure.renew(now_ms(), Duration::from_secs(60));
        waiting.await.unwrap().unwrap();
    }
}
