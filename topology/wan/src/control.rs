//! The HTTP interface: links are read and changed while the emulator runs.
//!
//! - `GET /links`: a JSON list of all links, each with `from`, `to`, `delay_ms`, `jitter_ms`, `loss`, `duplicate`,
//!   `reorder`, `bandwidth_mbps` (null is unlimited), `cut` and `counters`.
//! - `PUT /links/{from}/{to}` with a JSON object of any of the settings; the rest keep their values. Answers the link.
//!
//! A refused request gets 400 (a bad value, an unknown field), 404 (an unknown link or path), 405 or 413, with
//! `{"error": "…"}`, and changes nothing.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    emulator::{ChangeError, LinkStatus, Links},
    shape::ShapeChange,
};

/// The longest request body, in bytes.
pub const BODY_LEN_MAX: usize = 16 << 10;

pub(crate) async fn serve(listener: TcpListener, links: Arc<Links>) {
    let unknown = || async { refuse(StatusCode::NOT_FOUND, "there are GET /links and PUT /links/{from}/{to}") };
    let method = || async {
        refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "there are GET /links and PUT /links/{from}/{to}",
        )
    };
    let router = Router::new()
        .route("/links", get(list))
        .route("/links/{from}/{to}", put(change))
        .fallback(unknown)
        .method_not_allowed_fallback(method)
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(links);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the control server ended");
    }
}

async fn list(State(links): State<Arc<Links>>) -> Response {
    Json(links.status().iter().map(LinkStatus::to_json).collect::<Vec<_>>()).into_response()
}

async fn change(
    State(links): State<Arc<Links>>,
    Path((from, to)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return refuse(rejection.status(), &rejection.body_text()),
    };
    let changed = ShapeChange::from_json(&body).map_err(ChangeError::from);
    match changed.and_then(|change| links.change(&from, &to, &change)) {
        Ok(status) => Json(status.to_json()).into_response(),
        Err(error @ ChangeError::UnknownLink { .. }) => refuse(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error @ ChangeError::Shape(_)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
