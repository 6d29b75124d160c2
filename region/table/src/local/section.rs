//! Critical sections: what a write holds from before it reads its keys until its commit is durable.

use std::{future::Future, panic::resume_unwind};

use geodynamo_storage::{Engine, Unfinished};
use smallvec::SmallVec;

use crate::{
    local::{
        Local,
        order::{Latch, Turn},
    },
    table::gate::Entered,
};

/// The turn on some keys of tables that nobody takes away meanwhile.
///
/// It is the only way to commit to a table's rows: read under it, then give it to the commit, which holds it until it is durable. Also
/// if whoever waits for the commit goes away: the next one who gets the turn sees what was committed.
pub(crate) struct Section {
    // In this order they are let go.
    _turn: Turn,
    _inside: SmallVec<[Entered; 1]>,
}

impl<E: Engine> Local<E> {
    /// Waits for the turn on one key of a table that was entered.
    pub(crate) async fn section(&self, inside: Entered, latch: Latch) -> Section {
        Section {
            _turn: self.orderer().order(latch).await,
            _inside: [inside].into_iter().collect(),
        }
    }

    /// Waits for the turn on several keys of tables that were entered. System tables are never taken away, so nobody need enter
    /// them.
    pub(crate) async fn section_of(&self, inside: impl IntoIterator<Item = Entered>, latches: Vec<Latch>) -> Section {
        Section {
            _turn: self.orderer().order_all(latches).await,
            _inside: inside.into_iter().collect(),
        }
    }
}

impl Section {
    /// Does what commits, and holds the section until that is over: in place, and in a task of its own from the moment that
    /// whoever waits for it goes away.
    pub(crate) async fn hold<F>(self, work: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let held = async move {
            let output = work.await;
            drop(self);
            output
        };
        // A panic is the caller's, as if it had done the work itself.
        Unfinished::new(held).await.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
