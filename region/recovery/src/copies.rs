//! Copies of backups in other regions' archives: what is read of one here, and what is made of what comes from there.
//!
//! A copy has its own id, its own record, and objects with the same content as its source's: they are opened with the source's
//! key and sealed with the destination's. Its record is put last. Until then there is no such backup, and what is there of it
//! goes at the next start, or sooner if nothing more of it comes.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_archive::Archive;
use geodynamo_replicator_core::Millis;
use geodynamo_storage::Engine;
use geodynamo_table::{
    is_account, owner_and_name,
    recovery::{Backup, RecoveryError, TableSettings},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Error, Manifest, Recoveries, Result,
    backups::{BackupRecord, Entry, whole},
    base::{Base, chunk_name},
    chain::content,
    codec::{kind, unpack},
    layout::{self, MANIFEST},
};

/// The most bytes that an object of a copy may have.
pub const COPY_OBJECT_BYTES_MAX: usize = 64 << 20;
/// The most copies that come in at a time.
const INCOMING_MAX: usize = 16;
/// The most objects of a backup.
const OBJECTS_MAX: u64 = 1_000_000;
/// A copy of which nothing has come for so long is given up.
const IDLE_MAX: Duration = Duration::from_secs(60 * 60);

/// What is told of a backup before its objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyHead {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// When it was made, in milliseconds since the Unix epoch.
    #[serde(rename = "c")]
    pub created_ms: Millis,
    /// The table's settings.
    #[serde(rename = "s")]
    pub settings: TableSettings,
    /// How many items it holds.
    #[serde(rename = "k")]
    pub items: u64,
    /// Their size by DynamoDB's formula.
    #[serde(rename = "z")]
    pub bytes: u64,
    /// The name of its base.
    #[serde(rename = "b")]
    base: String,
    /// How many objects it has: chunks, then the manifest.
    #[serde(rename = "o")]
    pub objects: u64,
}

/// A backup that is read to be copied.
#[derive(Debug)]
pub struct Outgoing {
    archive: Archive,
    base: Base,
    /// What is told of it first.
    pub head: CopyHead,
}

/// How far a copy has come here.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrived {
    /// The object of this number is the next one.
    Until(u64),
    /// It is whole.
    Whole(Box<Backup>),
}

/// Copies that come in, by their ids here.
pub(crate) type Incoming = Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Copy>>>>;

/// A copy that comes in.
#[derive(Debug)]
pub(crate) struct Copy {
    dir: String,
    head: CopyHead,
    note: Vec<u8>,
    next: u64,
    seen: Instant,
}

impl Outgoing {
    /// An object's kind and content, and the content's sum (XXH3-128).
    ///
    /// # Errors
    /// If it is not there, or is damaged.
    pub async fn object(&self, number: u64) -> Result<(u8, Bytes, u128)> {
        let (name, kind) = object(&self.base.dir, &self.head, number);
        let content = content(&self.archive, &name, kind).await?;
        let sum = xxh3_128(&content);
        Ok((kind, content, sum))
    }
}

/// The name and the kind of a copy's object.
fn object(base: &str, head: &CopyHead, number: u64) -> (String, u8) {
    if number + 1 >= head.objects {
        return (format!("{base}/{MANIFEST}"), kind::MANIFEST);
    }
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    (chunk_name(base, number), kind::CHUNK)
}

impl CopyHead {
    /// Whether it is one that a region sends: parts of it become names in the archive.
    fn is_sound(&self) -> bool {
        let (account, name) = owner_and_name("", &self.settings.name);
        let of_tables = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        let of_bases = |character: char| character.is_ascii_hexdigit() || character == '-';
        (3..=255).contains(&name.len())
            && name.chars().all(of_tables)
            && (account.is_empty() || is_account(account))
            && layout::read_stamped(&self.base).is_some()
            && self.base.chars().all(of_bases)
            && (1..=OBJECTS_MAX).contains(&self.objects)
    }
}

/// Whether an id is one of a backup.
fn is_id(id: &str) -> bool {
    let digits = |text: &str, len: usize, hex: bool| {
        text.len() == len
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || (hex && c.is_ascii_hexdigit()))
    };
    id.split_once('-')
        .is_some_and(|(ms, rest)| digits(ms, 14, false) && digits(rest, 8, true))
}

impl<E: Engine> Recoveries<E> {
    /// A backup that is whole, to be copied to another region.
    ///
    /// # Errors
    /// [`RecoveryError::BackupNotFound`]; [`RecoveryError::BackupInUse`] while it is written, and of a deleted table's, which has
    /// no base of its own.
    pub async fn outgoing(&self, arn: &str) -> std::result::Result<Outgoing, RecoveryError> {
        let entry = self.entry(arn).await?;
        let in_use = || RecoveryError::BackupInUse(arn.into());
        let job = entry.job.filter(|job| job.at_ms.is_none()).ok_or_else(in_use)?;
        let base = Base {
            cut_ms: job.base_ms,
            dir: job.base,
        };
        let manifest = crate::chain::manifest(&self.archive, &base).await?;
        let head = CopyHead {
            name: entry.record.name,
            created_ms: entry.record.created_ms,
            settings: entry.record.settings,
            items: manifest.items,
            bytes: manifest.bytes,
            base: base.dir.rsplit('/').next().unwrap_or_default().to_owned(),
            objects: manifest.chunks.len() as u64 + 1,
        };
        let archive = self.archive.clone();
        Ok(Outgoing { archive, base, head })
    }

