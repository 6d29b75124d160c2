//! Encryption at rest, as the configuration has it: the keyring of a data directory, and of an archive.

mod archived;
mod encrypt;
mod keys;
mod keywatch;
mod rotate;
mod shown;
mod table_keys;

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use geodynamo_archive::{Archive, ArchiveError, Transform, TransformError};
use geodynamo_seal::{Keyring, KeyringFile, LocalKey, RegionKey, SealError, is_header};
use tokio::sync::watch;

use crate::{config::Config, region::DATABASE};
pub(crate) use archived::check_key;
pub(crate) use keys::keys;
pub(crate) use keywatch::KeyWatch;
pub(crate) use shown::ShownKeys;
pub(crate) use table_keys::{keep_table_keys, table_keys};

/// The keyring's file in a data directory.
const KEYRING: &str = "keyring.json";
/// The folder of keyrings in an archive. Each region has one in it.
const KEYRINGS: &str = "keyring";
/// The kind of an archive's keyrings, which no other object has.
const KEYRING_KIND: u8 = 0xe0;
/// When an archive that could not be reached is asked again for its keyrings.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a start waits for them.
const EXCHANGE_WAIT: Duration = Duration::from_secs(2);
/// What is said of a directory that is encrypted in part.
const HALFWAY: &str = "the tables are about to be encrypted: run 'geodynamo keys encrypt' again";
/// What is said to somebody who has to choose.
const CHOOSE: &str = "say where the region's key is ([encryption] key_file, key_variable, key_command, kms or vault), or that nothing is \
                      to be encrypted (enabled = false)";

/// Why a region cannot encrypt, or decrypt.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// Of keys.
    #[error("encryption: {0}")]
    Seal(#[from] SealError),
    /// Of the archive.
    #[error("encryption of the archive: {0}")]
    Archive(#[from] ArchiveError),
    /// Of the key service of tables.
    #[error("[table_keys]: {0}")]
    TableKeys(#[from] geodynamo_outgoing::EndpointError),
    /// Of the data directory.
    #[error("encryption: {0}")]
    Directory(String),
}

/// The keys of a data directory that is encrypted. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sealing {
    pub(crate) keyring: Keyring,
    region_key: Arc<dyn RegionKey>,
    file: Arc<KeyringFile>,
}

/// What is in a data directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Nothing,
    /// Tables that are not encrypted.
    Plain,
    /// Encrypted tables, without the keyring.
    Bereft,
    /// A keyring, and tables that are not encrypted: `keys encrypt` was broken off.
    Halfway,
    /// A keyring.
    Keyring,
}

fn look(config: &Config) -> Result<Found, SealingError> {
    let has_keyring = config.data_dir.join(KEYRING).exists();
    let mut start = Vec::new();
    if let Ok(file) = File::open(config.data_dir.join(DATABASE).join("CURRENT")) {
        file.take(8)
            .read_to_end(&mut start)
            .map_err(|error| SealingError::Directory(error.to_string()))?;
    }
    let is_plain = start.starts_with(b"MANIFEST");
    Ok(match (has_keyring, is_header(&start)) {
        (true, _) if is_plain => Found::Halfway,
        (true, _) => Found::Keyring,
        (false, true) => Found::Bereft,
        (false, false) if start.is_empty() => Found::Nothing,
        (false, false) => Found::Plain,
    })
}

/// The keys of a configuration's data directory; none if it is not encrypted. A new one gets a keyring, if that is not
/// refused. One that is there is left as it is.
pub(crate) fn open(config: &Config) -> Result<Option<Sealing>, SealingError> {
    let path = config.data_dir.join(KEYRING);
    match look(config)? {
        Found::Keyring => {
            let region_key = region_key(config)?;
            let file = KeyringFile::read(&path)?;
            let keyring = file.unwrap(&path, &*region_key)?;
            let sealing = Sealing {
                keyring,
                region_key,
                file: Arc::new(file),
            };
            encrypt::finish(config, &sealing)?;
            Ok(Some(sealing))
        }
        Found::Halfway => Err(SealingError::Directory(HALFWAY.into())),
        Found::Bereft => Err(SealingError::Directory(format!(
            "{}: the tables are encrypted, and the keyring is gone; bring it back from a copy of the data directory",
            path.display()
        ))),
        Found::Plain => {
            if config.encryption.enabled != Some(false) {
                let data_dir = config.data_dir.display();
                tracing::warn!(%data_dir, "this data directory is not encrypted, and stays so: a new one would be");
            }
            Ok(None)
        }
        Found::Nothing if config.encryption.enabled == Some(false) => Ok(None),
        Found::Nothing => {
            let failed =
                |error: std::io::Error| SealingError::Directory(format!("{}: {error}", config.data_dir.display()));
            fs::create_dir_all(&config.data_dir).map_err(failed)?;
            make_default_key(config)?;
            let region_key = region_key(config)?;
            let keyring = Keyring::make(&path, &*region_key)?;
            Ok(Some(Sealing {
                keyring,
                region_key,
                file: Arc::new(KeyringFile::read(&path)?),
            }))
        }
    }
}

/// The region's key, from where the configuration says it is.
fn region_key(config: &Config) -> Result<Arc<dyn RegionKey>, SealError> {
    let told = &config.encryption;
    if !told.has_service() {
        return local_key(config);
    }
    let earlier = told.names_local_key().then(|| local_key(config)).transpose()?;
    let service = told.service(config.region.as_str(), earlier);
    match service.map_err(|error| SealError::NoKey(error.to_string()))? {
        Some(service) => Ok(Arc::new(service)),
        None => local_key(config),
    }
}

