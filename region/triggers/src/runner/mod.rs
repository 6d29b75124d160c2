//! Runs a mapping: a reader for each shard that is not done with, parents before their children.

mod batch;
mod deliver;
mod event;
mod queue;
mod shard;
mod window;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use geodynamo_outgoing::Client;
use geodynamo_storage::Engine;
use geodynamo_table::{Keeper, StreamError, StreamName, Tables, stored_name};
use tokio::{sync::watch, task::JoinSet};
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use self::event::instant;
use crate::{
    entry::Entry,
    failure::Destinations,
    function::{Function, Functions, function_arn, parse_name},
    mapping::{Checkpoint, Mapping, checkpoint_row, pack},
    pattern::Pattern,
};

/// How often it is looked for new shards.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long to wait until something is tried again that failed in here.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The most memory of one shard's records.
const SHARD_BYTES_MAX: usize = 8 << 20;

/// What all runners have in common.
pub(crate) struct Shared<E: Engine> {
    pub(crate) tables: Arc<Tables<E>>,
    pub(crate) functions: Functions,
    pub(crate) destinations: Destinations,
    pub(crate) client: Client,
    /// For records on their way, of all mappings together.
    pub(crate) memory_bytes: usize,
    /// For negative controls: checkpoints go before the function has taken the records.
    pub(crate) checkpoint_first: bool,
    pub(crate) readers: AtomicUsize,
}

impl<E: Engine> Shared<E> {
    /// An account if it is another one than the cluster's own.
    pub(crate) fn other<'a>(&self, account: &'a str) -> Option<&'a str> {
        (account != self.tables.account()).then_some(account)
    }

    /// The stream that an ARN names for an account. As everywhere, a region answers for its own streams, whatever region the ARN
    /// names.
    pub(crate) fn stream_of(&self, account: &str, arn: &str) -> Option<StreamName> {
        let resource = arn.strip_prefix("arn:")?.splitn(5, ':').nth(4)?;
        let (table, label) = resource.strip_prefix("table/")?.split_once("/stream/")?;
        let stored = stored_name(self.tables.account(), account, table).filter(|_| !table.is_empty())?;
        StreamName::of(&stored, label)
    }

    /// What the catalog calls the table of a mapping's stream.
    pub(crate) fn table_of(&self, mapping: &Mapping) -> Option<String> {
        let name = crate::table_of(&mapping.stream);
        stored_name(self.tables.account(), mapping.account(), name).map(Cow::into_owned)
    }

    /// A mapping's function, and which version of it.
    pub(crate) fn function_of<'m>(&self, mapping: &'m Mapping) -> Option<(&Arc<Function>, Option<&'m str>)> {
        let (region, account) = (self.tables.region(), mapping.account());
        let (name, version) = parse_name(&mapping.settings.function, region, account)?;
        let function = self.functions.get(&function_arn(region, account, name))?;
        Some((function, version))
    }
}

/// Whether a runner goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stop {
    /// It does.
    No,
    /// It ends when what it has invoked has answered.
    AfterInvocation,
    /// It ends now.
    Now,
}

/// A mapping that runs.
pub(crate) struct Run<E: Engine> {
    pub(crate) shared: Arc<Shared<E>>,
    pub(crate) entry: Arc<Entry>,
    /// As it was when it began to run.
    pub(crate) mapping: Mapping,
    pub(crate) stream: StreamName,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) stop: watch::Receiver<Stop>,
}

/// The group of a mapping's rows.
pub(crate) fn group(uuid: &str) -> u64 {
    xxh3_64(uuid.as_bytes())
}

impl<E: Engine> Shared<E> {
    /// How much a shard may have in memory now.
    fn share(&self) -> usize {
        let readers = self.readers.load(Relaxed).max(1);
        (self.memory_bytes / readers).min(SHARD_BYTES_MAX)
    }

    /// Stores how far a shard has come.
    async fn store(&self, uuid: &str, shard: &str, checkpoint: Option<&Checkpoint>) -> Result<(), String> {
        let value: Option<Bytes> = match checkpoint.map(pack).transpose() {
            Ok(value) => value,
            Err(error) => return Err(error.to_string()),
        };
        let change = (checkpoint_row(uuid, shard), value);
        let kept = self
            .tables
            .local()
            .keep(Keeper::Triggers, group(uuid), vec![change])
            .await;
        kept.map_err(|error| error.to_string())
    }
}

impl<E: Engine> Run<E> {
    fn stop(&self) -> Stop {
        *self.stop.borrow()
    }

    /// Returns once the runner is to end.
    async fn stopped(&self, at_least: Stop) {
        let mut stop = self.stop.clone();
        // Whoever would tell is gone: the end, too.
        let _ = stop.wait_for(|stop| *stop >= at_least).await;
    }

    /// Waits, unless the runner is to end: then it is false.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.stopped(Stop::AfterInvocation) => false,
        }
    }
}

/// Runs a mapping until it is told to stop.
pub(crate) async fn run<E: Engine>(run: Arc<Run<E>>) {
    let mut readers = JoinSet::new();
    let mut reading: HashMap<tokio::task::Id, String> = HashMap::new();
    while run.stop() == Stop::No {
        match run
            .shared
            .tables
            .streams()
            .describe_stream(&run.stream, None, None, usize::MAX)
        {
            Ok(stream) => {
                let known: BTreeSet<&str> = stream.shards.iter().map(|shard| shard.id.as_str()).collect();
                for shard in &stream.shards {
                    let is_ready = match &shard.parent {
                        Some(parent) if known.contains(parent.as_str()) => run.entry.is_done(parent),
                        _ => true,
                    };
                    let is_read = reading.values().any(|other| *other == shard.id);
                    if is_ready && !is_read && !run.entry.is_done(&shard.id) {
                        let task = readers.spawn(shard::read(Arc::clone(&run), shard.id.clone()));
                        reading.insert(task.id(), shard.id.clone());
                    }
                }
                forget(&run, &known).await;
            }
            Err(StreamError::NoStream) => run.entry.set_result("PROBLEM: Stream not found"),
            Err(error) => tracing::warn!(%error, mapping = run.mapping.uuid, "a stream cannot be looked at"),
        }
        tokio::select! {
            ended = readers.join_next_with_id(), if !readers.is_empty() => {
                let id = match ended {
                    Some(Ok((id, ()))) => Some(id),
                    Some(Err(error)) => {
                        tracing::error!(%error, mapping = run.mapping.uuid, "the reader of a shard broke off");
                        tokio::time::sleep(AGAIN_AFTER).await;
                        Some(error.id())
                    }
                    None => None,
                };
                if let Some(id) = id {
                    reading.remove(&id);
                }
            }
            _ = run.pause(LOOK_EVERY) => {}
        }
    }
    while readers.join_next().await.is_some() {}
}

/// Takes away what is kept of shards that are gone.
async fn forget<E: Engine>(run: &Run<E>, known: &BTreeSet<&str>) {
    for shard in run.entry.done_shards() {
        if known.contains(shard.as_str()) {
            continue;
        }
        match run.shared.store(&run.mapping.uuid, &shard, None).await {
            Ok(()) => run.entry.forget(&shard),
            // It is tried again.
            Err(error) => tracing::debug!(error, shard, "a checkpoint was not removed"),
        }
    }
}
