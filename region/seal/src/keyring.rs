//! Data keys, and the file that a region keeps them in.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
    RegionKey, Result, SealError, Secret, Witness,
    region_key::replace,
    secret::{hex, random},
};

/// Bytes of a data key's id.
pub(crate) const KEY_ID_BYTES: usize = 16;
/// The one form that there is of a keyring's file.
const FORMAT: u32 = 1;
/// The longest file of a keyring, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The id of a data key: random, and no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; KEY_ID_BYTES]);

impl KeyId {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn random() -> Result<Self> {
        Ok(Self(random()?))
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; KEY_ID_BYTES];
        if text.len() != 2 * KEY_ID_BYTES {
            return None;
        }
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A data key.
#[derive(Debug)]
pub(crate) struct DataKey {
    pub(crate) id: KeyId,
    pub(crate) secret: Secret,
}

/// What a keyring and its clones share.
struct Keys {
    all: BTreeMap<KeyId, Arc<DataKey>>,
    /// The one that new files get theirs from.
    current: Arc<DataKey>,
}

/// The data keys of a region, unwrapped. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<RwLock<Keys>>,
    witness: Option<Arc<dyn Witness>>,
    keeps_salts: bool,
}

impl Keyring {
    /// A keyring that is nowhere but here, with one key.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn in_memory() -> Result<Self> {
        Ok(Self::of_keys(vec![(KeyId(random()?), Secret::random()?)]))
    }

    /// A keyring of known keys, of which the last is the current one.
    pub(crate) fn of_keys(keys: Vec<(KeyId, Secret)>) -> Self {
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(id, secret)| Arc::new(DataKey { id, secret }))
            .collect();
        let current = Arc::clone(keys.last().expect("there is a key"));
        Self {
            keys: Arc::new(RwLock::new(Keys {
                all: keys.into_iter().map(|key| (key.id, key)).collect(),
                current,
            })),
            witness: None,
            keeps_salts: false,
        }
    }

    /// The keyring of a file.
    ///
    /// # Errors
    /// [`SealError::WrongKey`] if a data key is wrapped under another region key; [`SealError::File`],
    /// [`SealError::Damaged`], and what the region key says.
    pub fn open(path: &Path, region_key: &dyn RegionKey) -> Result<Self> {
        KeyringFile::read(path)?.unwrap(path, region_key)
    }

    /// Makes a keyring's file, with one new key.
    ///
    /// # Errors
    /// [`SealError::File`], and what the region key says.
    pub fn make(path: &Path, region_key: &dyn RegionKey) -> Result<Self> {
        let file = KeyringFile::make(region_key)?;
        let keyring = file.unwrap(path, region_key)?;
        file.write(path)?;
        Ok(keyring)
    }

    /// Takes in keys that others have made, to read with. Gives how many were new.
    pub fn take_in(&self, others: &Self) -> usize {
        let others = others.all();
        let mut keys = self.keys.write();
        let before = keys.all.len();
        for key in others {
            keys.all.entry(key.id).or_insert(key);
        }
        keys.all.len() - before
    }

    /// Takes in the keys of a newer keyring, and from now on gives new files theirs from its current one.
    pub fn follow(&self, newer: &Self) {
        self.take_in(newer);
        let current = newer.current();
        self.keys.write().current = current;
    }

    /// The id of the key that new files get theirs from.
    pub fn current_id(&self) -> KeyId {
        self.keys.read().current.id
    }

    fn all(&self) -> Vec<Arc<DataKey>> {
        self.keys.read().all.values().cloned().collect()
    }

    /// The same keyring, with somebody who is told of every use of a file's key stream.
    #[must_use]
    pub fn with_witness(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// The same keyring, but whoever writes a file over goes on with its key stream. For tests that prove that this would be
    /// found out.
    #[must_use]
    pub fn keeping_salts(mut self) -> Self {
        self.keeps_salts = true;
        self
    }

    pub(crate) fn current(&self) -> Arc<DataKey> {
        Arc::clone(&self.keys.read().current)
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<Arc<DataKey>> {
        self.keys.read().all.get(&id).cloned()
    }

    pub(crate) fn witness(&self) -> Option<Arc<dyn Witness>> {
        self.witness.clone()
    }

    pub(crate) fn keeps_salts(&self) -> bool {
        self.keeps_salts
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("current", &self.current_id())
            .finish_non_exhaustive()
    }
}

/// Two are one if they are clones of each other.
impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Eq for Keyring {}

/// What a keyring's file says: the data keys, wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyringFile {
    format: u32,
    /// The one that new files get their keys from.
    current: String,
    keys: Vec<Entry>,
}

