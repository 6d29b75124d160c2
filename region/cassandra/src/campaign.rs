//! How a node comes to write a slot's log.
//!
//! The lease says who may; its epoch, raised in the log itself, sees to it that nobody else can. So a lease that is taken too
//! early costs a stall, and never a write.

use std::{future::Future, sync::Arc, time::Duration};

use geodynamo_storage::{LogId, Position, StorageError};
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

use crate::{
    CassandraEngine, CassandraOptions, CassandraReader, Take,
    committer::{Committer, Head},
    entry,
    follower::Follower,
    logs::End,
    shared::{Pending, Shared, State},
    store::{self, Lease, Mark, Store},
    tenure::{Tenure, now_ms},
};

/// Threads of an engine's own, which talk to Cassandra: so commits go on while callers wait for them in place.
const THREADS: usize = 2;
/// A lease is looked at, and renewed, so many times while it lasts.
const BEATS_PER_LEASE: u32 = 6;
/// How long to wait after Cassandra did not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// The engine's own threads. Dropping them leaves what they do where it is, and may be done anywhere.
#[derive(Debug)]
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    fn start() -> Result<Self, StorageError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("cassandra")
            .enable_all()
            .build()
            .map_err(|error| StorageError::Io(format!("no threads for Cassandra: {error}").into()))?;
        Ok(Self(Some(runtime)))
    }

    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>, StorageError> {
        let runtime = self.0.as_ref().ok_or(StorageError::Closed)?;
        Ok(runtime.spawn(task))
    }

    /// Does something on them.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.spawn(task)?
            .await
            .unwrap_or_else(|error| Err(store::failed(error)))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a node that does not write the log knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who does, as read last.
    pub lease: Lease,
    /// Whether the last reading worked.
    pub is_reachable: bool,
}

/// A node that wants to write a slot's log, and waits until it may.
#[derive(Debug)]
pub struct Campaign {
    threads: Threads,
    store: Arc<Store>,
    options: CassandraOptions,
    standing: watch::Receiver<Standing>,
    won: JoinHandle<Result<Arc<Shared>, StorageError>>,
}

impl Campaign {
    /// Connects to Cassandra, and begins to watch the lease.
    ///
    /// # Errors
    /// [`StorageError::Io`] if Cassandra cannot be reached, or has not the tables of [`crate::schema`].
    pub async fn start(options: CassandraOptions) -> Result<Self, StorageError> {
        let threads = Threads::start()?;
        let connecting = options.clone();
        let store = threads.run(async move { Store::connect(&connecting).await }).await?;
        let (tell, standing) = watch::channel(Standing::default());
        let store = Arc::new(store);
        let won = threads.spawn(win(Arc::clone(&store), options.clone(), tell))?;
        Ok(Self {
            threads,
            store,
            options,
            standing,
            won,
        })
    }

    /// Who writes the log meanwhile.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// What this node can read meanwhile, through connections that it has.
    pub fn readings(&self) -> Readings {
        Readings {
            store: Arc::clone(&self.store),
            options: self.options.clone(),
        }
    }

    /// Waits until this node writes the log, and has read what there is.
    ///
    /// # Errors
    /// [`StorageError`] if what is stored cannot be read.
    pub async fn won(self) -> Result<CassandraEngine, StorageError> {
        let shared = self.won.await.unwrap_or_else(|error| Err(store::failed(error)))?;
        Ok(CassandraEngine::new(shared, self.threads))
    }
}

/// Opens readers of a slot. Cheap to clone; its connections are the campaign's, and end with the engine that comes of it.
#[derive(Clone, Debug)]
pub struct Readings {
    store: Arc<Store>,
    options: CassandraOptions,
}

