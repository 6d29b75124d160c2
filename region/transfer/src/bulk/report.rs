//! What an operation tells of records that it could not put: files of lines of JSON in the bucket of its reports.
//!
//! A file is written whole each time that something comes to it, until it is large enough. So what the mark counts is in the
//! bucket, and what stands there beyond that is told anew.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_api::transfer::{BulkJob, BulkOutput};
use geodynamo_exchange::{layout, manifest};
use geodynamo_item::{Item, wire};
use geodynamo_json::Writer;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Result,
    export::{iso8601, put},
};

/// Bytes of a file, about.
const FILE_BYTES: usize = if cfg!(test) { 600 } else { 1 << 20 };

/// What a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record that is no item, or none of the table; or an object that cannot be read on.
    Error,
    /// A record whose condition did not hold.
    FailedCondition,
}

/// How much is told, of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    errors: Lines,
    failed_conditions: Lines,
}

/// How much of a kind is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lines {
    /// Files that nothing comes to any more.
    whole_files: u64,
    /// Lines of the one behind them.
    last: u64,
    /// Lines of all.
    all: u64,
}

/// What a record's line says beside where the record is.
pub(crate) struct Line<'a> {
    pub(crate) kind: Kind,
    /// The object.
    pub(crate) object: &'a str,
    /// The record's place in it, from 0 on, and the line on which it begins, from 1 on; none of a whole object.
    pub(crate) at: Option<(u64, u64)>,
    /// What is wrong.
    pub(crate) reason: &'a str,
    /// The item that was to be put.
    pub(crate) item: Option<&'a Item>,
    /// The item that is there.
    pub(crate) existing: Option<&'a Item>,
}

/// The reports of an operation.
pub(crate) struct Report {
    bucket: Arc<dyn ObjectStore>,
    /// Where the input is.
    source: String,
    arn: String,
    folder: String,
    errors: Part,
    failed_conditions: Part,
}

/// The file of a kind that lines come to.
struct Part {
    folder: String,
    wanted: bool,
    lines: Lines,
    text: Vec<u8>,
    /// Whether the bucket does not have all of it.
    behind: bool,
}

impl Report {
    /// Goes on behind what was told.
    pub(crate) async fn open(bucket: Arc<dyn ObjectStore>, job: &BulkJob, told: &Told) -> Result<Self> {
        let folder = folder_of(job);
        let output = &job.wanted.output;
        let errors = Part::open(&*bucket, format!("{folder}/error"), output.errors, told.errors).await?;
        let conditions = format!("{folder}/condition-check-failure");
        let failed_conditions =
            Part::open(&*bucket, conditions, output.failed_conditions, told.failed_conditions).await?;
        Ok(Self {
            bucket,
            source: job.wanted.source.bucket.clone(),
            arn: job.arn.clone(),
            folder,
            errors,
            failed_conditions,
        })
    }

    /// Whether lines of a kind are wanted.
    pub(crate) fn wants(output: &BulkOutput, kind: Kind) -> bool {
        match kind {
            Kind::Error => output.errors,
            Kind::FailedCondition => output.failed_conditions,
        }
    }

    /// Tells of a record, if that is wanted.
    pub(crate) async fn tell(&mut self, line: &Line<'_>) -> Result<()> {
        let part = match line.kind {
            Kind::Error => &mut self.errors,
            Kind::FailedCondition => &mut self.failed_conditions,
        };
        if !part.wanted {
            return Ok(());
        }
        write(line, &self.source, &self.arn, &mut part.text);
        part.lines.last += 1;
        part.lines.all += 1;
        part.behind = true;
        if part.text.len() >= FILE_BYTES {
            part.save(&*self.bucket).await?;
        }
        Ok(())
    }

    /// Brings what was told to the bucket. Gives how much that is.
    pub(crate) async fn save(&mut self) -> Result<Told> {
        for part in [&mut self.errors, &mut self.failed_conditions] {
            part.save(&*self.bucket).await?;
        }
        Ok(Told {
            errors: self.errors.lines,
            failed_conditions: self.failed_conditions.lines,
        })
    }

