//! What jobs there are: a JSON file for each, replaced as a whole.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};

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
    entries: Mutex<BTreeMap<String, T>>,
}

impl<T: Entry> Ledger<T> {
    /// Reads what is in a folder, which is made if it is not there.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(&folder)? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let entry: T = serde_json::from_slice(&fs::read(&path)?)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
            entries.insert(entry.id().to_owned(), entry);
        }
        Ok(Self {
            folder,
            entries: Mutex::new(entries),
        })
    }

    /// Keeps a record, durably.
    pub(crate) fn put(&self, entry: &T) -> io::Result<()> {
        let mut entries = self.entries.lock();
        let path = self.path(entry.id());
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(entry).map_err(io::Error::other)?)?;
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
        self.folder.join(format!("{id}.json"))
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
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
        let ledger = Ledger::open(folder.path().join("jobs")).unwrap();
        let job = Job {
            id: "1".into(),
            done: false,
        };
        ledger.put(&job).unwrap();
        ledger.change("1", |job| job.done = true).unwrap();
        ledger.change("2", |job| job.done = true).unwrap();
        ledger.show("1", |job| job.done = false);
        let again = Ledger::<Job>::open(folder.path().join("jobs")).unwrap();
        assert_eq!(
            again.all(|_| true),
            [Job {
                id: "1".into(),
                done: true
            }]
        );
        assert_eq!(again.get("2"), None);
    }
}
