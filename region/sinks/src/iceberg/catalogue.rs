//! A catalogue that is asked by Iceberg's REST API: it says which metadata is a table's, and changes that in one step.
//!
//! A commit names the snapshot that it follows, and the catalogue takes it only if that is the table's. So it does not matter what
//! became of a commit that was not answered: whoever looks at the table next finds its snapshot there or not, and what it has with
//! it. Files of such a commit are left where they are.
//!
//! Source: "Apache Iceberg REST Catalog API" (`rest-catalog-open-api.yaml`).

use std::time::{Duration, Instant};

use bytes::Bytes;
use geodynamo_outgoing::{Answer, Call, CallError, Client, Endpoint, encode_segment};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    state::{Snapshot, State},
    store::{secret, told},
};
use crate::{IcebergSpec, target::TargetError};

type Result<T> = std::result::Result<T, TargetError>;

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(30);
/// The longest answer that is read: a table's metadata.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The most of an error that is told.
const ERROR_CHARS_MAX: usize = 512;
/// A token is not used any more when it has this long to go.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);
/// How long a token is used of which nothing is known.
const TOKEN_KEPT: Duration = Duration::from_secs(300);
/// The longest token.
const TOKEN_LEN_MAX: usize = 64 << 10;
/// Metadata files behind the newest, which the catalogue takes away.
const METADATA_KEPT: &str = "20";

/// A table in a catalogue.
pub(super) struct Catalogue {
    client: Client,
    endpoint: Endpoint,
    tokens: Option<Endpoint>,
    spec: IcebergSpec,
    namespace: Vec<String>,
    table: String,
    known: Mutex<Known>,
}

/// What the catalogue has told.
#[derive(Clone, Default)]
struct Known {
    /// What paths begin with; none if the catalogue was not asked yet.
    base: Option<Base>,
    token: Option<(String, Instant)>,
}

#[derive(Clone)]
struct Base {
    prefix: Option<String>,
    separator: String,
}

/// Why a call has no result.
enum Refused {
    /// With this status, and what the catalogue says.
    Status(u16, String),
    /// What became of it is not known.
    NotAnswered(String),
}

impl From<Refused> for TargetError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Status(status, told) => Self(format!("the catalogue answers {status}: {told}")),
            Refused::NotAnswered(told) => Self(format!("the catalogue does not answer: {told}")),
        }
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self::NotAnswered(error.to_string())
    }
}

impl Catalogue {
    /// The table's place in the catalogue of a sink, if that has one.
    pub(super) fn open(spec: &IcebergSpec, table: &str) -> Result<Option<Self>> {
        let Some(address) = &spec.catalog else {
            return Ok(None);
        };
        let endpoint = |address: &str| Endpoint::new(address, "iceberg", "", None).map_err(told);
        let namespace = spec.namespace.as_deref().unwrap_or_default();
        Ok(Some(Self {
            client: Client::new(spec.catalog_ca_file.as_deref()).map_err(told)?,
            endpoint: endpoint(address)?,
            tokens: spec.oauth2_server.as_deref().map(endpoint).transpose()?,
            namespace: namespace.split('.').map(str::to_owned).collect(),
            table: table.to_owned(),
            known: Mutex::default(),
            spec: spec.clone(),
        }))
    }

