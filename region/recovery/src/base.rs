//! Writing bases: all items of a table as they were at one moment.

use bytes::Bytes;
use geodynamo_archive::Archive;
use geodynamo_storage::Snapshot;
use geodynamo_table::recovery::{SealedRows, TableSnapshot};

use crate::{
    Result,
    codec::{ChunkWriter, Manifest, kind, pack},
    layout::{self, MANIFEST},
};

/// Bytes read of a snapshot at a time.
const PAGE_BYTES: usize = 1 << 20;

/// A base that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Base {
    /// Its moment.
    pub(crate) cut_ms: u64,
    /// Its folder.
    pub(crate) dir: String,
}

/// Writes a snapshot into a chain's, or a backup's, folder. It is there once the manifest is, which is written last.
pub(crate) async fn write<S: Snapshot>(
    archive: &Archive,
    dir: &str,
    snapshot: &TableSnapshot<S>,
    chunk_bytes: usize,
) -> Result<(Base, Manifest)> {
    write_as(archive, dir, snapshot, chunk_bytes, None).await
}

/// The same with rows as they are sealed, by a key that is away.
pub(crate) async fn write_sealed<S: Snapshot>(
    archive: &Archive,
    dir: &str,
    snapshot: &TableSnapshot<S>,
    chunk_bytes: usize,
    sealed: SealedRows,
) -> Result<(Base, Manifest)> {
    write_as(archive, dir, snapshot, chunk_bytes, Some(sealed)).await
}

async fn write_as<S: Snapshot>(
    archive: &Archive,
    dir: &str,
    snapshot: &TableSnapshot<S>,
    chunk_bytes: usize,
    sealed: Option<SealedRows>,
) -> Result<(Base, Manifest)> {
    let cut_ms = snapshot.cut.ms;
    let dir = format!("{dir}/base/{}", layout::stamped(cut_ms));
    let mut manifest = Manifest {
        settings: snapshot.settings.clone(),
        cut_ms,
        ends: snapshot.cut.ends.iter().map(|end| end.0).collect(),
        chunks: Vec::new(),
        items: 0,
        stored_bytes: 0,
        bytes: snapshot.counts.1,
        sealed,
    };
    let mut chunk = ChunkWriter::default();
    let mut after: Option<(u64, Bytes)> = None;
    loop {
        let (rows, next) = match manifest.sealed {
            None => snapshot.page(after.as_ref(), PAGE_BYTES).await?,
            Some(_) => snapshot.sealed_page(after.as_ref(), PAGE_BYTES).await?,
        };
        for row in &rows {
            chunk.push(row);
            if chunk.len() >= chunk_bytes {
                put_chunk(archive, &dir, &mut chunk, &mut manifest).await?;
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if chunk.len() > 0 {
        put_chunk(archive, &dir, &mut chunk, &mut manifest).await?;
    }
    let name = format!("{dir}/{MANIFEST}");
    archive.put(&name, kind::MANIFEST, pack(&name, &manifest)?).await?;
    Ok((Base { cut_ms, dir }, manifest))
}

/// The name of a chunk of a base.
pub(crate) fn chunk_name(dir: &str, number: usize) -> String {
    format!("{dir}/{number:06}")
}

async fn put_chunk(archive: &Archive, dir: &str, chunk: &mut ChunkWriter, manifest: &mut Manifest) -> Result<()> {
    let name = chunk_name(dir, manifest.chunks.len());
    manifest.stored_bytes += chunk.len() as u64;
    let (about, content) = chunk.take();
    archive.put(&name, kind::CHUNK, content).await?;
    manifest.items += about.items;
    manifest.chunks.push(about);
    Ok(())
}
