//! The admin port: health, metrics, latencies, digests. For operators and machines of the same house, not for clients.

mod guard;

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use geodynamo_http::RequestMetrics;
use geodynamo_metrics::{MetricsRegistry, protobuf};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

pub use self::guard::{AdminChange, Guard, GuardOptions, Recorder};

/// The form of metrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the admin port asks of the region behind it.
pub trait Admin: Send + Sync + 'static {
    /// Whether the region can take requests; if not, why not.
    fn readiness(&self) -> Result<(), String>;

    /// Who writes in a region that several nodes serve, as JSON; nothing where there is only one.
    fn owner(&self) -> Option<Value> {
        None
    }

    /// The digest of a table's replica here, per partition and index, as JSON. Equal digests mean equal replicas.
    fn digest(&self, table: &str) -> impl Future<Output = Result<Value, AdminError>> + Send;

    /// Conflicts of a table behind one of them, as JSON: at most `limit`, and no more than a page has.
    fn conflicts(
        &self,
        table: &str,
        after: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Value, AdminError>> + Send;

    /// One conflict of a table, as JSON.
    fn conflict(&self, table: &str, id: &str) -> impl Future<Output = Result<Value, AdminError>> + Send;

    /// What verifications have shown of a table, or of all, as JSON.
    fn verify_report(&self, table: Option<&str>) -> Result<Value, AdminError>;

    /// What was counted of a table, or of a global index, in the last minutes, as JSON; of no table, where anything is counted.
    fn insights(&self, table: Option<&str>, index: Option<&str>, minutes: Option<u64>) -> Result<Value, AdminError>;

    /// Has a table, or all of them, verified now.
    fn verify_now(&self, table: Option<&str>) -> Result<Value, AdminError>;

    /// Takes a region that is lost for good out of every table; gives their names, as JSON.
    fn forget_region(&self, region: &str) -> impl Future<Output = Result<Value, AdminError>> + Send;

    /// What the port serves besides, when it is known where clients connect to.
    fn pages(&self, data: SocketAddr) -> Router {
        let _ = data;
        Router::new()
    }
}

/// Why an answer about a table cannot be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdminError {
    /// No such table here.
    #[error("no table '{0}' here")]
    NoSuchTable(String),
    /// No such conflict here.
    #[error("no conflict '{0}' here")]
    NoSuchConflict(String),
    /// It is not done.
    #[error("{0}")]
    Refused(String),
    /// It could not be worked out.
    #[error("{0}")]
    Failed(String),
}

/// An admin port that does not serve yet.
#[derive(Debug)]
pub struct AdminPort {
    listener: TcpListener,
    router: Router,
}

impl AdminPort {
    /// The port of a process whose data port is at `data`.
    pub fn new<A: Admin>(
        listener: TcpListener,
        data: SocketAddr,
        admin: A,
        registry: MetricsRegistry,
        requests: Arc<RequestMetrics>,
        guard: Guard,
    ) -> Self {
        let pages = admin.pages(data);
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz::<A>))
            .route("/owner", get(owner::<A>))
            .route("/metrics", get(metrics::<A>))
            .route("/latency", get(latency::<A>))
            .route("/slow-requests", get(slow_requests::<A>))
            .route("/digest", get(digest::<A>))
            .route("/conflicts", get(conflicts::<A>))
            .route("/conflicts/{id}", get(conflict::<A>))
            .route("/regions/{name}/forget", post(forget_region::<A>))
            .route("/verify", get(verify_report::<A>).post(verify_now::<A>))
            .route("/insights", get(insights::<A>))
            .with_state(Arc::new(Shared {
                admin,
                registry,
                requests,
            }))
            .merge(pages)
            .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check));
        Self { listener, router }
    }

    /// Serves until `shutdown` returns, then until the requests under way are answered.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        axum::serve(
            self.listener,
            self.router.into_make_service_with_connect_info::<SocketAddr>(),
        )
        .with_graceful_shutdown(shutdown)
        .await
    }
}

