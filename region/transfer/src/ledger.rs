//! What jobs there are: a JSON file for each, replaced as a whole. A job tells of items (an export's filter has values of keys), so
//! it is sealed where data is encrypted.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};

use crate::seal::Seal;

/// The most jobs that are kept of a kind; the oldest that has ended goes when there are more.
pub(crate) const JOBS_MAX: usize = 10_000;

/// A job's record: it knows its id and whether it has ended.
pub(crate) trait Entry: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Unique among jobs of its kind; sorts by when it began.
    fn id(&self) -> &str;
    /// Whether nothing more happens to it.
    fn ended(&self) -> bool;
}

/// The jobs of one kind.
pub(crate) struct Ledger<T> {
    folder: PathBuf,
    seal: Seal,
    entries: Mutex<BTreeMap<String, T>>,
}

impl<T: Entry> Ledger<T> {
    /// Reads what is in a folder, which is made if it is not there. What is not sealed though it should be, since an earlier
    /// release wrote it, is sealed.
    pub(crate) fn open(folder: PathBuf, seal: Seal) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut entries = BTreeMap::new();
        let mut to_seal = Vec::new();
        for file in fs::read_dir(&folder)? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let wrong = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
            let stored = fs::read(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let content = seal.open(&name, &stored).map_err(|error| wrong(&error))?;
            let entry: T = serde_json::from_slice(&content).map_err(|error| wrong(&error))?;
            if !seal.is_as_wanted(&stored) {
                to_seal.push(entry.clone());
            }
            entries.insert(entry.id().to_owned(), entry);
        }
        let ledger = Self {
            folder,
            seal,
            entries: Mutex::new(entries),
        };
        to_seal.iter().try_for_each(|entry| ledger.put(entry))?;
        Ok(ledger)
    }

    /// Keeps a record, durably.
    pub(crate) fn put(&self, entry: &T) -> io::Result<()> {
        let mut entries = self.entries.lock();
        let path = self.path(entry.id());
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        let content = serde_json::to_vec(entry).map_err(io::Error::other)?;
        file.write_all(&self.seal.seal(&name_of(entry.id()), content)?)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        sync(&self.folder)?;
        entries.insert(entry.id().to_owned(), entry.clone());
        if entries.len() > JOBS_MAX
            && let Some(oldest) = entries
                .values()
                .find(|entry| entry.ended())
                .map(|entry| entry.id().to_owned())
        {
            entries.remove(&oldest);
            fs::remove_file(self.path(&oldest))?;
            // What else is kept of it, if there is something.
            let _ = fs::remove_file(self.path(&oldest).with_extension("errors"));
        }
        Ok(())
    }

    /// Changes a record.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut T)) -> io::Result<()> {
        let Some(mut entry) = self.get(id) else { return Ok(()) };
        change(&mut entry);
        self.put(&entry)
    }

    /// Changes a record for as long as the process runs.
    pub(crate) fn show(&self, id: &str, change: impl FnOnce(&mut T)) {
        if let Some(entry) = self.entries.lock().get_mut(id) {
            change(entry);
        }
    }

    /// A record.
    pub(crate) fn get(&self, id: &str) -> Option<T> {
        self.entries.lock().get(id).cloned()
    }

    /// All that fit, oldest first.
    pub(crate) fn all(&self, fits: impl Fn(&T) -> bool) -> Vec<T> {
        self.entries
            .lock()
            .values()
            .filter(|entry| fits(entry))
            .cloned()
            .collect()
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(name_of(id))
    }
}

fn name_of(id: &str) -> String {
    format!("{id}.json")
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use geodynamo_seal::Keyring;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Job {
        id: String,
        done: bool,
    }

    impl Entry for Job {
        fn id(&self) -> &str {
            &self.id
        }

        fn ended(&self) -> bool {
            self.done
        }
    }

    #[test]
    fn records_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path().join("jobs"), Seal::default()).unwrap();
        let job = Job {
            id: "1".into(),
            done: false,
        };
        ledger.put(&job).unwrap();
        ledger.change("1", |job| job.done = true).unwrap();
        ledger.change("2", |job| job.done = true).unwrap();
        ledger.show("1", |job| job.done = false);
        let again = Ledger::<Job>::open(folder.path().join("jobs"), Seal::default()).unwrap();
        assert_eq!(
            again.all(|_| true),
            [Job {
                id: "1".into(),
                done: true
            }]
        );
        assert_eq!(again.get("2"), None);
    }

    /// What an earlier release wrote in the clear is sealed at the next start, and read by nobody without the keys.
    #[test]
    fn records_are_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::new(Some(Keyring::in_memory().unwrap()));
        let open = |seal: &Seal| Ledger::<Job>::open(folder.path().to_owned(), seal.clone());
        let job = Job {
            id: "planted-secret".into(),
            done: false,
        };
        let is_there = || {
            let stored = fs::read(folder.path().join("planted-secret.json")).unwrap();
            stored.windows(6).any(|window| window == b"secret")
        };
        open(&Seal::default()).unwrap().put(&job).unwrap();
        assert!(is_there(), "without keys it is in the clear");
        let ledger = open(&seal).unwrap();
        assert!(!is_there());
        assert_eq!(ledger.get(&job.id), Some(job.clone()));
        ledger.change(&job.id, |job| job.done = true).unwrap();
        assert!(!is_there());
        assert!(open(&seal).unwrap().get(&job.id).unwrap().done);
        assert!(open(&Seal::default()).is_err());
        assert!(open(&Seal::new(Some(Keyring::in_memory().unwrap()))).is_err());
    }
}