    /// The table's metadata; `None` if there is no such table.
    pub(super) async fn load(&self) -> Result<Option<Value>> {
        let path = self.table_path().await?;
        match self.ask("GET", &path, Some("snapshots=refs"), None).await {
            Ok(mut answer) => Ok(Some(answer["metadata"].take())),
            Err(Refused::Status(404, _)) => Ok(None),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Says that a table is to be made, and gives the metadata that it will have.
    pub(super) async fn stage(&self, next: &State, location: &str) -> Result<Value> {
        let path = self.path("/tables").await?;
        let columns = next.schemas.last().map(super::schema::Columns::json);
        let body = json!({
            "name": self.table,
            "location": location,
            "schema": columns,
            "stage-create": true,
            "properties": properties(),
        });
        let mut staged = self.ask("POST", &path, None, Some(&body)).await;
        if let Err(Refused::Status(404, _)) = staged {
            self.make_namespace().await?;
            staged = self.ask("POST", &path, None, Some(&body)).await;
        }
        Ok(staged?["metadata"].take())
    }

    async fn make_namespace(&self) -> Result<()> {
        let base = self.base().await?;
        let path = format!("{}/namespaces", root(&base));
        let body = json!({ "namespace": self.namespace, "properties": {} });
        match self.ask("POST", &path, None, Some(&body)).await {
            Ok(_) | Err(Refused::Status(409, _)) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Makes a state the table's, if the table is as the state before says. After an error, whether it is, is to be found out by
    /// looking at it.
    pub(super) async fn commit(&self, before: &State, next: &State, location: &str) -> Result<()> {
        let path = self.table_path().await?;
        let body = json!({
            "identifier": {"namespace": self.namespace, "name": self.table},
            "requirements": requirements(before),
            "updates": updates(before, next, location),
        });
        let id = next.snapshots.last().map(|snapshot| snapshot.id);
        let refused = match self.ask("POST", &path, None, Some(&body)).await {
            Ok(_) => return Ok(()),
            Err(refused) => refused,
        };
        // It may be there for all that: the answer was lost, or a request was repeated on its way.
        match self.load().await {
            Ok(Some(metadata)) if id.is_some() && metadata["current-snapshot-id"].as_i64() == id => Ok(()),
            _ => Err(refused.into()),
        }
    }

    async fn table_path(&self) -> Result<String> {
        self.path(&format!("/tables/{}", encode_segment(&self.table))).await
    }

    /// The path of something in the namespace.
    async fn path(&self, rest: &str) -> Result<String> {
        let base = self.base().await?;
        let parts: Vec<String> = self.namespace.iter().map(|part| encode_segment(part)).collect();
        Ok(format!(
            "{}/namespaces/{}{rest}",
            root(&base),
            parts.join(&base.separator)
        ))
    }

    /// What paths begin with, which the catalogue is asked once.
    async fn base(&self) -> Result<Base> {
        if let Some(base) = &self.known.lock().base {
            return Ok(base.clone());
        }
        let warehouse = self.spec.warehouse.as_deref();
        let query = warehouse.map(|warehouse| format!("warehouse={}", encode_segment(warehouse)));
        let answer = self.ask("GET", "/v1/config", query.as_deref(), None).await?;
        let text = |name: &str| {
            let told = answer["overrides"][name].as_str().or(answer["defaults"][name].as_str());
            told.filter(|told| !told.is_empty()).map(str::to_owned)
        };
        let base = Base {
            prefix: text("prefix"),
            separator: text("namespace-separator").unwrap_or_else(|| "%1F".into()),
        };
        self.known.lock().base = Some(base.clone());
        Ok(base)
    }

    /// Makes a call; once more with a new token if the one that there was is not taken any more.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        query: Option<&str>,
        body: Option<&Value>,
    ) -> std::result::Result<Value, Refused> {
        let body: Bytes = body.map(|body| body.to_string().into()).unwrap_or_default();
        let mut is_again = false;
        loop {
            let token = self.token().await?;
            let bearer = token.map(|token| format!("Bearer {token}"));
            let mut headers = vec![("accept", "application/json")];
            if !body.is_empty() {
                headers.push(("content-type", "application/json"));
            }
            headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
            let call = Call {
                method,
                path,
                query,
                headers: &headers,
                body: body.clone(),
                within: CALL_MAX,
                answer_bytes_max: ANSWER_BYTES_MAX,
            };
            let answer = self.endpoint.call(&self.client, &call).await?;
            if matches!(answer.status.as_u16(), 401 | 419) && bearer.is_some() && !is_again {
                self.known.lock().token = None;
                is_again = true;
                continue;
            }
            return read(&answer);
        }
    }

    /// The token to call with, if there is to be one.
    async fn token(&self) -> std::result::Result<Option<String>, Refused> {
        let unusable = |error: TargetError| Refused::NotAnswered(error.to_string());
        if let Some(path) = &self.spec.token_file {
            return secret(path).map(Some).map_err(unusable);
        }
        let (Some(id), Some(path)) = (&self.spec.client_id, &self.spec.client_secret_file) else {
            return Ok(None);
        };
        if let Some((token, until)) = &self.known.lock().token
            && *until > Instant::now()
        {
            return Ok(Some(token.clone()));
        }
        let scope = self.spec.scope.as_deref().unwrap_or("catalog");
        let body = credentials(id, &secret(path).map_err(unusable)?, scope);
        let call = Call {
            method: "POST",
            path: if self.tokens.is_some() { "" } else { "/v1/oauth/tokens" },
            query: None,
            headers: &[
                ("accept", "application/json"),
                ("content-type", "application/x-www-form-urlencoded"),
            ],
            body,
            within: CALL_MAX,
            answer_bytes_max: TOKEN_LEN_MAX,
        };
        let server = self.tokens.as_ref().unwrap_or(&self.endpoint);
        let answer = read(&server.call(&self.client, &call).await?)?;
        let Some(token) = answer["access_token"].as_str() else {
            return Err(Refused::NotAnswered("the token's server gives no access_token".into()));
        };
        let kept = answer["expires_in"].as_u64().map_or(TOKEN_KEPT, Duration::from_secs);
        let until = Instant::now() + kept.saturating_sub(TOKEN_MARGIN);
        self.known.lock().token = Some((token.to_owned(), until));
        Ok(Some(token.to_owned()))
    }
}

/// What asks for a token.
fn credentials(id: &str, secret: &str, scope: &str) -> Bytes {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", id)
        .append_pair("client_secret", secret)
        .append_pair("scope", scope);
    form.finish().into()
}

fn root(base: &Base) -> String {
    match &base.prefix {
        Some(prefix) => format!("/v1/{}", encode_segment(prefix)),
        None => "/v1".into(),
    }
}

fn read(answer: &Answer) -> std::result::Result<Value, Refused> {
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        let none = || Refused::Status(status, "with something that is no JSON".into());
        // What is made without an answer, as some catalogues make namespaces, has none.
        return document
            .or_else(|| answer.body.is_empty().then_some(Value::Null))
            .ok_or_else(none);
    }
    let message = document.as_ref().and_then(|document| {
        let error = &document["error"];
        // A token's server has its own form.
        error["message"].as_str().or(error.as_str())
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(&answer.body).into_owned(), str::to_owned);
    Err(Refused::Status(status, text.chars().take(ERROR_CHARS_MAX).collect()))
}

fn properties() -> Value {
    json!({
        "write.format.default": "parquet",
        "write.delete.mode": "merge-on-read",
        "write.metadata.delete-after-commit.enabled": "true",
        "write.metadata.previous-versions-max": METADATA_KEPT,
    })
}

/// What must be so of a table that a state is to be followed in.
fn requirements(before: &State) -> Value {
    let Some(last) = before.snapshots.last() else {
        return json!([{"type": "assert-create"}]);
    };
    let columns = before.schemas.last();
    json!([
        {"type": "assert-table-uuid", "uuid": before.uuid},
        {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": last.id},
        {"type": "assert-current-schema-id", "current-schema-id": columns.map(|columns| columns.id)},
        {
            "type": "assert-last-assigned-field-id",
            "last-assigned-field-id": columns.map(super::schema::Columns::last_field),
        },
    ])
}

/// What makes one state of another.
fn updates(before: &State, next: &State, location: &str) -> Vec<Value> {
    let mut updates = Vec::new();
    let is_new = before.snapshots.is_empty();
    if is_new {
        updates.push(json!({"action": "assign-uuid", "uuid": next.uuid}));
        updates.push(json!({"action": "upgrade-format-version", "format-version": 2}));
    }
    if let Some(columns) = next.schemas.last()
        && (is_new || before.schemas.last().map(|columns| columns.id) != Some(columns.id))
    {
        updates.push(json!({
            "action": "add-schema",
            "schema": columns.json(),
            "last-column-id": columns.last_field(),
        }));
        updates.push(json!({"action": "set-current-schema", "schema-id": -1}));
    }
    if is_new {
        updates.extend([
            json!({"action": "add-spec", "spec": {"spec-id": 0, "fields": []}}),
            json!({"action": "set-default-spec", "spec-id": -1}),
            json!({"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}}),
            json!({"action": "set-default-sort-order", "sort-order-id": -1}),
            json!({"action": "set-location", "location": location}),
            json!({"action": "set-properties", "updates": properties()}),
        ]);
    }
    if let Some(snapshot) = next.snapshots.last() {
        updates.push(json!({"action": "add-snapshot", "snapshot": snapshot.json(location)}));
        updates.push(json!({
            "action": "set-snapshot-ref",
            "ref-name": "main",
            "type": "branch",
            "snapshot-id": snapshot.id,
        }));
    }
    let is_there = |gone: &&Snapshot| next.snapshots.iter().any(|snapshot| snapshot.id == gone.id);
    let gone = before.snapshots.iter().filter(|snapshot| !is_there(snapshot));
    // One in each, as every catalogue takes it.
    updates.extend(gone.map(|snapshot| json!({"action": "remove-snapshots", "snapshot-ids": [snapshot.id]})));
    updates
}
