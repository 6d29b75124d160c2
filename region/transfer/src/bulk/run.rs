//! An operation from its first object to its last.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use geodynamo_api::transfer::{BulkCounts, BulkJob, BulkState};
use geodynamo_exchange::{ObjectError, Put, PutReader};
use geodynamo_item::size;
use geodynamo_storage::Engine;
use geodynamo_table::Table;
use object_store::{ObjectMeta, ObjectStore};
use parking_lot::Mutex;

use super::{
    Bulks,
    halt::Halt,
    kept::Mark,
    pace::Pace,
    report::{Kind, Line, Report, folder_of},
};
use crate::{
    Error, Result,
    objects::{Read, Reading, format_of, list, read},
    root::{RETRY, writable},
};

/// The most records between two marks: so many are written again when an operation was broken off.
const BATCH_RECORDS: usize = if cfg!(test) { 7 } else { 500 };

/// An operation that runs.
pub(super) struct Run<'a, E: Engine> {
    pub(super) bulks: &'a Bulks<E>,
    pub(super) job: &'a BulkJob,
    pub(super) halt: &'a Halt,
    pub(super) table: Arc<Table>,
    pub(super) pace: Pace,
    counts: Mutex<BulkCounts>,
    report: tokio::sync::Mutex<Report>,
}

impl<E: Engine> Bulks<E> {
    /// Carries an operation out, from where it was broken off if it was.
    pub(super) async fn carry_out(&self, job: &BulkJob, halt: &Halt) -> Result<()> {
        // Never closed.
        let _turn = halt.or(self.running.acquire()).await?;
        let mut pause = RETRY.0;
        loop {
            match self.attempt(job, halt).await {
                Err(error) if error.may_pass() => {
                    tracing::warn!(arn = job.arn, %error, "a bulk operation is broken off; it is tried again");
                    halt.or(writable(&self.tables, pause)).await?;
                    pause = (pause * 2).min(RETRY.1);
                }
                result => return result,
            }
        }
    }

    async fn attempt(&self, job: &BulkJob, halt: &Halt) -> Result<()> {
        let mut mark = self.jobs.get(&job.id).map(|kept| kept.mark).unwrap_or_default();
        let table = self.tables.local().table_with_id(job.table_key).ok_or(Error::Gone)?;
        let (source, output) = self.buckets_of(job)?;
        let objects = self.objects(&*source, job).await?;
        let repeats = std::mem::replace(&mut mark.begun, true);
        let run = Run {
            bulks: self,
            job,
            halt,
            table,
            pace: Pace::new(job.wanted.max_units),
            counts: Mutex::new(mark.counts.clone()),
            report: tokio::sync::Mutex::new(Report::open(output, job, &mark.told).await?),
        };
        let total = objects.iter().map(|object| object.size).sum();
        self.jobs.show(&job.id, |kept| kept.job.total_bytes = Some(total));
        run.keep(&mark).await?;
        let result = run.write_all(&source, objects, &mut mark, repeats).await;
        if matches!(result, Ok(()) | Err(Error::Cancelled)) {
            run.end(mark, result.is_err()).await?;
        }
        result
    }

    /// Where an operation reads and where its reports go: in buckets of whoever asked for it.
    fn buckets_of(&self, job: &BulkJob) -> Result<(Arc<dyn ObjectStore>, Arc<dyn ObjectStore>)> {
        let wanted = &job.wanted;
        let (source, output) = (&wanted.source, &wanted.output);
        for (owner, bucket) in [
            (&source.bucket_owner, &source.bucket),
            (&output.bucket_owner, &output.bucket),
        ] {
            if owner.as_ref().is_some_and(|owner| *owner != wanted.account) {
                return Err(Error::OfAnother(bucket.clone()));
            }
        }
        let own = self.tables.account();
        let from = self.buckets.readable(own, &wanted.account, &source.bucket)?;
        Ok((from, self.buckets.writable(own, &wanted.account, &output.bucket)?))
    }

    /// What is read: not what this very operation has told.
    async fn objects(&self, bucket: &dyn ObjectStore, job: &BulkJob) -> Result<Vec<ObjectMeta>> {
        let source = &job.wanted.source;
        let mut objects = list(bucket, &source.bucket, source.prefix.as_deref()).await?;
        if source.bucket == job.wanted.output.bucket {
            let told = format!("{}/", folder_of(job));
            objects.retain(|object| !object.location.as_ref().starts_with(&told));
        }
        Ok(objects)
    }
}

