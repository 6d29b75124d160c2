//! The file system beneath the store: its room, a reserve of it, and whether it takes writes.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// A reserve takes at most this part of the file system.
const RESERVE_PART_MAX: u64 = 8;
/// Bytes that a probe writes.
const PROBE_BYTES: usize = 4096;

/// A path beside a store's directory: its name with an extension.
pub(crate) fn beside(store: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(store.as_os_str());
    name.push(".");
    name.push(extension);
    name.into()
}

/// Bytes that this process could still write to a path's file system; none if nobody can tell.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let about = statvfs(path).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Writes and syncs a small file beside the store, and takes it away again.
pub(crate) fn probe(store: &Path) -> io::Result<()> {
    let path = beside(store, "probe");
    let outcome = (|| {
        let mut file = File::create(&path)?;
        file.write_all(&[0x5a; PROBE_BYTES])?;
        file.sync_all()
    })();
    let removed = fs::remove_file(&path);
    outcome?;
    removed?;
    sync_folder(&path)
}

/// Makes what was created, renamed and removed beside a path durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Room that is kept for the day when there is none: a file that holds nothing, beside the store. Once it is given up,
/// memtables can be written out, deletes be taken in and compactions take their effect.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    /// How large it should be; 0 for none.
    wanted: u64,
    /// How large it is.
    held: u64,
}

impl Reserve {
    /// The reserve of a store: the one that is there, or none yet.
    pub(crate) fn find(store: &Path, bytes: u64) -> Self {
        let path = beside(store, "reserve");
        let whole = store.parent().and_then(|folder| statvfs(folder).ok());
        let part = whole.map(|about| about.f_blocks.saturating_mul(about.f_frsize) / RESERVE_PART_MAX);
        let mut reserve = Self {
            held: fs::metadata(&path).map_or(0, |about| about.len()),
            wanted: bytes.min(part.unwrap_or(u64::MAX)),
            path,
        };
        if reserve.held != reserve.wanted {
            reserve.release();
        }
        reserve
    }

    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Bytes that it lacks.
    pub(crate) fn missing(&self) -> u64 {
        self.wanted - self.held.min(self.wanted)
    }

    /// Takes the room. On a file system that cannot promise any, there is no reserve from then on.
    pub(crate) fn make(&mut self) -> io::Result<()> {
        if self.missing() == 0 {
            return Ok(());
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, self.wanted) {
            Ok(()) => {
                file.sync_all()?;
                sync_folder(&self.path)?;
                self.held = self.wanted;
                Ok(())
            }
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                tracing::info!(path = %self.path.display(), "no reserve: the file system promises no room");
                self.wanted = 0;
                self.release();
                Ok(())
            }
            Err(error) => {
                self.release();
                Err(error.into())
            }
        }
    }

    /// Gives the room up.
    pub(crate) fn release(&mut self) {
        match fs::remove_file(&self.path) {
            Ok(()) => self.held = 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.held = 0,
            // On a file system that takes no writes it stays, and is of no use anyway.
            Err(error) => tracing::debug!(path = %self.path.display(), %error, "the reserve was not given up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_made_kept_and_given_up() {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("db");
        let mut reserve = Reserve::find(&store, 1 << 20);
        assert_eq!((reserve.held(), reserve.missing()), (0, 1 << 20));
        reserve.make().unwrap();
        if reserve.missing() == 0 && reserve.held() == 0 {
            eprintln!("SKIPPED: this file system promises no room");
            return;
        }
        assert_eq!((reserve.held(), reserve.missing()), (1 << 20, 0));
        assert_eq!(Reserve::find(&store, 1 << 20).held(), 1 << 20, "it is found again");
        assert_eq!(Reserve::find(&store, 2 << 20).held(), 0, "it had another size");
        reserve.make().unwrap();
        reserve.release();
        assert_eq!(reserve.held(), 0);
        assert!(!beside(&store, "reserve").exists());
    }

    #[test]
    fn a_probe_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        probe(&home.path().join("db")).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(probe(&home.path().join("nowhere/db")).is_err());
        assert!(free_bytes(home.path()).is_some_and(|free| free > 0));
    }
}