    /// A backup of another region begins to come, or goes on: `id` is what it is called here, always the same of one copy. Gives
    /// which object is next.
    ///
    /// # Errors
    /// If what is told is none of a backup, if too many come at once, or if the archive cannot be used.
    pub async fn copy_begins(&self, id: &str, head: CopyHead, note: Vec<u8>) -> Result<Arrived> {
        if !is_id(id) || !head.is_sound() {
            return Err(Error::damaged(id, "it is no copy of a backup"));
        }
        // Otherwise what comes would be taken for the remains of an earlier process.
        self.load_backups().await?;
        if let Some(entry) = self.backups.lock().get(id) {
            return Ok(Arrived::Whole(Box::new(self.shown(entry))));
        }
        let known = {
            let mut incoming = self.incoming.lock();
            if !incoming.contains_key(id) && incoming.len() >= INCOMING_MAX {
                return Err(Error::Busy(format!("{INCOMING_MAX} backups come in already")));
            }
            let copy = || Copy {
                dir: layout::backup(self.tables.region(), &head.settings.name, id),
                head: head.clone(),
                note: note.clone(),
                next: 0,
                seen: Instant::now(),
            };
            let entry = incoming.entry(id.to_owned());
            Arc::clone(entry.or_insert_with(|| Arc::new(tokio::sync::Mutex::new(copy()))))
        };
        let mut copy = known.lock().await;
        if copy.head != head {
            return Err(Error::damaged(id, "another backup comes under this id"));
        }
        copy.seen = Instant::now();
        Ok(Arrived::Until(copy.next))
    }

    /// The next object of a copy has come: it is put into the archive, read back and held against the source's sum. Gives which
    /// one is next; an object that is there already changes nothing.
    ///
    /// # Errors
    /// [`Error::Gone`] if the copy has not begun here: then it begins anew.
    pub async fn copy_object(&self, id: &str, number: u64, content: Bytes, sum: u128) -> Result<u64> {
        let mut copy = self.copy_of(id).ok_or(Error::Gone)?.lock_owned().await;
        copy.seen = Instant::now();
        if number < copy.next {
            return Ok(copy.next);
        }
        let base = format!("{}/base/{}", copy.dir, copy.head.base);
        let (name, kind) = object(&base, &copy.head, number);
        if number != copy.next || number >= copy.head.objects {
            return Err(Error::damaged(&name, format!("object {} was to come", copy.next)));
        }
        if content.len() > COPY_OBJECT_BYTES_MAX || xxh3_128(&content) != sum {
            return Err(Error::damaged(&name, "it is not what was sent"));
        }
        if kind == kind::MANIFEST {
            let manifest: Manifest = unpack(&name, &content)?;
            let fits = manifest.chunks.len() as u64 + 1 == copy.head.objects && manifest.settings == copy.head.settings;
            if !fits {
                return Err(Error::damaged(&name, "it is another backup's"));
            }
        }
        let bytes = self.archive.put(&name, kind, content).await?;
        self.count_bytes(bytes);
        let (_, stored) = self.archive.get(&name).await?;
        if xxh3_128(&stored) != sum {
            return Err(Error::damaged(&name, "what was stored is not what was sent"));
        }
        copy.next += 1;
        Ok(copy.next)
    }

    /// All objects of a copy have come: with its record it is a backup.
    ///
    /// # Errors
    /// [`Error::Gone`] if the copy has not begun here, or not all of it has come: then it begins anew, or goes on.
    pub async fn copy_ends(&self, id: &str) -> Result<Backup> {
        if let Some(entry) = self.backups.lock().get(id) {
            return Ok(self.shown(entry));
        }
        let copy = self.copy_of(id).ok_or(Error::Gone)?.lock_owned().await;
        let head = &copy.head;
        if copy.next != head.objects {
            return Err(Error::Gone);
        }
        let record = BackupRecord {
            id: id.to_owned(),
            name: head.name.clone(),
            system: false,
            created_ms: head.created_ms,
            expires_ms: None,
            settings: head.settings.clone(),
            items: head.items,
            bytes: head.bytes,
            job: None,
            note: Some(copy.note.clone()),
        };
        let entry = self.write_record(record).await?;
        let base = Base {
            cut_ms: layout::read_stamped(&head.base).unwrap_or(head.created_ms),
            dir: format!("{}/base/{}", copy.dir, head.base),
        };
        let entry = Entry {
            job: Some(whole(&entry.dir, &base)),
            ..entry
        };
        let shown = self.shown(&entry);
        self.backups.lock().insert(entry);
        self.incoming.lock().remove(id);
        Ok(shown)
    }

    /// Gives a copy up, with what has come of it.
    ///
    /// # Errors
    /// If the archive cannot be used; then it is tried again.
    pub async fn copy_given_up(&self, id: &str) -> Result<()> {
        let Some(copy) = self.copy_of(id) else { return Ok(()) };
        let copy = copy.lock_owned().await;
        if self.backups.lock().get(id).is_none() {
            self.remove_folder(&copy.dir).await?;
        }
        self.incoming.lock().remove(id);
        Ok(())
    }

    /// Gives up copies of which nothing has come for long.
    pub(crate) async fn drop_idle_copies(&self) -> Result<()> {
        let all: Vec<_> = {
            let incoming = self.incoming.lock();
            incoming
                .iter()
                .map(|(id, copy)| (id.clone(), Arc::clone(copy)))
                .collect()
        };
        for (id, copy) in all {
            // Something of one that is held comes just now.
            let idle = copy.try_lock().is_ok_and(|copy| copy.seen.elapsed() >= IDLE_MAX);
            if idle {
                self.copy_given_up(&id).await?;
            }
        }
        Ok(())
    }

    fn copy_of(&self, id: &str) -> Option<Arc<tokio::sync::Mutex<Copy>>> {
        self.incoming.lock().get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        assert!(is_id("01700000000000-abcdef01"));
        for bad in [
            "",
            "01700000000000-abcdef0",
            "x",
            "01700000000000",
            "../0170000000000-abcdef01",
        ] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
