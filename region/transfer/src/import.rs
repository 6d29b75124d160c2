//! Imports: from a bucket into a new table.

use std::{io, sync::Arc};

use futures_util::TryStreamExt;
use geodynamo_api::transfer::{ImportCounts, ImportFormat, ImportJob, InputCompression};
use geodynamo_exchange::{Compression, CsvOptions, Format, ItemError, ItemReader, KeyTypes, ObjectError};
use geodynamo_item::{Item, size};
use geodynamo_storage::Engine;
use geodynamo_table::{ITEM_BYTES_MAX, Table};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use tokio::sync::mpsc;

use crate::{Error, Result, Transfers};

/// The most objects of an import. AWS's quota is 50,000.
const OBJECTS_MAX: usize = 50_000;
/// The most items that are committed at once.
const BATCH_ITEMS: usize = 400;
/// Bytes of items that are committed at once.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that are read ahead of what is committed.
const AHEAD: usize = 4;
/// The most errors that are kept in the log of an import.
const ERRORS_MAX: u64 = 10_000;

/// What reads hand over.
enum Read {
    /// Items, and how many bytes of objects were read for them.
    Items(Vec<Item>),
    /// One that is none: its place in the object and why.
    Bad(u64, ItemError),
    /// The object cannot be read on.
    Failed(ObjectError),
}

impl<E: Engine> Transfers<E> {
    /// Carries an import out; `tell` hears how far it is.
    pub(crate) async fn carry_out_import(&self, job: &ImportJob, table: &Arc<Table>, tell: impl Fn(&ImportCounts)) -> Result<ImportCounts> {
        let bucket = self.buckets.from(&job.source.bucket)?;
        let objects = list(&bucket, job).await?;
        let keys: KeyTypes = job.key_types.iter().map(|(name, kind)| (name.clone(), (*kind).into())).collect();
        let mut counts = ImportCounts::default();
        let mut log = ErrorLog::new(self, job);
        for object in objects {
            let name = object.location.to_string();
            let bytes = object.size;
            let mut reads = read(Arc::clone(&bucket), object, job, keys.clone());
            while let Some(read) = reads.recv().await {
                match read {
                    Read::Items(items) => {
                        counts.processed_items += items.len() as u64;
                        let mut good = Vec::with_capacity(items.len());
                        for (place, item) in items.into_iter().enumerate() {
                            match self.check(table, &item) {
                                Ok(()) => good.push(item),
                                Err(reason) => {
                                    counts.errors += 1;
                                    log.note(&name, place as u64, &reason)?;
                                }
                            }
                        }
                        counts.imported_items += good.len() as u64;
                        self.tables().load_items(table.id(), good).await?;
                    }
                    Read::Bad(place, error) => {
                        counts.processed_items += 1;
                        counts.errors += 1;
                        log.note(&name, place, &error.0)?;
                    }
                    Read::Failed(error) => return Err(Error::Object(name, error)),
                }
                tell(&counts);
            }
            counts.processed_bytes += bytes;
        }
        Ok(counts)
    }

    /// Why an item cannot be in the table, if it cannot.
    fn check(&self, table: &Table, item: &Item) -> std::result::Result<(), String> {
        if size::item(item) > ITEM_BYTES_MAX {
            return Err("Item size has exceeded the maximum allowed size".to_owned());
        }
        table.check_item(item).map_err(|error| error.to_string())
    }
}

/// The objects below the prefix, by name.
async fn list(bucket: &Arc<dyn ObjectStore>, job: &ImportJob) -> Result<Vec<ObjectMeta>> {
    let prefix = job.source.prefix.clone().unwrap_or_default();
    // A prefix of S3 need not end where a name's part ends, so the part before the last slash is listed and the rest compared.
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = (!folder.is_empty()).then(|| Path::from(folder));
    let listed = bucket.list(folder.as_ref()).try_collect::<Vec<_>>().await;
    let mut objects = match listed {
        Err(object_store::Error::NotFound { .. }) => return Err(Error::NoSuchBucket(job.source.bucket.clone())),
        listed => listed?,
    };
    objects.retain(|object| object.location.as_ref().starts_with(&prefix) && object.size > 0);
    objects.sort_by(|one, other| one.location.cmp(&other.location));
    if objects.is_empty() || objects.len() > OBJECTS_MAX {
        return Err(Error::NoObjects(job.source.bucket.clone(), prefix));
    }
    Ok(objects)
}

