//! The accounts of a cluster: on the admin port, and `geodynamo account`.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use geodynamo_backup::Backups;
use geodynamo_command::OutputForm;
use geodynamo_iam::{Account, AccountError, RootKey};
use geodynamo_storage::Engine;
use geodynamo_table::{Tables, is_account};
use geodynamo_triggers::Triggers;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    access::{RegionIam, now_unix_s, root},
    cli::{AccountArguments, AccountCommand},
    plain_http,
    run::Done,
};

/// The longest request, in bytes.
const REQUEST_BYTES_MAX: usize = 4 << 10;

/// What a region has of accounts beside their principals.
pub(crate) struct OfAccounts<E: Engine> {
    /// Vaults, plans, recovery points.
    pub(crate) backups: Backups<E>,
    /// Event source mappings.
    pub(crate) triggers: Arc<Triggers<E>>,
    /// The other regions of the topology: what accounts have there is not known here.
    pub(crate) other_regions: Vec<String>,
}

impl<E: Engine> OfAccounts<E> {
    /// Removes what an account has here that is gone; tells what is left of it, and why. What nothing is left of does nothing.
    async fn forget(&self, id: &str) -> Vec<String> {
        let mut left = Vec::new();
        if let Err(error) = self.backups.forget_account(id).await {
            left.push(format!("backup vaults and plans ({})", error.message));
        }
        if let Err(error) = self.triggers.forget_account(id).await {
            left.push(format!("event source mappings ({})", error.message));
        }
        left
    }
}

impl<E: Engine> Clone for OfAccounts<E> {
    fn clone(&self) -> Self {
        Self {
            backups: self.backups.clone(),
            triggers: Arc::clone(&self.triggers),
            other_regions: self.other_regions.clone(),
        }
    }
}

/// What the routes need.
struct Shared<E: Engine> {
    iam: Arc<RegionIam<E>>,
    tables: Arc<Tables<E>>,
    parts: OfAccounts<E>,
}

/// An account that is to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    name: String,
    id: Option<String>,
}

/// Accounts on the admin port. A page of another origin cannot make one: that takes a content type, or a method, which browsers
/// ask about first.
pub(crate) fn router<E: Engine>(iam: Arc<RegionIam<E>>, tables: Arc<Tables<E>>, parts: OfAccounts<E>) -> Router {
    Router::new()
        .route("/accounts", get(list::<E>).post(create::<E>))
        .route("/accounts/{id}", delete(remove::<E>))
        .route("/accounts/{id}/root", post(reset_root::<E>))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(Arc::new(Shared { iam, tables, parts }))
}

async fn list<E: Engine>(State(shared): State<Arc<Shared<E>>>) -> Json<Value> {
    let shown = shared.iam.accounts().into_iter().map(|account| {
        let tables = shared.tables.local().count_of(&account.id);
        let own = account.id == shared.iam.account();
        let mut shown = account_json(&account);
        shown["own"] = own.into();
        shown["tables"] = tables.into();
        shown
    });
    Json(json!({ "accounts": shown.collect::<Vec<_>>() }))
}

async fn create<E: Engine>(State(shared): State<Arc<Shared<E>>>, Json(wanted): Json<NewAccount>) -> Response {
    // Nobody gets what an account of that number has left whose deletion was broken off.
    if let Some(id) = wanted
        .id
        .as_ref()
        .filter(|id| is_account(id) && **id != shared.iam.account())
        && !shared.iam.accounts().iter().any(|account| account.id == **id)
        && let left = shared.parts.forget(id).await
        && !left.is_empty()
    {
        let text = format!(
            "There is something left of an earlier account {id}: {}",
            left.join(", ")
        );
        return answer(Err(AccountError::Conflict(text)));
    }
    let made = shared
        .iam
        .create_account(wanted.id.as_deref(), &wanted.name, now_unix_s())
        .await;
    answer(made.map(|(account, key)| with_key(account_json(&account), &key)))
}

async fn reset_root<E: Engine>(
    State(shared): State<Arc<Shared<E>>>,
    Path(id): Path<String>,
    _: Json<Value>,
) -> Response {
    let key = shared.iam.reset_root(&id, now_unix_s()).await;
    answer(key.map(|key| with_key(json!({ "id": id }), &key)))
}

