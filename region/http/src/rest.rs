//! Calls by the REST APIs of Lambda and of AWS Backup, on the port that clients of DynamoDB have.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use geodynamo_storage::Unfinished;
use http::{Response, StatusCode, request::Parts};
use http_body_util::Full;
use tracing::Instrument;

use super::{
    answer,
    connection::Remote,
    request_id,
    service::{Port, origin, panic_text},
};
use crate::{
    Outcome,
    handler::{Handler, RestCall, RestReply},
    traces,
};

impl<H: Handler> Port<H> {
    /// Answers a call by the REST API of `service`. `keep` is kept until it is answered, also if the client is gone.
    pub(super) async fn answer_rest<K: Send + 'static>(
        self: &Arc<Self>,
        service: &'static str,
        head: &Parts,
        body: Bytes,
        (remote, keep): (Remote, K),
    ) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let verified = match self.verify(service, head, &body, remote) {
            Ok(verified) => verified,
            Err(error) => {
                self.metrics.refused(error.code().name());
                let refusal = RestReply::unauthenticated(error.code(), &error.to_string());
                return answer::rest(refusal, request_id::next());
            }
        };
        let origin = origin(head, remote, verified);
        let request_id = origin.request_id.clone();
        let call = RestCall {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body,
        };
        let port = Arc::clone(self);
        let span = traces::request(service, &head.headers);
        let trace = traces::id_of(&span);
        let answering = async move {
            let _keep = keep;
            port.handler.rest(origin, call).await
        };
        let id = request_id.to_str().unwrap_or_default();
        let reply = match Unfinished::new(answering.instrument(span)).await {
            Ok(reply) => reply,
            Err(panic) => {
                self.metrics.panicked();
                let panic = panic_text(&*panic);
                tracing::error!(request_id = id, service, panic, "a request's handler panicked");
                RestReply::refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "ServiceException",
                    "The request cannot be processed.",
                )
            }
        };
        if let Some(fault) = &reply.fault {
            tracing::error!(request_id = id, service, fault = &**fault, "a request failed");
        }
        if let Some(operation) = reply.operation {
            self.metrics
                .answered(operation, Outcome::of(reply.status), start.elapsed(), trace);
        }
        answer::rest(reply, request_id)
    }
}
