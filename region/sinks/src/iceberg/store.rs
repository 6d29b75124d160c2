//! The folder of a table, and how metadata is committed in it.

use std::{fs, path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use geodynamo_archive::Place;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use serde_json::Value;

use super::state::{self, State};
use crate::{IcebergSpec, target::TargetError};

type Result<T> = std::result::Result<T, TargetError>;

/// The file that tells the number of the newest metadata file, or of one shortly before it.
const HINT: &str = "metadata/version-hint.text";
/// The longest secret.
const SECRET_LEN_MAX: u64 = 4096;
/// The longest state or metadata.
const METADATA_BYTES_MAX: u64 = 256 << 20;

/// A table's folder.
pub(super) struct Store {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    /// What Iceberg's metadata calls it.
    pub(super) location: String,
}

impl Store {
    /// Where a table's copy is.
    pub(super) fn open(spec: &IcebergSpec, table: &str) -> Result<Self> {
        let place = place(spec)?;
        let (store, prefix) = place.open().map_err(told)?;
        let base = match &place {
            Place::Folder(folder) => format!("file://{}", fs::canonicalize(folder).map_err(told)?.display()),
            place => place.to_string(),
        };
        Ok(Self {
            store,
            folder: prefix.join(table),
            location: format!("{}/{table}", base.trim_end_matches('/')),
        })
    }

    fn at(&self, name: &str) -> Path {
        name.split('/').fold(self.folder.clone(), |path, part| path.join(part))
    }

    pub(super) async fn put(&self, name: &str, content: Bytes) -> Result<u64> {
        let bytes = content.len() as u64;
        self.store.put(&self.at(name), content.into()).await.map_err(told)?;
        Ok(bytes)
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes> {
        self.find(name)
            .await?
            .ok_or_else(|| TargetError(format!("{}/{name} is not there", self.location)))
    }

    async fn find(&self, name: &str) -> Result<Option<Bytes>> {
        match self.store.get(&self.at(name)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(told(error)),
            Ok(found) if found.meta.size > METADATA_BYTES_MAX => {
                Err(TargetError(format!("{}/{name} is too large", self.location)))
            }
            Ok(found) => found.bytes().await.map(Some).map_err(told),
        }
    }

    /// Takes files away, if it can be done.
    pub(super) async fn delete(&self, names: &[String]) {
        for name in names {
            match self.store.delete(&self.at(name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                // Nothing names it any more.
                Err(error) => tracing::debug!(%error, name, "a file of a copy that is of no use stays"),
            }
        }
    }

    /// What is committed, if something is.
    pub(super) async fn current(&self) -> Result<Option<State>> {
        let hint = self.find(HINT).await?;
        let hint = hint.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse::<u64>().ok());
        // A writer that ended before it wrote the hint left a newer file.
        let (mut version, mut newest) = (hint.unwrap_or(1), None);
        while let Some(found) = self.find(&state::metadata(version)).await? {
            newest = Some(found);
            version += 1;
        }
        let Some(newest) = newest else {
            return match hint {
                None => Ok(None),
                Some(hint) => Err(TargetError(format!("{} has no metadata {hint}", self.location))),
            };
        };
        let foreign = || {
            TargetError(format!(
                "{} is a table that no sink has made, or that something else has changed; it is left alone",
                self.location
            ))
        };
        let metadata: Value = serde_json::from_slice(&newest).map_err(told)?;
        let current = metadata.get("current-snapshot-id").ok_or_else(foreign)?;
        let snapshots = metadata
            .get("snapshots")
            .and_then(Value::as_array)
            .ok_or_else(foreign)?;
        let snapshot = snapshots
            .iter()
            .find(|snapshot| snapshot.get("snapshot-id") == Some(current));
        let name = snapshot.and_then(|snapshot| snapshot.get("summary")?.get(state::STATE)?.as_str());
        let text = self.get(name.ok_or_else(foreign)?).await?;
        let state: State = serde_json::from_slice(&text).map_err(told)?;
        if state.version + 1 == version {
            Ok(Some(state))
        } else {
            Err(foreign())
        }
    }

    /// Makes a state the table's, if it follows what is committed.
    pub(super) async fn commit(&self, next: &State) -> Result<()> {
        let id = next.snapshots.last().map_or(0, |snapshot| snapshot.id);
        self.put(&state::state(id), serde_json::to_vec(next).map_err(told)?.into())
            .await?;
        let name = state::metadata(next.version);
        let content: Bytes = serde_json::to_vec(&next.json(&self.location)).map_err(told)?.into();
        let options = PutOptions::from(PutMode::Create);
        match self
            .store
            .put_opts(&self.at(&name), content.clone().into(), options)
            .await
        {
            Ok(_) => {}
            // A request that was repeated meets what it put the first time.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
                if self.find(&name).await?.as_ref() == Some(&content) => {}
            Err(error) => return Err(told(error)),
        }
        self.put(HINT, next.version.to_string().into()).await?;
        Ok(())
    }
}

fn place(spec: &IcebergSpec) -> Result<Place> {
    let mut place = Place::parse(&spec.place).map_err(told)?;
    if let Place::S3(s3) = &mut place {
        s3.endpoint.clone_from(&spec.endpoint);
        s3.region.clone_from(&spec.region);
        s3.path_style = spec.path_style;
        if let (Some(id), Some(path)) = (&spec.access_key_id, &spec.secret_access_key_file) {
            s3.credentials = Some((id.clone(), secret(path)?));
        }
    }
    Ok(place)
}

fn secret(path: &FilePath) -> Result<String> {
    let unusable = |reason: &dyn std::fmt::Display| TargetError(format!("{}: {reason}", path.display()));
    let length = fs::metadata(path).map_err(|error| unusable(&error))?.len();
    if length > SECRET_LEN_MAX {
        return Err(unusable(&"this is no secret"));
    }
    let text = fs::read_to_string(path).map_err(|error| unusable(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

pub(super) fn told(error: impl std::fmt::Display) -> TargetError {
    TargetError(error.to_string())
}
