//! The data port of a node that stands by: it answers what it may read itself, and passes everything else on.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use geodynamo_access::SERVICE;
use geodynamo_api::Operation;
use http::{HeaderValue, Method, Response, request::Parts};
use http_body_util::Full;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    answer::{self, Refusal},
    body::Held,
    coding,
    connection::Remote,
    query,
    service::{Call, Port, TARGET, origin},
};
use crate::{
    Outcome,
    handler::Handler,
    nodes::{NotPassed, PassOn, may_be_stale},
    session::{Asked, is_read},
    traces,
};

impl<H: Handler> Port<H> {
    /// Answers a request that has come whole. What the handler does not answer with success, or is not to be asked, the owner
    /// answers.
    pub(super) async fn read_or_pass_on(
        self: &Arc<Self>,
        passing: &dyn PassOn,
        (head, body): (Parts, Bytes),
        remote: Remote,
        (mut held, permit): (Held, Arc<OwnedSemaphorePermit>),
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let operation = operation_of(&head);
        // Of a body that cannot be decompressed the owner tells.
        let plain = self.decompressed(&head, body.clone(), &mut held).await.ok();
        if let (Some(operation), Some(plain)) = (operation, &plain)
            && Asked::of(&head.headers).is_none()
            && may_be_stale(operation, plain)
            && let Some(response) = self.read(&head, &body, plain, remote, &permit).await
        {
            passing.answered_by("node");
            return Ok(response);
        }
        passing.answered_by("owner");
        let may_ask_twice = plain.is_some_and(|plain| is_read(operation, &plain));
        let answered = passing.pass_on(&head, &body, remote, may_ask_twice).await;
        answered.map_err(|error| match error {
            NotPassed::NoOwner => Refusal::NoOwner,
            NotPassed::Unknown => Refusal::OwnerLost,
        })
    }

    /// The handler's answer to a read, if that is one.
    async fn read(
        self: &Arc<Self>,
        head: &Parts,
        signed: &[u8],
        body: &Bytes,
        remote: Remote,
        permit: &Arc<OwnedSemaphorePermit>,
    ) -> Option<Response<Full<Bytes>>> {
        let start = Instant::now();
        let target = head.headers.get(TARGET)?;
        let operation = target.to_str().ok().and_then(|target| self.handler.operation(target))?;
        let name = self.handler.operations().get(operation).copied()?;
        let verified = self.verified(SERVICE, head, signed).ok()?;
        let span = traces::request(name, &head.headers);
        let trace = traces::id_of(&span);
        let origin = origin(head, remote, verified);
        let request_id: HeaderValue = origin.request_id.clone();
        let call = Call {
            origin,
            target: target.clone(),
            name,
            span,
            body: body.clone(),
        };
        let (reply, _) = self.call(call, Arc::clone(permit)).await.ok()?;
        if !reply.status.is_success() {
            return None;
        }
        let response = answer::reply(reply, request_id, coding::accepted(&head.headers)).await;
        self.metrics
            .answered(operation, Outcome::of(response.status()), start.elapsed(), trace);
        Some(response)
    }
}

/// Which operation of DynamoDB's a request names.
fn operation_of(head: &Parts) -> Option<Operation> {
    let is_call = head.method == Method::POST && head.uri.path() == "/" && !query::is_query(&head.headers);
    let target = head.headers.get(TARGET).filter(|_| is_call)?;
    Operation::from_target(target.to_str().ok()?)
}
