//! Calls by the Query protocol: IAM and STS on the port that clients of DynamoDB have.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use geodynamo_access::{AccessError, Mode, Principal, Verified};
use geodynamo_iam::{FORM_BYTES_MAX, ServiceName, parameter};
use geodynamo_policy::{Caller, CallerKind};
use geodynamo_storage::Unfinished;
use http::{HeaderMap, Response, StatusCode, header, request::Parts};
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
    handler::{Handler, QueryReply},
    traces,
};

/// What calls have as their content.
const FORM: &str = "application/x-www-form-urlencoded";
/// The one action that needs no signature: a token vouches for its caller.
const UNSIGNED: &str = "AssumeRoleWithWebIdentity";

/// Whether a request is a call by the Query protocol.
pub(super) fn is_query(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM)) && !headers.contains_key("x-amz-target")
}

impl<H: Handler> Port<H> {
    /// Answers a call by the Query protocol. `keep` is kept until it is answered, also if the client is gone.
    pub(super) async fn answer_query<K: Send + 'static>(
        self: &Arc<Self>,
        head: &Parts,
        body: Bytes,
        remote: Remote,
        keep: K,
    ) -> Response<Full<Bytes>> {
        let start = Instant::now();
        // The version says which service is meant; without one that is known, the signature's scope would not fit either.
        let looked_at = &body[..body.len().min(FORM_BYTES_MAX)];
        let version = parameter(looked_at, "Version");
        let service = version.as_deref().and_then(ServiceName::of_version);
        let service = service.unwrap_or(ServiceName::Sts);
        let is_unsigned = self.needs_no_signature(head, service, looked_at);
        let verified = match is_unsigned {
            true => self.nobody(remote),
            false => self.verify(service.scope(), head, &body, remote),
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(error) => return self.refused_query(service, &error),
        };
        let origin = origin(head, remote, verified);
        let request_id = origin.request_id.clone();
        let port = Arc::clone(self);
        let span = traces::request(service.scope(), &head.headers);
        let trace = traces::id_of(&span);
        let answering = async move {
            let _keep = keep;
            port.handler.query(origin, service, body).await
        };
        let id = request_id.to_str().unwrap_or_default();
        let reply = match Unfinished::new(answering.instrument(span)).await {
            Ok(reply) => reply,
            Err(panic) => {
                self.metrics.panicked();
                let panic = panic_text(&*panic);
                tracing::error!(
                    request_id = id,
                    service = service.scope(),
                    panic,
                    "a request's handler panicked"
                );
                let (_, body) = service.refusal("InternalFailure", "The request processing has failed.", id);
                QueryReply {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    body: body.into(),
                    operation: None,
                    fault: None,
                }
            }
        };
        if let Some(fault) = &reply.fault {
            tracing::error!(
                request_id = id,
                service = service.scope(),
                fault = &**fault,
                "a request failed"
            );
        }
        if is_unsigned && reply.status.is_client_error() {
            // It is told this time; the next ones depend on it.
            remote
                .source_ip
                .map(|source| self.refused.admit(source, Instant::now()));
        }
        if let Some(operation) = reply.operation {
            self.metrics
                .answered(operation, Outcome::of(reply.status), start.elapsed(), trace);
        }
        answer::xml(reply.status, request_id, reply.body)
    }

    fn needs_no_signature(&self, head: &Parts, service: ServiceName, body: &[u8]) -> bool {
        self.verifier.mode() != Mode::Any
            && service == ServiceName::Sts
            && !head.headers.contains_key(header::AUTHORIZATION)
            && parameter(body, "Action").is_some_and(|action| action == UNSIGNED)
    }

    /// The answer to a call whose signature is refused.
    fn refused_query(&self, service: ServiceName, error: &AccessError) -> Response<Full<Bytes>> {
        let request_id = request_id::next();
        let id = request_id.to_str().unwrap_or_default();
        let (status, body) = service.refusal(error.code().query_code(), &error.to_string(), id);
        self.metrics.refused(error.code().name());
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        answer::xml(status, request_id, body.into())
    }

    /// Whoever has not signed, unless too many calls from there were refused.
    fn nobody(&self, remote: Remote) -> Result<Verified, AccessError> {
        if let Some(source) = remote.source_ip
            && self.refused.is_spent(source, Instant::now())
        {
            return Err(AccessError::TooManyRefused);
        }
        let account = &self.verifier.anonymous().caller.account;
        let caller = Caller::new(account, "anonymous", CallerKind::Anonymous, "anonymous");
        Ok(Verified {
            principal: Principal {
                access_key_id: "".into(),
                caller: Arc::new(caller),
            },
            refusal: None,
        })
    }
}
