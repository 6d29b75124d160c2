//! All destinations of a region: made, run, ended.

mod door;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use geodynamo_outgoing::Endpoint;
use geodynamo_replicator_core::{LogId, LogInfo, Position};
use geodynamo_storage::Engine;
use geodynamo_table::{
    Keeper, Table, TableError, Tables, given_name,
    kinesis::{Destination, DestinationStatus},
    recovery::LogHolder,
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    Options,
    put::{BYTES_MAX, Put, RECORDS_MAX, again, has_stream, put},
    record::{Data, data},
    row::{Row, Stored, StoredStatus, destination_row, pack, position_row, read},
};

/// How often a log is looked at that nobody tells of.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long writes gather before they are read.
const GATHER: Duration = Duration::from_millis(2);
/// How often a position is stored at most.
const STORE_EVERY: Duration = Duration::from_millis(100);
/// The pause after a first failure; it doubles with each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Why nothing is sent for an account that was configured once.
const NO_ENDPOINT: &str = "no Kinesis is configured for the table's account";
/// Bytes of a log read at a time: what is written of them fits into one call.
const READ_BYTES: usize = 1 << 20;

/// A region's streaming destinations.
pub struct Kinesis<E: Engine>(Arc<Inner<E>>);

struct Inner<E: Engine> {
    tables: Arc<Tables<E>>,
    options: Options,
    entries: Mutex<BTreeMap<(u64, String), Arc<Entry>>>,
    /// Held by whoever changes something, from reading it to its commit.
    writing: tokio::sync::Mutex<()>,
    /// What holds the logs.
    holds: Arc<Holds>,
}

/// A destination.
#[derive(Debug)]
struct Entry {
    stored: Mutex<Stored>,
    /// What is under way, if something is.
    passing: Mutex<Option<DestinationStatus>>,
    runner: Mutex<Option<Runner>>,
    /// The last position of each partition's log that the stream has.
    positions: Mutex<Vec<Position>>,
    /// When the stream last had all there was, or took something, in milliseconds since the Unix epoch.
    went_well_ms: AtomicU64,
    /// The oldest record that waits, by the region's clock; 0 for none.
    waiting_since_ms: AtomicU64,
    delivered: AtomicU64,
    failures: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Runner {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a destination has done since the process started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationStats {
    /// The table's name.
    pub table: String,
    /// The stream's name.
    pub stream: String,
    /// How old the oldest record is that was read and that the stream has not taken, in milliseconds.
    pub age_ms: u64,
    /// Records that it took.
    pub delivered: u64,
    /// Calls that it did not take, or not wholly.
    pub failures: u64,
    /// Records that it will never take.
    pub lost: u64,
}

/// What is kept of a destination: what it is, and the position of each partition's log.
type Kept = (Option<Stored>, BTreeMap<u16, u64>);

/// Which positions are held, by table and log.
#[derive(Debug, Default)]
struct Holds(Mutex<BTreeMap<u64, BTreeMap<LogId, Position>>>);

impl LogHolder for Holds {
    fn releases(&self, table: &Table, log: LogId) -> Option<Position> {
        self.0.lock().get(&table.id())?.get(&log).copied()
    }

    fn lets_go(&self, _: &Table) -> bool {
        true
    }
}

impl<E: Engine> Clone for Kinesis<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Engine> Kinesis<E> {
    /// Opens what the replica keeps, and begins to run it. To be called before anything is written, for from the first write on
    /// changes must have what destinations need.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub async fn start(tables: Arc<Tables<E>>, options: Options) -> Result<Self, TableError> {
        let mut all: BTreeMap<(u64, String), Kept> = BTreeMap::new();
        for (group, key, value) in tables.local().kept_rows(Keeper::Kinesis).await? {
            match read(&key, &value)? {
                Some(Row::Destination(stored)) => {
                    let stream = stored.stream.clone();
                    all.entry((group, stream)).or_default().0 = Some(stored);
                }
                Some(Row::At(stream, partition, position)) => {
                    all.entry((group, stream)).or_default().1.insert(partition, position);
                }
                None => {}
            }
        }
        let holds = Arc::<Holds>::default();
        let holder: Arc<dyn LogHolder> = Arc::<Holds>::clone(&holds);
        tables.logs().add_holder(&holder);
        let kinesis = Self(Arc::new(Inner {
            tables,
            options,
            entries: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            holds,
        }));
        for ((id, stream), (stored, positions)) in all {
            let (Some(stored), Some(table)) = (stored, kinesis.0.tables.local().table_with_id(id)) else {
                // The table is gone.
                kinesis.0.forget(id, &stream, positions.into_keys()).await;
                continue;
            };
            let logs = kinesis.0.tables.local().change_logs(&table);
            let position = |log: &LogInfo| Position(positions.get(&log.partition).copied().unwrap_or_default());
            let entry = kinesis.0.entry(stored, logs.iter().map(position).collect());
            let is_fed = entry.stored.lock().status.is_fed();
            kinesis.0.entries.lock().insert((id, stream), Arc::clone(&entry));
            if is_fed {
                kinesis.0.tables.streams().feed(&table, true);
                kinesis.0.hold(&table);
                kinesis.0.begin(&entry, table);
            }
        }
        Ok(kinesis)
    }

    /// Ends all readers. What streams do not have is sent after the next start.
    pub async fn stop(&self) {
        let entries: Vec<_> = self.0.entries.lock().values().cloned().collect();
        let runners: Vec<_> = entries.iter().filter_map(|entry| entry.runner.lock().take()).collect();
        for runner in &runners {
            runner.stop.send_replace(true);
        }
        for runner in runners {
            let _ = runner.task.await;
        }
    }

    /// What each destination that is on has done.
    pub fn stats(&self) -> Vec<DestinationStats> {
        let now_ms = self.0.tables.now_ms();
        let entries = self.0.entries.lock();
        let stats = |((id, stream), entry): (&(u64, String), &Arc<Entry>)| {
            let table = self.0.tables.local().table_with_id(*id)?;
            let since = entry.waiting_since_ms.load(Relaxed);
            entry.stored.lock().status.is_fed().then(|| DestinationStats {
                table: table.name().to_owned(),
                stream: crate::put::name(stream).to_owned(),
                age_ms: if since == 0 { 0 } else { now_ms.saturating_sub(since) },
                delivered: entry.delivered.load(Relaxed),
                failures: entry.failures.load(Relaxed),
                lost: entry.lost.load(Relaxed),
            })
        };
        entries.iter().filter_map(stats).collect()
    }
}

impl<E: Engine> Inner<E> {
    fn entry(&self, stored: Stored, positions: Vec<Position>) -> Arc<Entry> {
        Arc::new(Entry {
            stored: Mutex::new(stored),
            passing: Mutex::default(),
            runner: Mutex::default(),
            positions: Mutex::new(positions),
            went_well_ms: AtomicU64::new(self.tables.now_ms()),
            waiting_since_ms: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })
    }

