//! The root: what jobs there are, and their beginning and end.

use std::{
    io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

use geodynamo_api::transfer::{
    Answer, ExportJob, ExportKind, ImportCounts, ImportJob, JobState, KeyKind, Millis, NewExport, NewImport, Transfer,
    TransferError,
};
use geodynamo_exchange::layout;
use geodynamo_recovery::Recoveries;
use geodynamo_storage::Engine;
use geodynamo_table::{Tables, schema::KeyType};
use tokio::sync::Semaphore;

use crate::{Buckets, Error, Result, ledger::{Entry, Ledger}};

/// Jobs of a kind that run at once; others wait.
const RUNNING_MAX: usize = 4;
/// Jobs of a kind that may be under way or wait. AWS's quota is 300 exports and 50 imports.
const PENDING_MAX: usize = 50;
/// How long a client token is remembered.
const TOKEN_MS: Millis = 8 * 60 * 60 * 1000;
/// How often an import's counts are kept, in items.
const TELL_EVERY: u64 = 50_000;

/// A region's exports and imports. Cheap to clone.
pub struct Transfers<E: Engine>(Arc<Inner<E>>);

/// What is behind it.
pub struct Inner<E: Engine> {
    tables: Arc<Tables<E>>,
    pub(crate) recoveries: Recoveries<E>,
    pub(crate) buckets: Buckets,
    exports: Ledger<ExportJob>,
    imports: Ledger<ImportJob>,
    folder: PathBuf,
    exporting: Semaphore,
    importing: Semaphore,
    /// Held while a job begins, so that a client token begins one.
    beginning: tokio::sync::Mutex<()>,
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
    /// Opens the jobs in a folder and begins those anew that were broken off.
    pub fn open(tables: Arc<Tables<E>>, recoveries: Recoveries<E>, buckets: Buckets, folder: &Path) -> io::Result<Self> {
        let this = Self(Arc::new(Inner {
            tables,
            recoveries,
            buckets,
            exports: Ledger::open(folder.join("exports"))?,
            imports: Ledger::open(folder.join("imports"))?,
            folder: folder.to_owned(),
            exporting: Semaphore::new(RUNNING_MAX),
            importing: Semaphore::new(RUNNING_MAX),
            beginning: tokio::sync::Mutex::default(),
        }));
        for job in this.exports.all(|job| !job.ended()) {
            tokio::spawn(this.clone().run_export(job));
        }
        for job in this.imports.all(|job| !job.ended()) {
            tokio::spawn(this.clone().run_import(job));
        }
        Ok(this)
    }

    /// Where the errors of an import are written.
    pub(crate) fn error_log(&self, id: &str) -> PathBuf {
        self.folder.join("imports").join(format!("{id}.errors"))
    }

    async fn run_export(self, job: ExportJob) {
        // Never closed.
        let _turn = self.exporting.acquire().await;
        let result = self.carry_out_export(&job).await;
        let now = self.tables.now_ms();
        let kept = self.exports.change(&job.id, |job| {
            job.ended_ms = Some(now);
            match &result {
                Ok(done) => {
                    job.state = JobState::Completed;
                    (job.manifest, job.items, job.bytes) = (Some(done.manifest.clone()), done.items, done.bytes);
                }
                Err(error) => job.state = failed(error),
            }
        });
        report("an export", &job.arn, result.err(), kept);
    }

    async fn run_import(self, job: ImportJob) {
        let _turn = self.importing.acquire().await;
        let result = self.carry_out(&job).await;
        let now = self.tables.now_ms();
        let (counts, error) = match result {
            Ok(counts) if counts.errors > 0 => (Some(counts), Some(Error::Items)),
            Ok(counts) => (Some(counts), None),
            Err(error) => (None, Some(error)),
        };
        let kept = self.imports.change(&job.id, |job| {
            job.ended_ms = Some(now);
            job.counts = counts.unwrap_or(job.counts);
            job.state = error.as_ref().map_or(JobState::Completed, failed);
        });
        report("an import", &job.arn, error, kept);
    }

    /// Imports, and makes the table ACTIVE, or takes it away again.
    async fn carry_out(&self, job: &ImportJob) -> Result<ImportCounts> {
        let Some(table) = self.tables.table_with_id(job.table_key) else {
            return Err(Error::Table(geodynamo_table::TableError::no_table_named(&job.table)));
        };
        let told = std::sync::atomic::AtomicU64::new(0);
        let tell = |counts: &ImportCounts| {
            let steps = counts.processed_items / TELL_EVERY;
            if told.swap(steps, std::sync::atomic::Ordering::Relaxed) != steps {
                // Only shown meanwhile.
                let _ = self.imports.change(&job.id, |job| job.counts = *counts);
            }
        };
        match self.carry_out_import(job, &table, tell).await {
            Ok(counts) => {
                self.tables.finish_import(table.id()).await?;
                Ok(counts)
            }
            Err(error) => {
                // Gone already, perhaps.
                let _ = self.tables.abandon_import(table.id()).await;
                Err(error)
            }
        }
    }

    fn begin_export_now(&self, wanted: NewExport) -> std::result::Result<ExportJob, TransferError> {
        let now = self.tables.now_ms();
        if let Some(token) = &wanted.token {
            let used = |job: &ExportJob| job.wanted.token.as_ref() == Some(token) && job.started_ms + TOKEN_MS > now;
            if let Some(job) = self.exports.all(used).pop() {
                return if same_export(&job.wanted, &wanted) { Ok(job) } else { Err(TransferError::ExportConflict) };
            }
        }
        if self.exports.all(|job| !job.ended()).len() >= PENDING_MAX {
            return Err(TransferError::LimitExceeded(format!("Subscriber limit exceeded: There is a limit of {PENDING_MAX} simultaneous exports")));
        }
        let table = self.tables.table_named(&wanted.table)?;
        let id = layout::export_id(now, rand::random());
        let job = ExportJob {
            arn: format!("{}/export/{id}", wanted.table_arn),
            id,
            table_key: table.id(),
            table_id: self.tables.describe(&wanted.table)?.id,
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
            let used = |job: &ImportJob| job.token.as_ref() == Some(token) && job.started_ms + TOKEN_MS > now;
            if let Some(job) = self.imports.all(used).pop() {
                let same = job.source == wanted.source && job.parameters == wanted.parameters;
                return if same { Ok(job) } else { Err(TransferError::ImportConflict) };
            }
        }
        if self.imports.all(|job| !job.ended()).len() >= PENDING_MAX {
            return Err(TransferError::LimitExceeded(format!("Subscriber limit exceeded: There is a limit of {PENDING_MAX} simultaneous imports")));
        }
        let key_types = key_types(&wanted);
        let name = wanted.create.name.clone();
        let description = self.tables.create_imported(wanted.create).await?;
        let id = layout::export_id(now, rand::random());
        let table = self.tables.table_named(&name)?;
        let table_arn = format!("arn:aws:dynamodb:{}:{}:table/{name}", self.tables.region(), self.tables.account());
        let job = ImportJob {
            arn: format!("{table_arn}/import/{id}"),
            id,
            table: name,
            table_arn,
            table_id: description.id,
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
        self.imports.put(&job).map_err(internal)?;
        tokio::spawn(self.clone().run_import(job.clone()));
        Ok(job)
    }
}

impl<E: Engine> Inner<E> {
    /// The tables.
    pub fn tables(&self) -> &Arc<Tables<E>> {
        &self.tables
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
        let mut all = self.exports.all(|job| table_arn.is_none_or(|arn| job.wanted.table_arn == arn));
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
        let mut all = self.imports.all(|job| table_arn.is_none_or(|arn| job.table_arn == arn));
        all.reverse();
        all
    }
}

/// Whether a request is one that was made before. The moment of a full export may have been left to the service, as now.
fn same_export(one: &NewExport, other: &NewExport) -> bool {
    let kind = match (one.kind, other.kind) {
        (ExportKind::Full { .. }, ExportKind::Full { .. }) => one.kind,
        _ => other.kind,
    };
    *one == NewExport { kind, ..other.clone() }
}

fn key_types(wanted: &NewImport) -> Vec<(String, KeyKind)> {
    let create = &wanted.create;
    let indexes = create.local_indexes.iter().chain(&create.global_indexes).map(|index| &index.keys);
    let all = std::iter::once(&create.keys).chain(indexes).flat_map(|keys| keys.roles());
    let kind = |kind: KeyType| match kind {
        KeyType::S => KeyKind::S,
        KeyType::N => KeyKind::N,
        KeyType::B => KeyKind::B,
    };
    all.map(|(key, _)| (key.name.to_string(), kind(key.kind))).collect()
}

fn failed(error: &Error) -> JobState {
    JobState::Failed(error.code().to_owned(), error.to_string())
}

fn internal(error: io::Error) -> TransferError {
    TransferError::Internal(error.to_string())
}

fn report(what: &str, arn: &str, error: Option<Error>, kept: io::Result<()>) {
    match error {
        None => tracing::info!(arn, "{what} is done"),
        Some(error) => tracing::warn!(arn, %error, "{what} failed"),
    }
    if let Err(error) = kept {
        tracing::error!(arn, %error, "{what}'s end could not be written down: it is begun anew at the next start");
    }
}
