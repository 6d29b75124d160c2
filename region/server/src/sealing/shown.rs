//! What the admin port tells of keys: what `geodynamo keys status` tells, of a region that runs, and how its key service does.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use geodynamo_seal::KeyringFile;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{KEYRING, KeyWatch, Sealing, keys::entries_json};
use crate::config::Config;

/// Answers that are worked out at once: each looks at the headers of all files.
const AT_ONCE: usize = 1;

/// A region's keys, for who asks about them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ShownKeys(Arc<Shown>);

struct Shown {
    config: Config,
    sealing: Option<Sealing>,
    watch: Option<KeyWatch>,
    turns: Semaphore,
}

impl ShownKeys {
    /// Of a region that runs; `sealing` is nothing where it does not encrypt.
    pub(crate) fn new(config: &Config, sealing: Option<Sealing>, watch: Option<KeyWatch>) -> Self {
        Self(Arc::new(Shown {
            config: config.clone(),
            sealing,
            watch,
            turns: Semaphore::new(AT_ONCE),
        }))
    }

    /// `GET /keys`.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/keys", get(keys)).with_state(self)
    }
}

async fn keys(State(ShownKeys(shown)): State<ShownKeys>) -> Response {
    // It is never closed.
    let Ok(_turn) = shown.turns.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let looking = Arc::clone(&shown);
    match spawn_blocking(move || looking.look()).await {
        Ok(Ok(found)) => Json(found).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(error: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": error }))).into_response()
}

impl Shown {
    fn look(&self) -> Result<Value, String> {
        let table_keys = self.config.table_keys.service();
        let Some(sealing) = &self.sealing else {
            return Ok(json!({ "encrypted": false, "table_keys": table_keys }));
        };
        // As it is now: `keys rotate` changes it while the region runs.
        let path = self.config.data_dir.join(KEYRING);
        let file = KeyringFile::read(&path).map_err(|error| error.to_string())?;
        let keys = entries_json(&self.config, &file).map_err(|error| error.to_string())?;
        let status = self.watch.as_ref().map(KeyWatch::status).unwrap_or_default();
        Ok(json!({
            "encrypted": true,
            "source": sealing.region_key.source(),
            "has_service": self.config.encryption.has_service(),
            "away_seconds": status.away.map(|away| away.as_secs().max(1)),
            "data_keys": keys,
            "older_files": status.files[1],
            "older_bytes": status.bytes[1],
            "rewritten_bytes": status.rewritten,
            "table_keys": table_keys,
        }))
    }
}
