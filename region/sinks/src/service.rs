//! All sinks of a region: added, run, removed.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use geodynamo_storage::Engine;
use geodynamo_table::{Keeper, Table, TableError, Tables, recovery::LogHolder};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Options, SINKS_MAX, SinkSpec, SinkStatus,
    copier::Copier,
    entry::{Entry, Holds, Runner},
    iceberg::Iceberg,
    postgres::Postgres,
    rows::{Copy, GROUP, Row, copy_row, pack, read, sink_row},
    target::Target,
};

/// A region's sinks.
pub struct Sinks<E: Engine>(Arc<Inner<E>>);

pub(crate) struct Inner<E: Engine> {
    pub(crate) tables: Arc<Tables<E>>,
    pub(crate) options: Options,
    pub(crate) holds: Arc<Holds>,
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Held by whoever adds or removes a sink.
    writing: tokio::sync::Mutex<()>,
}

/// Why a sink is not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It is not as a sink has to be, or there are too many.
    #[error("{0}")]
    Invalid(String),
    /// There is one of that name.
    #[error("there is a sink '{0}' already")]
    Exists(String),
    /// There is none.
    #[error("there is no sink '{0}'")]
    Absent(String),
    /// The configuration file has it.
    #[error("the sink '{0}' is in the configuration file: take it out there")]
    InFile(String),
    /// What the replica keeps of it cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl<E: Engine> Clone for Sinks<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Engine> Sinks<E> {
    /// Begins to run the sinks of a configuration file, and those that the replica keeps. To be called before anything is
    /// written, for from the first write on changes must have what copies need; and before logs are trimmed.
    ///
    /// # Errors
    /// If what is kept cannot be read, or a sink of the file is none.
    pub async fn start(tables: Arc<Tables<E>>, options: Options, file: Vec<SinkSpec>) -> Result<Self, SinkError> {
        let (mut specs, mut copies) = (BTreeMap::new(), BTreeMap::new());
        for (_, key, value) in tables.local().kept_rows(Keeper::Sinks).await? {
            match read(&key, &value)? {
                Some(Row::Sink(spec)) => {
                    specs.insert(spec.name.clone(), (*spec, false));
                }
                Some(Row::Copy(name, copy)) => {
                    copies.insert(name, copy);
                }
                None => {}
            }
        }
        let in_file = file.len();
        for spec in file {
            if let Some(fault) = spec.fault() {
                return Err(SinkError::Invalid(fault));
            }
            let name = spec.name.clone();
            if let Some((_, false)) = specs.insert(name.clone(), (spec, true)) {
                tracing::warn!(
                    sink = name,
                    "the configuration file's sink takes the place of one that was added"
                );
            }
        }
        if specs.values().filter(|(_, from_file)| *from_file).count() < in_file {
            return Err(SinkError::Invalid("two sinks have one name".into()));
        }
        if specs.len() > SINKS_MAX {
            return Err(SinkError::Invalid(format!("a region has at most {SINKS_MAX} sinks")));
        }
        let holds = Arc::<Holds>::default();
        let holder: Arc<dyn LogHolder> = Arc::<Holds>::clone(&holds);
        tables.logs().add_holder(&holder);
        let inner = Arc::new(Inner {
            tables,
            options,
            holds,
            entries: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        });
        for (name, (spec, from_file)) in specs {
            let entry = Arc::new(Entry::new(spec, from_file, inner.tables.now_ms()));
            let copy = copies.remove(&name);
            if let Some((copy, table)) = copy
                .as_ref()
                .and_then(|copy| Some((copy, inner.still(copy, &entry.spec)?)))
            {
                inner.tables.logs().copy_changes_of(&table, true);
                inner
                    .holds
                    .hold(&name, table.id(), &inner.tables.local().change_logs(&table), &[]);
                *entry.copy.lock() = Some(copy.clone());
            } else if let Some(copy) = copy {
                // Not to be taken for the sink's if it is told again what it was told once: changes will be missing.
                copies.insert(name.clone(), copy);
            }
            inner.entries.lock().insert(name, entry);
        }
        let gone = copies.keys().map(|name| (copy_row(name), None)).collect();
        inner.keep(gone).await?;
        let entries: Vec<_> = inner.entries.lock().values().cloned().collect();
        for entry in entries {
            Inner::begin(&inner, &entry);
        }
        Ok(Self(inner))
    }

    /// Adds a sink, for good.
    ///
    /// # Errors
    /// If it is none, or there is one of that name.
    pub async fn add(&self, spec: SinkSpec) -> Result<(), SinkError> {
        let _writing = self.0.writing.lock().await;
        // Relative paths would be to wherever the process was started.
        if let Some(fault) = spec.fault().or_else(|| spec.relative_path()) {
            return Err(SinkError::Invalid(fault));
        }
        {
            let entries = self.0.entries.lock();
            if entries.contains_key(&spec.name) {
                return Err(SinkError::Exists(spec.name));
            }
            if entries.len() >= SINKS_MAX {
                return Err(SinkError::Invalid(format!("a region has at most {SINKS_MAX} sinks")));
            }
        }
        self.0.keep(vec![(sink_row(&spec.name), Some(pack(&spec)?))]).await?;
        let name = spec.name.clone();
        let entry = Arc::new(Entry::new(spec, false, self.0.tables.now_ms()));
        self.0.entries.lock().insert(name, Arc::clone(&entry));
        Inner::begin(&self.0, &entry);
        Ok(())
    }

    /// Removes a sink that was added. Its copy stays as it is.
    ///
    /// # Errors
    /// If there is none, or the configuration file has it.
    pub async fn remove(&self, name: &str) -> Result<(), SinkError> {
        let _writing = self.0.writing.lock().await;
        let entry = self.0.entries.lock().get(name).cloned();
        let entry = entry.ok_or_else(|| SinkError::Absent(name.to_owned()))?;
        if entry.from_file {
            return Err(SinkError::InFile(name.to_owned()));
        }
        stop(&entry).await;
        self.0
            .keep(vec![(sink_row(name), None), (copy_row(name), None)])
            .await?;
        self.0.entries.lock().remove(name);
        self.0.holds.release(name);
        let copy = entry.copy.lock().take();
        let table = copy.and_then(|copy| self.0.tables.local().table_with_id(copy.table));
        if let Some(table) = table {
            let needed = |other: &Arc<Entry>| other.copy.lock().as_ref().is_some_and(|copy| copy.table == table.id());
            let needed = self.0.entries.lock().values().any(needed);
            self.0.tables.logs().copy_changes_of(&table, needed);
        }
        Ok(())
    }

    /// The sinks, by name.
    pub fn list(&self) -> Vec<SinkStatus> {
        let now_ms = self.0.tables.now_ms();
        let entries = self.0.entries.lock();
        entries.values().map(|entry| entry.status(now_ms)).collect()
    }

    /// Ends all of them. What copies do not have they get after the next start.
    pub async fn stop(&self) {
        let entries: Vec<_> = self.0.entries.lock().values().cloned().collect();
        for entry in &entries {
            if let Some(runner) = &*entry.runner.lock() {
                runner.stop.send_replace(true);
            }
        }
        for entry in entries {
            stop(&entry).await;
        }
    }
}

