//! Taking in sorted rows beside the committer: [`geodynamo_storage::Ingest`].
//!
//! A load has a folder beside the store (`NAME.loads/LOAD`). In it are runs, which are sorted and merged (`sorter.rs`), and
//! table files, which RocksDB takes in as they are (`files.rs`). All of them are encrypted where the store is, each under a key
//! of its own: runs by [`geodynamo_seal`]'s cipher for files, table files by the store's environment.
//!
//! A row is written to a table file once, and neither to the WAL nor to a memtable; what is taken in lies as far down as it fits.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use geodynamo_storage::{Ingest, IngestDoor, LANES, SortedFiles, Sorter, StorageError, Trouble};

use crate::{RocksOptions, committer::Shared, disk, recovery::ROOM_BACK_BYTES};

mod files;
mod runs;
mod sorter;

/// What the folder of all loads adds to the store's name.
const EXTENSION: &str = "loads";
/// The folder of a store's loads. Without it they begin anew.
pub fn loads_of(store: &Path) -> PathBuf {
    disk::beside(store, EXTENSION)
}

/// A load writes no more while the file system has less room than this: who serves clients goes first.
const ROOM_MIN_BYTES: u64 = 2 * ROOM_BACK_BYTES;

/// What a store's loads have in common.
#[derive(Clone, Debug)]
pub(crate) struct Door(Arc<Place>);

#[derive(Debug)]
struct Place {
    /// Not held: it ends with the engine.
    shared: Weak<Shared>,
    options: RocksOptions,
    store: PathBuf,
}

impl Door {
    pub(crate) fn new(shared: &Arc<Shared>, options: RocksOptions, store: &Path) -> Self {
        Self(Arc::new(Place {
            shared: Arc::downgrade(shared),
            options,
            store: store.to_owned(),
        }))
    }

    pub(crate) fn open(&self) -> IngestDoor {
        Some(Arc::new(self.clone()))
    }

    fn options(&self) -> &RocksOptions {
        &self.0.options
    }

    fn shared(&self) -> Result<Arc<Shared>, StorageError> {
        let shared = self.0.shared.upgrade().ok_or(StorageError::Closed)?;
        shared.check_open()?;
        Ok(shared)
    }

    fn folder(&self) -> PathBuf {
        loads_of(&self.0.store)
    }

    fn folder_of(&self, load: u64) -> PathBuf {
        self.folder().join(format!("{load:016x}"))
    }

    /// Makes the folder of a load, if it is not there.
    fn make(&self, load: u64) -> Result<PathBuf, StorageError> {
        let folder = self.folder_of(load);
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        for made in [&folder, &self.folder()] {
            if let Some(parent) = made.parent() {
                sync_folder(parent)?;
            }
        }
        Ok(folder)
    }

    /// Refuses to write while others need the room.
    fn check_room(&self) -> Result<(), StorageError> {
        match disk::free_bytes(&self.0.store) {
            Some(free) if free < ROOM_MIN_BYTES => Err(StorageError::Unwritable(Trouble::NoRoom)),
            _ => Ok(()),
        }
    }
}

impl Ingest for Door {
    fn sorter(&self, load: u64, lane: u8, kept: u64) -> Result<Box<dyn Sorter>, StorageError> {
        if lane >= LANES {
            return Err(StorageError::TooLarge("a load has no such lane"));
        }
        let folder = self.make(load)?;
        Ok(Box::new(sorter::RunSorter::take_up(self, folder, lane, kept)?))
    }

    fn files(&self, load: u64, kept: u64, taking: bool) -> Result<Box<dyn SortedFiles>, StorageError> {
        let folder = self.make(load)?;
        Ok(Box::new(files::TableFiles::take_up(self, folder, kept, taking)?))
    }

    fn forget(&self, load: u64) -> Result<(), StorageError> {
        let folder = self.folder_of(load);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&folder, &error)),
            _ => Ok(()),
        }
    }

    fn loads(&self) -> Result<Vec<u64>, StorageError> {
        let names = names_in(&self.folder())?;
        Ok(names
            .iter()
            .filter_map(|name| u64::from_str_radix(name, 16).ok())
            .collect())
    }
}

/// The names in a folder, in order; none if it is not there.
fn names_in(folder: &Path) -> Result<BTreeSet<String>, StorageError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(|error| failed(folder, &error))?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed(folder, &error))
}

fn remove(path: &Path) -> Result<(), StorageError> {
    fs::remove_file(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> StorageError {
    StorageError::Io(format!("{}: {error}", path.display()).into())
}