    /// The destinations of a table.
    fn of_table(&self, table: u64) -> Vec<Arc<Entry>> {
        let entries = self.entries.lock();
        let of_table = entries
            .range((table, String::new())..)
            .take_while(|((id, _), _)| *id == table);
        of_table.map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Says which positions of a table's logs are held.
    fn hold(&self, table: &Table) {
        let held_ms = u64::try_from(self.options.held_for.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.tables.now_ms();
        let mut held: BTreeMap<LogId, Position> = BTreeMap::new();
        for entry in self.of_table(table.id()) {
            let waits = now_ms.saturating_sub(entry.went_well_ms.load(Relaxed)) < held_ms;
            if !entry.stored.lock().status.is_fed() || !waits {
                continue;
            }
            let positions = entry.positions.lock();
            for (log, position) in self.tables.local().change_logs(table).iter().zip(positions.iter()) {
                let least = held.entry(log.log).or_insert(*position);
                *least = (*least).min(*position);
            }
        }
        self.holds.0.lock().insert(table.id(), held);
    }

    /// The service as the account reaches it whose table this is.
    fn endpoint(&self, table: &Table) -> Option<&Endpoint> {
        let local = self.tables.local();
        match local.owner(table.name()) {
            own if own == self.tables.account() => Some(&self.options.endpoint),
            other => self.options.of_accounts.get(other),
        }
    }

    async fn keep(&self, table: u64, rows: Vec<(Bytes, Option<Bytes>)>) -> Result<(), TableError> {
        self.tables.local().keep(Keeper::Kinesis, table, rows).await
    }

    async fn store(&self, stored: &Stored) -> Result<(), TableError> {
        let row = (destination_row(&stored.stream), Some(pack(stored)?));
        self.keep(stored.table, vec![row]).await
    }

    /// Takes away what is kept of a destination whose table is gone.
    async fn forget(&self, table: u64, stream: &str, partitions: impl Iterator<Item = u16>) {
        let positions = partitions.map(|partition| (position_row(stream, partition), None));
        let rows = positions.chain([(destination_row(stream), None)]).collect();
        if let Err(error) = self.keep(table, rows).await {
            // The next start does it.
            tracing::debug!(%error, stream, "a destination was not forgotten");
        }
        self.entries.lock().remove(&(table, stream.to_owned()));
        self.holds.0.lock().remove(&table);
    }

    fn begin(self: &Arc<Self>, entry: &Arc<Entry>, table: Arc<Table>) {
        let (stop, stopped) = watch::channel(false);
        let (inner, entry_of_task) = (Arc::clone(self), Arc::clone(entry));
        let task = tokio::spawn(async move { inner.run(entry_of_task, table, stopped).await });
        *entry.runner.lock() = Some(Runner { stop, task });
    }

    /// Runs a destination until it is told to stop.
    async fn run(self: Arc<Self>, entry: Arc<Entry>, table: Arc<Table>, mut stop: watch::Receiver<bool>) {
        let stream = entry.stored.lock().stream.clone();
        if entry.stored.lock().status == StoredStatus::Enabling
            && !self.enable(&entry, &table, &stream, &mut stop).await
        {
            return;
        }
        let mut readers = JoinSet::new();
        for log in self.tables.local().change_logs(&table) {
            let (inner, entry, table) = (Arc::clone(&self), Arc::clone(&entry), Arc::clone(&table));
            readers.spawn(async move { inner.read(&entry, &table, &log).await });
        }
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(Duration::from_secs(1)) => self.hold(&table),
                ended = readers.join_next() => {
                    if let Some(Err(error)) = ended {
                        tracing::error!(%error, stream, "the reader of a destination broke off");
                    }
                    if readers.is_empty() {
                        break;
                    }
                }
            }
            if self.tables.local().table_with_id(table.id()).is_none() {
                readers.shutdown().await;
                let partitions = self.tables.local().change_logs(&table);
                self.forget(table.id(), &stream, partitions.iter().map(|log| log.partition))
                    .await;
                return;
            }
        }
        readers.shutdown().await;
        // How far the readers have come, to the last record.
        let positions = entry.positions.lock().clone();
        for (log, position) in self.tables.local().change_logs(&table).iter().zip(positions) {
            self.store_position(&table, &stream, log.partition, position).await;
        }
    }

