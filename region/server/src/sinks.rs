//! Sinks on a region's tables: run, shown by the admin port, and `geodynamo sink`.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use geodynamo_command::OutputForm;
use geodynamo_sinks::{Columns, Document, IcebergSpec, PostgresSpec, SinkError, SinkSpec, Sinks};
use geodynamo_storage::Engine;
use geodynamo_table::Tables;
use serde_json::{Value, json};

use crate::{
    cli::{AddSink, ListSinks, RemoveSink, SinkArguments, SinkCommand},
    config::Config,
    plain_http,
    run::Done,
};

/// The longest request, in bytes.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// Runs the sinks of a region.
pub(crate) async fn start<E: Engine>(config: &Config, tables: &Arc<Tables<E>>) -> Result<Sinks<E>, SinkError> {
    let options = config.sink_options.options();
    if options.position_first {
        tracing::warn!("position_first is on: a crash loses changes that sinks do not have");
    }
    Sinks::start(Arc::clone(tables), options, config.sinks.clone()).await
}

/// Sinks on the admin port. A page of another origin cannot add one: that takes a content type, or a method, which browsers ask about
/// first.
pub(crate) fn router<E: Engine>(sinks: Sinks<E>) -> Router {
    Router::new()
        .route("/sinks", get(list::<E>).post(add::<E>))
        .route("/sinks/{name}", delete(remove::<E>))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(sinks)
}

async fn list<E: Engine>(State(sinks): State<Sinks<E>>) -> Json<Value> {
    Json(json!({ "sinks": sinks.list() }))
}

async fn add<E: Engine>(State(sinks): State<Sinks<E>>, Json(spec): Json<SinkSpec>) -> Response {
    answer(sinks.add(spec).await)
}

async fn remove<E: Engine>(State(sinks): State<Sinks<E>>, Path(name): Path<String>) -> Response {
    answer(sinks.remove(&name).await)
}

fn answer(done: Result<(), SinkError>) -> Response {
    let Err(error) = done else {
        return Json(json!({})).into_response();
    };
    let status = match error {
        SinkError::Invalid(_) => StatusCode::BAD_REQUEST,
        SinkError::Absent(_) => StatusCode::NOT_FOUND,
        SinkError::Exists(_) | SinkError::InFile(_) => StatusCode::CONFLICT,
        SinkError::Table(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(json!({ "error": error.to_string() }))).into_response()
}

/// `geodynamo sink`.
pub(crate) fn run(arguments: &SinkArguments) -> Done {
    match &arguments.command {
        SinkCommand::Add(sink) => {
            let spec = spec(sink);
            if let Some(fault) = spec.fault() {
                return Err(fault.into());
            }
            plain_http::ask_admin(&sink.admin, "POST", "/sinks", &serde_json::to_string(&spec)?)?;
            let text = format!("{} is copied by the sink {}", sink.table, sink.name);
            sink.printed
                .say(&text, &json!({ "name": sink.name, "table": sink.table }))
        }
        SinkCommand::List(list) => print(list),
        SinkCommand::Remove(RemoveSink { name, admin, printed }) => {
            plain_http::ask_admin(admin, "DELETE", &format!("/sinks/{name}"), "")?;
            let text = format!("the sink {name} is removed; its copy is left as it is");
            printed.say(&text, &json!({ "removed": name }))
        }
    }
}

fn spec(sink: &AddSink) -> SinkSpec {
    let document = if sink.dynamodb_json {
        Document::Dynamodb
    } else {
        Document::Plain
    };
    SinkSpec {
        name: sink.name.clone(),
        table: sink.table.clone(),
        postgres: sink.postgres.as_ref().map(|address| PostgresSpec {
            address: address.clone(),
            password_file: sink.password_file.clone(),
            ca_file: sink.ca_file.clone(),
            schema: sink.schema.clone(),
            into: sink.into.clone(),
            document,
        }),
        iceberg: sink.iceberg.as_ref().map(|place| IcebergSpec {
            endpoint: sink.s3_endpoint.clone(),
            access_key_id: sink.access_key_id.clone(),
            secret_access_key_file: sink.secret_access_key_file.clone(),
            commit_seconds: sink.commit_seconds,
            keep_seconds: sink.keep_seconds,
            document,
            columns: match sink.typed_columns {
                true => Columns::Typed,
                false => Columns::Keys,
            },
            catalog: sink.catalog.clone(),
            catalog_ca_file: sink.catalog_ca_file.clone(),
            warehouse: sink.warehouse.clone(),
            namespace: sink.namespace.clone(),
            token_file: sink.token_file.clone(),
            client_id: sink.client_id.clone(),
            client_secret_file: sink.client_secret_file.clone(),
            oauth2_server: sink.oauth2_server.clone(),
            scope: sink.scope.clone(),
            ..IcebergSpec::at(place.clone())
        }),
    }
}

fn print(list: &ListSinks) -> Done {
    let mut out = io::stdout();
    let answer = plain_http::ask_admin(&list.admin, "GET", "/sinks", "")?;
    if list.output == OutputForm::Json {
        serde_json::to_writer_pretty(&mut out, &answer["sinks"])?;
        return Ok(writeln!(out)?);
    }
    let sinks = answer["sinks"].as_array().map_or(&[][..], Vec::as_slice);
    if sinks.is_empty() {
        return Ok(writeln!(out, "there are no sinks here")?);
    }
    for sink in sinks {
        let text = |name: &str| sink[name].as_str().unwrap_or("?").to_owned();
        let lag = sink["lag_ms"].as_f64().unwrap_or_default() / 1000.0;
        writeln!(
            out,
            "{}  {}  {}  {lag:.1} s behind  {} changes",
            text("name"),
            text("table"),
            text("state"),
            sink["changes"]
        )?;
        if let Some(error) = sink["error"].as_str() {
            writeln!(out, "    {error}")?;
        }
    }
    Ok(())
}