impl<E: Engine> Inner<E> {
    /// The table of a copy, if that is a sink's still.
    fn still(&self, copy: &Copy, spec: &SinkSpec) -> Option<Arc<Table>> {
        let table = self.tables.local().table_with_id(copy.table)?;
        (table.name() == spec.table && copy.place == place(spec)).then_some(table)
    }

    pub(crate) async fn keep(&self, rows: Vec<(Bytes, Option<Bytes>)>) -> Result<(), TableError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.tables.local().keep(Keeper::Sinks, GROUP, rows).await
    }

    fn begin(inner: &Arc<Self>, entry: &Arc<Entry>) {
        let first = inner.options.position_first;
        let spec = &entry.spec;
        // No sink without a target is taken.
        if let Some(postgres) = spec.postgres.clone() {
            Self::run(inner, entry, Postgres::new(spec, postgres, first));
        } else if let Some(iceberg) = spec.iceberg.clone() {
            Self::run(inner, entry, Iceberg::new(spec, iceberg, first));
        }
    }

    fn run<T: Target + 'static>(inner: &Arc<Self>, entry: &Arc<Entry>, target: T) {
        let (stop, mut stopped) = watch::channel(false);
        let mut copier = Copier::new(Arc::clone(inner), Arc::clone(entry), target);
        let task = tokio::spawn(async move {
            // Whatever is under way is whole or not there: the copy's system sees to that.
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => {}
                () = copier.run() => {}
            }
        });
        *entry.runner.lock() = Some(Runner { stop, task });
    }
}

/// A digest of where a sink's copy is, and of what it is made of.
pub(crate) fn place(spec: &SinkSpec) -> u64 {
    let mut told = String::new();
    if let Some(postgres) = &spec.postgres {
        let into = postgres.into.as_deref().unwrap_or(&spec.table);
        told = [&postgres.address, &postgres.schema, into].join("\0");
        told.push_str(&format!("\0{:?}", postgres.document));
    }
    if let Some(iceberg) = &spec.iceberg {
        let endpoint = iceberg.endpoint.as_deref().unwrap_or_default();
        told = [&iceberg.place, endpoint, &spec.table].join("\0");
        told.push_str(&format!("\0{:?}", iceberg.document));
        if iceberg.columns.are_typed() {
            told.push_str("\0typed");
        }
        if let Some(catalog) = &iceberg.catalog {
            let warehouse = iceberg.warehouse.as_deref().unwrap_or_default();
            let namespace = iceberg.namespace.as_deref().unwrap_or_default();
            told.push_str(&["", catalog, warehouse, namespace].join("\0"));
        }
    }
    let found = digest(&SHA256, told.as_bytes());
    let bytes = found.as_ref().first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(bytes)
}

async fn stop(entry: &Entry) {
    let runner = entry.runner.lock().take();
    if let Some(runner) = runner {
        runner.stop.send_replace(true);
        let _ = runner.task.await;
    }
}

impl<E: Engine> std::fmt::Debug for Sinks<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sinks").finish_non_exhaustive()
    }
}
