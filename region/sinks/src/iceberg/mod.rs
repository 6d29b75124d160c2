//! A copy as an Apache Iceberg table, version 2 of the format: Parquet files in a folder or a bucket, and metadata that every engine
//! finds there by the names that Iceberg's file-system catalogue has.
//!
//! Rows have the key attributes as columns of their types, and the item as a JSON document; if that is wanted, other attributes have
//! columns, too, which are added as they are seen (`typed`). A change adds rows in a file of its own
//! and marks the older rows of the same items as deleted, by their places: of the ways in which Iceberg can say that, the one that
//! every reader knows. There is one file of such places for each file of rows, replaced when there are more. Where an item's row is,
//! is found in the digests of the rows' keys, which are kept beside each file, sorted as the rows are.
//!
//! What the copy has stands in each snapshot's summary. A commit makes a metadata file that must not be there yet, or is one of a
//! catalogue's (`catalogue`), which compares what it follows: of two writers one fails.

mod avro;
mod catalogue;
mod compact;
mod files;
mod manifest;
mod schema;
mod state;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod typed;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use self::{
    manifest::{Content, Entry, Status},
    schema::{Columns, Row, digest},
    state::{DataFile, File, State},
    store::{Store, told},
};
use crate::{
    IcebergSpec, SinkSpec,
    target::{Batch, Held, Put, Shape, Target, TargetError},
};

type Result<T> = std::result::Result<T, TargetError>;

/// Bytes of rows in memory that make a file of a snapshot's.
const FILE_BYTES: usize = 16 << 20;
/// Bytes of digests and of deleted rows' places that are kept in memory: those of four million rows.
const CACHE_BYTES: usize = 64 << 20;

/// A copy as an Iceberg table.
pub(crate) struct Iceberg {
    spec: IcebergSpec,
    table: String,
    position_first: bool,
    open: Option<Open>,
}

/// A table that is open.
struct Open {
    store: Store,
    state: State,
    known: Known,
    loading: Option<Loading>,
    keep: Duration,
}

/// A snapshot that is being copied.
struct Loading {
    columns: Columns,
    id: i64,
    rows: Vec<Row>,
    bytes: usize,
    files: Vec<DataFile>,
}

/// What is in memory of files.
#[derive(Default)]
struct Known {
    files: BTreeMap<String, KnownFile>,
    bytes: usize,
}

/// Of a file: the digests of its rows, and the places of those that are deleted, both sorted.
#[derive(Clone)]
struct KnownFile {
    digests: Bytes,
    deleted: Vec<u32>,
}

impl KnownFile {
    fn bytes(&self) -> usize {
        self.digests.len() + self.deleted.len() * size_of::<u32>()
    }
}

impl Known {
    fn insert(&mut self, name: &str, file: KnownFile) {
        self.remove(name);
        self.bytes += file.bytes();
        self.files.insert(name.to_owned(), file);
        while self.bytes > CACHE_BYTES && self.files.len() > 1 {
            let Some(other) = self.files.keys().find(|other| *other != name).cloned() else {
                return;
            };
            self.remove(&other);
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(gone) = self.files.remove(name) {
            self.bytes -= gone.bytes();
        }
    }
}

impl Iceberg {
    pub(crate) fn new(sink: &SinkSpec, spec: IcebergSpec, position_first: bool) -> Self {
        Self {
            table: sink.table.clone(),
            spec,
            position_first,
            open: None,
        }
    }

