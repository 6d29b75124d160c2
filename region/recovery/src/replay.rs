//! A table as it was at a moment, and what was changed of it between two.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use geodynamo_archive::Archive;
use geodynamo_replicator_core::Millis;
use geodynamo_table::{
    ItemKey,
    recovery::{Row, TableSettings},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Manifest, Record, Result,
    base::{Base, chunk_name},
    chain::{Listing, content, manifest},
    codec::{kind, next_record, open_chunk, open_segment},
    layout::SegmentName,
};

/// What to read of the archive to have a table as it was at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The folder of the chain or the backup.
    #[serde(rename = "d")]
    pub dir: String,
    /// The folder of the base.
    #[serde(rename = "b")]
    pub base: String,
    /// The base's moment, in milliseconds since the Unix epoch.
    #[serde(rename = "c")]
    pub base_ms: Millis,
    /// The moment; none if the base itself is wanted.
    #[serde(rename = "t", default)]
    pub at_ms: Option<Millis>,
    /// Up to where the logs must be there; empty if that is not known.
    #[serde(rename = "e", default)]
    pub ends: Vec<u64>,
}

/// The items of a table as of a moment, in the order of route and key.
///
/// What was changed since the base is held in memory for a part of the routes at a time, as many as
/// [`crate::Options::overlay_bytes_max`] has room for.
pub struct Moment {
    archive: Archive,
    job: Job,
    manifest: Manifest,
    segments: Vec<SegmentName>,
    overlay_bytes_max: usize,
    /// Items up to here are passed over.
    after: Option<(u64, Bytes)>,
    /// The routes whose changes are in the overlay.
    slice: Option<(u64, u64)>,
    overlay: BTreeMap<(u64, Bytes), Option<Bytes>>,
    /// The next chunk to read for the slice.
    chunk: usize,
    rows: VecDeque<Row>,
    done: bool,
}

impl Moment {
    /// Opens a moment; items up to a place are passed over.
    pub async fn open(
        archive: &Archive,
        job: &Job,
        after: Option<(u64, Bytes)>,
        overlay_bytes_max: usize,
    ) -> Result<Self> {
        let base = Base {
            cut_ms: job.base_ms,
            dir: job.base.clone(),
        };
        let manifest = manifest(archive, &base).await?;
        let segments = match job.at_ms {
            Some(at_ms) => segments_between(&Listing::of(archive, &job.dir).await?, job.base_ms, at_ms),
            None => Vec::new(),
        };
        Ok(Self {
            archive: archive.clone(),
            job: job.clone(),
            manifest,
            segments,
            overlay_bytes_max,
            after,
            slice: None,
            overlay: BTreeMap::new(),
            chunk: 0,
            rows: VecDeque::new(),
            done: false,
        })
    }

    /// The base that it is made from.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The table's settings at the base's moment.
    pub fn settings(&self) -> &TableSettings {
        &self.manifest.settings
    }

    /// The next items: at most so many, of about so many bytes, at least one if there is one. None at the end.
    pub async fn next_rows(&mut self, rows_max: usize, bytes_max: usize) -> Result<Option<Vec<Row>>> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < rows_max && bytes < bytes_max {
            let Some(row) = self.rows.pop_front() else {
                if self.done {
                    break;
                }
                self.refill().await?;
                continue;
            };
            if self
                .after
                .as_ref()
                .is_some_and(|(route, key)| (row.route, &row.key) <= (*route, key))
            {
                continue;
            }
            bytes += row.key.len() + row.item.len();
            rows.push(row);
        }
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }

    /// Merges the next chunk with what was changed, or goes on to the next slice.
    async fn refill(&mut self) -> Result<()> {
        let Some((first, last)) = self.slice else {
            let first = self.after.as_ref().map_or(0, |(route, _)| *route);
            return self.begin(first).await;
        };
        while let Some(chunk) = self.manifest.chunks.get(self.chunk).copied() {
            if chunk.last < first {
                self.chunk += 1;
                continue;
            }
            if chunk.first > last {
                break;
            }
            let name = chunk_name(&self.job.base, self.chunk);
            let rows = open_chunk(&name, content(&self.archive, &name, kind::CHUNK).await?)?;
            if rows.len() as u64 != chunk.items {
                return Err(Error::damaged(&name, "it has not as many rows as its manifest says"));
            }
            self.chunk += 1;
            self.merge(rows.into_iter().filter(|row| (first..=last).contains(&row.route)));
            if !self.rows.is_empty() {
                return Ok(());
            }
        }
        // What is left was new since the base.
        while let Some(((route, key), item)) = self.overlay.pop_first() {
            self.rows.extend(item.map(|item| Row { route, key, item }));
        }
        match last.checked_add(1) {
            Some(next) => self.begin(next).await,
            None => {
                self.done = true;
                Ok(())
            }
        }
    }

    /// Puts what was changed in the place of what it was.
    fn merge(&mut self, mut base: impl Iterator<Item = Row>) {
        // Behind the last change, as in every backup, rows go through as they are.
        while !self.overlay.is_empty()
            && let Some(row) = base.next()
        {
            let place = (row.route, row.key.clone());
            while let Some(first) = self.overlay.first_entry() {
                if *first.key() >= place {
                    break;
                }
                let ((route, key), item) = first.remove_entry();
                self.rows.extend(item.map(|item| Row { route, key, item }));
            }
            match self.overlay.remove(&place) {
                Some(item) => self.rows.extend(item.map(|item| Row { item, ..row })),
                None => self.rows.push_back(row),
            }
        }
        self.rows.extend(base);
    }

    /// Reads what was changed of the routes from one on: of as many as there is room for. One route's changes are held
    /// whatever they take.
    async fn begin(&mut self, first: u64) -> Result<()> {
        let mut last = u64::MAX;
        let (mut overlay, mut bytes) = (BTreeMap::<(u64, Bytes), Option<Bytes>>::new(), 0);
        if let Some(at_ms) = self.job.at_ms {
            let mut changes = Changes::behind(&self.archive, self.segments.clone(), self.manifest.ends.clone());
            while let Some(record) = changes.next().await? {
                if record.commit_ms > at_ms {
                    continue;
                }
                let at = ItemKey::from_bytes(record.key)?;
                if !(first..=last).contains(&at.route()) {
                    continue;
                }
                // Copies: a slice of a segment would keep all of it in memory.
                let key = Bytes::copy_from_slice(at.bytes());
                let item = record.item.map(|item| Bytes::copy_from_slice(&item));
                bytes += size(&key, item.as_ref());
                if let Some(before) = overlay.insert((at.route(), key.clone()), item) {
                    bytes -= size(&key, before.as_ref());
                }
                // What there is no room for is left to the next slice, whole routes at a time.
                while bytes > self.overlay_bytes_max
                    && let Some(greatest) = overlay.last_key_value().map(|((route, _), _)| *route)
                    && overlay
                        .first_key_value()
                        .is_some_and(|((least, _), _)| *least < greatest)
                {
                    let left = overlay.split_off(&(greatest, Bytes::new()));
                    bytes -= left
                        .iter()
                        .map(|((_, key), item)| size(key, item.as_ref()))
                        .sum::<usize>();
                    last = greatest - 1;
                }
            }
            // A segment that says that the moment is over needs nothing behind it.
            if self.segments.last().is_none_or(|segment| segment.closed_ms <= at_ms) {
                changes.reached(&self.job.ends)?;
            }
        }
        self.overlay = overlay;
        self.slice = Some((first, last));
        // A chunk that ends in the last slice may go on in this one.
        self.chunk = self.manifest.chunks.partition_point(|chunk| chunk.last < first);
        Ok(())
    }
}

