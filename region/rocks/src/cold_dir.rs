//! The second directory of a store: where rows lie that are read seldom.
//!
//! RocksDB takes files of a directory that it knows nothing of for its own leftovers, and knows the directories of a store by
//! their order only. So a directory belongs to one store, for good: both hold a mark of the same text.

use std::{
    fs::{self, File},
    hash::{BuildHasher as _, RandomState},
    io::{self, ErrorKind, Write as _},
    path::Path,
};

use geodynamo_storage::StorageError;

use crate::disk::beside;

/// The mark's name in the directory; beside the store it is its extension.
const MARK: &str = "cold";

/// Checks that a directory is this store's, and makes it so if neither has another.
///
/// # Errors
/// If it is another store's, or the store has one and is given none.
pub(crate) fn check(store: &Path, cold_dir: Option<&Path>) -> Result<(), StorageError> {
    let own = beside(store, MARK);
    let failed = |path: &Path, error: io::Error| StorageError::Io(format!("{}: {error}", path.display()).into());
    let read = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    };
    let known = read(&own)?;
    let Some(cold_dir) = cold_dir else {
        return match known {
            None => Ok(()),
            Some(_) => Err(refused("the store has files in a cold_dir, and is told of none")),
        };
    };
    let marked = cold_dir.join(MARK);
    match (known, read(&marked)?) {
        (Some(known), Some(found)) if known == found => Ok(()),
        (_, Some(_)) => Err(refused("the cold_dir belongs to another store")),
        (Some(_), None) => Err(refused("the cold_dir is not the one that the store has files in")),
        (None, None) => {
            let text = format!("{:016x}\n", RandomState::new().hash_one(store));
            // The store's own last: without it nothing is in the directory yet.
            for path in [&marked, &own] {
                write(path, &text).map_err(|error| failed(path, error))?;
            }
            Ok(())
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn refused(text: &str) -> StorageError {
    StorageError::Io(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_of_one_store() {
        let home = tempfile::tempdir().unwrap();
        let [first, second, cold, other] = ["first", "second", "c1", "c2"].map(|name| home.path().join(name));
        fs::create_dir(&cold).unwrap();
        fs::create_dir(&other).unwrap();
        check(&first, None).unwrap();
        check(&first, Some(&cold)).unwrap();
        check(&first, Some(&cold)).unwrap();
        check(&second, None).unwrap();
        for (store, cold) in [(&second, Some(&cold)), (&first, Some(&other)), (&first, None)] {
            check(store, cold.map(|path| &**path)).unwrap_err();
        }
        // A mark whose other half was not written: a crash. Nothing was written there.
        fs::remove_file(home.path().join("first.cold")).unwrap();
        check(&first, Some(&cold)).unwrap_err();
    }
}