impl<E: Engine> Run<'_, E> {
    async fn write_all(
        &self,
        source: &Arc<dyn ObjectStore>,
        objects: Vec<ObjectMeta>,
        mark: &mut Mark,
        mut repeats: bool,
    ) -> Result<()> {
        for object in objects {
            let (key, bytes) = (object.location.to_string(), object.size);
            let known = mark.object.as_ref().map(|known| key.cmp(known));
            match known {
                Some(Ordering::Less) => continue,
                Some(Ordering::Equal) if mark.whole => continue,
                Some(Ordering::Equal) => {}
                Some(Ordering::Greater) | None => {
                    (mark.object, mark.records, mark.whole) = (Some(key.clone()), 0, false);
                }
            }
            let mut reads = read(Arc::clone(source), object, self.reading(mark.records));
            loop {
                match self.halt.or(reads.recv()).await? {
                    Some(Read::Records(records)) => {
                        let last = records.last().map(|record| record.place + 1);
                        self.write(&key, records, repeats).await?;
                        mark.records = last.unwrap_or(mark.records);
                        repeats = false;
                        self.settle(mark).await?;
                    }
                    Some(Read::End) => break,
                    Some(Read::Failed(reason)) => {
                        self.object_failed(&key, reason).await?;
                        break;
                    }
                    None => {
                        let reason = ObjectError::Format("its reader ended early".into());
                        return Err(Error::Object { key, reason });
                    }
                }
            }
            mark.whole = true;
            self.count(|counts| counts.processed_bytes += bytes);
            self.settle(mark).await?;
        }
        Ok(())
    }

    fn reading(&self, skip: u64) -> Reading<Put> {
        let (format, compression) = format_of(&self.job.wanted.source);
        Reading {
            open: Box::new(move |object| PutReader::new(object, &format, compression, &Default::default())),
            size: |put| size::item(&put.item) + put.condition.values.as_ref().map_or(0, size::item),
            skip,
            batch: BATCH_RECORDS,
        }
    }

    /// An object that cannot be read on is told as a record that is no item, unless its bucket is what fails.
    async fn object_failed(&self, key: &str, reason: ObjectError) -> Result<()> {
        let reason = match reason {
            ObjectError::Io(error) => match error.downcast::<object_store::Error>() {
                Ok(error) => return Err(Error::Bucket(error)),
                Err(error) => ObjectError::Io(error),
            },
            other => other,
        };
        let reason = format!("The object cannot be read on: {reason}");
        self.failed(&Line {
            kind: Kind::Error,
            object: key,
            at: None,
            reason: &reason,
            item: None,
            existing: None,
        })
        .await
    }

    /// Counts what was not put, and tells of it.
    pub(super) async fn failed(&self, line: &Line<'_>) -> Result<()> {
        self.count(|counts| {
            counts.processed_items += 1;
            match line.kind {
                Kind::Error => counts.failed_items += 1,
                Kind::FailedCondition => counts.failed_conditions += 1,
            }
        });
        if line.kind == Kind::Error {
            self.bulks.counted_error();
        }
        self.report.lock().await.tell(line).await
    }

    /// Changes the counts, and shows them.
    pub(super) fn count(&self, change: impl FnOnce(&mut BulkCounts)) {
        let mut counts = self.counts.lock();
        change(&mut counts);
        self.bulks
            .jobs
            .show(&self.job.id, |kept| kept.job.counts.clone_from(&counts));
    }

    /// Makes durable that all up to here is done with.
    async fn settle(&self, mark: &mut Mark) -> Result<()> {
        mark.told = self.report.lock().await.save().await?;
        mark.counts = self.counts.lock().clone();
        self.keep(mark).await
    }

    async fn keep(&self, mark: &Mark) -> Result<()> {
        let (bulks, id, mark) = (self.bulks.clone(), self.job.id.clone(), mark.clone());
        let keep = move || {
            bulks.change(&id, |kept| {
                kept.job.counts = mark.counts.clone();
                kept.mark = mark;
            })
        };
        // It syncs a disk. If it panics, that is this process's trouble.
        tokio::task::spawn_blocking(keep)
            .await
            .map_err(std::io::Error::other)??;
        Ok(())
    }

    /// Writes the summary.
    async fn end(&self, mut mark: Mark, cancelled: bool) -> Result<()> {
        self.settle(&mut mark).await?;
        let shown = BulkJob {
            counts: mark.counts,
            ..self.job.clone()
        };
        let state = match (cancelled, shown.counts.failed_items) {
            (true, _) => BulkState::Cancelled,
            (false, 0) => BulkState::Completed,
            (false, _) => BulkState::CompletedWithErrors,
        };
        let ended_ms = self.bulks.tables.now_ms();
        self.report.lock().await.end(&shown, state.code(), ended_ms).await
    }
}

/// The pause before a write is tried again that was throttled: the first one, and the longest that it grows to.
pub(super) const THROTTLED: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
