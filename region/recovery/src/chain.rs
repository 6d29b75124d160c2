//! A chain in the archive, as a listing shows it.

use geodynamo_archive::{Archive, Found};
use geodynamo_replicator_core::Millis;
use geodynamo_table::recovery::TableSettings;

use crate::{
    Error, Result,
    base::Base,
    codec::{self, Manifest, SegmentHead, kind, unpack},
    layout::{self, MANIFEST, SegmentName},
};

/// What of a chain, or of a backup, is in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Its folder.
    pub(crate) dir: String,
    /// Bases that are whole, oldest first.
    pub(crate) bases: Vec<Base>,
    /// Segments, in their order.
    pub(crate) segments: Vec<SegmentName>,
    /// Names of settings, oldest first.
    pub(crate) settings: Vec<String>,
    /// Everything else: what a crash, or a deletion that was broken off, left of bases.
    pub(crate) garbage: Vec<String>,
    /// All names.
    pub(crate) all: Vec<String>,
}

impl Listing {
    /// Lists a folder.
    pub(crate) async fn of(archive: &Archive, dir: &str) -> Result<Self> {
        Ok(Self::read(dir, archive.list(dir).await?))
    }

    fn read(dir: &str, found: Vec<Found>) -> Self {
        let mut listing = Self {
            dir: dir.into(),
            ..Self::default()
        };
        let inside = |name: &'_ Found| -> Vec<String> {
            let below = name.name.strip_prefix(dir).unwrap_or_default();
            below.trim_start_matches('/').split('/').map(str::to_owned).collect()
        };
        for object in &found {
            let parts = inside(object);
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            match parts[..] {
                ["base", base, MANIFEST] => {
                    if let Some(cut_ms) = layout::read_stamped(base) {
                        let dir = format!("{dir}/base/{base}");
                        listing.bases.push(Base { cut_ms, dir });
                    }
                }
                ["log", last] => {
                    let segment = SegmentName::read(&object.name, last, object.bytes);
                    listing.segments.extend(segment);
                }
                ["settings", _] => listing.settings.push(object.name.clone()),
                _ => {}
            }
        }
        for object in &found {
            if let ["base", base, _] = inside(object).iter().map(String::as_str).collect::<Vec<_>>()[..] {
                let whole = format!("{dir}/base/{base}");
                if !listing.bases.iter().any(|base| base.dir == whole) {
                    listing.garbage.push(object.name.clone());
                }
            }
        }
        listing.all = found.into_iter().map(|object| object.name).collect();
        listing.bases.sort_unstable();
        listing.segments.sort_unstable();
        listing.settings.sort_unstable();
        listing
    }

    /// The first moment that can be restored.
    pub(crate) fn earliest_ms(&self) -> Option<Millis> {
        self.bases.first().map(|base| base.cut_ms)
    }

    /// Every change before this moment is there. A base says it as well as a segment.
    pub(crate) fn closed_ms(&self) -> Option<Millis> {
        let segments = self.segments.iter().map(|segment| segment.closed_ms);
        segments.chain(self.bases.iter().map(|base| base.cut_ms)).max()
    }

    /// The last base that a moment can be made from.
    pub(crate) fn base_for(&self, ms: Millis) -> Option<&Base> {
        self.bases.iter().rev().find(|base| base.cut_ms <= ms)
    }

    /// The newest settings.
    pub(crate) async fn newest_settings(&self, archive: &Archive) -> Result<Option<TableSettings>> {
        if let Some(name) = self.settings.last() {
            return Ok(Some(read(archive, name, kind::SETTINGS).await?));
        }
        match self.bases.last() {
            Some(base) => Ok(Some(manifest(archive, base).await?.settings)),
            None => Ok(None),
        }
    }

    /// Up to where the chain has the logs: what its last segment says, or the last base if there is none.
    pub(crate) async fn shipped(&self, archive: &Archive) -> Result<Option<Vec<u64>>> {
        if let Some(last) = self.segments.last() {
            return Ok(Some(segment_head(archive, &last.name).await?.to));
        }
        match self.bases.first() {
            Some(base) => Ok(Some(manifest(archive, base).await?.ends)),
            None => Ok(None),
        }
    }
}

/// A base's manifest.
pub(crate) async fn manifest(archive: &Archive, base: &Base) -> Result<Manifest> {
    read(archive, &format!("{}/{MANIFEST}", base.dir), kind::MANIFEST).await
}

async fn segment_head(archive: &Archive, name: &str) -> Result<SegmentHead> {
    let content = content(archive, name, kind::SEGMENT).await?;
    Ok(codec::open_segment(name, content)?.0)
}

/// Something small from the archive.
pub(crate) async fn read<T: serde::de::DeserializeOwned>(archive: &Archive, name: &str, kind: u8) -> Result<T> {
    unpack(name, &content(archive, name, kind).await?)
}

/// The content of an object, which must be of a kind.
pub(crate) async fn content(archive: &Archive, name: &str, kind: u8) -> Result<bytes::Bytes> {
    match archive.get(name).await? {
        (found, content) if found == kind => Ok(content),
        (found, _) => Err(Error::damaged(name, format!("it is of kind {found}, not {kind}"))),
    }
}
