//! The admin port of a node that stands by: how it is, and who writes. All else is the owner's to answer.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use geodynamo_admin::OPEN_METRICS;
use geodynamo_cassandra::Standing;
use geodynamo_http::Shutdown;
use geodynamo_metrics::MetricsRegistry;
use geodynamo_topology::Topology;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, time::Instant};

use super::{owner::Owner, reading::Reading};

/// What the port tells. Cheap to clone.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) node: String,
    pub(super) topology: Arc<Topology>,
    pub(super) standing: watch::Receiver<Standing>,
    /// When the lease was last seen to change: its holder renews it several times while it lasts.
    pub(super) renewed: Arc<Mutex<Instant>>,
    pub(super) lease: Duration,
    pub(super) registry: MetricsRegistry,
    pub(super) open_metrics: bool,
    pub(super) reading: Arc<Reading>,
}

impl Watched {
    /// Notes when the lease changes, for as long as it is polled.
    pub(super) async fn watch(mut self) {
        while self.standing.changed().await.is_ok() {
            *self.renewed.lock() = Instant::now();
        }
        // The campaign is over.
        std::future::pending().await
    }

    /// Who writes; if nobody does that this node could pass requests on to, why not.
    pub(super) fn owner(&self) -> Result<Owner, String> {
        let owner = Owner::seen_by(&self.node, &self.topology, &self.standing.borrow());
        if !owner.is_reachable {
            return Err("Cassandra does not answer".into());
        }
        let silent = self.renewed.lock().elapsed();
        match &owner.owner {
            None => Err("no node writes the region's log for now".into()),
            Some(name) if *name == self.node => Err("this node is about to take over".into()),
            Some(name) if silent > self.lease => Err(format!(
                "node {name} writes the region's log, and has not been heard of for {silent:.0?}"
            )),
            Some(_) => Ok(owner),
        }
    }

    /// Where the owner's own admin port is, if the topology tells.
    fn admin_of_owner(&self) -> Option<String> {
        let owner = self.standing.borrow().lease.node.clone()?;
        let (_, node) = self.topology.node(&owner).filter(|_| owner != self.node)?;
        Some(node.admin.to_string())
    }
}

/// The port's routes.
pub(super) fn router(watched: Watched) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/owner", get(owner))
        .route("/metrics", get(metrics))
        .fallback(elsewhere)
        .with_state(watched)
}

async fn readyz(State(watched): State<Watched>) -> Response {
    match watched.owner() {
        Ok(Owner { owner, epoch, .. }) => {
            let owner = owner.unwrap_or_default();
            format!("ok\nstands by: node {owner} writes the region's log (epoch {epoch})\n").into_response()
        }
        Err(reason) if watched.reading.is_fresh() => format!("ok\nreads alone: {reason}\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn owner(State(watched): State<Watched>) -> Json<Owner> {
    let age = watched.reading.age();
    Json(Owner {
        read_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        ..Owner::seen_by(&watched.node, &watched.topology, &watched.standing.borrow())
    })
}

async fn metrics(State(watched): State<Watched>) -> Response {
    if !watched.open_metrics {
        return elsewhere(State(watched), Uri::from_static("/metrics")).await;
    }
    match watched.registry.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn elsewhere(State(watched): State<Watched>, uri: Uri) -> Response {
    let node = &watched.node;
    match watched.admin_of_owner() {
        Some(admin) => {
            let text = format!("node {node} stands by: ask the one that writes, at {admin}");
            let to = format!("http://{admin}{uri}");
            let location = [(header::LOCATION, to)];
            (StatusCode::TEMPORARY_REDIRECT, location, Json(json!({ "error": text }))).into_response()
        }
        None => {
            let text = format!("node {node} stands by, and no node writes for now");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": text }))).into_response()
        }
    }
}

/// Serves the port until the signal, which ends connections, too: they are for the region's own port from then on. The listener is
/// a copy of the process's: that goes on taking connections in.
pub(super) async fn serve(listener: TcpListener, watched: Watched, mut shutdown: Shutdown) {
    let served = axum::serve(listener, router(watched)).with_graceful_shutdown(async move { shutdown.wait().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "the admin port broke off");
    }
}
