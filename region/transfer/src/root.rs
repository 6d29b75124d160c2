//! The root: what jobs there are, and their beginning and end.

use std::{
    io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use geodynamo_api::transfer::{
    Answer, BulkOperations, ExportJob, ExportKind, ImportCounts, ImportJob, JobState, KeyKind, Millis, NewExport,
    NewImport, Transfer, TransferError, table_id,
};
use geodynamo_exchange::layout;
use geodynamo_recovery::Recoveries;
use geodynamo_seal::Keyring;
use geodynamo_storage::{Engine, Health};
use geodynamo_table::{CreateTable, Tables, schema::KeyType};
use tokio::sync::{Mutex, Semaphore, watch};

use crate::{
    Buckets, BulkStatus, Error, Result,
    bulk::Bulks,
    error_log,
    import::Loaded,
    ledger::{Entry, Ledger},
    seal::Seal,
    stop::Stop,
};

/// Jobs of a kind that run at once; others wait.
pub(crate) const RUNNING_MAX: usize = 2;
/// Jobs of a kind that run or wait. AWS's quotas are 300 exports and 50 imports.
pub(crate) const PENDING_MAX: usize = 50;
/// How long a client token is remembered.
pub(crate) const TOKEN_MS: Millis = 8 * 60 * 60 * 1000;
/// How long jobs are listed.
pub(crate) const LISTED_MS: Millis = 90 * 24 * 60 * 60 * 1000;
/// The pause before a job is tried again that this machine's trouble broke off: the first one, and the longest that it grows to.
pub(crate) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// For how long such a job waits at most, beyond that, for a store that takes no writes.
const WRITABLE_WITHIN: Duration = Duration::from_secs(5 * 60);

/// A region's exports and imports. Cheap to clone.
pub struct Transfers<E: Engine>(Arc<Inner<E>>);

/// What all clones share.
pub struct Inner<E: Engine> {
    tables: Arc<Tables<E>>,
    pub(crate) recoveries: Option<Recoveries<E>>,
    pub(crate) buckets: Buckets,
    exports: Ledger<ExportJob>,
    imports: Ledger<ImportJob>,
    folder: PathBuf,
    pub(crate) seal: Seal,
    exporting: Semaphore,
    importing: Semaphore,
    pub(crate) bulk: Bulks<E>,
    /// Held while a job begins, so that a client token begins one.
    beginning: Mutex<()>,
    counters: Counters,
    stop: Stop,
}

/// What has happened since the process started.
#[derive(Debug, Default)]
struct Counters {
    exports_completed: AtomicU64,
    exports_failed: AtomicU64,
    exported_items: AtomicU64,
    imports_completed: AtomicU64,
    imports_failed: AtomicU64,
    imported_items: AtomicU64,
    import_errors: AtomicU64,
}

/// What an operator watches: what is under way, and what has happened since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Exports that run or wait.
    pub exports: u64,
    /// Exports that are done.
    pub exports_completed: u64,
    /// Exports that failed.
    pub exports_failed: u64,
    /// Lines that they wrote.
    pub exported_items: u64,
    /// Imports that run or wait.
    pub imports: u64,
    /// Imports that are done.
    pub imports_completed: u64,
    /// Imports that failed, or had bad items.
    pub imports_failed: u64,
    /// Items that they put.
    pub imported_items: u64,
    /// Records that were no items, or none of their table.
    pub import_errors: u64,
    /// Bulk operations.
    pub bulk: BulkStatus,
}

impl<E: Engine> Clone for Transfers<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Engine> Deref for Transfers<E> {
    type Target = Inner<E>;

    fn deref(&self) -> &Inner<E> {
        &self.0
    }
}

impl Entry for ExportJob {
    fn id(&self) -> &str {
        &self.id
    }

    fn ended(&self) -> bool {
        self.state != JobState::InProgress
    }
}

impl Entry for ImportJob {
    fn id(&self) -> &str {
        &self.id
    }

    fn ended(&self) -> bool {
        self.state != JobState::InProgress
    }
}

