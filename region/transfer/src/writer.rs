//! An export's data files.

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use geodynamo_api::{
    ExportFilter,
    transfer::{ExportJob, ExportKind, Millis},
};
use geodynamo_exchange::{Change, layout, manifest, write_change, write_item};
use geodynamo_item::{Item, size};
use geodynamo_table::{
    recovery::Row,
    schema::{KeyAttribute, KeySchema},
};
use object_store::ObjectStore;

use crate::{
    Result,
    export::{format_of, put},
};

/// Bytes of lines that are compressed at once.
const LINES_BYTES: usize = if cfg!(test) { 500 } else { 2 << 20 };
/// Bytes of a data file, about, as it is stored.
const FILE_BYTES: usize = if cfg!(test) { 1 } else { 16 << 20 };

/// An item's last change within a window.
pub(crate) struct Last {
    /// The item's stored form; none if it was deleted.
    pub(crate) item: Option<Bytes>,
    pub(crate) commit_ms: Millis,
}

/// Writes data files.
pub(crate) struct Writer<'a> {
    /// What of the table is written.
    pub(crate) filter: ExportFilter,
    bucket: Arc<dyn ObjectStore>,
    job: &'a ExportJob,
    folder: String,
    lines: Vec<u8>,
    /// The file that is being written.
    file: GzEncoder<Vec<u8>>,
    /// Lines of that file.
    items: u64,
    /// The size of all items that were looked at, by DynamoDB's formula.
    bytes: u64,
    files: Vec<manifest::DataFile>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bucket: Arc<dyn ObjectStore>, job: &'a ExportJob, folder: String) -> Self {
        Self {
            filter: ExportFilter::default(),
            bucket,
            job,
            folder,
            lines: Vec::new(),
            file: new_file(),
            items: 0,
            bytes: 0,
            files: Vec::new(),
        }
    }

    /// Writes an item of a full export, if it belongs to it.
    pub(crate) async fn item(&mut self, item: Item) -> Result<()> {
        self.bytes += size::item(&item) as u64;
        if !self.filter.admits(&item) {
            return Ok(());
        }
        write_item(format_of(self.job), &self.filter.show(item), &mut self.lines);
        self.lined().await
    }

    /// Writes what became of an item within the window of an incremental export, if it belongs to it. The filter judges the
    /// item as it is afterwards, or as it was if it is deleted.
    pub(crate) async fn change(&mut self, keys: &KeySchema, last: Last, old: Option<Item>) -> Result<()> {
        let decode = |item| Row {
            route: 0,
            key: Bytes::new(),
            item,
        };
        let new = last.item.map(|item| decode(item).decode()).transpose()?;
        let images = [&new, &old].into_iter().flatten();
        self.bytes += images.map(size::item).sum::<usize>() as u64;
        let Some(judged) = new.as_ref().or(old.as_ref()).filter(|item| self.filter.admits(item)) else {
            // Also what was made and deleted within the window.
            return Ok(());
        };
        let key = |key: &KeyAttribute| Some((key.name.as_str().into(), judged.get(&key.name)?.clone()));
        let keys = keys.attributes().filter_map(key).collect();
        let old_images = matches!(self.job.wanted.kind, ExportKind::Incremental { old_images: true, .. });
        let change = Change {
            written_us: last.commit_ms.saturating_mul(1_000),
            keys,
            new: new.map(|item| self.filter.show(item)),
            old: old.filter(|_| old_images).map(|item| self.filter.show(item)),
        };
        write_change(format_of(self.job), &change, &mut self.lines);
        self.lined().await
    }

    /// Ends the last file, of which there is one at least, if it is an empty one. Gives what files there are, and the size of
    /// all items that were looked at.
    pub(crate) async fn finish(mut self) -> Result<(Vec<manifest::DataFile>, u64)> {
        self.compress().await?;
        if self.items > 0 || self.files.is_empty() {
            self.end_file().await?;
        }
        Ok((self.files, self.bytes))
    }

    async fn lined(&mut self) -> Result<()> {
        self.items += 1;
        if self.lines.len() >= LINES_BYTES {
            self.compress().await?;
            if self.file.get_ref().len() >= FILE_BYTES {
                self.end_file().await?;
            }
        }
        Ok(())
    }

    async fn compress(&mut self) -> Result<()> {
        let lines = std::mem::take(&mut self.lines);
        let mut file = std::mem::replace(&mut self.file, new_file());
        let compress = move || file.write_all(&lines).map(|()| file);
        self.file = tokio::task::spawn_blocking(compress)
            .await
            .map_err(std::io::Error::other)??;
        Ok(())
    }

    async fn end_file(&mut self) -> Result<()> {
        let bytes = std::mem::replace(&mut self.file, new_file()).finish()?;
        let name = format!("{}-{:06}", self.job.id, self.files.len());
        let extension = format_of(self.job).extension();
        let key = match self.job.wanted.kind {
            ExportKind::Full { .. } => layout::data_file(&self.folder, &name, extension),
            ExportKind::Incremental { .. } => {
                layout::incremental_data_file(self.job.wanted.prefix.as_deref(), &name, extension)
            }
        };
        self.files.push(manifest::DataFile::of(key.clone(), &bytes, self.items));
        self.items = 0;
        put(&*self.bucket, &key, bytes).await
    }
}

fn new_file() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::default())
}