    /// Writes what an operation's end is: a summary and its checksum, as exports have them.
    pub(crate) async fn end(&self, job: &BulkJob, status: &str, ended_ms: u64) -> Result<()> {
        let output = &job.wanted.output;
        let counts = &job.counts;
        let of = |name: &str, part: &Part| {
            part.wanted.then(|| {
                json!({
                    "outputType": name,
                    "folderS3Key": format!("{}/", part.folder),
                    "fileCount": part.lines.whole_files + u64::from(part.lines.last > 0),
                    "itemCount": part.lines.all,
                })
            })
        };
        let reports = [
            of("ERROR", &self.errors),
            of("CONDITION_CHECK_FAILURE", &self.failed_conditions),
        ];
        let summary = json!({
            "bulkOperationArn": job.arn,
            "bulkOperationStatus": status,
            "tableArn": job.wanted.table_arn,
            "tableId": job.table_id,
            "startTime": iso8601(job.started_ms),
            "endTime": iso8601(ended_ms),
            "s3Bucket": output.bucket,
            "s3Prefix": output.prefix,
            "s3SseAlgorithm": output.sse_algorithm,
            "s3SseKmsKeyId": output.sse_key,
            "processedItemCount": counts.processed_items,
            "failedItemCount": counts.failed_items,
            "conditionCheckFailureCount": counts.failed_conditions,
            "processedInputBytes": counts.processed_bytes,
            "reports": reports.into_iter().flatten().collect::<Vec<_>>(),
        });
        let files = layout::Files::of(&self.folder);
        let text = summary.to_string().into_bytes();
        let checksum = manifest::checksum(&text);
        put(&*self.bucket, &files.summary, text).await?;
        put(&*self.bucket, &files.summary_checksum, checksum.into_bytes()).await
    }
}

/// The folder of an operation's reports, without a slash at its end.
pub(crate) fn folder_of(job: &BulkJob) -> String {
    layout::folder(job.wanted.output.prefix.as_deref(), &job.id)
}

impl Part {
    async fn open(bucket: &dyn ObjectStore, folder: String, wanted: bool, lines: Lines) -> Result<Self> {
        let mut part = Self {
            folder,
            wanted,
            lines,
            text: Vec::new(),
            behind: false,
        };
        if lines.last > 0 {
            let path = Path::parse(part.file()).map_err(object_store::Error::from)?;
            let text: Bytes = bucket.get(&path).await?.bytes().await?;
            let lines = text.split_inclusive(|byte| *byte == b'\n');
            // Of what stands there, only so much is true.
            lines
                .take(part.lines.last as usize)
                .for_each(|line| part.text.extend_from_slice(line));
            part.behind = part.text.len() < text.len();
        }
        Ok(part)
    }

    fn file(&self) -> String {
        format!("{}/{:06}.json", self.folder, self.lines.whole_files)
    }

    async fn save(&mut self, bucket: &dyn ObjectStore) -> Result<()> {
        if !self.behind {
            return Ok(());
        }
        let whole = self.text.len() >= FILE_BYTES;
        let text = if whole {
            std::mem::take(&mut self.text)
        } else {
            self.text.clone()
        };
        put(bucket, &self.file(), text).await?;
        self.behind = false;
        if whole {
            self.lines.whole_files += 1;
            self.lines.last = 0;
        }
        Ok(())
    }
}

fn write(line: &Line<'_>, bucket: &str, arn: &str, out: &mut Vec<u8>) {
    let mut pointer = json!({ "bucket": bucket, "key": line.object });
    if let Some((place, number)) = line.at {
        (pointer["itemIndex"], pointer["line"]) = (json!(place), json!(number));
    }
    let mut writer = Writer::new();
    writer.begin_object();
    writer.plain_key("itemS3Pointer");
    writer.raw(&pointer.to_string());
    writer.plain_key("bulkOperationArn");
    writer.raw(&json!(arn).to_string());
    writer.plain_key("errorMessages");
    writer.raw(&json!([line.reason]).to_string());
    for (name, item) in [("Item", line.item), ("ExistingItem", line.existing)] {
        if let Some(item) = item {
            writer.plain_key(name);
            wire::write_item(item, &mut writer);
        }
    }
    writer.end_object();
    out.extend_from_slice(writer.as_bytes());
    out.push(b'\n');
}