impl<E: Engine> Transfers<E> {
    /// Opens the jobs in a folder and goes on with those that were broken off, until `stop` says so or its sender is gone. Without
    /// backups there is nothing to export. With a keyring, what is written in the folder is sealed under it.
    pub async fn start(
        tables: Arc<Tables<E>>,
        recoveries: Option<Recoveries<E>>,
        buckets: impl Into<Buckets>,
        (folder, keyring): (&Path, Option<Keyring>),
        stop: watch::Receiver<bool>,
    ) -> Result<Self> {
        let (seal, buckets, stop) = (Seal::new(keyring), buckets.into(), Stop::new(stop));
        let bulk = Bulks::start(
            Arc::clone(&tables),
            buckets.clone(),
            (&folder.join("bulk"), &seal),
            stop.clone(),
        )?;
        let this = Self(Arc::new(Inner {
            tables,
            recoveries,
            buckets,
            exports: Ledger::open(folder.join("exports"), seal.clone())?,
            imports: Ledger::open(folder.join("imports"), seal.clone())?,
            folder: folder.to_owned(),
            seal,
            exporting: Semaphore::new(RUNNING_MAX),
            importing: Semaphore::new(RUNNING_MAX),
            bulk,
            beginning: Mutex::default(),
            counters: Counters::default(),
            stop,
        }));
        let imports = this.imports.all(|job| !job.ended());
        for table in this.tables.loads().importing() {
            // Its import has failed, or had not begun yet when the process ended.
            if !imports.iter().any(|job| job.table_key == table.id()) {
                this.tables.loads().abandon_import(table.id()).await?;
            }
        }
        for job in imports {
            tokio::spawn(this.clone().run_import(job));
        }
        for job in this.exports.all(|job| !job.ended()) {
            tokio::spawn(this.clone().run_export(job));
        }
        Ok(this)
    }

    /// What an operator watches.
    pub fn status(&self) -> Status {
        let read = |count: &AtomicU64| count.load(Relaxed);
        let counters = &self.counters;
        Status {
            exports: self.exports.all(|job| !job.ended()).len() as u64,
            exports_completed: read(&counters.exports_completed),
            exports_failed: read(&counters.exports_failed),
            exported_items: read(&counters.exported_items),
            imports: self.imports.all(|job| !job.ended()).len() as u64,
            imports_completed: read(&counters.imports_completed),
            imports_failed: read(&counters.imports_failed),
            imported_items: read(&counters.imported_items),
            import_errors: read(&counters.import_errors),
            bulk: self.bulk.status(),
        }
    }

