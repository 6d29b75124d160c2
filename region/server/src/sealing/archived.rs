//! Whether a configuration's key is the one that an archive's objects need.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use geodynamo_archive::Archive;
use geodynamo_seal::{RegionKey, SealError};

use super::{Found, KEYRINGS, SealingError, keyrings, look, region_key};
use crate::config::Config;

/// Refuses to restore what a region has in an archive with a key that opens none of it; before anything is made, so nothing is left
/// of a restore that could not have been.
pub(crate) async fn check_key(config: &Config, archive: &Archive, region: &str) -> Result<(), SealingError> {
    let own = format!("{KEYRINGS}/{region}/");
    let keyrings: Vec<_> = keyrings(archive).await?;
    let keyrings: Vec<_> = keyrings
        .into_iter()
        .filter(|(name, _)| name.starts_with(&own))
        .collect();
    if keyrings.is_empty() {
        // Nothing of it was ever encrypted.
        return Ok(());
    }
    let refused = |why: String| {
        let place = archive.place();
        let text = format!(
            "what {region} has in the archive {place} is encrypted, and {why}; name the key that it had in [encryption] (key_file, \
             key_variable, key_command, kms or vault)"
        );
        Err(SealingError::Directory(text))
    };
    let is_plain = look(config)? == Found::Plain;
    if is_plain || config.encryption.enabled == Some(false) && look(config)? == Found::Nothing {
        return refused("this data directory is not, so that it has no key".into());
    }
    let mut wanted = BTreeSet::new();
    for (_, file) in &keyrings {
        wanted.extend(file.entries().0.iter().map(|entry| entry.region_key.clone()));
    }
    let wanted = wanted.into_iter().collect::<Vec<_>>().join(" or ");
    let asked = config.clone();
    // A service may take its time.
    let trying = tokio::task::spawn_blocking(move || {
        let key: Arc<dyn RegionKey> = region_key(&asked)?;
        let mut other = None;
        for (name, file) in keyrings {
            match file.unwrap(Path::new(&name), &*key) {
                Ok(_) => return Ok(None),
                Err(SealError::WrongKey { .. }) => {}
                Err(error) => other = Some(error),
            }
        }
        other.map_or(Ok(Some((key.source(), key.name()))), Err)
    });
    match trying.await.unwrap_or(Err(SealError::System)) {
        Ok(None) => Ok(()),
        Ok(Some((source, name))) => refused(format!("needs the region key {wanted}: {source} has {name}")),
        Err(error) => refused(format!("needs the region key {wanted}: {error}")),
    }
}