/// The same where this process has the key's bytes.
fn local_key(config: &Config) -> Result<Arc<dyn RegionKey>, SealError> {
    let told = &config.encryption;
    let key = if let Some(variable) = &told.key_variable {
        LocalKey::from_variable(variable)?
    } else if let Some(words) = &told.key_command {
        LocalKey::from_command(words)?
    } else {
        LocalKey::from_file(&key_file(config))?
    };
    Ok(Arc::new(key))
}

/// The key's file: what the configuration names, or the one beside the data directory.
fn key_file(config: &Config) -> PathBuf {
    config
        .encryption
        .key_file
        .clone()
        .unwrap_or_else(|| beside(&config.data_dir))
}

/// A folder's name and `.key`, beside it.
pub(crate) fn beside(folder: &Path) -> PathBuf {
    // Of "data/", or "..", too.
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mut name = folder.into_os_string();
    name.push(".key");
    name.into()
}

/// Makes the key beside the data directory, if the configuration leaves it there.
fn make_default_key(config: &Config) -> Result<(), SealingError> {
    let told = &config.encryption;
    if told.names_local_key() || told.has_service() {
        return Ok(());
    }
    let path = beside(&config.data_dir);
    if path.exists() {
        return Ok(());
    }
    // A key that lies elsewhere may go where the data does not: with a container, say.
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    if device(&config.data_dir) != path.parent().and_then(device) {
        return Err(SealingError::Directory(format!(
            "{} is a file system of its own, and a key beside it might not last as long: {CHOOSE}",
            config.data_dir.display()
        )));
    }
    match LocalKey::make_file(&path) {
        Ok(_) => {
            tracing::warn!(
                key = %path.display(),
                "the region's key was made: keep a copy in a safe place, for without it nothing can be read"
            );
            Ok(())
        }
        Err(error) => Err(SealingError::Directory(format!("{error}: {CHOOSE}"))),
    }
}

/// An archive's objects under a keyring.
struct Sealed(Keyring);

impl Transform for Sealed {
    fn id(&self) -> u8 {
        1
    }

    fn seal(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, TransformError> {
        self.0
            .seal(name, bytes)
            .map_err(|error| TransformError::Other(error.to_string()))
    }

    fn open(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, TransformError> {
        self.0.open_sealed(name, &bytes).map_err(|error| match error {
            SealError::UnknownKey(_) => TransformError::NoKey(error.to_string()),
            error => TransformError::Other(error.to_string()),
        })
    }
}

impl Sealing {
    /// An archive whose objects are sealed under the data keys.
    pub(crate) fn archive(&self, archive: &Archive) -> Archive {
        archive.clone().with_transform(Arc::new(Sealed(self.keyring.clone())))
    }

    /// Puts the data keys, wrapped, into an archive, so that the region's key is enough to read it; and takes in those of other
    /// keyrings there that the region's key opens.
    pub(crate) async fn exchange(&self, archive: &Archive, region: &str) -> Result<(), SealingError> {
        let mut is_there = false;
        for (name, file) in keyrings(archive).await? {
            is_there |= file == *self.file;
            // A service may take its time, or be away.
            let region_key = Arc::clone(&self.region_key);
            let unwrapping = tokio::task::spawn_blocking(move || file.unwrap(Path::new(&name), &*region_key));
            match unwrapping.await.unwrap_or(Err(SealError::System)) {
                Ok(others) => drop(self.keyring.take_in(&others)),
                // Of a region with another key.
                Err(SealError::WrongKey { .. }) => {}
                Err(error) => tracing::error!(%error, "a keyring in the archive cannot be used"),
            }
        }
        if !is_there {
            put_keyring(archive, region, &self.file).await?;
        }
        Ok(())
    }

    /// The same, until it has worked or `stop` says so: an archive that cannot be reached keeps no region from starting. Returns
    /// after a moment at the latest.
    pub(crate) async fn keep_exchanging(&self, archive: Archive, region: String, mut stop: watch::Receiver<bool>) {
        let sealing = self.clone();
        let exchanging = tokio::spawn(async move {
            while let Err(error) = sealing.exchange(&archive, &region).await {
                tracing::warn!(%error, "the keys are not in the archive yet");
                if tokio::time::timeout(AGAIN_AFTER, stop.wait_for(|stopped| *stopped))
                    .await
                    .is_ok()
                {
                    return;
                }
            }
        });
        let _ = tokio::time::timeout(EXCHANGE_WAIT, exchanging).await;
    }
}

/// The keyrings in an archive, by name.
async fn keyrings(archive: &Archive) -> Result<Vec<(String, KeyringFile)>, SealingError> {
    let mut found = Vec::new();
    for object in archive.list(KEYRINGS).await? {
        let parsed = match archive.get(&object.name).await {
            Ok((_, content)) => KeyringFile::parse(Path::new(&object.name), &content).map_err(SealingError::from),
            // It was replaced meanwhile.
            Err(ArchiveError::Missing(_)) => continue,
            Err(error) if error.may_pass() => return Err(error.into()),
            Err(error) => Err(error.into()),
        };
        match parsed {
            Ok(file) => found.push((object.name, file)),
            Err(error) => tracing::error!(name = object.name, %error, "a keyring in the archive cannot be read"),
        }
    }
    Ok(found)
}

async fn put_keyring(archive: &Archive, region: &str, file: &KeyringFile) -> Result<(), SealingError> {
    let name = format!("{KEYRINGS}/{region}/{:016x}", rand::random::<u64>());
    archive.put(&name, KEYRING_KIND, file.to_bytes().into()).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