/// Reads an object in a thread of its own, batches ahead of who takes them.
fn read(bucket: Arc<dyn ObjectStore>, object: ObjectMeta, job: &ImportJob, keys: KeyTypes) -> mpsc::Receiver<Read> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let format = match &job.source.format {
        ImportFormat::DynamoDbJson => Format::DynamoDbJson,
        ImportFormat::Ion => Format::Ion,
        ImportFormat::Csv { delimiter, header } => Format::Csv(CsvOptions {
            delimiter: *delimiter,
            header: header.clone(),
        }),
    };
    let compression = match job.source.compression {
        InputCompression::None => Compression::None,
        InputCompression::Gzip => Compression::Gzip,
        InputCompression::Zstd => Compression::Zstd,
    };
    tokio::spawn(async move {
        let opened = bucket.get(&object.location).await;
        let stream = match opened {
            Ok(got) => got.into_stream().map_err(io::Error::other),
            Err(error) => {
                // The receiver is there as long as the import.
                let _ = sender.send(Read::Failed(ObjectError::Io(io::Error::other(error)))).await;
                return;
            }
        };
        let reader = tokio_util::io::SyncIoBridge::new(tokio_util::io::StreamReader::new(Box::pin(stream)));
        let parsing = tokio::task::spawn_blocking(move || parse(reader, &format, compression, &keys, &sender));
        // A panic of the reader ends the channel; the import then lacks the rest, which must not pass for success.
        if let Err(error) = parsing.await {
            tracing::error!(%error, object = %object.location, "an object's reader panicked");
        }
    });
    receiver
}

fn parse(object: impl io::Read + Send, format: &Format, compression: Compression, keys: &KeyTypes, to: &mpsc::Sender<Read>) {
    let items = match ItemReader::new(object, format, compression, keys) {
        Ok(items) => items,
        Err(error) => return drop(to.blocking_send(Read::Failed(error))),
    };
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for (place, item) in (0..).zip(items) {
        let sent = match item {
            Ok(Ok(item)) => {
                bytes += size::item(&item);
                batch.push(item);
                if batch.len() < BATCH_ITEMS && bytes < BATCH_BYTES {
                    continue;
                }
                bytes = 0;
                to.blocking_send(Read::Items(std::mem::take(&mut batch)))
            }
            Ok(Err(error)) => to.blocking_send(Read::Bad(place, error)),
            Err(error) => return drop(to.blocking_send(Read::Failed(error))),
        };
        if sent.is_err() {
            return;
        }
    }
    if !batch.is_empty() {
        drop(to.blocking_send(Read::Items(batch)));
    }
}

/// What was wrong with items: a line of JSON for each, as DynamoDB writes them to CloudWatch, in a file.
struct ErrorLog<'a> {
    path: std::path::PathBuf,
    job: &'a ImportJob,
    written: u64,
}

impl<'a> ErrorLog<'a> {
    fn new<E: Engine>(transfers: &Transfers<E>, job: &'a ImportJob) -> Self {
        Self {
            path: transfers.error_log(&job.id),
            job,
            written: 0,
        }
    }

    fn note(&mut self, object: &str, place: u64, reason: &str) -> Result<()> {
        use std::io::Write as _;
        if self.written >= ERRORS_MAX {
            return Ok(());
        }
        let begin = self.written == 0;
        let mut file = std::fs::OpenOptions::new().create(true).write(true).append(!begin).truncate(begin).open(&self.path)?;
        let line = serde_json::json!({
            "itemS3Pointer": {"bucket": self.job.source.bucket, "key": object, "itemIndex": place},
            "importArn": self.job.arn,
            "errorMessages": [reason],
        });
        writeln!(file, "{line}")?;
        self.written += 1;
        Ok(())
    }
}
