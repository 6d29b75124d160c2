//! From a request to its answer.

use std::{
    any::Any,
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use geodynamo_access::{AccessError, RefusedBySource, Request as SignedRequest, Verified, Verifier};
use geodynamo_storage::{
    Unfinished,
    effort::{self, Effort},
};
use http::{HeaderValue, Method, Request, Response, Version, header, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument, Span};

use super::{
    answer::{self, Refusal},
    body::{self, BodyError, BodyLimits, Budget, Held},
    coding::{self, CodingError},
    connection::Remote,
    query, request_id,
    slow::{Ended, SlowRequests},
    watch::{RequestGuard, Watch},
};
use crate::{
    Limits, Outcome, RequestMetrics,
    handler::{Handler, Origin, Reply},
    nodes::PassOn,
    session::Asked,
    traces,
};

/// The header that names the operation.
pub(super) const TARGET: &str = "x-amz-target";

/// The longest request line and headers, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of a header beside its name and value: a colon, a blank, the end of the line.
const HEADER_FRAME_BYTES: usize = 4;

/// What all connections of a port share.
#[derive(Debug)]
pub(crate) struct Port<H> {
    pub(crate) handler: H,
    pub(crate) verifier: Verifier,
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Arc<RequestMetrics>,
    pub(super) slow: SlowRequests,
    pub(crate) refused: RefusedBySource,
    /// What `GET /` answers.
    pub(crate) health: Bytes,
    /// Where requests go on to that the handler does not answer, while this node stands by.
    pub(crate) passing: Option<Arc<dyn PassOn>>,
}

impl<H: Handler> Port<H> {
    /// Answers one request. `watch` and `permit` are its connection's.
    pub(crate) fn answer(
        self: &Arc<Self>,
        watch: &Arc<Watch>,
        permit: &Arc<OwnedSemaphorePermit>,
        remote: Remote,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + use<H> {
        let (port, permit) = (Arc::clone(self), Arc::clone(permit));
        let remote = remote.of(request.headers());
        let is_stream = request.version() == Version::HTTP_2;
        let from_browser = request.headers().contains_key(header::ORIGIN);
        let mut guard = watch.request(is_stream);
        async move {
            let mut response = match port.try_answer(request, is_stream, remote, permit, &mut guard).await {
                Ok(response) => response,
                Err(refusal) => {
                    port.metrics.refused(refusal.reason());
                    let response = answer::refusal(&refusal);
                    if let Refusal::Internal { operation, panic } = &refusal {
                        let request_id = answer::id(&response);
                        tracing::error!(request_id, operation, panic, "a request's handler panicked");
                    }
                    response
                }
            };
            if from_browser {
                answer::allow_any_origin(&mut response);
            }
            Ok(response)
        }
    }

    async fn try_answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        is_stream: bool,
        remote: Remote,
        permit: Arc<OwnedSemaphorePermit>,
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
        if head_bytes(&head) > HEAD_BYTES_MAX {
            return Err(Refusal::HeadersTooLarge);
        }
        if let Some(passing) = &self.passing {
            // It is large, and no request of a region on one node has it.
            let answering = self.read_or_pass_on(&**passing, (head, body), remote, (held, permit));
            return Box::pin(answering).await;
        }
        let rest_service = self.handler.rest_service(head.uri.path());
        if let Some(service) = rest_service
            && head.method != Method::OPTIONS
        {
            let keep = (held, permit);
            return Ok(self.answer_rest(service, &head, body, (remote, keep)).await);
        }
        // A browser asks before a call by a REST API, too.
        if rest_service.is_none() && head.uri.path() != "/" {
            return Err(Refusal::UnknownPath);
        }
        // Of an answer to HEAD, hyper sends the headers.
        if matches!(head.method, Method::GET | Method::HEAD) && !head.headers.contains_key(TARGET) {
            return Ok(answer::healthy(self.health.clone()));
        }
        if head.method == Method::OPTIONS {
            return Ok(answer::preflight(&head.headers));
        }
        if head.method != Method::POST {
            return Err(Refusal::UnknownMethod);
        }
        if query::is_query(&head.headers) {
            return Ok(self.answer_query(&head, body, remote, (held, permit)).await);
        }
        let start = Instant::now();
        let target = head.headers.get(TARGET).ok_or(Refusal::UnknownOperation)?;
        let operation = target
            .to_str()
            .ok()
            .and_then(|target| self.handler.operation(target))
            .ok_or(Refusal::UnknownOperation)?;
        let name = self.handler.operations().get(operation).copied().unwrap_or_default();
        let accepted = coding::accepted(&head.headers);
        let mut trace = None;
        let answering = async {
            let service = self.handler.service(target.to_str().unwrap_or_default());
            let verified = self.verify(service, &head, &body, remote).map_err(Refusal::Access)?;
            // Who may not call has no trace.
            let span = traces::request(name, &head.headers);
            trace = traces::id_of(&span);
            let origin = origin(&head, remote, verified);
            let request_id = origin.request_id.clone();
            let call = Call {
                origin,
                target: target.clone(),
                name,
                span,
                body: self.decompressed(&head, body, &mut held).await?,
            };
            let (mut reply, effort) = self.call(call, (held, permit)).await?;
            let took = start.elapsed();
            if self.slow.is_slow(took) {
                let ended = Ended {
                    operation: name,
                    request_id: request_id.to_str().unwrap_or_default(),
                    status: reply.status,
                    took,
                    effort,
                };
                self.metrics.was_slow(&ended);
                self.slow.tell(ended);
            }
            let fault = reply.fault.take();
            let response = answer::reply(reply, request_id, accepted).await;
            if let Some(fault) = fault {
                let request_id = answer::id(&response);
                tracing::error!(request_id, operation = name, fault = &*fault, "a request failed");
            }
            Ok(response)
        };
        let result = answering.await;
        let outcome = match &result {
            Ok(response) => Outcome::of(response.status()),
            Err(Refusal::Internal { .. }) => Outcome::ServerError,
            Err(_) => Outcome::ClientError,
        };
        self.metrics.answered(operation, outcome, start.elapsed(), trace);
        result
    }

    /// The body as it was before the client compressed it. It was signed as it came.
    pub(super) async fn decompressed(&self, head: &Parts, body: Bytes, held: &mut Held) -> Result<Bytes, Refusal> {
        let coding = coding::of_request(&head.headers).map_err(|_| Refusal::Malformed)?;
        let Some(coding) = coding else { return Ok(body) };
        let decompressing = coding::decompress(&body, coding, self.limits.request_bytes_max, held);
        // Requests that wait for one another's memory do not do so for ever.
        match tokio::time::timeout(self.limits.body_timeout, decompressing).await {
            // An empty body makes no request, however it came.
            Ok(Ok(body)) if body.is_empty() => Err(Refusal::Malformed),
            Ok(Ok(body)) => Ok(body),
            Ok(Err(CodingError::Malformed)) => Err(Refusal::Malformed),
            Ok(Err(CodingError::TooLarge)) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::Late),
        }
    }

    pub(super) fn verify(
        &self,
        service: &'static str,
        head: &Parts,
        body: &[u8],
        remote: Remote,
    ) -> Result<Verified, AccessError> {
        let verified = self.verified(service, head, body);
        verified.map_err(|error| match remote.source_ip {
            Some(source) if !self.refused.admit(source, Instant::now()) => AccessError::TooManyRefused,
            _ => error,
        })
    }

    /// The same, of which nobody is told.
    pub(super) fn verified(&self, service: &'static str, head: &Parts, body: &[u8]) -> Result<Verified, AccessError> {
        let signed = SignedRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query(),
            authority: head.uri.authority().map(http::uri::Authority::as_str),
            headers: &head.headers,
            body,
        };
        self.verifier.verify_for(service, &signed, now_unix_s())
    }

    /// Lets the handler answer, to the end even if the client is gone, and gives what it waited for. `keep` is kept until then.
    pub(super) async fn call<K: Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        keep: K,
    ) -> Result<(Reply, Effort), Refusal> {
        let (operation, span) = (call.name, call.span);
        let port = Arc::clone(self);
        let answering = async move {
            let _keep = keep;
            // It was a str before.
            let target = call.target.to_str().unwrap_or_default();
            // Pinned where it is: it is large, and would be moved from scope to scope.
            let calling = pin!(port.handler.call(call.origin, target, call.body));
            effort::measuring(calling).await
        };
        Unfinished::new(answering.instrument(span)).await.map_err(|panic| {
            self.metrics.panicked();
            let panic = panic_text(&*panic).to_owned();
            Refusal::Internal { operation, panic }
        })
    }
}