/// A data key in a keyring's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// When it was made, in seconds since the Unix epoch.
    pub made: u64,
    /// The region key that it is wrapped under.
    pub region_key: String,
    /// The key, wrapped, in base64.
    wrapped: String,
}

impl KeyringFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SealError::File`], [`SealError::Damaged`].
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |source| SealError::File {
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(damaged(path, "it is too long"));
        }
        Self::parse(path, &fs::read(path).map_err(failed)?)
    }

    /// The same of a file's content; `path` is what errors call it.
    ///
    /// # Errors
    /// [`SealError::Damaged`].
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self> {
        let file: Self = serde_json::from_slice(content).map_err(|error| damaged(path, &error.to_string()))?;
        if file.format != FORMAT {
            return Err(damaged(path, &format!("format {} is not known", file.format)));
        }
        if !file.keys.iter().any(|entry| entry.id == file.current) {
            return Err(damaged(path, "the current key is not there"));
        }
        Ok(file)
    }

    /// The file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("texts and numbers only");
        text.push(b'\n');
        text
    }

    /// Writes the file: whole or not at all, and durably.
    ///
    /// # Errors
    /// [`SealError::File`].
    pub fn write(&self, path: &Path) -> Result<()> {
        replace(path, &self.to_bytes())
    }

    /// A new one, with one key.
    fn make(region_key: &dyn RegionKey) -> Result<Self> {
        let mut file = Self {
            format: FORMAT,
            current: String::new(),
            keys: Vec::new(),
        };
        file.add(region_key)?;
        Ok(file)
    }

    /// Adds a new data key, which is the current one then.
    ///
    /// # Errors
    /// What the region key says.
    pub fn add(&mut self, region_key: &dyn RegionKey) -> Result<()> {
        let id = KeyId::random()?;
        let wrapped = region_key.wrap(id, &Secret::random()?)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.current = id.to_string();
        self.keys.push(Entry {
            id: id.to_string(),
            made: now.map_or(0, |since| since.as_secs()),
            region_key: region_key.name(),
            wrapped: STANDARD.encode(wrapped),
        });
        Ok(())
    }

    /// Wraps every data key anew that is not wrapped under the region key of now. Gives how many.
    ///
    /// # Errors
    /// As [`Keyring::open`]; nothing has changed then.
    pub fn rewrap(&mut self, path: &Path, region_key: &dyn RegionKey) -> Result<usize> {
        let name = region_key.name();
        let mut keys = self.keys.clone();
        let mut count = 0;
        for entry in keys.iter_mut().filter(|entry| entry.region_key != name) {
            let key = entry.unwrap(path, region_key)?;
            entry.wrapped = STANDARD.encode(region_key.wrap(key.0, &key.1)?);
            entry.region_key = name.clone();
            count += 1;
        }
        self.keys = keys;
        Ok(count)
    }

    /// The keyring of it; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn unwrap(&self, path: &Path, region_key: &dyn RegionKey) -> Result<Keyring> {
        let mut keys = Vec::with_capacity(self.keys.len());
        // The current one last.
        let (current, others): (Vec<_>, Vec<_>) = self.keys.iter().partition(|entry| entry.id == self.current);
        for entry in others.into_iter().chain(current) {
            keys.push(entry.unwrap(path, region_key)?);
        }
        Ok(Keyring::of_keys(keys))
    }

    /// Whether the region key still unwraps the current key; `path` is what errors call the file.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn check(&self, path: &Path, region_key: &dyn RegionKey) -> Result<()> {
        let current = self.keys.iter().filter(|entry| entry.id == self.current);
        current
            .map(|entry| entry.unwrap(path, region_key))
            .try_for_each(|key| key.map(drop))
    }

    /// Whether every key of another one is in this one.
    pub fn has_all_of(&self, other: &Self) -> bool {
        let has = |id: &String| self.keys.iter().any(|entry| entry.id == *id);
        other.keys.iter().all(|entry| has(&entry.id))
    }

    /// The keys, the oldest first, and the current one's id.
    pub fn entries(&self) -> (&[Entry], &str) {
        (&self.keys, &self.current)
    }

    /// Holds other writers of a keyring's file off for as long as what it gives is kept.
    ///
    /// # Errors
    /// [`SealError::File`], also while another process has it.
    pub fn lock(path: &Path) -> Result<File> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let failed = |source| SealError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::create(&name).map_err(failed)?;
        file.try_lock().map_err(|error| failed(error.into()))?;
        Ok(file)
    }
}

impl Entry {
    fn unwrap(&self, path: &Path, region_key: &dyn RegionKey) -> Result<(KeyId, Secret)> {
        let id = KeyId::parse(&self.id).ok_or_else(|| damaged(path, "a key's id is none"))?;
        let wrapped = STANDARD
            .decode(&self.wrapped)
            .map_err(|_| damaged(path, &format!("the key {id} is no base64")))?;
        let secret = region_key.unwrap(&self.region_key, id, &wrapped)?;
        let wrong = || SealError::WrongKey {
            path: path.to_owned(),
            sealed: self.region_key.clone(),
            source_name: region_key.source(),
            had: region_key.name(),
        };
        Ok((id, secret.ok_or_else(wrong)?))
    }
}

fn damaged(path: &Path, reason: &str) -> SealError {
    SealError::Damaged(format!("{}: the keyring is damaged: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalKey;

    fn local(byte: u8) -> LocalKey {
        LocalKey::parse("a test".into(), &hex(&[byte; 32])).unwrap()
    }

    #[test]
    fn a_keyring_is_opened_by_its_region_key_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keyring.json");
        let made = Keyring::make(&path, &local(1)).unwrap();
        let (header, cipher) = made.begin_file(None).unwrap();
        let mut text = *b"geodynamo";
        cipher.seal(0, &mut text).unwrap();
        let read = |keyring: &Keyring| {
            let mut text = text;
            keyring.open_file(&header).unwrap().open(0, &mut text).unwrap();
            text
        };
        assert_eq!(read(&Keyring::open(&path, &local(1)).unwrap()), *b"geodynamo");
        let before = fs::read(&path).unwrap();
        let error = Keyring::open(&path, &local(2)).unwrap_err();
        assert!(matches!(error, SealError::WrongKey { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before, "it is left as it was");

        // To a new region key, and a new data key: what was sealed is still read.
        let both = LocalKey::parse("a test".into(), &format!("{}\n{}", hex(&[2; 32]), hex(&[1; 32]))).unwrap();
        let mut file = KeyringFile::read(&path).unwrap();
        assert_eq!(file.rewrap(&path, &both).unwrap(), 1);
        assert_eq!(file.rewrap(&path, &both).unwrap(), 0);
        file.add(&both).unwrap();
        file.write(&path).unwrap();
        let opened = Keyring::open(&path, &local(2)).unwrap();
        assert_eq!(read(&opened), *b"geodynamo");
        assert_ne!(opened.current_id(), made.current_id());
        assert!(Keyring::open(&path, &local(1)).is_err());
        assert_eq!(opened.take_in(&Keyring::in_memory().unwrap()), 1);
        // One that is in use goes over to the new data key, and so do its clones.
        let clone = made.clone();
        made.follow(&opened);
        assert_eq!(clone.current_id(), opened.current_id());
        assert_eq!(read(&clone), *b"geodynamo");
    }

    /// Damage of a keyring's file is found, and never gives another key.
    #[test]
    fn flipped_bits_are_found() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keyring.json");
        let made = Keyring::make(&path, &local(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            // The time when it was made may be another one, white space, too.
            if let Ok(keyring) = Keyring::open(&path, &local(1)) {
                assert_eq!(keyring.current().id, made.current().id);
                assert_eq!(keyring.current().secret, made.current().secret);
            }
        }
    }

    #[test]
    fn one_writer_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keyring.json");
        let held = KeyringFile::lock(&path).unwrap();
        assert!(KeyringFile::lock(&path).is_err());
        drop(held);
        KeyringFile::lock(&path).unwrap();
    }
}
