//! Where the open store stands, for readers; a recovery takes it away for a moment and puts another in its place.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use arc_swap::{ArcSwapOption, Guard};
use geodynamo_storage::StorageError;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{snapshot::Owned, store::Store};

/// How long a recovery waits for readers to let go of the store.
const READERS_WAIT: Duration = Duration::from_secs(5);
/// How often it looks whether they have.
const READERS_POLL: Duration = Duration::from_millis(1);

/// A snapshot's view, which a recovery takes away.
pub(crate) type View = RwLock<Option<Owned>>;

/// The store, for as long as somebody reads it.
pub(crate) struct Held(Guard<Option<Arc<Store>>>);

impl Deref for Held {
    type Target = Store;

    fn deref(&self) -> &Store {
        // `Holder::now` makes one only if there is a store in it.
        self.0.as_ref().expect("a held store is there")
    }
}

/// Whether there is a store.
#[derive(Clone, Debug)]
enum Place {
    Open,
    /// It is being opened anew: readers wait.
    Gap,
    /// It cannot be opened: readers are refused.
    Failed(StorageError),
}

/// The place of the store.
pub(crate) struct Holder {
    store: ArcSwapOption<Store>,
    place: watch::Sender<Place>,
    /// The views of living snapshots.
    views: Mutex<Vec<Weak<View>>>,
}

impl Holder {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store: ArcSwapOption::new(Some(store)),
            place: watch::Sender::new(Place::Open),
            views: Mutex::default(),
        }
    }

    /// The store, if it is there now.
    pub(crate) fn now(&self) -> Option<Held> {
        let held = self.store.load();
        held.is_some().then_some(Held(held))
    }

    /// The store. While it is being opened anew, waits until it is.
    pub(crate) async fn store(&self) -> Result<Held, StorageError> {
        loop {
            if let Some(held) = self.now() {
                return Ok(held);
            }
            let mut place = self.place.subscribe();
            let found = place.wait_for(|place| !matches!(place, Place::Gap)).await;
            if let Place::Failed(error) = found.map_err(|_| StorageError::Closed)?.clone() {
                return Err(error);
            }
        }
    }

    /// A view of the store that a recovery may end.
    pub(crate) fn view(&self) -> Result<Arc<View>, StorageError> {
        let mut views = self.views.lock();
        // Under the lock: a recovery takes the store away before it looks at the views.
        let Some(store) = self.now() else {
            return Err(StorageError::Io("the store is being opened anew".into()));
        };
        let view = Arc::new(RwLock::new(Some(Owned::of(store.db().clone()))));
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(&view));
        Ok(view)
    }

    /// Takes the store away, ends all snapshots, waits until nobody reads it any more, and closes it. If somebody goes on doing so, it is
    /// put back, and nothing has changed but for the snapshots.
    ///
    /// `own` is the caller's handle of it.
    pub(crate) fn take(&self, own: Arc<Store>) -> Result<(), Arc<Store>> {
        self.place.send_replace(Place::Gap);
        // Of those that still read it, each has a handle of its own from here on.
        drop(self.store.swap(None));
        for view in self.views.lock().drain(..).filter_map(|view| view.upgrade()) {
            drop(view.write().take());
        }
        let deadline = Instant::now() + READERS_WAIT;
        while Arc::strong_count(&own) > 1 {
            if Instant::now() > deadline {
                self.put(own.clone());
                return Err(own);
            }
            std::thread::sleep(READERS_POLL);
        }
        // The last handle: this closes it.
        drop(own);
        Ok(())
    }

    /// Puts a store in its place, for readers that wait and those to come.
    pub(crate) fn put(&self, store: Arc<Store>) {
        self.store.store(Some(store));
        self.place.send_replace(Place::Open);
    }

    /// Tells readers that there is none for now.
    pub(crate) fn fail(&self, error: StorageError) {
        self.place.send_replace(Place::Failed(error));
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder")
            .field("place", &*self.place.borrow())
            .finish_non_exhaustive()
    }
}