/// A verified request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) origin: Origin,
    pub(super) target: HeaderValue,
    /// The operation's name.
    pub(super) name: &'static str,
    /// Its span, if it is traced.
    pub(super) span: Span,
    pub(super) body: Bytes,
}

/// How long a request's head is, about.
fn head_bytes(head: &Parts) -> usize {
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER_FRAME_BYTES);
    head.uri.path().len() + head.uri.query().map_or(0, str::len) + headers.sum::<usize>()
}

/// Whose a request is and how it came. In the mode that lets everything through, what would have refused it is told.
pub(super) fn origin(head: &Parts, remote: Remote, verified: Verified) -> Origin {
    let request_id = request_id::next();
    if let Some(refusal) = verified.refusal {
        let request_id = request_id.to_str().unwrap_or_default();
        let access_key_id = &*verified.principal.access_key_id;
        tracing::warn!(%refusal, request_id, access_key_id, "would be refused");
    }
    Origin {
        principal: verified.principal,
        request_id,
        source_ip: remote.source_ip,
        secure_transport: remote.secure_transport,
        user_agent: head.headers.get(header::USER_AGENT).cloned(),
        referer: head.headers.get(header::REFERER).cloned(),
        session: Asked::of(&head.headers),
    }
}

/// The region's clock, in whole seconds since 1970; 0 before then.
fn now_unix_s() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
