//! The archive.

use std::{
    fmt,
    fs::DirEntry,
    io::ErrorKind,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};

use crate::{ArchiveError, Place, Plain, Result, Transform, envelope};

/// Objects that are deleted at a time.
const DELETES: usize = 64;

/// How long nobody has written to an unfinished object that a crash left: far longer than any write takes.
pub const UNFINISHED_AGE: Duration = Duration::from_secs(3600);

/// An archive. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    transform: Arc<dyn Transform>,
    place: Place,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its bytes as they are stored.
    pub bytes: u64,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Objects that were read and are whole.
    pub whole: u64,
    /// Their bytes as they are stored.
    pub bytes: u64,
    /// What is wrong with the others.
    pub damaged: Vec<ArchiveError>,
}

impl Archive {
    /// Opens the archive at a place. A store is not asked for anything yet.
    pub fn open(place: &Place) -> Result<Self> {
        let (store, prefix) = place.open()?;
        Ok(Self::of(store, prefix, place.clone()))
    }

    /// Opens an archive that is there already, to read it: a folder that is not there is not made.
    ///
    /// # Errors
    /// [`ArchiveError::Place`] if there is no such folder. Whether a bucket is there is found when it is asked for something.
    pub fn open_existing(place: &Place) -> Result<Self> {
        if let Place::Folder(folder) = place
            && !folder.is_dir()
        {
            return Err(ArchiveError::Place {
                place: place.to_string(),
                reason: "there is no such folder".into(),
            });
        }
        Self::open(place)
    }

    /// An archive in a store of the caller's, for tests of what a store may do.
    pub fn in_store(store: Arc<dyn ObjectStore>) -> Self {
        Self::of(store, Path::default(), Place::Memory)
    }

    fn of(store: Arc<dyn ObjectStore>, prefix: Path, place: Place) -> Self {
        Self {
            store,
            prefix,
            transform: Arc::new(Plain),
            place,
        }
    }

    /// The same archive, with everything transformed.
    pub fn with_transform(mut self, transform: Arc<dyn Transform>) -> Self {
        self.transform = transform;
        self
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Puts an object there, durably; gives its bytes as they are stored. The very same object may be put again.
    ///
    /// # Errors
    /// [`ArchiveError::Exists`] if there is another one of that name, [`ArchiveError::TooLarge`].
    pub async fn put(&self, name: &str, kind: u8, content: Bytes) -> Result<u64> {
        let transform = Arc::clone(&self.transform);
        let (named, sealed) = (name.to_owned(), content.clone());
        let sealing = tokio::task::spawn_blocking(move || envelope::seal(&*transform, &named, kind, &sealed));
        let sealed = sealing.await.map_err(std::io::Error::other)??;
        let bytes = sealed.len() as u64;
        let options = PutOptions::from(PutMode::Create);
        let at = self.at(name)?;
        match self.store.put_opts(&at, sealed.into(), options).await {
            Ok(_) => Ok(bytes),
            // A request that was repeated meets what it put the first time. No two seals of one content need be equal.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                if self.get(name).await? == (kind, content) {
                    Ok(bytes)
                } else {
                    Err(ArchiveError::Exists(name.into()))
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An object's kind and content.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`], [`ArchiveError::Damaged`].
    pub async fn get(&self, name: &str) -> Result<(u8, Bytes)> {
        let got = match self.store.get(&self.at(name)?).await {
            Err(object_store::Error::NotFound { .. }) => return Err(ArchiveError::Missing(name.into())),
            got => got?,
        };
        if got.meta.size > (envelope::OBJECT_BYTES_MAX * 2) as u64 {
            return Err(ArchiveError::Damaged {
                name: name.into(),
                reason: "it is too large".into(),
            });
        }
        let bytes = got.bytes().await?;
        let transform = Arc::clone(&self.transform);
        let named = name.to_owned();
        let opening = tokio::task::spawn_blocking(move || envelope::open(&*transform, &named, &bytes));
        opening.await.map_err(std::io::Error::other)?
    }

    /// The objects below a folder, by name; all of them if it is empty.
    pub async fn list(&self, folder: &str) -> Result<Vec<Found>> {
        let listed = self.store.list(Some(&self.at(folder)?));
        let mut all: Vec<Found> = listed
            .map_ok(|meta| Found {
                name: self.name_of(&meta.location),
                bytes: meta.size,
            })
            .try_collect()
            .await?;
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// The names of the folders right in a folder.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&self.at(folder)?)).await?;
        let last = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<_> = listed.common_prefixes.iter().filter_map(last).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Deletes objects, in their order; one that is not there is no error.
    pub async fn delete(&self, names: &[String]) -> Result<()> {
        for names in names.chunks(DELETES) {
            for name in names {
                match self.store.delete(&self.at(name)?).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Takes away what crashes of writers left of objects that they had not finished; gives how many. Only what nobody has
    /// written to for [`UNFINISHED_AGE`] is left by a crash: other regions may write to the same folder meanwhile. A bucket
    /// shows no such things.
    pub async fn collect_garbage(&self) -> Result<u64> {
        let Place::Folder(folder) = &self.place else {
            return Ok(0);
        };
        let folder = folder.clone();
        let collecting = tokio::task::spawn_blocking(move || collect(&folder, SystemTime::now()));
        Ok(collecting.await.map_err(std::io::Error::other)??)
    }

    /// Reads every object below a folder; tells of each one, with how many there are. Of those that were transformed in a way
    /// that is not known here, their checksums are what counts.
    pub async fn verify(&self, folder: &str, mut tell: impl FnMut(u64, u64)) -> Result<Verified> {
        let all = self.list(folder).await?;
        let count = all.len() as u64;
        let mut verified = Verified::default();
        for (number, found) in (1..).zip(all) {
            match self.get(&found.name).await {
                Ok(_) | Err(ArchiveError::Sealed(..)) => {
                    verified.whole += 1;
                    verified.bytes += found.bytes;
                }
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => verified.damaged.push(error),
            }
            tell(number, count);
        }
        Ok(verified)
    }

    fn at(&self, name: &str) -> Result<Path> {
        let whole = if self.prefix.as_ref().is_empty() {
            name.to_owned()
        } else if name.is_empty() {
            self.prefix.to_string()
        } else {
            format!("{}/{name}", self.prefix)
        };
        Path::parse(whole).map_err(|error| ArchiveError::Place {
            place: name.into(),
            reason: error.to_string(),
        })
    }

    fn name_of(&self, path: &Path) -> String {
        let whole = path.as_ref();
        let below = whole.strip_prefix(self.prefix.as_ref()).unwrap_or(whole);
        below.trim_start_matches('/').to_owned()
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "archive {}", self.place)
    }
}

/// The store writes a file under a name with a `#` in it, which no object has, and renames it once it is whole.
fn collect(folder: &FilePath, now: SystemTime) -> std::io::Result<u64> {
    let mut collected = 0;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().contains('#') {
                match remove_if_old(&entry, now) {
                    Ok(removed) => collected += u64::from(removed),
                    // It was renamed, or another region took it away.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(collected)
}

fn remove_if_old(entry: &DirEntry, now: SystemTime) -> std::io::Result<bool> {
    let written = entry.metadata()?.modified()?;
    let is_old = now.duration_since(written).is_ok_and(|age| age >= UNFINISHED_AGE);
    if is_old {
        std::fs::remove_file(entry.path())?;
    }
    Ok(is_old)
}