    fn opened(&mut self) -> Result<&mut Open> {
        self.open.as_mut().ok_or_else(|| TargetError("it is not open".into()))
    }
}

impl Target for Iceberg {
    async fn open(&mut self, shape: &Shape) -> Result<Option<Held>> {
        self.open = None;
        let store = Store::open(&self.spec, &self.table)?;
        let state = store.current().await?;
        let held = state.as_ref().filter(|state| {
            let columns = state.schemas.last();
            columns.is_some_and(|columns| columns.fit(shape, self.spec.columns.are_typed()))
        });
        let held = held.map(|state| Held {
            epoch: state.epoch.clone(),
            positions: state.positions.clone(),
        });
        self.open = Some(Open {
            store,
            state: state.unwrap_or_else(State::new),
            known: Known::default(),
            loading: None,
            keep: Duration::from_secs(self.spec.keep_seconds),
        });
        Ok(held)
    }

    async fn begin_load(&mut self, shape: &Shape) -> Result<()> {
        let typed = self.spec.columns.are_typed();
        let open = self.opened()?;
        // Of the same columns, it is the same schema.
        let same = open.state.schemas.last().filter(|columns| columns.fit(shape, typed));
        let next = |columns: &Columns| (columns.id + 1, columns.last_field() + 1);
        let (id, first) = open.state.schemas.last().map_or((0, 1), next);
        let columns = same.cloned().unwrap_or_else(|| Columns::of(shape, id, first, typed));
        open.loading = Some(Loading {
            columns,
            id: new_id(),
            rows: Vec::new(),
            bytes: 0,
            files: Vec::new(),
        });
        Ok(())
    }

    async fn load(&mut self, rows: &[Put]) -> Result<()> {
        let form = self.spec.document;
        let open = self.opened()?;
        let loading = open.loading.as_mut().ok_or_else(not_loading)?;
        for row in loading.columns.rows(rows, form)? {
            loading.bytes += row.bytes();
            loading.rows.push(row);
        }
        if loading.bytes >= FILE_BYTES {
            open.write_loaded().await?;
        }
        Ok(())
    }

    async fn end_load(&mut self, held: &Held) -> Result<()> {
        let open = self.opened()?;
        open.write_loaded().await?;
        let loading = open.loading.take().ok_or_else(not_loading)?;
        let mut next = open.state.clone();
        let removed = std::mem::replace(&mut next.files, loading.files);
        next.take_columns(loading.columns);
        next.epoch.clone_from(&held.epoch);
        next.positions.clone_from(&held.positions);
        let rows: u64 = next.files.iter().map(|file| file.file.rows).sum();
        let changed = [("added-data-files", next.files.len() as u64), ("added-records", rows)];
        open.commit(next, loading.id, "overwrite", &changed, &removed).await
    }

    async fn apply(&mut self, batch: &Batch, from: &Held, to: &Held) -> Result<()> {
        let form = self.spec.document;
        let position_first = self.position_first;
        let open = self.opened()?;
        if open.state.epoch != from.epoch || open.state.positions != from.positions {
            return Err(TargetError("the table is not where this sink left it".into()));
        }
        if position_first {
            let mut next = open.state.clone();
            next.positions.clone_from(&to.positions);
            open.commit(next, new_id(), "replace", &[], &[]).await?;
        }
        open.apply(batch, form, to).await?;
        if let Some(group) = compact::group(&open.state.files) {
            open.compact(&group).await?;
        }
        Ok(())
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.spec.commit_seconds)
    }

    fn close(&mut self) {
        self.open = None;
    }
}

impl Open {
    fn columns(&self) -> Result<&Columns> {
        let none = || TargetError("the table has no schema".into());
        self.state.schemas.last().ok_or_else(none)
    }

    /// The sequence number of the next snapshot.
    fn next_sequence(&self) -> i64 {
        self.state.sequence() + 1
    }

