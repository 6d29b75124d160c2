//! Calls by the REST APIs of Lambda and of AWS Backup, on the port that clients of DynamoDB have.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use geodynamo_access::{BACKUP, LAMBDA};
use geodynamo_storage::Unfinished;
use geodynamo_triggers::LambdaError;
use http::{Response, request::Parts};
use http_body_util::Full;
use tracing::Instrument;

use super::{
    answer,
    connection::Remote,
    request_id,
    service::{Port, origin, panic_text},
};
use crate::{
    handler::{Handler, RestCall, RestReply},
    metrics::Outcome,
    telemetry::traces,
};

/// Whether a request is a call by a REST API.
pub(super) fn is_rest(head: &Parts) -> bool {
    service_of(head).is_some()
}

/// Whose path a request has.
fn service_of(head: &Parts) -> Option<&'static str> {
    let path = head.uri.path();
    if geodynamo_backup::is_path(path) {
        Some(BACKUP)
    } else if geodynamo_triggers::is_path(path) {
        Some(LAMBDA)
    } else {
        None
    }
}

impl<H: Handler> Port<H> {
    /// Answers a call by a REST API. `keep` is kept until it is answered, also if the client is gone.
    pub(super) async fn answer_rest<K: Send + 'static>(
        self: &Arc<Self>,
        head: &Parts,
        body: Bytes,
        remote: Remote,
        keep: K,
    ) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let service = service_of(head).unwrap_or(LAMBDA);
        let verified = match self.verify(service, head, &body, remote) {
            Ok(verified) => verified,
            Err(error) => {
                self.metrics.refused(error.code().name());
                let refusal = RestReply::refusal(LambdaError::new(error.code().name(), error.to_string()));
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
                RestReply::refusal(LambdaError::new("ServiceException", "The request cannot be processed."))
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
