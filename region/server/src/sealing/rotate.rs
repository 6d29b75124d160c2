//! `geodynamo keys rotate`: the data keys under a new region key, and a new data key if that is wanted.
//!
//! Each step is durable before the next begins, and after each the region starts: the old key stays in its file until nothing is
//! wrapped under it any more. Whoever is run after one that was broken off carries that one to its end first.

use std::{path::Path, sync::Arc};

use geodynamo_archive::Archive;
use geodynamo_seal::{KeyringFile, LocalKey, RegionKey};
use serde_json::json;

use super::{Found, KEYRING, key_file, keyrings, look, put_keyring, region_key};
use crate::{cli::RotateKeys, config::Config, run::Done};

/// What has just become durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The new key is in the key file, before the old one.
    KeyMade,
    /// The data keys are wrapped under it, in the data directory.
    Rewrapped,
    /// A keyring of the archive was put there, wrapped under it.
    Archived,
    /// Those wrapped under the old one are gone from the archive.
    Replaced,
    /// The old key is out of the key file.
    Retired,
}

pub(super) async fn rotate(arguments: &RotateKeys) -> Done {
    let config = Config::load(&arguments.config)?;
    let (count, name) = carry_out(&config, arguments.data_key, |_| Ok(())).await?;
    let text = format!("{count} data keys are under the region key {name} now");
    let found = json!({ "region_key": name, "data_keys": count });
    arguments.printed.say(&text, &found)
}

/// Rotates; `reached` hears of each step, and ends it with an error. Gives how many data keys were wrapped anew, and under what. A
/// region that runs goes on with what it has.
pub(super) async fn carry_out(
    config: &Config,
    data_key: bool,
    mut reached: impl FnMut(Step) -> Done,
) -> Result<(usize, String), Box<dyn std::error::Error + Send + Sync>> {
    if look(config)? != Found::Keyring {
        return Err(format!("{}: not encrypted", config.data_dir.display()).into());
    }
    let path = config.data_dir.join(KEYRING);
    let _lock = KeyringFile::lock(&path)?;
    let mut file = KeyringFile::read(&path)?;
    // Before anything is changed: the old key must be the right one.
    let key = region_key(config)?;
    file.unwrap(&path, &*key)?;
    if !config.encryption.is_in_file() {
        let count = wrap(config, &mut file, &*key, data_key, &mut reached).await?;
        return Ok((count, key.name()));
    }
    let place = key_file(config);
    if LocalKey::from_file(&place)?.names().count() > 1 {
        // Whether the one that was broken off had come to the data keys. If not, it is this one.
        let is_under = file.entries().0.iter().all(|entry| entry.region_key == key.name());
        let count = wrap(config, &mut file, &*key, data_key && !is_under, &mut reached).await?;
        LocalKey::keep_first_of_file(&place)?;
        reached(Step::Retired)?;
        if !is_under {
            return Ok((count, key.name()));
        }
    }
    let key: Arc<dyn RegionKey> = Arc::new(LocalKey::add_to_file(&place)?);
    reached(Step::KeyMade)?;
    let count = wrap(config, &mut file, &*key, data_key, &mut reached).await?;
    LocalKey::keep_first_of_file(&place)?;
    reached(Step::Retired)?;
    Ok((count, key.name()))
}

/// Wraps all data keys under a region key: those of the data directory, and those in the archive. Gives how many.
async fn wrap(
    config: &Config,
    file: &mut KeyringFile,
    key: &dyn RegionKey,
    data_key: bool,
    reached: &mut impl FnMut(Step) -> Done,
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let path = config.data_dir.join(KEYRING);
    let mut count = file.rewrap(&path, key)?;
    if data_key {
        file.add(key)?;
    }
    file.write(&path)?;
    reached(Step::Rewrapped)?;
    let Some(entry) = &config.archive else {
        return Ok(count);
    };
    let archive = Archive::open(&entry.place())?;
    put_keyring(&archive, config.region.as_str(), file).await?;
    reached(Step::Archived)?;
    let mut replaced = Vec::new();
    for (name, mut other) in keyrings(&archive).await? {
        if other == *file {
            continue;
        }
        if file.has_all_of(&other) {
            replaced.push(name);
        } else if let Ok(of_it @ 1..) = other.rewrap(Path::new(&name), key) {
            // An earlier data directory's.
            put_keyring(&archive, config.region.as_str(), &other).await?;
            reached(Step::Archived)?;
            replaced.push(name);
            count += of_it;
        }
    }
    archive.delete(&replaced).await?;
    reached(Step::Replaced)?;
    Ok(count)
}
