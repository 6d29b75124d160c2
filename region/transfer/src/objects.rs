//! Reads an import's objects, ahead of who writes what is in them.

use std::{io, sync::Arc};

use futures_util::TryStreamExt;
use geodynamo_api::transfer::{ImportFormat, ImportSource, InputCompression};
use geodynamo_exchange::{Compression, CsvOptions, Format, ItemError, ItemReader, KeyTypes, ObjectError};
use geodynamo_item::{Item, size};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// The most records that are committed at once: with the entries of twenty indexes they are within what a commit may have.
const BATCH_RECORDS: usize = if cfg!(test) { 7 } else { 2_000 };
/// Bytes of items, likewise.
const BATCH_BYTES: usize = 2 << 20;
/// Batches that are read ahead.
const AHEAD: usize = 2;

/// What a reader hands over.
pub(crate) enum Read {
    /// Records, in the object's order.
    Records(Vec<Record>),
    /// The object is at its end.
    End,
    /// The object cannot be read on.
    Failed(ObjectError),
}

/// A record of an object.
pub(crate) struct Record {
    /// Its place in the object, from 0 on.
    pub(crate) place: u64,
    /// The line on which it begins, from 1 on.
    pub(crate) line: u64,
    /// The item, or why it is none.
    pub(crate) item: std::result::Result<Item, ItemError>,
}

/// Reads an object behind so many records, in a thread of its own.
pub(crate) fn read(
    bucket: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    source: &ImportSource,
    keys: KeyTypes,
    skip: u64,
) -> mpsc::Receiver<Read> {
    let (sender, receiver) = mpsc::channel(AHEAD);
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
    tokio::spawn(async move {
        let stream = match bucket.get(&object.location).await {
            Ok(got) => got.into_stream().map_err(io::Error::other),
            Err(error) => {
                // Nobody waits for it if the import has ended.
                let _ = sender.send(Read::Failed(io::Error::other(error).into())).await;
                return;
            }
        };
        let reader = SyncIoBridge::new(StreamReader::new(Box::pin(stream)));
        let parse = move || parse(reader, &format, compression, &keys, skip, &sender);
        // A panic of the reader ends the channel without `End`, which is an error to whoever takes.
        if let Err(error) = tokio::task::spawn_blocking(parse).await {
            tracing::error!(%error, object = %object.location, "an object's reader panicked");
        }
    });
    receiver
}

fn parse(
    object: impl io::Read + Send,
    format: &Format,
    compression: Compression,
    keys: &KeyTypes,
    skip: u64,
    to: &mpsc::Sender<Read>,
) {
    // Sending fails if the import has ended: then nobody wants the rest.
    let _ = match parse_into(object, format, compression, keys, skip, to) {
        Ok(()) => to.blocking_send(Read::End),
        Err(error) => to.blocking_send(Read::Failed(error)),
    };
}

fn parse_into(
    object: impl io::Read + Send,
    format: &Format,
    compression: Compression,
    keys: &KeyTypes,
    skip: u64,
    to: &mpsc::Sender<Read>,
) -> Result<(), ObjectError> {
    let mut items = ItemReader::new(object, format, compression, keys)?;
    let (mut batch, mut bytes, mut place) = (Vec::new(), 0, 0);
    while let Some(item) = items.next() {
        let item = item?;
        if place >= skip {
            bytes += item.as_ref().map_or(0, size::item);
            batch.push(Record {
                place,
                line: items.line(),
                item,
            });
        }
        place += 1;
        if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
            bytes = 0;
            if to.blocking_send(Read::Records(std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // As above.
        let _ = to.blocking_send(Read::Records(batch));
    }
    Ok(())
}