struct Shared<A> {
    admin: A,
    registry: MetricsRegistry,
    requests: Arc<RequestMetrics>,
}

async fn readyz<A: Admin>(State(shared): State<Arc<Shared<A>>>) -> Response {
    match shared.admin.readiness() {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn owner<A: Admin>(State(shared): State<Arc<Shared<A>>>) -> Response {
    match shared.admin.owner() {
        Some(owner) => Json(owner).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn metrics<A: Admin>(State(shared): State<Arc<Shared<A>>>, headers: HeaderMap) -> Response {
    let written = if protobuf::is_asked_for(&headers) {
        let gathered = shared.registry.gather();
        gathered.map(|all| ([(header::CONTENT_TYPE, protobuf::CONTENT_TYPE)], protobuf::encode(&all)).into_response())
    } else {
        let text = shared.registry.encode();
        text.map(|text| ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
    };
    written.unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response())
}

async fn latency<A: Admin>(State(shared): State<Arc<Shared<A>>>) -> Json<Value> {
    let mut operations = Map::new();
    for (operation, outcome, summary) in shared.requests.summaries() {
        let outcomes = operations.entry(operation).or_insert_with(|| json!({}));
        outcomes[outcome.name()] = json!(summary);
    }
    Json(Value::Object(operations))
}

async fn slow_requests<A: Admin>(State(shared): State<Arc<Shared<A>>>) -> Json<Value> {
    Json(json!({ "requests": shared.requests.last_slow() }))
}

#[derive(Deserialize)]
struct TableQuery {
    table: String,
}

#[derive(Deserialize)]
struct TablesQuery {
    table: Option<String>,
}

#[derive(Deserialize)]
struct InsightsQuery {
    table: Option<String>,
    index: Option<String>,
    minutes: Option<u64>,
}

#[derive(Deserialize)]
struct ConflictsQuery {
    table: String,
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

async fn digest<A: Admin>(State(shared): State<Arc<Shared<A>>>, Query(query): Query<TableQuery>) -> Response {
    answer(shared.admin.digest(&query.table).await)
}

async fn conflicts<A: Admin>(State(shared): State<Arc<Shared<A>>>, Query(query): Query<ConflictsQuery>) -> Response {
    let limit = query.limit.unwrap_or(usize::MAX);
    answer(shared.admin.conflicts(&query.table, &query.after, limit).await)
}

async fn conflict<A: Admin>(
    State(shared): State<Arc<Shared<A>>>,
    Path(id): Path<String>,
    Query(query): Query<TableQuery>,
) -> Response {
    answer(shared.admin.conflict(&query.table, &id).await)
}

async fn verify_report<A: Admin>(State(shared): State<Arc<Shared<A>>>, Query(query): Query<TablesQuery>) -> Response {
    answer(shared.admin.verify_report(query.table.as_deref()))
}

async fn insights<A: Admin>(State(shared): State<Arc<Shared<A>>>, Query(query): Query<InsightsQuery>) -> Response {
    let (table, index) = (query.table.as_deref(), query.index.as_deref());
    answer(shared.admin.insights(table, index, query.minutes))
}

async fn verify_now<A: Admin>(State(shared): State<Arc<Shared<A>>>, Query(query): Query<TablesQuery>) -> Response {
    answer(shared.admin.verify_now(query.table.as_deref()))
}

async fn forget_region<A: Admin>(State(shared): State<Arc<Shared<A>>>, Path(name): Path<String>) -> Response {
    answer(shared.admin.forget_region(&name).await)
}

fn answer(found: Result<Value, AdminError>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(error) => {
            let status = match error {
                AdminError::NoSuchTable(_) | AdminError::NoSuchConflict(_) => StatusCode::NOT_FOUND,
                AdminError::Refused(_) => StatusCode::CONFLICT,
                AdminError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, Json(json!({ "error": error.to_string() }))).into_response()
        }
    }
}
