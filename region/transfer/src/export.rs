//! Exports: from the archive to a bucket.

use std::time::Duration;

use bytes::Bytes;
use geodynamo_api::{
    ExportFilter,
    transfer::{ExportJob, ExportKind, Millis},
};
use geodynamo_exchange::{ExportFormat, layout, manifest};
use geodynamo_recovery::{Job, Moment, Recoveries};
use geodynamo_storage::Engine;
use geodynamo_table::{
    recovery::{Recovery, RecoveryError, TableSettings},
    schema::KeySchema,
    stream_label,
};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tokio::time::Instant;

use crate::{
    Error, Result, Transfers,
    window::{Slice, Window},
    writer::{Last, Writer},
};

/// Items that are read of the archive at a time.
const ROWS_MAX: usize = 1_000;
/// Bytes of items, likewise.
const ROWS_BYTES: usize = 4 << 20;
/// What was changed since a base is held in memory within this.
const OVERLAY_BYTES_MAX: usize = 32 << 20;
/// How long an export waits until the archive has its moment.
const ARCHIVED_MAX: Duration = Duration::from_secs(120);
/// The pause before the archive is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What an export comes to.
pub(crate) struct Exported {
    pub(crate) manifest: String,
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    pub(crate) kind: ExportKind,
}

impl<E: Engine> Transfers<E> {
    /// Carries an export out.
    pub(crate) async fn carry_out_export(&self, job: &ExportJob) -> Result<Exported> {
        let recoveries = self.recoveries.as_ref().ok_or(Error::Moment)?;
        let owner = self.tables().local().owner(&job.wanted.table);
        let bucket = self
            .buckets
            .writable(self.tables().account(), owner, &job.wanted.bucket)?;
        let folder = layout::folder(job.wanted.prefix.as_deref(), &job.id);
        let files = layout::Files::of(&folder);
        put(&*bucket, &files.started, Vec::new()).await?;
        let mut writer = Writer::new(bucket.clone(), job, folder);
        let kind = match job.wanted.kind {
            ExportKind::Full { at_ms, latest } => {
                let (settings, at) = self.moment_of(recoveries, job, at_ms, latest).await?;
                writer.filter = filter(job, &settings.keys)?;
                self.export_full(recoveries, &at, &mut writer).await?;
                ExportKind::Full {
                    at_ms: at.at_ms.unwrap_or(at_ms),
                    latest,
                }
            }
            ExportKind::Incremental { from_ms, to_ms, .. } => {
                self.export_incremental(recoveries, job, from_ms, to_ms, &mut writer)
                    .await?;
                job.wanted.kind
            }
        };
        let (data_files, bytes) = writer.finish().await?;
        let items = data_files.iter().map(|file| file.item_count).sum();
        let listed = manifest::files(&data_files).into_bytes();
        put(
            &*bucket,
            &files.files_checksum,
            manifest::checksum(&listed).into_bytes(),
        )
        .await?;
        put(&*bucket, &files.files, listed).await?;
        let summary = self.summary(job, kind, &files.files, items, bytes);
        let summary = serde_json::to_vec(&summary).map_err(std::io::Error::other)?;
        put(
            &*bucket,
            &files.summary_checksum,
            manifest::checksum(&summary).into_bytes(),
        )
        .await?;
        // Written last: who finds it finds all.
        put(&*bucket, &files.summary, summary).await?;
        Ok(Exported {
            manifest: files.summary,
            items,
            bytes,
            kind,
        })
    }

    async fn export_full(&self, recoveries: &Recoveries<E>, at: &Job, writer: &mut Writer<'_>) -> Result<()> {
        let mut moment = Moment::open(recoveries.archive(), at, None, OVERLAY_BYTES_MAX).await?;
        while let Some(rows) = moment.next_rows(ROWS_MAX, ROWS_BYTES).await? {
            self.check_running()?;
            for row in rows {
                writer.item(row.decode()?).await?;
            }
        }
        Ok(())
    }

