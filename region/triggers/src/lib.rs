//! Event source mappings: functions that run on the changes of a table, with what AWS Lambda promises of them.
//!
//! [`Triggers::call`] answers calls to Lambda's own REST API about event source mappings and their tags. A mapping reads a
//! stream of this region as any client does, gathers its records into batches, and invokes a function with them: one that is
//! behind Lambda's Invoke API, behind an address, or a program on this machine that speaks Lambda's Runtime API
//! ([`Target`]). How far each shard has come is stored after the function has taken the records, so every record is delivered at
//! least once, and those of an item in their order, whatever ends when.
//!
//! Mappings and checkpoints are rows that this replica keeps ([`Keeper::Triggers`]): positions in a stream are its own. Shapes
//! and constraints come from botocore's model by `generator/generate.py`. Sources of behaviour are the API reference,
//! <https://docs.aws.amazon.com/lambda/latest/api/>, and "Using AWS Lambda with Amazon DynamoDB" in Lambda's guide.

mod authorize;
mod call;
mod entry;
mod failure;
mod function;
mod generated;
mod ids;
mod invoke;
mod mapping;
mod operations;
pub mod pattern;
mod runner;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::Relaxed},
    time::Duration,
};

use geodynamo_outgoing::Client;
use geodynamo_storage::Engine;
use geodynamo_table::{Keeper, TableError, Tables};
use parking_lot::Mutex;
use tokio::sync::watch;

pub use crate::{
    call::{Authorization, Call, Reply, is_path, operation_names},
    failure::{Destination, Destinations},
    function::{FunctionOptions, Target},
    invoke::{
        hmac::{HmacSecret, HmacSecretError},
        process::Command,
    },
    wire::error::LambdaError,
};
use crate::{
    entry::{Entry, Runner},
    function::{Functions, function_arn, parse_name},
    mapping::{Checkpoint, Mapping, Row, State, checkpoint_row, mapping_row, pack, read_row},
    runner::{Run, Shared, Stop, group},
};

/// The most mappings of a region.
pub const MAPPINGS_MAX: usize = 1000;
/// How long runners that end may wait for what they have invoked, when the process ends.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// How triggers are set up.
#[derive(Debug)]
pub struct Options {
    /// The functions.
    pub functions: Vec<FunctionOptions>,
    /// Where notes of records go that a function does not take.
    pub destinations: Destinations,
    /// What calls are made with.
    pub client: Client,
    /// Memory for records on their way, in bytes.
    pub memory_bytes: usize,
    /// For negative controls: stores checkpoints before functions have the records, so a crash loses some.
    pub checkpoint_first: bool,
}

/// What a mapping has done since the process started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappingStatus {
    /// Its id.
    pub uuid: String,
    /// The function's name.
    pub function: String,
    /// The stream's table, as the catalog calls it.
    pub table: String,
    /// Whether it runs.
    pub enabled: bool,
    /// How old the oldest record is that was read and is not done with, in milliseconds.
    pub age_ms: u64,
    /// Invocations.
    pub invocations: u64,
    /// Those that the function failed in.
    pub errors: u64,
    /// Those that did not reach it.
    pub not_reached: u64,
    /// Records that it took.
    pub delivered: u64,
    /// Records that no filter let through.
    pub filtered: u64,
    /// Records that were given up.
    pub discarded: u64,
}

/// A region's event source mappings.
pub struct Triggers<E: Engine> {
    shared: Arc<Shared<E>>,
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Held by whoever changes something, from reading it to its commit.
    writing: tokio::sync::Mutex<()>,
}

