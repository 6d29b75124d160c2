//! What was wrong with items of imports, as the admin port tells it. In AWS it stands in CloudWatch Logs.

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use geodynamo_storage::Engine;
use geodynamo_transfer::Transfers;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct ImportQuery {
    /// An import's id, or its ARN.
    import: String,
}

/// `GET /import-errors`.
pub(crate) fn router<E: Engine>(transfers: Transfers<E>) -> Router {
    Router::new()
        .route("/import-errors", get(errors::<E>))
        .with_state(transfers)
}

async fn errors<E: Engine>(State(transfers): State<Transfers<E>>, Query(query): Query<ImportQuery>) -> Response {
    let id = query.import.rsplit('/').next().unwrap_or_default().to_owned();
    let reading = tokio::task::spawn_blocking(move || transfers.import_errors(&id));
    let told = |status, error: String| (status, Json(json!({ "error": error }))).into_response();
    match reading.await.map_err(std::io::Error::other).flatten() {
        Ok(Some(lines)) => ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response(),
        Ok(None) => told(StatusCode::NOT_FOUND, format!("no import '{}' here", query.import)),
        Err(error) => told(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