    /// The net change of each item: an item that was made and deleted within the window is not in it.
    async fn export_incremental(
        &self,
        recoveries: &Recoveries<E>,
        job: &ExportJob,
        from_ms: Millis,
        to_ms: Millis,
        writer: &mut Writer<'_>,
    ) -> Result<()> {
        // Once the archive has the last moment of the window, it has all of it.
        let (settings, last) = self.moment_of(recoveries, job, to_ms.saturating_sub(1), false).await?;
        let (_, mut before) = self.moment_of(recoveries, job, from_ms, false).await?;
        if before.dir != last.dir {
            // Point-in-time recovery began anew within the window.
            return Err(Error::Moment);
        }
        before.at_ms = (before.base_ms < from_ms).then(|| from_ms - 1);
        writer.filter = filter(job, &settings.keys)?;
        let keys = settings.keys;
        let window = Window {
            archive: recoveries.archive(),
            dir: &before.dir,
            from_ms,
            to_ms,
        };
        let mut slice = window.slice(0).await?;
        let mut moment = Moment::open(recoveries.archive(), &before, None, OVERLAY_BYTES_MAX).await?;
        while !slice.is_end()
            && let Some(rows) = moment.next_rows(ROWS_MAX, ROWS_BYTES).await?
        {
            self.check_running()?;
            for row in rows {
                while row.route > slice.last {
                    slice = self.next_slice(&window, slice, &keys, writer).await?;
                }
                if let Some(last) = slice.changed.remove(&(row.route, row.key.clone())) {
                    writer.change(&keys, last, Some(row.decode()?)).await?;
                }
            }
        }
        while !slice.is_end() {
            self.check_running()?;
            slice = self.next_slice(&window, slice, &keys, writer).await?;
        }
        Ok(())
    }

    /// Writes what is left of a slice, which was not there before the window, and goes on to the next one.
    async fn next_slice(
        &self,
        window: &Window<'_>,
        slice: Slice,
        keys: &KeySchema,
        writer: &mut Writer<'_>,
    ) -> Result<Slice> {
        let left: Vec<Last> = slice.changed.into_values().collect();
        for last in left {
            writer.change(keys, last, None).await?;
        }
        match slice.last.checked_add(1) {
            Some(next) => window.slice(next).await,
            None => Ok(Slice::end()),
        }
    }

    /// Where a moment of the table is in the archive, once that reaches it. With `latest` it may also be the first moment
    /// behind it, if the archive has none before.
    async fn moment_of(
        &self,
        recoveries: &Recoveries<E>,
        job: &ExportJob,
        at_ms: Millis,
        latest: bool,
    ) -> Result<(TableSettings, Job)> {
        let deadline = Instant::now() + ARCHIVED_MAX;
        loop {
            let window = recoveries.continuous_backups(&job.wanted.table).ok();
            let first = window.and_then(|backups| backups.window).map(|(first, _)| first);
            let at_ms = first.filter(|_| latest).map_or(at_ms, |first| at_ms.max(first));
            match recoveries.job_of(&job.wanted.table_arn, Some(at_ms)).await {
                Ok((settings, found)) if settings.id == job.table_key => return Ok((settings, found)),
                // Another table of that name.
                Ok(_) => return Err(Error::Gone),
                Err(RecoveryError::InvalidRestoreTime | RecoveryError::Archive(_)) if Instant::now() < deadline => {}
                Err(RecoveryError::InvalidRestoreTime) => return Err(Error::Moment),
                Err(error) => return Err(error.into()),
            }
            self.check_running()?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn summary(&self, job: &ExportJob, kind: ExportKind, files: &str, items: u64, bytes: u64) -> manifest::Summary {
        let full = manifest::Summary {
            version: manifest::FULL_VERSION,
            export_arn: job.arn.clone(),
            start_time: iso8601(job.started_ms),
            end_time: iso8601(self.tables().now_ms()),
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
        match kind {
            ExportKind::Full { at_ms, .. } => manifest::Summary {
                export_time: Some(iso8601(at_ms)),
                ..full
            },
            ExportKind::Incremental {
                from_ms,
                to_ms,
                old_images,
            } => manifest::Summary {
                version: manifest::INCREMENTAL_VERSION,
                export_type: Some("INCREMENTAL_EXPORT"),
                export_from_time: Some(iso8601(from_ms)),
                export_to_time: Some(iso8601(to_ms)),
                output_view: Some(if old_images { "NEW_AND_OLD_IMAGES" } else { "NEW_IMAGE" }.to_owned()),
                ..full
            },
        }
    }
}

/// A moment as manifests tell it: ISO 8601 in UTC, with milliseconds.
pub(crate) fn iso8601(ms: Millis) -> String {
    format!("{}Z", stream_label(ms))
}

fn filter(job: &ExportJob, keys: &KeySchema) -> Result<ExportFilter> {
    let Some(kept) = &job.wanted.filter else {
        return Ok(ExportFilter::default());
    };
    ExportFilter::read(kept, keys).map_err(|error| Error::Filter(error.to_string()))
}

/// Writes an object.
pub(crate) async fn put(bucket: &dyn ObjectStore, key: &str, bytes: Vec<u8>) -> Result<()> {
    let path = Path::parse(key).map_err(object_store::Error::from)?;
    bucket.put(&path, Bytes::from(bytes).into()).await?;
    Ok(())
}

pub(crate) fn format_of(job: &ExportJob) -> ExportFormat {
    if job.wanted.ion {
        ExportFormat::Ion
    } else {
        ExportFormat::DynamoDbJson
    }
}
