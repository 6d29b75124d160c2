//! Exports: from the archive to a bucket.

use std::{collections::BTreeMap, io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use geodynamo_api::transfer::{ExportJob, ExportKind};
use geodynamo_exchange::{Change, ExportFormat, layout, manifest, write_change, write_item};
use geodynamo_item::Item;
use geodynamo_recovery::{Archived, Changes, Job, Moment, archived_tables};
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{recovery::Row, schema::KeySchema};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::{Error, Result, Transfers};

/// Uncompressed bytes of a data file, about.
const FILE_BYTES: usize = 64 << 20;
/// Items that are read of the archive at a time.
const ROWS_MAX: usize = 1_000;
/// Bytes of items, likewise.
const ROWS_BYTES: usize = 4 << 20;
/// What was changed since a base is held in memory within this.
const OVERLAY_BYTES_MAX: usize = 64 << 20;
/// The most bytes of items changed within an incremental export's window.
const WINDOW_BYTES_MAX: usize = 256 << 20;
/// How long an export waits until the archive has its moment.
const ARCHIVED_MAX: Duration = Duration::from_secs(120);
/// The pause before the archive is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What an export comes to.
pub(crate) struct Exported {
    pub(crate) manifest: String,
    pub(crate) items: u64,
    pub(crate) bytes: u64,
}

impl<E: Engine> Transfers<E> {
    /// Carries an export out.
    pub(crate) async fn carry_out_export(&self, job: &ExportJob) -> Result<Exported> {
        let bucket = self.buckets.to(&job.wanted.bucket)?;
        let folder = layout::folder(job.wanted.prefix.as_deref(), &job.id);
        let files = layout::Files::of(&folder);
        put(&*bucket, &files.started, Vec::new()).await?;
        let mut writer = Writer {
            bucket: Arc::clone(&bucket),
            job,
            folder: folder.clone(),
            lines: Vec::new(),
            items: 0,
            bytes: 0,
            files: Vec::new(),
        };
        let bytes = match job.wanted.kind {
            ExportKind::Full { at_ms } => self.export_full(job, at_ms, &mut writer).await?,
            ExportKind::Incremental { from_ms, to_ms, old_images } => {
                self.export_incremental(job, from_ms, to_ms, old_images, &mut writer).await?
            }
        };
        // There is one file at least, if it is an empty one.
        writer.flush(true).await?;
        let listed = manifest::files(&writer.files).into_bytes();
        put(&*bucket, &files.files_checksum, manifest::checksum(&listed).into_bytes()).await?;
        put(&*bucket, &files.files, listed).await?;
        let items = writer.files.iter().map(|file| file.item_count).sum();
        let summary = self.summary(job, &files.files, items, bytes);
        let summary = serde_json::to_vec(&summary).map_err(std::io::Error::other)?;
        put(&*bucket, &files.summary_checksum, manifest::checksum(&summary).into_bytes()).await?;
        // Written last: who finds it finds all.
        put(&*bucket, &files.summary, summary).await?;
        Ok(Exported {
            manifest: files.summary,
            items,
            bytes,
        })
    }

    async fn export_full(&self, job: &ExportJob, at_ms: Millis, writer: &mut Writer<'_>) -> Result<u64> {
        let chain = self.chain(job, at_ms).await?;
        let archived = chain.job(at_ms).ok_or(Error::Moment)?;
        let mut moment = self.moment(&archived).await?;
        while let Some(rows) = moment.next_rows(ROWS_MAX, ROWS_BYTES).await? {
            for row in rows {
                let item = row.decode()?;
                writer.line(|format, lines| write_item(format, &item, lines)).await?;
            }
        }
        Ok(writer.bytes)
    }

    /// The net change of each item: an item that was made and deleted within the window is not in it.
    async fn export_incremental(
        &self,
        job: &ExportJob,
        from_ms: Millis,
        to_ms: Millis,
        old_images: bool,
        writer: &mut Writer<'_>,
    ) -> Result<u64> {
        let chain = self.chain(job, to_ms.saturating_sub(1)).await?;
        let keys = chain.settings(self.recoveries.archive()).await?.keys;
        let mut changed = self.changed(&chain, from_ms, to_ms).await?;
        let before = chain.job(from_ms.saturating_sub(1).max(chain.window().0)).ok_or(Error::Moment)?;
        let mut moment = self.moment(&before).await?;
        while let Some(rows) = moment.next_rows(ROWS_MAX, ROWS_BYTES).await? {
            for row in rows {
                if let Some(last) = changed.remove(&row.key) {
                    let old = row.decode()?;
                    writer.change(&keys, last, Some(old), old_images).await?;
                }
            }
        }
        // What is left was not there before.
        for last in changed.into_values() {
            writer.change(&keys, last, None, old_images).await?;
        }
        Ok(writer.bytes)
    }

    /// The last change of each item within a window.
    async fn changed(&self, chain: &Archived, from_ms: Millis, to_ms: Millis) -> Result<BTreeMap<Bytes, Last>> {
        let mut changes = Changes::between(self.recoveries.archive(), chain.dir(), from_ms, to_ms).await?;
        let mut changed = BTreeMap::new();
        let mut bytes = 0;
        while let Some(record) = changes.next().await? {
            if !(from_ms..to_ms).contains(&record.commit_ms) {
                continue;
            }
            // Copies: a slice of a segment would keep all of it in memory.
            let key = Bytes::copy_from_slice(&record.key);
            let item = record.item.map(|item| Bytes::copy_from_slice(&item));
            bytes += key.len() + item.as_ref().map_or(0, Bytes::len);
            if bytes > WINDOW_BYTES_MAX {
                return Err(Error::Window(WINDOW_BYTES_MAX));
            }
            changed.insert(key, Last { item, commit_ms: record.commit_ms });
        }
        Ok(changed)
    }

    async fn moment(&self, job: &Job) -> Result<Moment> {
        Ok(Moment::open(self.recoveries.archive(), job, None, OVERLAY_BYTES_MAX).await?)
    }

    /// The table's chain in the archive, once it reaches a moment.
    async fn chain(&self, job: &ExportJob, at_ms: Millis) -> Result<Archived> {
        let deadline = tokio::time::Instant::now() + ARCHIVED_MAX;
        loop {
            let chains = archived_tables(self.recoveries.archive(), self.tables().region(), Some(&job.wanted.table)).await?;
            let found = chains.into_iter().rev().find(|chain| chain.id == job.table_key && chain.job(at_ms).is_some());
            match found {
                Some(chain) => return Ok(chain),
                None if tokio::time::Instant::now() > deadline => return Err(Error::Moment),
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    fn summary(&self, job: &ExportJob, files: &str, items: u64, bytes: u64) -> manifest::Summary {
        let full = manifest::Summary {
            version: manifest::FULL_VERSION,
            export_arn: job.arn.clone(),
            start_time: manifest::iso8601(job.started_ms),
            end_time: manifest::iso8601(self.tables().now_ms()),
            table_arn: job.wanted.table_arn.clone(),
            table_id: job.table_id.clone(),
            s3_bucket: job.wanted.bucket.clone(),
            s3_prefix: job.wanted.prefix.clone(),
            s3_sse_algorithm: job.wanted.sse_algorithm.clone().unwrap_or_else(|| "AES256".to_owned()),
            s3_sse_kms_key_id: job.wanted.sse_key.clone(),
            manifest_files_s3_key: files.to_owned(),
            billed_size_bytes: bytes,
            item_count: items,
            output_format: format_of(job).name(),
            ..manifest::Summary::default()
        };
        match job.wanted.kind {
            ExportKind::Full { at_ms } => manifest::Summary {
                export_time: Some(manifest::iso8601(at_ms)),
                ..full
            },
            ExportKind::Incremental { from_ms, to_ms, old_images } => manifest::Summary {
                version: manifest::INCREMENTAL_VERSION,
                export_type: Some("INCREMENTAL_EXPORT"),
                export_from_time: Some(manifest::iso8601(from_ms)),
                export_to_time: Some(manifest::iso8601(to_ms)),
                output_view: Some(if old_images { "NEW_AND_OLD_IMAGES" } else { "NEW_IMAGE" }.to_owned()),
                ..full
            },
        }
    }
}

/// An item's last change within a window.
struct Last {
    item: Option<Bytes>,
    commit_ms: Millis,
}

/// Writes data files.
struct Writer<'a> {
    bucket: Arc<dyn ObjectStore>,
    job: &'a ExportJob,
    folder: String,
    lines: Vec<u8>,
    /// Of the file that is being written.
    items: u64,
    /// Of all items, uncompressed.
    bytes: u64,
    files: Vec<manifest::DataFile>,
}

impl Writer<'_> {
    async fn line(&mut self, write: impl FnOnce(ExportFormat, &mut Vec<u8>)) -> Result<()> {
        let before = self.lines.len();
        write(format_of(self.job), &mut self.lines);
        self.bytes += (self.lines.len() - before) as u64;
        self.items += 1;
        self.flush(false).await
    }

    async fn change(&mut self, keys: &KeySchema, last: Last, old: Option<Item>, old_images: bool) -> Result<()> {
        let new = match last.item {
            Some(item) => Some(Row { route: 0, key: Bytes::new(), item }.decode()?),
            None => None,
        };
        let Some(some) = new.as_ref().or(old.as_ref()) else {
            // Made and deleted within the window.
            return Ok(());
        };
        let key = |(key, _): (&geodynamo_table::schema::KeyAttribute, bool)| {
            Some((key.name.as_str().into(), some.get(&key.name)?.clone()))
        };
        let change = Change {
            written_us: last.commit_ms * 1_000,
            keys: keys.roles().filter_map(key).collect(),
            new,
            old: old.filter(|_| old_images),
        };
        self.line(|format, lines| write_change(format, &change, lines)).await
    }

    /// Ends the file if it is large enough; the last one in any case, if there is something in it or no other.
    async fn flush(&mut self, last: bool) -> Result<()> {
        let due = if last { !self.lines.is_empty() || self.files.is_empty() } else { self.lines.len() >= FILE_BYTES };
        if !due {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let compress = move || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&lines)?;
            encoder.finish()
        };
        let bytes = tokio::task::spawn_blocking(compress).await.map_err(std::io::Error::other)??;
        let number = self.files.len();
        let name = format!("{}-{number:06}", self.job.id);
        let extension = format_of(self.job).extension();
        let key = match self.job.wanted.kind {
            ExportKind::Full { .. } => layout::data_file(&self.folder, &name, extension),
            ExportKind::Incremental { .. } => layout::incremental_data_file(self.job.wanted.prefix.as_deref(), &name, extension),
        };
        self.files.push(manifest::DataFile::of(key.clone(), &bytes, self.items));
        self.items = 0;
        put(&*self.bucket, &key, bytes).await
    }
}

async fn put(bucket: &dyn ObjectStore, key: &str, bytes: Vec<u8>) -> Result<()> {
    let path = Path::parse(key).map_err(|error| object_store::Error::from(error))?;
    bucket.put(&path, bytes.into()).await?;
    Ok(())
}

fn format_of(job: &ExportJob) -> ExportFormat {
    if job.wanted.ion { ExportFormat::Ion } else { ExportFormat::DynamoDbJson }
}
