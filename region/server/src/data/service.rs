//! From a request to its answer.

use std::{
    any::Any,
    convert::Infallible,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use geodynamo_access::{Request as SignedRequest, Verifier};
use http::{Method, Request, Response, Version, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;
use tracing::Instrument;

use super::{
    answer::{self, Refusal},
    body::{self, BodyError, BodyLimits, Budget},
    watch::{RequestGuard, Watch},
};
use crate::{
    data::Limits,
    handler::{Handler, Reply},
    metrics::{Outcome, RequestMetrics},
};

/// What all connections of a port share.
#[derive(Debug)]
pub(crate) struct Port<H> {
    pub(crate) handler: H,
    pub(crate) verifier: Verifier,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) metrics: Arc<RequestMetrics>,
    /// What `GET /` answers.
    pub(crate) health: Bytes,
}

impl<H: Handler> Port<H> {
    /// Answers one request. `watch` is its connection's.
    pub(crate) fn answer(
        self: &Arc<Self>,
        watch: &Arc<Watch>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + use<H> {
        let port = Arc::clone(self);
        let is_stream = request.version() == Version::HTTP_2;
        let mut guard = watch.request(is_stream);
        async move {
            Ok(match port.try_answer(request, is_stream, &mut guard).await {
                Ok(response) => response,
                Err(refusal) => {
                    port.metrics.refused(refusal.reason());
                    answer::refusal(&refusal)
                }
            })
        }
    }

    async fn try_answer(
        &self,
        request: Request<Incoming>,
        is_stream: bool,
        guard: &mut RequestGuard,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (head, body) = request.into_parts();
        let limits = BodyLimits {
            bytes_max: self.limits.request_bytes_max,
            stream_timeout: is_stream.then_some(self.limits.body_timeout),
        };
        let mut held = self.budget.hold();
        let body = body::collect(body, limits, &mut held, guard)
            .await
            .map_err(|error| match error {
                BodyError::TooLarge => Refusal::TooLarge,
                BodyError::Late => Refusal::Late,
                BodyError::Broken => Refusal::Broken,
            })?;
        if head.uri.path() != "/" {
            return Err(Refusal::UnknownPath);
        }
        if head.method == Method::GET && !head.headers.contains_key("x-amz-target") {
            return Ok(answer::healthy(self.health.clone()));
        }
        if head.method != Method::POST {
            return Err(Refusal::UnknownMethod);
        }
        let start = Instant::now();
        let target = head
            .headers
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let operation = self.handler.operation(target).ok_or(Refusal::UnknownOperation)?;
        let result = self.call(&head, target, operation, body).await;
        let outcome = match &result {
            Ok(reply) => Outcome::of(reply.status),
            Err(Refusal::Internal) => Outcome::ServerError,
            Err(_) => Outcome::ClientError,
        };
        self.metrics.answered(operation, outcome, start.elapsed());
        result.map(answer::reply)
    }

    async fn call(&self, head: &Parts, target: &str, operation: usize, body: Bytes) -> Result<Reply, Refusal> {
        let signed = SignedRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query(),
            authority: head.uri.authority().map(http::uri::Authority::as_str),
            headers: &head.headers,
            body: &body,
        };
        let principal = self.verifier.verify(&signed, now_unix_s()).map_err(Refusal::Access)?;
        // Below the level that logs have by default, so it costs a comparison unless traces are exported.
        let name = self.handler.operations().get(operation).copied().unwrap_or_default();
        let span = tracing::debug_span!(
            "request",
            otel.name = name,
            otel.kind = "server",
            rpc.system = "aws-api"
        );
        without_panic(self.handler.call(principal, target, body).instrument(span))
            .await
            .map_err(|panic| {
                self.metrics.panicked();
                tracing::error!(
                    operation = name,
                    panic = panic_text(&*panic),
                    "a request's handler panicked"
                );
                Refusal::Internal
            })
    }
}

/// The region's clock, in whole seconds since 1970; 0 before then.
fn now_unix_s() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Runs a future and catches its panic. It is dropped with the future's state, which nothing else sees: so it is safe to
/// go on, as far as the handler's shared state survives a panic (parking_lot's locks are not poisoned).
async fn without_panic<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(
        move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