fn size(key: &Bytes, item: Option<&Bytes>) -> usize {
    key.len() + item.map_or(0, Bytes::len)
}

/// The changes of a table, in the order of each partition's log, each once.
pub struct Changes {
    archive: Archive,
    segments: VecDeque<SegmentName>,
    /// Up to which position of each log they were given.
    seen: Vec<u64>,
    /// Up to where the segment that is being read goes.
    to: Vec<u64>,
    name: String,
    records: Bytes,
}

impl Changes {
    /// The changes of a chain that were committed from one moment on and before another, and more: what is in the same
    /// segments. Whoever wants only those between looks at [`Record::commit_ms`].
    pub async fn between(archive: &Archive, dir: &str, from_ms: Millis, to_ms: Millis) -> Result<Self> {
        let listing = Listing::of(archive, dir).await?;
        let base = listing.base_for(from_ms);
        let base = base.ok_or_else(|| Error::damaged(dir, "no base is old enough"))?;
        let ends = manifest(archive, base).await?.ends;
        let segments = segments_between(&listing, base.cut_ms, to_ms);
        Ok(Self::behind(archive, segments, ends))
    }

    fn behind(archive: &Archive, segments: Vec<SegmentName>, seen: Vec<u64>) -> Self {
        Self {
            archive: archive.clone(),
            segments: segments.into(),
            seen,
            to: Vec::new(),
            name: String::new(),
            records: Bytes::new(),
        }
    }

    /// The next change; none at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] if part of the log is missing.
    pub async fn next(&mut self) -> Result<Option<Record>> {
        loop {
            while let Some(record) = next_record(&self.name, &mut self.records)? {
                let seen = self.seen.get_mut(record.partition);
                let seen = seen.ok_or_else(|| Error::damaged(&self.name, "it has a partition too many"))?;
                if record.position > *seen {
                    *seen = record.position;
                    return Ok(Some(record));
                }
            }
            // Where the segment went without a record, no item was changed.
            for (seen, to) in self.seen.iter_mut().zip(self.to.drain(..)) {
                *seen = (*seen).max(to);
            }
            let Some(segment) = self.segments.pop_front() else {
                return Ok(None);
            };
            let content = content(&self.archive, &segment.name, kind::SEGMENT).await?;
            let (head, records) = open_segment(&segment.name, content)?;
            let follows =
                head.from.len() == self.seen.len() && head.from.iter().zip(&self.seen).all(|(from, seen)| from <= seen);
            if !follows {
                return Err(Error::damaged(&segment.name, "part of the log before it is missing"));
            }
            (self.name, self.records, self.to) = (segment.name, records, head.to);
        }
    }

    fn reached(&self, ends: &[u64]) -> Result<()> {
        let reached = ends.iter().zip(&self.seen).all(|(end, seen)| end <= seen);
        if reached {
            Ok(())
        } else {
            Err(Error::damaged(&self.name, "the end of the log is missing"))
        }
    }
}

/// The segments that may hold changes from a base's moment up to another.
fn segments_between(listing: &Listing, base_ms: Millis, at_ms: Millis) -> Vec<SegmentName> {
    let mut wanted = Vec::new();
    for segment in listing.segments.iter().filter(|segment| segment.reach_ms >= base_ms) {
        wanted.push(segment.clone());
        if segment.closed_ms > at_ms {
            break;
        }
    }
    wanted
}
