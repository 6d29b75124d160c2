//! The folder of a table, and how metadata is committed: in the folder, or by a catalogue.

use std::{fs, path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use geodynamo_archive::Place;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use serde_json::Value;

use super::{
    catalogue::Catalogue,
    state::{self, State},
};
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
    /// What says which metadata is the table's; the folder does if there is none.
    catalogue: Option<Catalogue>,
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
            catalogue: Catalogue::open(spec, table)?,
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
        match &self.catalogue {
            None => self.current_in_folder().await,
            Some(catalogue) => match catalogue.load().await? {
                None => Ok(None),
                Some(metadata) => {
                    self.check_location(&metadata)?;
                    self.state_of(&metadata).await.map(Some)
                }
            },
        }
    }

    /// That a catalogue's table is where this one's files go.
    fn check_location(&self, metadata: &Value) -> Result<()> {
        let told = metadata.get("location").and_then(Value::as_str).unwrap_or_default();
        if told.trim_end_matches('/') == self.location {
            return Ok(());
        }
        Err(TargetError(format!(
            "the catalogue has the table at {told}, but `place` makes it {}",
            self.location
        )))
    }

    async fn current_in_folder(&self) -> Result<Option<State>> {
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
        let metadata: Value = serde_json::from_slice(&newest).map_err(told)?;
        let state = self.state_of(&metadata).await?;
        if state.version + 1 == version {
            Ok(Some(state))
        } else {
            Err(self.foreign())
        }
    }

    fn foreign(&self) -> TargetError {
        TargetError(format!(
            "{} is a table that no sink has made, or that something else has changed; it is left alone",
            self.location
        ))
    }

    /// The state that goes with a table's metadata.
    async fn state_of(&self, metadata: &Value) -> Result<State> {
        let foreign = || self.foreign();
        let current = metadata.get("current-snapshot-id").ok_or_else(foreign)?;
        let snapshots = metadata.get("snapshots").and_then(Value::as_array);
        let snapshot = snapshots
            .ok_or_else(foreign)?
            .iter()
            .find(|snapshot| snapshot.get("snapshot-id") == Some(current));
        let name = snapshot.and_then(|snapshot| snapshot.get("summary")?.get(state::STATE)?.as_str());
        let text = self.get(name.ok_or_else(foreign)?).await?;
        let state: State = serde_json::from_slice(&text).map_err(told)?;
        let is_it = metadata.get("table-uuid").and_then(Value::as_str) == Some(&state.uuid)
            && metadata.get("current-schema-id").and_then(Value::as_i64)
                == state.schemas.last().map(|columns| i64::from(columns.id))
            && state.snapshots.last().map(|snapshot| snapshot.id) == current.as_i64();
        is_it.then_some(state).ok_or_else(foreign)
    }

    /// Makes a state the table's, if that is as the state before says.
    pub(super) async fn commit(&self, before: &State, next: &mut State) -> Result<()> {
        let id = next.snapshots.last().map_or(0, |snapshot| snapshot.id);
        if let Some(catalogue) = &self.catalogue {
            if before.snapshots.is_empty() {
                let staged = catalogue.stage(next, &self.location).await?;
                self.check_location(&staged)?;
                let uuid = staged.get("table-uuid").and_then(Value::as_str);
                next.uuid = uuid
                    .ok_or_else(|| TargetError("the catalogue tells no table-uuid".into()))?
                    .to_owned();
            }
            self.put(&state::state(id), serde_json::to_vec(next).map_err(told)?.into())
                .await?;
            return catalogue.commit(before, next, &self.location).await;
        }
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

    /// A metadata file that nobody needs when there is one of this version. A catalogue takes away its own.
    pub(super) fn outdated(&self, version: u64) -> Option<String> {
        let old = version.checked_sub(state::METADATA_KEPT + 1)?;
        self.catalogue.is_none().then(|| state::metadata(old))
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

pub(super) fn secret(path: &FilePath) -> Result<String> {
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