    /// What was wrong with items of an import, as lines of JSON: the first ones of them. None if there is no such import.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn import_errors(&self, id: &str) -> io::Result<Option<String>> {
        if self.imports.get(id).is_none() {
            return Ok(None);
        }
        match error_log::read(&self.error_log(id), &self.seal) {
            Ok(text) => Ok(Some(text)),
            // Nothing was wrong so far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(String::new())),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody else has the jobs, too.
    #[cfg(test)]
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    async fn run_export(self, job: ExportJob) {
        // Never closed.
        let _turn = self.exporting.acquire().await;
        let result = self.carry_out_export(&job).await;
        if self.stop.is_told() {
            return;
        }
        match &result {
            Ok(done) => {
                self.counters.exports_completed.fetch_add(1, Relaxed);
                self.counters.exported_items.fetch_add(done.items, Relaxed);
            }
            Err(_) => drop(self.counters.exports_failed.fetch_add(1, Relaxed)),
        }
        let now = self.tables.now_ms();
        let kept = self.exports.change(&job.id, |job| {
            job.ended_ms = Some(now);
            match &result {
                Ok(done) => {
                    job.state = JobState::Completed;
                    job.wanted.kind = done.kind;
                    (job.manifest, job.items, job.bytes) = (Some(done.manifest.clone()), done.items, done.bytes);
                }
                Err(error) => job.state = failed(error),
            }
        });
        report("an export", &job.arn, result.err().as_ref(), kept);
    }

    async fn run_import(self, job: ImportJob) {
        // Never closed.
        let _turn = self.importing.acquire().await;
        let mut pause = RETRY.0;
        let result = loop {
            match self.carry_out_import(&job).await {
                Err(error) if error.may_pass() && !self.stop.is_told() => {
                    tracing::warn!(arn = job.arn, %error, "an import is broken off; it is tried again");
                    self.wait_writable(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
                result => break result,
            }
        };
        if self.stop.is_told() {
            return;
        }
        let now = self.tables.now_ms();
        let bad = matches!(&result, Ok(counts) if counts.errors > 0);
        let error = if bad { Some(Error::Items) } else { result.err() };
        let ended = match &error {
            None => &self.counters.imports_completed,
            Some(_) => &self.counters.imports_failed,
        };
        ended.fetch_add(1, Relaxed);
        let kept = self.imports.change(&job.id, |job| {
            job.ended_ms = Some(now);
            job.state = error.as_ref().map_or(JobState::Completed, failed);
        });
        report("an import", &job.arn, error.as_ref(), kept);
        if !bad && error.is_some() {
            // Gone already, perhaps; and what cannot be taken away now goes at the next start.
            if let Err(error) = self.tables.loads().abandon_import(job.table_key).await {
                tracing::warn!(arn = job.arn, %error, "the table of an import that failed is not taken away");
            }
        }
    }

    /// Waits for a while, and until the store takes writes, but not on when the process ends.
    async fn wait_writable(&self, pause: Duration) {
        tokio::select! {
            () = writable(&self.tables, pause) => {}
            () = self.stop.told() => {}
        }
    }

    /// Imports, and makes the table ACTIVE.
    async fn carry_out_import(&self, job: &ImportJob) -> Result<ImportCounts> {
        let table = self.tables.local().table_with_id(job.table_key).ok_or(Error::Gone)?;
        let importing = self.tables.loads().importing();
        if !importing.iter().any(|importing| importing.id() == job.table_key) {
            // All of it was there already when the process ended.
            return Ok(self.imports.get(&job.id).map_or(job.counts, |job| job.counts));
        }
        let tell = |counts: ImportCounts| {
            self.imports.show(&job.id, |job| {
                let items = counts.imported_items.saturating_sub(job.counts.imported_items);
                let errors = counts.errors.saturating_sub(job.counts.errors);
                self.counters.imported_items.fetch_add(items, Relaxed);
                self.counters.import_errors.fetch_add(errors, Relaxed);
                job.counts = counts;
            });
        };
        let Loaded { load, mark, counts } = self.load(job, &table, tell).await?;
        // Before the table is ACTIVE, since the mark that has them goes then.
        self.imports.change(&job.id, |job| job.counts = counts)?;
        self.tables.loads().finish_import(load, mark).await?;
        Ok(counts)
    }

    fn begin_export_now(&self, wanted: NewExport) -> std::result::Result<ExportJob, TransferError> {
        let now = self.tables.now_ms();
        if let Some(token) = &wanted.token {
            let account = self.tables.local().owner(&wanted.table);
            let used = |job: &ExportJob| {
                job.wanted.token.as_ref() == Some(token)
                    && job.started_ms + TOKEN_MS > now
                    && self.tables.local().owner(&job.wanted.table) == account
            };
            if let Some(job) = self.exports.all(used).pop() {
                return if same_export(&job.wanted, &wanted) {
                    Ok(job)
                } else {
                    Err(TransferError::ExportConflict)
                };
            }
        }
        if self.exports.all(|job| !job.ended()).len() >= PENDING_MAX {
            return Err(too_many("exports"));
        }
        let table = self.tables.table_named(&wanted.table)?;
        let description = self.tables.describe(&wanted.table)?;
        let id = layout::export_id(now, rand::random());
        let job = ExportJob {
            arn: format!("{}/export/{id}", wanted.table_arn),
            id,
            table_key: table.id(),
            table_id: table_id(description.uuid),
            wanted,
            started_ms: now,
            ended_ms: None,
            state: JobState::InProgress,
            manifest: None,
            items: 0,
            bytes: 0,
        };
        self.exports.put(&job).map_err(internal)?;
        tokio::spawn(self.clone().run_export(job.clone()));
        Ok(job)
    }

    async fn begin_import_now(&self, wanted: NewImport) -> std::result::Result<ImportJob, TransferError> {
        let now = self.tables.now_ms();
        if let Some(token) = &wanted.token {
            let account = self.tables.local().owner(&wanted.create.name);
            let used = |job: &ImportJob| {
                job.token.as_ref() == Some(token)
                    && job.started_ms + TOKEN_MS > now
                    && self.tables.local().owner(&job.table) == account
            };
            if let Some(job) = self.imports.all(used).pop() {
                return if job.source == wanted.source && job.parameters == wanted.parameters {
                    Ok(job)
                } else {
                    Err(TransferError::ImportConflict)
                };
            }
        }
        if self.imports.all(|job| !job.ended()).len() >= PENDING_MAX {
            return Err(too_many("imports"));
        }
        let key_types = key_types(&wanted.create);
        let name = wanted.create.name.clone();
        let description = self.tables.loads().create_imported(wanted.create).await?;
        let table = self.tables.table_named(&name)?;
        let table_arn = self.tables.local().table_arn(&name);
        let id = layout::export_id(now, rand::random());
        let job = ImportJob {
            arn: format!("{table_arn}/import/{id}"),
            id,
            table: name,
            table_arn,
            table_id: table_id(description.uuid),
            table_key: table.id(),
            key_types,
            parameters: wanted.parameters,
            source: wanted.source,
            token: wanted.token,
            started_ms: now,
            ended_ms: None,
            state: JobState::InProgress,
            counts: ImportCounts::default(),
        };
        if let Err(error) = self.imports.put(&job) {
            self.tables.loads().abandon_import(table.id()).await?;
            return Err(internal(error));
        }
        tokio::spawn(self.clone().run_import(job.clone()));
        Ok(job)
    }
}

impl<E: Engine> Inner<E> {
    /// The tables.
    pub fn tables(&self) -> &Arc<Tables<E>> {
        &self.tables
    }

    /// Where the errors of an import are written.
    pub(crate) fn error_log(&self, id: &str) -> PathBuf {
        self.folder.join("imports").join(format!("{id}.errors"))
    }

    /// Ends a job that goes on at the next start, if the process is to end.
    pub(crate) fn check_running(&self) -> Result<()> {
        if self.stop.is_told() {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }

    fn is_listed(&self, started_ms: Millis) -> bool {
        started_ms + LISTED_MS > self.tables.now_ms()
    }
}

impl<E: Engine> Transfer for Transfers<E> {
    fn begin_export(&self, wanted: NewExport) -> Answer<'_, ExportJob> {
        Box::pin(async move {
            let _beginning = self.beginning.lock().await;
            self.begin_export_now(wanted)
        })
    }

    fn export(&self, arn: &str) -> Option<ExportJob> {
        self.exports.all(|job| job.arn == arn).pop()
    }

    fn exports(&self, table_arn: Option<&str>) -> Vec<ExportJob> {
        let of_table = |job: &ExportJob| table_arn.is_none_or(|arn| job.wanted.table_arn == arn);
        let mut all = self.exports.all(|job| of_table(job) && self.is_listed(job.started_ms));
        all.reverse();
        all
    }

    fn begin_import(&self, wanted: NewImport) -> Answer<'_, ImportJob> {
        Box::pin(async move {
            let _beginning = self.beginning.lock().await;
            self.begin_import_now(wanted).await
        })
    }

    fn import(&self, arn: &str) -> Option<ImportJob> {
        self.imports.all(|job| job.arn == arn).pop()
    }

    fn imports(&self, table_arn: Option<&str>) -> Vec<ImportJob> {
        let of_table = |job: &ImportJob| table_arn.is_none_or(|arn| job.table_arn == arn);
        let mut all = self.imports.all(|job| of_table(job) && self.is_listed(job.started_ms));
        all.reverse();
        all
    }

    fn bulk(&self) -> &dyn BulkOperations {
        &self.bulk
    }
}

/// Waits for a while, and until the store takes writes: a job that is tried before reads, sorts and merges in vain.
pub(crate) async fn writable<E: Engine>(tables: &Tables<E>, pause: Duration) {
    tokio::time::sleep(pause).await;
    let writable = Health::wait_writable(tables.engine().health());
    let _ = tokio::time::timeout(WRITABLE_WITHIN, writable).await;
}

/// Whether a request is one that was made before. A moment that was left to the service is no other one for being later.
fn same_export(one: &NewExport, other: &NewExport) -> bool {
    let kind = match (one.kind, other.kind) {
        (ExportKind::Full { latest: true, .. }, ExportKind::Full { latest: true, .. }) => one.kind,
        _ => other.kind,
    };
    *one == NewExport { kind, ..other.clone() }
}

fn key_types(create: &CreateTable) -> Vec<(String, KeyKind)> {
    let indexes = create.local_indexes.iter().chain(&create.global_indexes);
    let schemas = std::iter::once(&create.keys).chain(indexes.map(|index| &index.keys));
    let kind = |kind: KeyType| match kind {
        KeyType::S => KeyKind::S,
        KeyType::N => KeyKind::N,
        KeyType::B => KeyKind::B,
    };
    let attributes = schemas.flat_map(|schema| schema.attributes());
    attributes.map(|key| (key.name.to_string(), kind(key.kind))).collect()
}

pub(crate) fn too_many(what: &str) -> TransferError {
    TransferError::LimitExceeded(format!(
        "Subscriber limit exceeded: There is a limit of {PENDING_MAX} simultaneous {what}"
    ))
}

fn failed(error: &Error) -> JobState {
    JobState::Failed(error.code().to_owned(), error.to_string())
}

pub(crate) fn internal(error: io::Error) -> TransferError {
    TransferError::Internal(error.to_string())
}

pub(crate) fn report(what: &str, arn: &str, error: Option<&Error>, kept: io::Result<()>) {
    match error {
        None => tracing::info!(arn, "{what} is done"),
        Some(error) => tracing::warn!(arn, %error, "{what} failed"),
    }
    if let Err(error) = kept {
        tracing::error!(arn, %error, "{what}'s end could not be written down: it is begun anew at the next start");
    }
}