    /// Looks whether there is such a stream; `false` if there is none, or nobody asks any more.
    async fn enable(&self, entry: &Entry, table: &Table, stream: &str, stop: &mut watch::Receiver<bool>) -> bool {
        let mut in_row = 0;
        loop {
            let found = match self.endpoint(table) {
                Some(endpoint) => has_stream(&self.options.client, endpoint, stream).await,
                None => Err(NO_ENDPOINT.to_owned()),
            };
            let mut stored = entry.stored.lock().clone();
            match found {
                Ok(true) => stored.status = StoredStatus::Active,
                Ok(false) => {
                    stored.status = StoredStatus::Failed;
                    stored.reason = Some(format!("The stream {stream} is not there."));
                }
                Err(error) => {
                    tracing::warn!(error, stream, "it cannot be told whether there is a Kinesis stream");
                    in_row += 1;
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return false,
                        () = tokio::time::sleep(pause(in_row)) => continue,
                    }
                }
            }
            if let Err(error) = self.store(&stored).await {
                tracing::warn!(%error, stream, "a destination's status was not stored");
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return false,
                    () = tokio::time::sleep(PAUSE_MAX) => continue,
                }
            }
            let is_active = stored.status == StoredStatus::Active;
            *entry.stored.lock() = stored;
            if !is_active {
                self.feed(table);
            }
            return is_active;
        }
    }

    /// Feeds a table if somebody needs it.
    fn feed(&self, table: &Table) {
        let fed = self
            .of_table(table.id())
            .iter()
            .any(|entry| entry.stored.lock().status.is_fed());
        self.tables.streams().feed(table, fed);
        self.hold(table);
    }

    /// Sends the changes of one log, for ever.
    async fn read(&self, entry: &Entry, table: &Arc<Table>, log: &LogInfo) {
        let stream = entry.stored.lock().stream.clone();
        let partition = usize::from(log.partition);
        let mut at = entry.positions.lock().get(partition).copied().unwrap_or_default();
        let mut stored = (at, tokio::time::Instant::now());
        let mut writes = self.tables.logs().growth();
        loop {
            writes.mark_unchanged();
            let found = self
                .tables
                .streams()
                .fed_records(table, log, at, RECORDS_MAX, READ_BYTES)
                .await;
            let (records, looked_at) = match found {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, stream, "a change log cannot be read for a destination");
                    tokio::time::sleep(PAUSE_MAX).await;
                    continue;
                }
            };
            let is_empty = records.is_empty();
            if let Some((_, first)) = records.first() {
                let since = entry.waiting_since_ms.load(Relaxed);
                if since == 0 || first.created_ms < since {
                    entry.waiting_since_ms.store(first.created_ms, Relaxed);
                }
                let precision = entry.stored.lock().precision();
                let mut batch: Vec<Data> = Vec::with_capacity(records.len());
                let mut bytes = 0;
                for (_, record) in &records {
                    match data(record, self.tables.region(), given_name(table.name()), precision) {
                        Ok(data) => {
                            if bytes + data.json.len() > BYTES_MAX && !batch.is_empty() {
                                self.send(entry, table, &stream, std::mem::take(&mut batch)).await;
                                bytes = 0;
                            }
                            bytes += data.json.len();
                            batch.push(data);
                        }
                        Err(error) => {
                            tracing::error!(%error, stream, "a change cannot be sent");
                            entry.lost.fetch_add(1, Relaxed);
                        }
                    }
                }
                self.send(entry, table, &stream, batch).await;
            }
            at = looked_at;
            if let Some(position) = entry.positions.lock().get_mut(partition) {
                *position = at;
            }
            if is_empty {
                entry.waiting_since_ms.store(0, Relaxed);
                entry.went_well_ms.store(self.tables.now_ms(), Relaxed);
            }
            if at != stored.0 && (is_empty || stored.1.elapsed() >= STORE_EVERY) {
                self.store_position(table, &stream, log.partition, at).await;
                stored = (at, tokio::time::Instant::now());
            }
            if is_empty {
                let told = tokio::time::timeout(LOOK_EVERY, writes.changed()).await;
                if matches!(told, Ok(Ok(()))) {
                    tokio::time::sleep(GATHER).await;
                }
            }
        }
    }

    /// Sends records until the stream has them, or has said that it never will.
    async fn send(&self, entry: &Entry, table: &Table, stream: &str, records: Vec<Data>) {
        let endpoint = self.endpoint(table);
        // The next ones last.
        let mut parts = vec![records];
        let mut in_row = 0;
        while let Some(mut records) = parts.pop() {
            if records.is_empty() {
                continue;
            }
            let count = records.len();
            let put = match endpoint {
                Some(endpoint) => put(&self.options.client, endpoint, stream, &records).await,
                None => Put::NotNow(NO_ENDPOINT.to_owned()),
            };
            match put {
                Put::All => {
                    in_row = 0;
                    entry.delivered.fetch_add(count as u64, Relaxed);
                    entry.went_well_ms.store(self.tables.now_ms(), Relaxed);
                    continue;
                }
                Put::But(failed) => {
                    let rest = again(records, &failed);
                    entry.delivered.fetch_add((count - rest.len()) as u64, Relaxed);
                    parts.push(rest);
                }
                Put::Refused(told) if count == 1 => {
                    tracing::error!(
                        told,
                        stream,
                        "a record is too large for its Kinesis stream, or not to its liking"
                    );
                    entry.lost.fetch_add(1, Relaxed);
                    continue;
                }
                Put::Refused(_) => {
                    let rest = records.split_off(count / 2);
                    parts.push(rest);
                    parts.push(records);
                    continue;
                }
                Put::NotNow(told) => {
                    if in_row == 0 {
                        tracing::warn!(told, stream, "a Kinesis stream takes no records");
                    }
                    parts.push(records);
                }
            }
            entry.failures.fetch_add(1, Relaxed);
            in_row += 1;
            tokio::time::sleep(pause(in_row)).await;
        }
    }

    async fn store_position(&self, table: &Table, stream: &str, partition: u16, position: Position) {
        let packed = match pack(&position.0) {
            Ok(packed) => packed,
            Err(error) => return tracing::error!(%error, "a position cannot be written"),
        };
        let row = (position_row(stream, partition), Some(packed));
        if let Err(error) = self.keep(table.id(), vec![row]).await {
            // What was sent is sent again after a crash.
            tracing::debug!(%error, stream, "a destination's position was not stored");
        }
    }
}

fn pause(in_row: u32) -> Duration {
    let factor = 1_u32.checked_shl(in_row.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE_MIN.saturating_mul(factor).min(PAUSE_MAX)
}

impl Entry {
    fn shown(&self) -> Destination {
        let stored = self.stored.lock();
        Destination {
            stream: stored.stream.clone(),
            status: self.passing.lock().unwrap_or_else(|| stored.status.shown()),
            reason: stored.reason.clone(),
            precision: stored.precision(),
        }
    }
}

impl<E: Engine> std::fmt::Debug for Kinesis<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kinesis").finish_non_exhaustive()
    }
}