impl<E: Engine> Triggers<E> {
    /// Opens what the replica keeps, and begins to run it.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub async fn start(tables: Arc<Tables<E>>, options: Options) -> Result<Arc<Self>, TableError> {
        let mut mappings = Vec::new();
        let mut checkpoints: BTreeMap<String, BTreeMap<String, Checkpoint>> = BTreeMap::new();
        for (_, key, value) in tables.local().kept_rows(Keeper::Triggers).await? {
            match read_row(&key, &value)? {
                Some(Row::Mapping(mapping)) => mappings.push(mapping),
                Some(Row::Checkpoint(uuid, shard, checkpoint)) => {
                    checkpoints.entry(uuid).or_default().insert(shard, checkpoint);
                }
                None => {}
            }
        }
        let functions = Functions::new(options.functions, &options.client, tables.region(), tables.account());
        let triggers = Arc::new(Self {
            shared: Arc::new(Shared {
                tables,
                functions,
                destinations: options.destinations,
                client: options.client,
                memory_bytes: options.memory_bytes,
                checkpoint_first: options.checkpoint_first,
                readers: AtomicUsize::new(0),
            }),
            entries: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        });
        for mapping in mappings {
            let of_mapping = checkpoints.remove(&mapping.uuid).unwrap_or_default();
            let (uuid, enabled) = (mapping.uuid.clone(), mapping.enabled);
            if triggers.shared.function_of(&mapping).is_none() {
                let function = &mapping.settings.function;
                tracing::warn!(mapping = uuid, function, "a mapping's function is not configured");
            }
            let entry = Arc::new(Entry::new(mapping, of_mapping, State::Disabled));
            triggers.entries.lock().insert(uuid, Arc::clone(&entry));
            if enabled {
                triggers.begin(&entry);
            }
        }
        // What is left is of mappings that were removed while something was stored.
        for (uuid, shards) in checkpoints {
            let rows = shards
                .keys()
                .map(|shard| (checkpoint_row(&uuid, shard), None))
                .collect();
            if let Err(error) = triggers
                .shared
                .tables
                .local()
                .keep(Keeper::Triggers, group(&uuid), rows)
                .await
            {
                tracing::debug!(%error, "checkpoints of a removed mapping were not removed");
            }
        }
        Ok(triggers)
    }

    /// Ends all runners, and waits a moment for what they have invoked. What is not done with is delivered after the next
    /// start.
    pub async fn stop(&self) {
        let entries: Vec<_> = self.entries.lock().values().cloned().collect();
        let runners: Vec<_> = entries.iter().filter_map(|entry| entry.take_runner()).collect();
        for runner in &runners {
            runner.stop.send_replace(Stop::AfterInvocation);
        }
        let (stops, tasks): (Vec<_>, Vec<_>) = runners.into_iter().map(|runner| (runner.stop, runner.task)).unzip();
        let ended = futures_util::future::join_all(tasks);
        tokio::pin!(ended);
        if tokio::time::timeout(STOP_WITHIN, &mut ended).await.is_err() {
            for stop in &stops {
                stop.send_replace(Stop::Now);
            }
            // They store how far they have come.
            let _ = tokio::time::timeout(STOP_WITHIN, ended).await;
        }
        self.shared.functions.stop().await;
    }

    /// What each mapping has done.
    pub fn status(&self) -> Vec<MappingStatus> {
        let now_ms = self.shared.tables.now_ms();
        let entries = self.entries.lock();
        let status = |(uuid, entry): (&String, &Arc<Entry>)| {
            let mapping = entry.mapping.lock();
            let counts = &entry.counts;
            let oldest_ms = entry.oldest_s().map(|oldest| oldest.saturating_mul(1000));
            MappingStatus {
                uuid: uuid.clone(),
                function: mapping.function_name().to_owned(),
                table: self.shared.table_of(&mapping).unwrap_or_default(),
                enabled: mapping.enabled,
                age_ms: oldest_ms.map_or(0, |oldest| now_ms.saturating_sub(oldest)),
                invocations: counts.invocations.load(Relaxed),
                errors: counts.errors.load(Relaxed),
                not_reached: counts.not_reached.load(Relaxed),
                delivered: counts.delivered.load(Relaxed),
                filtered: counts.filtered.load(Relaxed),
                discarded: counts.discarded.load(Relaxed),
            }
        };
        entries.iter().map(status).collect()
    }

    /// Begins to run a mapping.
    fn begin(&self, entry: &Arc<Entry>) {
        let mapping = entry.mapping.lock().clone();
        // Both were checked when they came; what a newer release wrote may not be known here.
        let (Some(stream), Ok(patterns)) = (
            self.shared.stream_of(mapping.account(), &mapping.stream),
            mapping.settings.patterns(),
        ) else {
            entry.set_result("PROBLEM: The mapping cannot be read");
            entry.set_state(State::Enabled);
            return;
        };
        let (stop, stopped) = watch::channel(Stop::No);
        let run = Run {
            shared: Arc::clone(&self.shared),
            entry: Arc::clone(entry),
            mapping,
            stream,
            patterns,
            stop: stopped,
        };
        let task = tokio::spawn(runner::run(Arc::new(run)));
        entry.set_runner(Runner { stop, task });
        entry.set_state(State::Enabled);
    }

    /// Brings what a mapping does in line with what it is now, once its runner has ended.
    fn settle(self: &Arc<Self>, entry: Arc<Entry>, stop: Stop) {
        let triggers = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(runner) = entry.take_runner() {
                runner.stop.send_replace(stop);
                if let Err(error) = runner.task.await {
                    tracing::error!(%error, "a mapping's runner broke off");
                }
            }
            if entry.state() == State::Deleting {
                triggers.remove(&entry).await;
            } else if entry.mapping.lock().enabled {
                triggers.begin(&entry);
            } else {
                entry.set_state(State::Disabled);
            }
        });
    }

    /// Takes a mapping away that does not run any more. Its own row is gone already.
    async fn remove(&self, entry: &Entry) {
        let uuid = entry.mapping.lock().uuid.clone();
        let rows = removed_rows(&uuid, entry);
        if let Err(error) = self
            .shared
            .tables
            .local()
            .keep(Keeper::Triggers, group(&uuid), rows)
            .await
        {
            // The next start does it.
            tracing::debug!(%error, "checkpoints of a removed mapping were not removed");
        }
        self.entries.lock().remove(&uuid);
    }

    async fn commit(
        &self,
        mapping: &Mapping,
        beside: Vec<(bytes::Bytes, Option<bytes::Bytes>)>,
    ) -> Result<(), TableError> {
        let mut rows = vec![(mapping_row(&mapping.uuid), Some(pack(mapping)?))];
        rows.extend(beside);
        self.shared
            .tables
            .local()
            .keep(Keeper::Triggers, group(&mapping.uuid), rows)
            .await
    }

    /// The function behind what a client of an account calls one: its ARN, with the version.
    fn function_arn(&self, account: &str, told: &str) -> Option<String> {
        let tables = &self.shared.tables;
        let (name, version) = parse_name(told, tables.region(), account)?;
        let arn = function_arn(tables.region(), account, name);
        let function = self.shared.functions.get(&arn)?;
        Some(match version {
            Some(version) => format!("{}:{version}", function.arn),
            None => function.arn.clone(),
        })
    }
}

/// What goes with a mapping.
fn removed_rows(uuid: &str, entry: &Entry) -> Vec<(bytes::Bytes, Option<bytes::Bytes>)> {
    let shards = entry
        .shards()
        .into_iter()
        .map(|shard| (checkpoint_row(uuid, &shard), None));
    shards.chain([(mapping_row(uuid), None)]).collect()
}

/// The name in a stream's ARN that clients give its table.
fn table_of(stream: &str) -> &str {
    let resource = stream.splitn(6, ':').nth(5).unwrap_or_default();
    resource.split('/').nth(1).unwrap_or_default()
}

impl<E: Engine> std::fmt::Debug for Triggers<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Triggers").finish_non_exhaustive()
    }
}
