//! Table files that the store takes in.
//!
//! A file has rows of one prefix, so it lies between what others have there, and RocksDB need not write out a memtable for it.
//! It comes to lie at the lowest level where no file spans its place, which may be level 0: so no more than a few are taken in
//! before what lies there has been merged, for otherwise clients' writes would have to wait for that.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use geodynamo_storage::{Prefix, Row, SortedFiles, SortedRows, StorageError};
use rocksdb::{IngestExternalFileOptions, SstFileWriter, properties};

use super::{Door, failed, names_in, remove, sync_folder};
use crate::{
    classes::{Family, Spot},
    rows,
};

/// Bytes of one file.
const FILE_BYTES: u64 = if cfg!(test) { 16 * 1024 } else { 64 * 1024 * 1024 };
/// Files that are taken in at once.
const TAKEN_MAX: usize = 8;
/// Files at level 0 from which on others have to wait: as many as are merged.
const LEVEL_0_MAX: u64 = 8;
/// How long they wait at most.
const LEVEL_0_WAIT: Duration = Duration::from_secs(60);
const LEVEL_0_POLL: Duration = Duration::from_millis(20);

pub(super) struct TableFiles {
    door: Door,
    folder: PathBuf,
    next: u64,
}

/// The name of a file that is being written.
const UNFINISHED: &str = "file.part";

/// A file's name: its number, and its rows' prefix.
fn name_of(number: u64, prefix: Prefix) -> String {
    let hex: String = prefix.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{number:08}-{hex}.sst")
}

/// What a name tells; none for what is no table file.
fn parse(name: &str) -> Option<(u64, Prefix)> {
    let (number, hex) = name.strip_suffix(".sst")?.split_once('-')?;
    let mut prefix = [0; Prefix::BYTES];
    if hex.len() != 2 * Prefix::BYTES {
        return None;
    }
    for (at, byte) in prefix.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((number.parse().ok()?, Prefix(prefix)))
}

impl TableFiles {
    pub(super) fn take_up(door: &Door, folder: PathBuf, kept: u64, taking: bool) -> Result<Self, StorageError> {
        let mut there = 0;
        for name in names_in(&folder)? {
            match parse(&name) {
                Some((number, _)) if number < kept => there += 1,
                Some(_) => remove(&folder.join(name))?,
                None if name == UNFINISHED => remove(&folder.join(name))?,
                None => {}
            }
        }
        if there < kept && !taking {
            return Err(failed(&folder, &"a file of a load is missing"));
        }
        Ok(Self {
            door: door.clone(),
            folder,
            next: kept,
        })
    }

    /// Where rows of a prefix lie.
    fn family(&self, prefix: Prefix) -> Result<Family, StorageError> {
        let shared = self.door.shared()?;
        let placement = shared.classes.load();
        let (Spot::In(family) | Spot::Either(family)) = placement.spot(&[&prefix.0[..], &[0; 8]].concat());
        Ok(family)
    }

    /// Writes one file, which begins with a row; gives the row that did not belong in it.
    fn write_file(&mut self, first: Row, rows: &mut SortedRows<'_>) -> Result<Option<Row>, StorageError> {
        self.door.check_room()?;
        let prefix = Prefix::of(&first.0).ok_or_else(|| failed(&self.folder, &"a row has no prefix"))?;
        let path = self.folder.join(UNFINISHED);
        let options = self.door.options().of_files(self.family(prefix)?, &self.door.0.store)?;
        let mut writer = SstFileWriter::create(&options);
        writer.open(&path).map_err(rows::failed)?;
        let mut last = first;
        let left = loop {
            writer.put(&last.0, &last.1).map_err(rows::failed)?;
            let Some(row) = rows.next().transpose()? else {
                break None;
            };
            if row.0 <= last.0 {
                return Err(failed(&path, &"rows of a load are not in order"));
            }
            if Prefix::of(&row.0) != Some(prefix) || writer.file_size() >= FILE_BYTES {
                break Some(row);
            }
            last = row;
        };
        // Syncs it, too.
        writer.finish().map_err(rows::failed)?;
        let name = self.folder.join(name_of(self.next, prefix));
        fs::rename(&path, &name).map_err(|error| failed(&name, &error))?;
        self.next += 1;
        Ok(left)
    }

    /// Waits until there are few files at level 0.
    fn wait_for_level_0(&self, family: Family) -> Result<(), StorageError> {
        let deadline = Instant::now() + LEVEL_0_WAIT;
        loop {
            let shared = self.door.shared()?;
            let store = shared.holder.now().ok_or(StorageError::Closed)?;
            let files = store
                .db()
                .property_int_value_cf(store.family(family.name())?, properties::num_files_at_level(0));
            if files.map_err(rows::failed)?.unwrap_or(0) < LEVEL_0_MAX || Instant::now() > deadline {
                return Ok(());
            }
            drop((store, shared));
            std::thread::sleep(LEVEL_0_POLL);
        }
    }

    fn take(&self, prefix: Prefix, paths: &[PathBuf]) -> Result<(), StorageError> {
        self.wait_for_level_0(self.family(prefix)?)?;
        let shared = self.door.shared()?;
        if let Some(trouble) = shared.health.borrow().trouble() {
            return Err(StorageError::Unwritable(trouble));
        }
        // Where the rows belong stays as it is meanwhile.
        let _placing = shared.placing.lock();
        let family = self.family(prefix)?;
        let store = shared.holder.now().ok_or(StorageError::Closed)?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        store
            .db()
            .ingest_external_file_cf_opts(store.family(family.name())?, &options, paths.to_vec())
            .map_err(rows::failed)
    }
}

impl SortedFiles for TableFiles {
    fn write(&mut self, rows: &mut SortedRows<'_>) -> Result<u64, StorageError> {
        let mut next = rows.next().transpose()?;
        while let Some(first) = next {
            next = self.write_file(first, rows)?;
        }
        sync_folder(&self.folder)?;
        Ok(self.next)
    }

    fn take_in(self: Box<Self>) -> Result<(), StorageError> {
        let mut groups: Vec<(Prefix, Vec<PathBuf>)> = Vec::new();
        for name in names_in(&self.folder)? {
            let Some((_, prefix)) = parse(&name) else { continue };
            let path = self.folder.join(name);
            match groups.last_mut() {
                Some((last, paths)) if *last == prefix && paths.len() < TAKEN_MAX => paths.push(path),
                _ => groups.push((prefix, vec![path])),
            }
        }
        groups.iter().try_for_each(|(prefix, paths)| self.take(*prefix, paths))
    }
}
