//! `geodynamo keys encrypt`: a data directory that is not encrypted becomes one that is.
//!
//! A file that is encrypted is a header and the file's own bytes under a key stream, so each file is copied into a second store,
//! which takes the first one's place at once. Until then nothing of the first one has changed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

use geodynamo_seal::Keyring;
use indicatif::ProgressBar;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use super::{Found, KEYRING, Sealing, SealingError, key_file, look, make_default_key, region_key};
use crate::{access::cluster_key, cli::KeysOf, config::Config, region::DATABASE, run::Done};

/// The second store.
const SECOND: &str = "db.encrypting";
/// The keyring, until the second store is whole.
const KEYRING_BEFORE: &str = "keyring.json.encrypting";
/// Bytes that are encrypted at a time.
const CHUNK: usize = 1 << 20;

pub(super) fn encrypt(arguments: &KeysOf) -> Done {
    let config = Config::load(&arguments.config)?;
    if config.storage.cold_dir.is_some() {
        return Err(
            "tables with a cold_dir are not encrypted in place: make a region with a new data directory".into(),
        );
    }
    let found = look(&config)?;
    let (path, before) = (config.data_dir.join(KEYRING), config.data_dir.join(KEYRING_BEFORE));
    let store = config.data_dir.join(DATABASE);
    let second = config.data_dir.join(SECOND);
    match found {
        Found::Plain | Found::Halfway => {}
        // What was left to be done.
        Found::Keyring if second.exists() => {
            super::open(&config)?;
            return arguments.printed.say("", &json!({ "encrypted": true }));
        }
        Found::Nothing | Found::Bereft | Found::Keyring => {
            return Err(format!("{}: there is nothing to encrypt", config.data_dir.display()).into());
        }
    }
    let _lock = lock(&store)?;
    make_default_key(&config)?;
    let key = region_key(&config)?;
    let keyring = if found == Found::Halfway {
        Keyring::open(&path, &*key)?
    } else if before.exists() {
        Keyring::open(&before, &*key)?
    } else {
        Keyring::make(&before, &*key)?
    };
    if second.exists() {
        fs::remove_dir_all(&second)?;
    }
    // In the clear; imports and restores under way begin anew.
    let loads = geodynamo_rocks::loads_of(&store);
    if loads.exists() {
        fs::remove_dir_all(&loads)?;
    }
    copy_all(&store, &second, &keyring)?;
    if found == Found::Plain {
        fs::rename(&before, &path)?;
    }
    renameat_with(CWD, &store, CWD, &second, RenameFlags::EXCHANGE).map_err(io::Error::from)?;
    File::open(&config.data_dir)?.sync_all()?;
    super::open(&config)?;
    let place = key_file(&config);
    let (text, key_file) = match config.encryption.is_in_file() {
        true => (format!("encrypted; keep a copy of {}", place.display()), Some(&place)),
        false => (String::new(), None),
    };
    let found = json!({ "encrypted": true, "key_file": key_file });
    arguments.printed.say(&text, &found)
}

/// Once a directory is encrypted: takes away what is left that is not, if anything is.
pub(super) fn finish(config: &Config, sealing: &Sealing) -> Result<(), SealingError> {
    let second = config.data_dir.join(SECOND);
    if !second.exists() {
        return Ok(());
    }
    let cluster_key = config.data_dir.join(cluster_key::CLUSTER_KEY);
    let resealed = if cluster_key.exists() {
        cluster_key::reseal(&cluster_key, sealing).map_err(|error| error.to_string())
    } else {
        Ok(())
    };
    let removed = |()| fs::remove_dir_all(&second).map_err(|error| format!("{}: {error}", second.display()));
    resealed.and_then(removed).map_err(SealingError::Directory)
}

/// Keeps the region from starting; an error if it runs.
fn lock(store: &Path) -> io::Result<File> {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(name)?;
    file.try_lock()
        .map_err(|_| io::Error::other("the region runs: it must have ended"))?;
    Ok(file)
}

fn copy_all(from: &Path, to: &Path, keyring: &Keyring) -> Done {
    fs::create_dir(to)?;
    let files = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
    let bar = ProgressBar::new(0);
    for entry in &files {
        bar.inc_length(entry.metadata()?.len());
    }
    for entry in &files {
        if entry.file_type()?.is_file() {
            copy(&entry.path(), &to.join(entry.file_name()), keyring, &bar)?;
        }
    }
    File::open(to)?.sync_all()?;
    bar.finish_and_clear();
    Ok(())
}

fn copy(from: &Path, to: &Path, keyring: &Keyring, bar: &ProgressBar) -> Done {
    let (mut from, mut to) = (File::open(from)?, File::create_new(to)?);
    // An empty file is one with encryption, too: the lock, for one.
    let mut chunk = Vec::with_capacity(CHUNK);
    let (header, cipher) = keyring.begin_file(None)?;
    let mut offset = 0;
    loop {
        chunk.clear();
        (&mut from).take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            break;
        }
        if offset == 0 {
            to.write_all(&header)?;
        }
        cipher.seal(offset, &mut chunk)?;
        to.write_all(&chunk)?;
        offset += chunk.len() as u64;
        bar.inc(chunk.len() as u64);
    }
    Ok(to.sync_all()?)
}