impl Readings {
    /// A reader, which has read nothing of the log's tail yet. `wants` says of which keys it is to tell that they were written.
    ///
    /// # Errors
    /// [`StorageError`] if Cassandra does not answer.
    pub async fn open(&self, wants: fn(&[u8]) -> bool) -> Result<CassandraReader, StorageError> {
        CassandraReader::open(Arc::clone(&self.store), self.options.clone(), wants).await
    }
}

async fn win(
    store: Arc<Store>,
    options: CassandraOptions,
    standing: watch::Sender<Standing>,
) -> Result<Arc<Shared>, StorageError> {
    loop {
        let (epoch, sent_ms) = take(&store, &options, &standing).await;
        let tenure = Arc::new(Tenure::default());
        tenure.renew(sent_ms, usable(options.lease));
        let keeping = tokio::spawn(keep(Arc::clone(&store), options.clone(), epoch, Arc::clone(&tenure)));
        let read = async {
            let (state, head, mark) = read(&store, epoch).await?;
            // The log's end is fenced now. If the lease is still this node's, then the end that was found is the end: whoever
            // had taken over meanwhile would have a greater epoch.
            Ok::<_, StorageError>((state, head, mark, store.lease().await?.epoch == epoch))
        };
        match read.await {
            Ok((state, head, mark, true)) => {
                let shared = Arc::new(Shared::new(store, options, epoch, tenure, state));
                tokio::spawn(Committer::new(Arc::clone(&shared), head).run());
                tokio::spawn(Follower::new(Arc::clone(&shared), mark).run());
                tokio::spawn(watch_tenure(Arc::clone(&shared)));
                tracing::info!(epoch, place = head.place, "this node writes the log");
                return Ok(shared);
            }
            Ok(_) => tracing::warn!(epoch, "another node took over at once"),
            Err(error @ StorageError::Closed) => tracing::warn!(%error, epoch, "another node took over at once"),
            Err(error) => {
                // Left to others, or to another try: it may have been Cassandra's trouble of a moment.
                tracing::error!(%error, epoch, "the log cannot be read");
                keeping.abort();
                let _ = store.release(epoch).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
        keeping.abort();
    }
}

/// The part of a lease in which its holder answers from memory.
fn usable(lease: Duration) -> Duration {
    lease * 2 / 3
}

/// Takes the lease: gives the new epoch, and when that was asked for.
async fn take(store: &Store, options: &CassandraOptions, standing: &watch::Sender<Standing>) -> (i64, i64) {
    // The lease as it was first seen, and when. Only an unbroken sight of it says that it was not renewed.
    let mut seen: Option<(Lease, i64)> = None;
    loop {
        let lease = match store.lease().await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(%error, "the lease cannot be read");
                standing.send_modify(|standing| standing.is_reachable = false);
                seen = None;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let now = Standing {
            lease: lease.clone(),
            is_reachable: true,
        };
        standing.send_if_modified(|standing| {
            let is_new = *standing != now;
            *standing = now;
            is_new
        });
        let since = match &seen {
            Some((before, since)) if *before == lease => *since,
            _ => {
                let since = now_ms();
                seen = Some((lease.clone(), since));
                since
            }
        };
        let is_over = i128::from(now_ms() - since) >= options.lease.as_millis().cast_signed();
        if lease.node.is_none() || options.take == Take::AtOnce || is_over {
            let sent_ms = now_ms();
            match store.take(&lease, &options.node, &options.address).await {
                Ok(true) => {
                    let lease = Lease {
                        epoch: lease.epoch + 1,
                        node: Some(options.node.clone()),
                        address: Some(options.address.clone()),
                        beat: 0,
                    };
                    let epoch = lease.epoch;
                    standing.send_modify(|standing| standing.lease = lease);
                    return (epoch, sent_ms);
                }
                Ok(false) => {}
                // If it was carried out after all, then the epoch has no holder that knows of it, and will be over.
                Err(error) => tracing::warn!(%error, "the lease was not taken"),
            }
            seen = None;
        }
        tokio::time::sleep(options.lease / BEATS_PER_LEASE).await;
    }
}

/// Renews the lease until another node has it.
async fn keep(store: Arc<Store>, options: CassandraOptions, epoch: i64, tenure: Arc<Tenure>) {
    let mut beat = 0;
    while !tenure.is_lost() {
        tokio::time::sleep(options.lease / BEATS_PER_LEASE).await;
        beat += 1;
        let sent_ms = now_ms();
        match tokio::time::timeout(options.lease, store.beat(epoch, beat)).await {
            Ok(Ok(true)) => tenure.renew(sent_ms, usable(options.lease)),
            // Who does not look at the epoch does not hear of another's either.
            Ok(Ok(false)) if options.unfenced => {}
            Ok(Ok(false)) => tenure.lose(),
            Ok(Err(error)) => tracing::warn!(%error, epoch, "the lease was not renewed"),
            Err(_) => tracing::warn!(epoch, "the lease was not renewed in time"),
        }
    }
}

/// Ends the engine once the lease is lost.
async fn watch_tenure(shared: Arc<Shared>) {
    let mut lost = shared.tenure.lost();
    let _ = lost.wait_for(|lost| *lost).await;
    if shared.check_open().is_err() {
        shared.lose();
    }
}

/// Makes the end of the log this epoch's, and reads what rows have not followed.
async fn read(store: &Store, epoch: i64) -> Result<(State, Head, Mark), StorageError> {
    let mark = store.mark().await?;
    let mut state = State {
        committed: mark.place,
        followed: mark.place,
        ..State::default()
    };
    state.ranges.insert(bytes::Bytes::new(), 0);
    state.ranges.extend(store.ranges().await?);
    for (log, last, trimmed) in store.logs().await? {
        state.ends.insert(log, End { last, trimmed });
    }
    for (stretch, index) in store.stretches(mark.oldest).await? {
        let logs = entry::decode_index(index)?.into_iter().collect();
        state.stretches.0.insert(stretch, logs);
    }
    let mut head = Head {
        stretch: mark.stretch,
        place: mark.place,
        entries: 0,
        bytes: 0,
    };
    loop {
        fence(store, head.stretch, epoch).await?;
        (head.entries, head.bytes) = (0, 0);
        state.stretches.0.entry(head.stretch).or_default();
        let index: Vec<(LogId, Position, u32)> = store.index(head.stretch).await?;
        for (log, last, count) in index {
            state.stretches.add(head.stretch, log, last, count);
        }
        let mut ended = false;
        // The last entry that rows have followed, too: the stretch may have ended with it.
        for found in store.entries(head.stretch, head.place - 1).await? {
            ended = found.ends;
            head.entries += 1;
            head.bytes += found.payload.len();
            if found.place == head.place {
                continue;
            }
            if found.place != head.place + 1 {
                return Err(entry::damaged("the log has a gap, and"));
            }
            head.place = found.place;
            state.publish(Pending {
                place: found.place,
                stretch: head.stretch,
                ends: found.ends,
                ops: entry::decode(found.payload)?.into(),
            });
        }
        if !ended {
            return Ok((state, head, mark));
        }
        head.stretch += 1;
    }
}

/// Lets an epoch write a stretch, and no lesser one.
async fn fence(store: &Store, stretch: i64, epoch: i64) -> Result<(), StorageError> {
    loop {
        match store.fence(stretch).await? {
            Some(found) if found == epoch => return Ok(()),
            Some(found) if found > epoch => return Err(StorageError::Closed),
            // If it was not applied, then it is looked at again.
            found => drop(store.raise(stretch, found, epoch).await?),
        }
    }
}

/// Makes the keyspace and its tables where they are not there yet: see [`crate::schema`].
///
/// # Errors
/// [`StorageError::Io`] if Cassandra cannot be reached, or does not make them.
pub async fn create_schema(options: &CassandraOptions, replication: &str) -> Result<(), StorageError> {
    store::create(options, replication).await
}
