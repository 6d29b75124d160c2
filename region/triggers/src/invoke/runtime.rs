//! Lambda's Runtime API, for one program: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::{ANSWER_BYTES_MAX, Failure, Outcome, error_in};

const PREFIX: &str = "/2018-06-01/runtime/";
/// The most connections of one program. It needs one.
const CONNECTIONS_MAX: usize = 8;

/// An invocation on its way to the program.
pub(super) struct Job {
    pub(super) request_id: String,
    pub(super) event: Bytes,
    pub(super) timeout: Duration,
    pub(super) outcome: oneshot::Sender<Outcome>,
}

/// The Runtime API's server of one program.
pub(super) struct RuntimeApi {
    address: SocketAddr,
    jobs: mpsc::Sender<Job>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    jobs: tokio::sync::Mutex<mpsc::Receiver<Job>>,
    /// By request id: at most one, unless the program asks for more before it has answered.
    running: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    arn: String,
}

impl RuntimeApi {
    /// Listens, on this machine only.
    pub(super) async fn start(arn: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (jobs, waiting) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            jobs: tokio::sync::Mutex::new(waiting),
            running: Mutex::default(),
            arn: arn.to_owned(),
        });
        let serving = tokio::spawn(serve(listener, shared));
        Ok(Self { address, jobs, serving })
    }

    /// What the program's `AWS_LAMBDA_RUNTIME_API` is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands over an invocation; it is taken when the program asks for one.
    pub(super) async fn hand_over(&self, job: Job) -> bool {
        self.jobs.send(job).await.is_ok()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let _permit = permit;
            let answer = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, request).await) }
            });
            // A program that goes away breaks its connection off.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), answer)
                .await;
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix(PREFIX) else {
        return reply(StatusCode::NOT_FOUND, "{}");
    };
    let parts: Vec<&str> = rest.split('/').collect();
    match (request.method(), &parts[..]) {
        (&Method::GET, ["invocation", "next"]) => next(shared).await,
        (&Method::POST, ["invocation", id, "response"]) => {
            let id = (*id).to_owned();
            match body(request).await {
                Ok(body) => {
                    let outcome = match error_in(&body) {
                        // Some runtimes tell of errors as of answers.
                        Some(told) => Outcome::Failed(Failure::unhandled(told)),
                        None => Outcome::Answered(body),
                    };
                    finish(shared, &id, outcome)
                }
                Err(()) => {
                    let failure = Failure::unhandled("the response exceeds the maximum size");
                    finish(shared, &id, Outcome::Failed(failure));
                    reply(StatusCode::PAYLOAD_TOO_LARGE, r#"{"errorType":"RequestTooLarge"}"#)
                }
            }
        }
        (&Method::POST, ["invocation", id, "error"]) => {
            let id = (*id).to_owned();
            let told = match body(request).await {
                Ok(body) => error_in(&body).unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()),
                Err(()) => "an error too long to read".into(),
            };
            finish(shared, &id, Outcome::Failed(Failure::unhandled(told)))
        }
        (&Method::POST, ["init", "error"]) => {
            if let Ok(body) = body(request).await {
                let told = error_in(&body).unwrap_or_default();
                tracing::warn!(function = shared.arn, told, "a function's program could not begin");
            }
            reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
        }
        _ => reply(StatusCode::NOT_FOUND, "{}"),
    }
}

/// Waits for an invocation. If the program's connection breaks meanwhile, none is lost.
async fn next(shared: &Shared) -> Response<Full<Bytes>> {
    let job = shared.jobs.lock().await.recv().await;
    let Some(job) = job else {
        return reply(StatusCode::GONE, "{}");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline_ms = (now + job.timeout).as_millis().to_string();
    shared.running.lock().insert(job.request_id.clone(), job.outcome);
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", job.request_id)
        .header("lambda-runtime-deadline-ms", deadline_ms)
        .header("lambda-runtime-invoked-function-arn", shared.arn.as_str())
        .header(
            "lambda-runtime-trace-id",
            "Root=1-00000000-000000000000000000000000;Sampled=0",
        )
        .body(Full::new(job.event));
    // A name with a blank is no name of a function.
    response.unwrap_or_else(|_| reply(StatusCode::INTERNAL_SERVER_ERROR, "{}"))
}

fn finish(shared: &Shared, id: &str, outcome: Outcome) -> Response<Full<Bytes>> {
    match shared.running.lock().remove(id) {
        Some(waiting) => {
            // Nobody waits any more: it came too late.
            let _ = waiting.send(outcome);
            reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
        }
        None => reply(
            StatusCode::BAD_REQUEST,
            r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#,
        ),
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, ()> {
    let body = Limited::new(request.into_body(), ANSWER_BYTES_MAX).collect().await;
    body.map(|body| body.to_bytes()).map_err(|_| ())
}

fn reply(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