    async fn write_loaded(&mut self) -> Result<()> {
        let Some(loading) = &mut self.loading else {
            return Ok(());
        };
        if loading.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut loading.rows);
        loading.bytes = 0;
        let (columns, id, number) = (loading.columns.clone(), loading.id, loading.files.len());
        let file = self.write_rows(&columns, rows, id, number).await?;
        if let Some(loading) = &mut self.loading {
            loading.files.push(file);
        }
        Ok(())
    }

    /// Writes a file of rows of the next snapshot.
    async fn write_rows(&mut self, columns: &Columns, mut rows: Vec<Row>, id: i64, number: usize) -> Result<DataFile> {
        let raw = rows.iter().map(Row::bytes).sum::<usize>() as u64;
        let (count, of_rows) = (rows.len() as u64, columns.clone());
        let making = tokio::task::spawn_blocking(move || {
            rows.sort_unstable_by_key(|row| row.digest);
            files::rows(&of_rows, &rows).map(|file| (file, files::digests(&rows)))
        });
        let (file, digests) = making.await.map_err(told)??;
        let name = format!("data/{id}-{number}.parquet");
        self.store.put(&state::digests(&name), digests.clone()).await?;
        let bytes = self.store.put(&name, file).await?;
        let known = KnownFile {
            digests,
            deleted: Vec::new(),
        };
        self.known.insert(&name, known);
        Ok(DataFile {
            file: File {
                name,
                rows: count,
                bytes,
                snapshot: id,
                sequence: self.next_sequence(),
            },
            raw,
            deletes: None,
        })
    }

    /// What is known of a file, which is read where it is not in memory.
    async fn known(&mut self, file: &DataFile) -> Result<KnownFile> {
        if let Some(known) = self.known.files.get(&file.file.name) {
            return Ok(known.clone());
        }
        let digests = self.store.get(&state::digests(&file.file.name)).await?;
        let deleted = match &file.deletes {
            Some(deletes) => files::read_places(self.store.get(&deletes.name).await?)?,
            None => Vec::new(),
        };
        let known = KnownFile { digests, deleted };
        self.known.insert(&file.file.name, known.clone());
        Ok(known)
    }

    /// Makes changes: rows of their own, and places of the rows that they take the place of.
    async fn apply(&mut self, batch: &Batch, form: crate::Document, to: &Held) -> Result<()> {
        let mut columns = self.columns()?.clone();
        let (id, sequence) = (new_id(), self.next_sequence());
        let rows = columns.rows(&batch.puts, form)?;
        let mut changed: Vec<_> = batch.deletes.iter().map(|key| digest(key)).collect();
        changed.extend(rows.iter().map(|row| row.digest));
        changed.sort_unstable();
        let mut next = self.state.clone();
        next.take_columns(columns.clone());
        let (mut removed, mut gone, mut deleted, mut delete_files) = (Vec::new(), Vec::new(), 0, 0);
        for (number, mut file) in std::mem::take(&mut next.files).into_iter().enumerate() {
            let mut known = self.known(&file).await?;
            let before = known.deleted.len();
            let found = changed.iter().filter_map(|digest| files::find(&known.digests, digest));
            let new: Vec<u32> = found
                .filter(|place| known.deleted.binary_search(place).is_err())
                .collect();
            if new.is_empty() {
                next.files.push(file);
                continue;
            }
            known.deleted.extend(new);
            known.deleted.sort_unstable();
            deleted += (known.deleted.len() - before) as u64;
            gone.extend(file.deletes.take().map(|deletes| deletes.name));
            if known.deleted.len() as u64 == file.file.rows {
                self.known.remove(&file.file.name);
                removed.push(file);
                continue;
            }
            let path = format!("{}/{}", self.store.location, file.file.name);
            let name = format!("data/{id}-{number}.deletes.parquet");
            let bytes = self.store.put(&name, files::places(&path, &known.deleted)?).await?;
            delete_files += 1;
            file.deletes = Some(File {
                name,
                rows: known.deleted.len() as u64,
                bytes,
                snapshot: id,
                sequence,
            });
            self.known.insert(&file.file.name, known);
            next.files.push(file);
        }
        let added = rows.len() as u64;
        if !rows.is_empty() {
            let file = self.write_rows(&columns, rows, id, 0).await?;
            next.files.push(file);
        }
        next.positions.clone_from(&to.positions);
        next.drop_files(gone.iter().map(String::as_str), sequence);
        let operation = match (added, deleted) {
            (_, 0) => "append",
            (0, _) => "delete",
            _ => "overwrite",
        };
        let counts = [
            ("added-records", added),
            ("added-data-files", u64::from(added > 0)),
            ("added-position-deletes", deleted),
            ("added-delete-files", delete_files),
            ("deleted-data-files", removed.len() as u64),
        ];
        self.commit(next, id, operation, &counts, &removed).await
    }

    /// Commits what is next: files that were removed are those that the snapshot before had.
    async fn commit(
        &mut self,
        mut next: State,
        id: i64,
        operation: &str,
        changed: &[(&str, u64)],
        removed: &[DataFile],
    ) -> Result<()> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now_ms.as_millis()).unwrap_or(u64::MAX);
        let names = removed.iter().flat_map(|file| {
            let deletes = file.deletes.as_ref().map(|deletes| deletes.name.as_str());
            std::iter::once(file.file.name.as_str()).chain(deletes)
        });
        let sequence = self.next_sequence();
        next.drop_files(names, sequence);
        next.version += 1;
        next.add_snapshot(id, now_ms, operation, changed);
        self.write_manifests(&next, id, sequence, removed).await?;
        let keep_ms = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let mut useless = next.expire(now_ms.saturating_sub(keep_ms));
        self.store.commit(&self.state, &mut next).await?;
        useless.extend(self.state.snapshots.last().map(|snapshot| state::state(snapshot.id)));
        useless.extend(self.store.outdated(next.version));
        self.state = next;
        self.store.delete(&useless).await;
        Ok(())
    }

    async fn write_manifests(&self, next: &State, id: i64, sequence: i64, removed: &[DataFile]) -> Result<()> {
        let location = &self.store.location;
        let columns = next.schemas.last().ok_or_else(not_loading)?;
        let status = |file: &File| match file.snapshot == id {
            true => Status::Added,
            false => Status::Existing,
        };
        let rows = next.files.iter().map(|file| (status(&file.file), file));
        let all = rows.chain(removed.iter().map(|file| (Status::Deleted, file)));
        let entry = |(status, file): (Status, &'_ DataFile)| (status, file.clone());
        let all: Vec<(Status, DataFile)> = all.map(entry).collect();
        let data: Vec<Entry<'_>> = all
            .iter()
            .map(|(status, file)| Entry {
                status: *status,
                file: &file.file,
                of: None,
            })
            .collect();
        let there = all.iter().filter(|(status, _)| *status != Status::Deleted);
        let deletes: Vec<Entry<'_>> = there
            .filter_map(|(_, file)| {
                let deletes = file.deletes.as_ref()?;
                Some(Entry {
                    status: status(deletes),
                    file: deletes,
                    of: Some(&file.file.name),
                })
            })
            .collect();
        let marker: [u8; 16] = rand::random();
        let mut listed = Vec::new();
        for (content, entries) in [(Content::Data, data), (Content::Deletes, deletes)] {
            if entries.is_empty() {
                continue;
            }
            let file = manifest::manifest(columns, location, content, id, marker, &entries);
            let name = state::manifest(id, content.name());
            listed.push(manifest::listed(
                format!("{location}/{name}"),
                file.len(),
                content,
                &entries,
            ));
            self.store.put(&name, file.into()).await?;
        }
        let parent = self.state.snapshots.last().map(|snapshot| snapshot.id);
        let list = manifest::list(id, parent, sequence, marker, &listed);
        self.store.put(&state::list(id), list.into()).await?;
        Ok(())
    }
}

fn new_id() -> i64 {
    i64::from_be_bytes(rand::random::<[u8; 8]>()) & i64::MAX
}

fn not_loading() -> TargetError {
    TargetError("nothing is being loaded".into())
}