async fn remove<E: Engine>(State(shared): State<Arc<Shared<E>>>, Path(id): Path<String>) -> Response {
    let tables = shared.tables.local().count_of(&id);
    if tables > 0 {
        let text = format!("The account {id} has {tables} tables in this region");
        return answer(Err(AccountError::Conflict(text)));
    }
    let parts = &shared.parts;
    match parts.backups.backups_of(&id).await {
        Ok(0) => {}
        Ok(backups) => {
            let text = format!("The account {id} has {backups} backups in this region");
            return answer(Err(AccountError::Conflict(text)));
        }
        Err(error) => return answer(Err(AccountError::Conflict(error.message))),
    }
    // First of all, for then nobody of it makes anything any more. Where that was done before, and then the process ended, the rest
    // is done now.
    let deleted = shared.iam.delete_account(&id).await;
    let is_gone = matches!(deleted, Ok(()) | Err(AccountError::Unknown(_))) && id != shared.iam.account();
    if !is_gone {
        return answer(deleted.map(|()| Value::Null));
    }
    let mut left = parts.forget(&id).await;
    let tables = shared.tables.local().count_of(&id);
    if tables > 0 {
        left.push(format!("{tables} tables, made meanwhile"));
    }
    let told = json!({ "regions_not_asked": parts.other_regions, "left": left });
    answer(deleted.map(|()| told))
}

fn account_json(account: &Account) -> Value {
    json!({
        "id": account.id,
        "name": account.name,
        "created": account.created_unix_s,
    })
}

fn with_key(mut shown: Value, key: &RootKey) -> Value {
    shown["access_key_id"] = key.access_key_id.as_str().into();
    shown["secret_access_key"] = key.secret_access_key.as_str().into();
    shown
}

fn answer(done: Result<Value, AccountError>) -> Response {
    let error = match done {
        Ok(shown) => return Json(shown).into_response(),
        Err(error) => error,
    };
    let status = match error {
        AccountError::Invalid(_) => StatusCode::BAD_REQUEST,
        AccountError::Unknown(_) => StatusCode::NOT_FOUND,
        AccountError::Conflict(_) => StatusCode::CONFLICT,
        AccountError::Store(_) | AccountError::Iam(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(json!({ "error": error.to_string() }))).into_response()
}

/// `geodynamo account`.
pub(crate) fn run(arguments: &AccountArguments) -> Done {
    let mut out = io::stdout();
    match &arguments.command {
        AccountCommand::Create(new) => {
            let wanted = json!({ "name": new.name, "id": new.id });
            let made = plain_http::ask_admin(&new.admin, "POST", "/accounts", &wanted.to_string())?;
            print_key(&made, new.output)
        }
        AccountCommand::List(list) => {
            let answer = plain_http::ask_admin(&list.admin, "GET", "/accounts", "")?;
            if list.output == OutputForm::Json {
                serde_json::to_writer_pretty(&mut out, &answer["accounts"])?;
                return Ok(writeln!(out)?);
            }
            for account in answer["accounts"].as_array().into_iter().flatten() {
                let name = match account["name"].as_str() {
                    Some(name) if !name.is_empty() => name,
                    _ if account["own"] == true => "(the cluster's own)",
                    _ => "-",
                };
                let id = account["id"].as_str().unwrap_or_default();
                writeln!(out, "{id}  {name}  {} tables", account["tables"])?;
            }
            Ok(())
        }
        AccountCommand::ResetRoot(of) => {
            let made = plain_http::ask_admin(&of.admin, "POST", &format!("/accounts/{}/root", of.id), "{}")?;
            print_key(&made, of.output)
        }
        AccountCommand::Delete(of) => {
            let done = plain_http::ask_admin(&of.admin, "DELETE", &format!("/accounts/{}", of.id), "")?;
            writeln!(out, "the account {} is deleted", of.id)?;
            let listed = |name: &str| {
                let all = done[name].as_array().into_iter().flatten();
                all.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
            };
            let (left, not_asked) = (listed("left"), listed("regions_not_asked"));
            if !left.is_empty() {
                writeln!(out, "left of it in this region: {left}")?;
            }
            if !not_asked.is_empty() {
                writeln!(
                    out,
                    "these regions were not asked whether they have tables, vaults or mappings of it: {not_asked}"
                )?;
            }
            Ok(())
        }
    }
}

/// Shows the only time that there is a secret to show.
fn print_key(made: &Value, output: OutputForm) -> Done {
    let mut out = io::stdout();
    if output == OutputForm::Json {
        serde_json::to_writer_pretty(&mut out, made)?;
        return Ok(writeln!(out)?);
    }
    let text = |member: &str| made[member].as_str().unwrap_or_default().to_owned();
    let key = RootKey {
        access_key_id: text("access_key_id"),
        secret_access_key: text("secret_access_key"),
    };
    Ok(out.write_all(root::shown(&text("id"), &key).as_bytes())?)
}
