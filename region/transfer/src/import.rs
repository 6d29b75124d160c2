//! Imports: from a bucket into a new table.

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_api::transfer::{ImportCounts, ImportJob};
use geodynamo_exchange::{ItemReader, KeyTypes, ObjectError};
use geodynamo_item::size;
use geodynamo_storage::Engine;
use geodynamo_table::{ImportLoad, Table};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result, Transfers,
    error_log::ErrorLog,
    objects::{Read, Reading, format_of, list, read},
};

/// The most records that are committed at once: with the entries of twenty indexes they are within what a commit may have.
const BATCH_RECORDS: usize = if cfg!(test) { 7 } else { 2_000 };

/// How far an import has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The object that is being read; none before the first.
    object: Option<String>,
    /// Records of it that are done with.
    records: u64,
    /// What was counted. The bytes are those of the objects before.
    counts: ImportCounts,
}

impl<E: Engine> Transfers<E> {
    /// Carries an import out, from where it was broken off if it was; `tell` hears how far it is.
    pub(crate) async fn load(
        &self,
        job: &ImportJob,
        table: &Arc<Table>,
        tell: impl Fn(ImportCounts),
    ) -> Result<Loaded> {
        let owner = self.tables().local().owner(&job.table);
        let bucket = self
            .buckets
            .readable(self.tables().account(), owner, &job.source.bucket)?;
        let objects = list(&*bucket, &job.source.bucket, job.source.prefix.as_deref()).await?;
        let keys: KeyTypes = job
            .key_types
            .iter()
            .map(|(name, kind)| (name.clone(), (*kind).into()))
            .collect();
        let (mut load, known) = self.tables().loads().take_up_import(table.id()).await?;
        let mut mark: Mark = match known {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::other)?,
            None => Mark::default(),
        };
        let mut log = ErrorLog::open(self.error_log(&job.id), &self.seal, job, mark.counts.errors)?;
        // As the last object ended: its bytes are counted when it has been read, be it once more.
        let mut last = packed(&mark)?;
        for object in objects {
            let key = object.location.to_string();
            let known = mark.object.as_ref().map(|known| key.cmp(known));
            match known {
                Some(std::cmp::Ordering::Less) => continue,
                Some(std::cmp::Ordering::Equal) => {}
                Some(std::cmp::Ordering::Greater) | None => {
                    (mark.object, mark.records) = (Some(key.clone()), 0);
                }
            }
            let bytes = object.size;
            let (format, compression) = format_of(&job.source);
            let keys = keys.clone();
            let reading = Reading {
                open: Box::new(move |object| ItemReader::new(object, &format, compression, &keys)),
                size: size::item,
                skip: mark.records,
                batch: BATCH_RECORDS,
            };
            let mut reads = read(Arc::clone(&bucket), object, reading);
            loop {
                self.check_running()?;
                match reads.recv().await {
                    Some(Read::Records(records)) => {
                        let mut good = Vec::with_capacity(records.len());
                        for record in records {
                            mark.records = record.place + 1;
                            mark.counts.processed_items += 1;
                            let item = record.says.map_err(|error| error.0);
                            let fits = item.and_then(|item| {
                                let checked = self.tables().loads().check_imported(table, &item);
                                checked.map(|()| item).map_err(|error| error.to_string())
                            });
                            match fits {
                                Ok(item) => good.push(item),
                                Err(reason) => {
                                    mark.counts.errors += 1;
                                    log.note(&key, record.place, record.line, &reason)?;
                                }
                            }
                        }
                        mark.counts.imported_items += good.len() as u64;
                        log.flush()?;
                        self.tables()
                            .loads()
                            .load_items(&mut load, good, packed(&mark)?)
                            .await?;
                        tell(mark.counts);
                    }
                    Some(Read::End) => break,
                    Some(Read::Failed(reason)) => return Err(Error::Object { key, reason }),
                    None => {
                        let reason = ObjectError::Format("its reader ended early".into());
                        return Err(Error::Object { key, reason });
                    }
                }
            }
            last = packed(&mark)?;
            mark.counts.processed_bytes += bytes;
            tell(mark.counts);
        }
        Ok(Loaded {
            load,
            mark: last,
            counts: mark.counts,
        })
    }
}

/// All that there was to load.
pub(crate) struct Loaded {
    pub(crate) load: ImportLoad,
    pub(crate) mark: Bytes,
    pub(crate) counts: ImportCounts,
}

fn packed(mark: &Mark) -> Result<Bytes> {
    Ok(serde_json::to_vec(mark).map_err(std::io::Error::other)?.into())
}
