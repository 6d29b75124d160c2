//! The file of the cluster's key: 32 random bytes in base64. All regions have the same. A data directory's own is sealed
//! where the directory is encrypted.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use geodynamo_iam::CLUSTER_KEY_LEN;

use super::AccessStartError;
use crate::{config::Config, sealing::Sealing};

/// Its name in the folder of certificates, and in the data directory of a region that is alone.
pub(crate) const CLUSTER_KEY: &str = "cluster.key";
/// What the file begins with if the key is sealed.
const SEALED: &str = "sealed:";

/// The key of a configuration's cluster. Where no file is named it is the data directory's own, made if it is not there.
pub(super) fn of(config: &Config, sealing: Option<&Sealing>) -> Result<[u8; CLUSTER_KEY_LEN], AccessStartError> {
    let path = match &config.access.cluster_key_file {
        Some(path) => path.clone(),
        None => {
            let path = config.data_dir.join(CLUSTER_KEY);
            if make(&path, sealing)? && config.topology.is_some() {
                tracing::warn!(
                    path = %path.display(),
                    "no access.cluster_key_file: this region has a key of its own, and access keys that are made in other \
                     regions do not work here"
                );
            }
            path
        }
    };
    read(&path, sealing)
}

/// Makes the file, readable by its owner only, unless it is there. Tells whether it was made.
pub(crate) fn make(path: &Path, sealing: Option<&Sealing>) -> Result<bool, AccessStartError> {
    let key: [u8; CLUSTER_KEY_LEN] = rand::random();
    write_new(path, &text_of(path, key, sealing)?)
}

/// Seals the key in a file, whether it was or not.
pub(crate) fn reseal(path: &Path, sealing: &Sealing) -> Result<(), AccessStartError> {
    let text = text_of(path, read(path, Some(sealing))?, Some(sealing))?;
    let new = path.with_extension("new");
    // What a crash left.
    let _ = fs::remove_file(&new);
    write_new(&new, &text)?;
    fs::rename(&new, path).map_err(|error| file_error(path, error))
}

fn text_of(path: &Path, key: [u8; CLUSTER_KEY_LEN], sealing: Option<&Sealing>) -> Result<String, AccessStartError> {
    let Some(sealing) = sealing else {
        return Ok(STANDARD.encode(key));
    };
    let sealed = sealing.keyring.seal(CLUSTER_KEY, key.to_vec());
    let sealed = sealed.map_err(|error| file_error(path, error))?;
    Ok(format!("{SEALED}{}", STANDARD.encode(sealed)))
}

fn write_new(path: &Path, text: &str) -> Result<bool, AccessStartError> {
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match made {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(file_error(path, error)),
    };
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    written.map_err(|error| file_error(path, error))?;
    Ok(true)
}

fn read(path: &Path, sealing: Option<&Sealing>) -> Result<[u8; CLUSTER_KEY_LEN], AccessStartError> {
    let text = fs::read_to_string(path).map_err(|error| file_error(path, error))?;
    let mut key = STANDARD.decode(text.trim().trim_start_matches(SEALED)).ok();
    if text.starts_with(SEALED) {
        let sealing = sealing.ok_or_else(|| file_error(path, "it is sealed, and there is no key"))?;
        let opened = key.map(|sealed| sealing.keyring.open_sealed(CLUSTER_KEY, &sealed));
        key = opened.transpose().map_err(|error| file_error(path, error))?;
    }
    let key = key.and_then(|key| key.try_into().ok());
    key.ok_or_else(|| file_error(path, format_args!("not {CLUSTER_KEY_LEN} bytes in base64")))
}

fn file_error(path: &Path, reason: impl std::fmt::Display) -> AccessStartError {
    AccessStartError::File {
        path: PathBuf::from(path),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CLUSTER_KEY);
        assert!(make(&path, None).unwrap());
        let key = read(&path, None).unwrap();
        assert!(!make(&path, None).unwrap());
        assert_eq!(read(&path, None).unwrap(), key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        assert!(read(&path, None).is_err());
        assert!(read(&folder.path().join("none"), None).is_err());
    }
}
