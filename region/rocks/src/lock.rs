//! One process for a store: a lock that says who has it.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
    process,
};

use geodynamo_storage::StorageError;
use rustix::fs::{FlockOperation, flock};

use crate::disk::beside;

/// The lock of a store, held until it is dropped. RocksDB has one of its own, which does not say whose it is, and is given up
/// while a store is opened anew.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "open, it holds the lock")] File);

impl Lock {
    /// Takes the lock, and leaves this process's id in it for others to read.
    pub(crate) fn take(store: &Path) -> Result<Self, StorageError> {
        Self::at(&beside(store, "lock"))
    }

    /// Takes the lock of a further directory, which is made if it is not there.
    pub(crate) fn take_in(directory: &Path) -> Result<Self, StorageError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| StorageError::Io(format!("{}: {error}", directory.display()).into()))?;
        Self::at(&directory.join("lock"))
    }

    fn at(path: &Path) -> Result<Self, StorageError> {
        let failed = |error: std::io::Error| StorageError::Io(format!("{}: {error}", path.display()).into());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // Whoever has just taken it may not have written yet.
                let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let whose = if known {
                    format!(" (pid {})", pid.trim())
                } else {
                    String::new()
                };
                return Err(StorageError::Io(format!("in use by another process{whose}").into()));
            }
            Err(error) => return Err(failed(error.into())),
        }
        // Of use to people only: on a full disk the lock is as good without.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", process::id()));
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("db");
        let first = Lock::take(&store).unwrap();
        let error = Lock::take(&store).unwrap_err().to_string();
        let pid = process::id();
        assert_eq!(error, format!("storage: in use by another process (pid {pid})"));
        drop(first);
        Lock::take(&store).unwrap();
    }
}
