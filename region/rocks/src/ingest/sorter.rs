//! Sorting rows that do not fit in memory: sorted runs on disk, merged.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
    path::{Path, PathBuf},
};

use geodynamo_storage::{COMMIT_BYTES_MAX, KEY_BYTES_MAX, Row, SortedRows, Sorter, StorageError};

use super::{
    Door, failed, names_in, remove,
    runs::{RunReader, RunWriter},
    sync_folder,
};

/// Bytes of rows that are sorted in memory: a run.
const RUN_BYTES: usize = if cfg!(test) { 16 * 1024 } else { 32 * 1024 * 1024 };
/// Runs that are merged at once; of each a frame is in memory, 64 KiB or a row. If there are more, so many become one first.
const MERGED_MAX: usize = if cfg!(test) { 4 } else { 256 };

pub(super) struct RunSorter {
    door: Door,
    folder: PathBuf,
    lane: u8,
    /// Runs that are kept.
    runs: u64,
    rows: Vec<u8>,
    /// Where each row begins, and the lengths of its key and value.
    places: Vec<(usize, u32, u32)>,
}

fn run_name(lane: u8, number: u64) -> String {
    format!("run-{lane}-{number:08}")
}

/// What the names of runs begin with that a merge makes on its way.
fn merged_prefix(lane: u8) -> String {
    format!("merged-{lane}-")
}

impl RunSorter {
    pub(super) fn take_up(door: &Door, folder: PathBuf, lane: u8, kept: u64) -> Result<Self, StorageError> {
        let there = names_in(&folder)?;
        for number in 0..kept {
            let name = run_name(lane, number);
            if !there.contains(&name) {
                return Err(failed(&folder.join(name), &"a run is missing"));
            }
        }
        let behind = run_name(lane, kept);
        let runs = format!("run-{lane}-");
        for name in there {
            if name.starts_with(&merged_prefix(lane)) || (name.starts_with(&runs) && name >= behind) {
                remove(&folder.join(name))?;
            }
        }
        Ok(Self {
            door: door.clone(),
            folder,
            lane,
            runs: kept,
            rows: Vec::new(),
            places: Vec::new(),
        })
    }

    fn key(&self, (at, key, _): (usize, u32, u32)) -> &[u8] {
        &self.rows[at..at + key as usize]
    }

    fn write_run(&mut self) -> Result<(), StorageError> {
        self.door.check_room()?;
        let mut places = std::mem::take(&mut self.places);
        // Stable: of rows with one key the last one put comes last.
        places.sort_by(|one, other| self.key(*one).cmp(self.key(*other)));
        let path = self.folder.join(run_name(self.lane, self.runs));
        // Left by a try that failed.
        if path.exists() {
            remove(&path)?;
        }
        let mut run = RunWriter::create(path, self.door.options().seal.as_ref())?;
        for (number, place) in places.iter().enumerate() {
            let is_last = places
                .get(number + 1)
                .is_none_or(|next| self.key(*next) != self.key(*place));
            if is_last {
                let (at, key, value) = *place;
                let end = at + key as usize;
                run.put(self.key(*place), &self.rows[end..end + value as usize])?;
            }
        }
        run.finish()?;
        sync_folder(&self.folder)?;
        self.runs += 1;
        self.rows.clear();
        Ok(())
    }

    /// Makes one run of many.
    fn merge(&self, number: u64, of: Vec<PathBuf>) -> Result<PathBuf, StorageError> {
        self.door.check_room()?;
        let path = self.folder.join(format!("{}{number:08}", merged_prefix(self.lane)));
        let mut run = RunWriter::create(path.clone(), self.door.options().seal.as_ref())?;
        for row in Merge::open(&self.door, &of)? {
            let (key, value) = row?;
            run.put(&key, &value)?;
        }
        run.finish()?;
        Ok(path)
    }
}

impl Sorter for RunSorter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if key.len() > KEY_BYTES_MAX || value.len() > COMMIT_BYTES_MAX {
            return Err(StorageError::TooLarge("a row of a load is too large"));
        }
        if self.is_full() {
            self.write_run()?;
        }
        self.places
            .push((self.rows.len(), key.len() as u32, value.len() as u32));
        self.rows.extend_from_slice(key);
        self.rows.extend_from_slice(value);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.len() + self.places.len() * size_of::<(usize, u32, u32)>() >= RUN_BYTES
    }

    fn keep(&mut self) -> Result<u64, StorageError> {
        if !self.places.is_empty() {
            self.write_run()?;
        }
        Ok(self.runs)
    }

    fn into_rows(mut self: Box<Self>) -> Result<Box<SortedRows<'static>>, StorageError> {
        self.keep()?;
        self.rows = Vec::new();
        let mut paths: VecDeque<PathBuf> = (0..self.runs)
            .map(|number| self.folder.join(run_name(self.lane, number)))
            .collect();
        let mut made = 0;
        while paths.len() > MERGED_MAX {
            // All of one round, so that newer rows stay behind older ones.
            let mut round = VecDeque::new();
            while !paths.is_empty() {
                let some: Vec<_> = paths.drain(..paths.len().min(MERGED_MAX)).collect();
                let one = self.merge(made, some.clone())?;
                made += 1;
                for path in some.iter().filter(|path| is_merged(path)) {
                    remove(path)?;
                }
                round.push_back(one);
            }
            paths = round;
        }
        Ok(Box::new(Merge::open(&self.door, paths.make_contiguous())?))
    }
}

fn is_merged(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"merged-"))
}

/// The rows of runs in order; of one key that of the newest run.
struct Merge {
    runs: Vec<RunReader>,
    heads: BinaryHeap<Reverse<Head>>,
    failed: bool,
}

/// The next row of a run.
struct Head {
    row: Row,
    run: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        // Newer runs first.
        self.row.0.cmp(&other.row.0).then(other.run.cmp(&self.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl Merge {
    fn open(door: &Door, paths: &[PathBuf]) -> Result<Self, StorageError> {
        let seal = door.options().seal.as_ref();
        let mut merge = Self {
            runs: paths
                .iter()
                .map(|path| RunReader::open(path, seal))
                .collect::<Result<_, _>>()?,
            heads: BinaryHeap::with_capacity(paths.len()),
            failed: false,
        };
        for run in 0..merge.runs.len() {
            merge.read_on(run)?;
        }
        Ok(merge)
    }

    fn read_on(&mut self, run: usize) -> Result<(), StorageError> {
        let row = self.runs[run].next()?;
        self.heads.extend(row.map(|row| Reverse(Head { row, run })));
        Ok(())
    }

    fn next_row(&mut self) -> Result<Option<Row>, StorageError> {
        let Some(Reverse(Head { row, run })) = self.heads.pop() else {
            return Ok(None);
        };
        self.read_on(run)?;
        while let Some(Reverse(older)) = self.heads.peek()
            && older.row.0 == row.0
        {
            let run = older.run;
            self.heads.pop();
            self.read_on(run)?;
        }
        Ok(Some(row))
    }
}

impl Iterator for Merge {
    type Item = Result<Row, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.next_row();
        self.failed = row.is_err();
        row.transpose()
    }
}
