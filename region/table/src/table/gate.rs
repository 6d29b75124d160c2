//! A table's gate: who writes is inside, and who must find no write under way closes it for a moment.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, RwLock, RwLockWriteGuard};

use crate::{Result, TableError};

/// A table's gate. Every write is inside from before it reads until its commit is durable.
///
/// # The order of locks
/// Whoever takes several takes them in this order: the catalog's lock; gates, those of several tables in the order of their ids, each
/// once; latches, all of a section's at once, sorted; locks of item collections. A
/// `Section` can only be made in that order.
#[derive(Debug, Default)]
pub(crate) struct Gate(Arc<RwLock<Data>>);

/// Whether a table's data is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Data {
    #[default]
    There,
    /// It was taken away, or is about to be.
    Gone,
}

/// Being inside: nobody takes the table's data away, and nobody closes the gate.
#[derive(Debug)]
pub(crate) struct Entered {
    _inside: OwnedRwLockReadGuard<Data>,
}

/// A closed gate: no write is under way, and none begins.
#[derive(Debug)]
pub(crate) struct Closed<'a> {
    _alone: RwLockWriteGuard<'a, Data>,
}

impl Gate {
    /// Goes inside. Waits while the gate is closed; `None` if the data is gone.
    pub(crate) async fn enter(&self) -> Option<Entered> {
        let inside = Arc::clone(&self.0).read_owned().await;
        (*inside == Data::There).then_some(Entered { _inside: inside })
    }

    /// Goes inside, for a request.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if the data is gone.
    pub(crate) async fn enter_or_gone(&self) -> Result<Entered> {
        self.enter().await.ok_or_else(TableError::no_table)
    }

    /// Waits until nobody is inside, and keeps everybody out for as long as what it gives is held; `None` if the data is gone.
    pub(crate) async fn close(&self) -> Option<Closed<'_>> {
        let alone = self.0.write().await;
        (*alone == Data::There).then_some(Closed { _alone: alone })
    }

    /// Waits for all who are inside now: whoever enters later sees what was set before this was called.
    pub(crate) async fn let_all_out(&self) {
        drop(self.0.write().await);
    }

    /// Waits until nobody is inside, and lets nobody in ever after.
    pub(crate) async fn close_for_good(&self) {
        *self.0.write().await = Data::Gone;
    }

    /// Whether the data is gone. Waits while the gate is closed.
    pub(crate) async fn is_gone(&self) -> bool {
        *self.0.read().await == Data::Gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_closes_once_all_are_out() {
        let gate = Arc::new(Gate::default());
        let (one, other) = (gate.enter().await.unwrap(), gate.enter().await.unwrap());
        let closing = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.close().await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(one);
        tokio::task::yield_now().await;
        assert!(!closing.is_finished());
        drop(other);
        assert!(closing.await.unwrap());
        assert!(gate.enter().await.is_some());
        gate.close_for_good().await;
        assert!(gate.enter().await.is_none() && gate.close().await.is_none() && gate.is_gone().await);
        assert_eq!(
            gate.enter_or_gone().await.unwrap_err().to_string(),
            TableError::no_table().to_string()
        );
    }
}
