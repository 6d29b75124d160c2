//! Reads the objects of an import or a bulk operation, ahead of who writes what is in them.

use std::{io, sync::Arc};

use futures_util::TryStreamExt;
use geodynamo_api::transfer::{ImportFormat, ImportSource, InputCompression};
use geodynamo_exchange::{Compression, CsvOptions, Format, ItemError, ObjectError, Records};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{Error, Result};

/// Bytes of items that are handed over at once.
const BATCH_BYTES: usize = 2 << 20;
/// Batches that are read ahead.
const AHEAD: usize = 2;
/// The most objects of a job. AWS's quota is 50,000.
const OBJECTS_MAX: usize = 50_000;

/// What a reader hands over.
pub(crate) enum Read<T> {
    /// Records, in the object's order.
    Records(Vec<Record<T>>),
    /// The object is at its end.
    End,
    /// The object cannot be read on.
    Failed(ObjectError),
}

/// A record of an object.
pub(crate) struct Record<T> {
    /// Its place in the object, from 0 on.
    pub(crate) place: u64,
    /// The line on which it begins, from 1 on.
    pub(crate) line: u64,
    /// What it says, or why it says nothing.
    pub(crate) says: std::result::Result<T, ItemError>,
}

/// An object as it is stored.
pub(crate) type Stored = Box<dyn io::Read + Send>;

/// How an object is read.
pub(crate) struct Reading<T> {
    /// Makes records of it.
    pub(crate) open: Box<dyn FnOnce(Stored) -> std::result::Result<Records<'static, T>, ObjectError> + Send>,
    /// The bytes of what a record says.
    pub(crate) size: fn(&T) -> usize,
    /// Records that are passed over.
    pub(crate) skip: u64,
    /// The most records that are handed over at once.
    pub(crate) batch: usize,
}

/// How the objects of a source are written.
pub(crate) fn format_of(source: &ImportSource) -> (Format, Compression) {
    let format = match &source.format {
        ImportFormat::DynamoDbJson => Format::DynamoDbJson,
        ImportFormat::Ion => Format::Ion,
        ImportFormat::Csv { delimiter, header } => Format::Csv(CsvOptions {
            delimiter: *delimiter,
            header: header.clone(),
        }),
    };
    let compression = match source.compression {
        InputCompression::None => Compression::None,
        InputCompression::Gzip => Compression::Gzip,
        InputCompression::Zstd => Compression::Zstd,
    };
    (format, compression)
}

/// Reads an object, in a thread of its own.
pub(crate) fn read<T: Send + 'static>(
    bucket: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    reading: Reading<T>,
) -> mpsc::Receiver<Read<T>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let stream = match bucket.get(&object.location).await {
            Ok(got) => got.into_stream().map_err(io::Error::other),
            Err(error) => {
                // Nobody waits for it if the job has ended.
                let _ = sender.send(Read::Failed(io::Error::other(error).into())).await;
                return;
            }
        };
        let reader = SyncIoBridge::new(StreamReader::new(Box::pin(stream)));
        let parse = move || parse(Box::new(reader), reading, &sender);
        // A panic of the reader ends the channel without `End`, which is an error to whoever takes.
        if let Err(error) = tokio::task::spawn_blocking(parse).await {
            tracing::error!(%error, object = %object.location, "an object's reader panicked");
        }
    });
    receiver
}

fn parse<T>(object: Stored, reading: Reading<T>, to: &mpsc::Sender<Read<T>>) {
    // Sending fails if the job has ended: then nobody wants the rest.
    let _ = match parse_into(object, reading, to) {
        Ok(()) => to.blocking_send(Read::End),
        Err(error) => to.blocking_send(Read::Failed(error)),
    };
}

fn parse_into<T>(
    object: Stored,
    reading: Reading<T>,
    to: &mpsc::Sender<Read<T>>,
) -> std::result::Result<(), ObjectError> {
    let mut records = (reading.open)(object)?;
    let (mut batch, mut bytes, mut place) = (Vec::new(), 0, 0);
    while let Some(says) = records.next() {
        let says = match says {
            Ok(says) => says,
            Err(error) => {
                hand_over(batch, to);
                return Err(error);
            }
        };
        if place >= reading.skip {
            bytes += says.as_ref().map_or(0, reading.size);
            batch.push(Record {
                place,
                line: records.line(),
                says,
            });
        }
        place += 1;
        if batch.len() >= reading.batch || bytes >= BATCH_BYTES {
            bytes = 0;
            if !hand_over(std::mem::take(&mut batch), to) {
                return Ok(());
            }
        }
    }
    hand_over(batch, to);
    Ok(())
}

/// Whether somebody wants more.
fn hand_over<T>(batch: Vec<Record<T>>, to: &mpsc::Sender<Read<T>>) -> bool {
    batch.is_empty() || to.blocking_send(Read::Records(batch)).is_ok()
}

/// The objects below a prefix, by name.
pub(crate) async fn list(bucket: &dyn ObjectStore, name: &str, prefix: Option<&str>) -> Result<Vec<ObjectMeta>> {
    let prefix = prefix.unwrap_or_default();
    // A prefix of S3 need not end where a part of a name does, so the part before the last slash is listed and the rest
    // compared.
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = (!folder.is_empty()).then(|| Path::from(folder));
    let mut listed = bucket.list(folder.as_ref());
    let mut objects = Vec::new();
    while let Some(object) = listed.try_next().await? {
        // What stands for a folder is empty.
        if object.size > 0 && object.location.as_ref().starts_with(prefix) {
            objects.push(object);
        }
        if objects.len() > OBJECTS_MAX {
            return Err(Error::TooManyObjects(OBJECTS_MAX));
        }
    }
    if objects.is_empty() {
        return Err(Error::NoObjects {
            bucket: name.to_owned(),
            prefix: prefix.to_owned(),
        });
    }
    objects.sort_by(|one, other| one.location.as_ref().cmp(other.location.as_ref()));
    Ok(objects)
}
