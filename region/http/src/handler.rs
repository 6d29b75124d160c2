//! What the data port asks of the services behind it.

use std::{future::Future, net::IpAddr, sync::Arc};

use bytes::Bytes;
use geodynamo_access::{ErrorCode, Principal, SERVICE};
use geodynamo_iam::ServiceName;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::session::{Asked, Token};

/// Answers calls. The data port has checked the signature, the size and that the target names an operation; everything
/// else about the body is the handler's.
pub trait Handler: Send + Sync + 'static {
    /// The operations' names, as metrics call them: DynamoDB's first, then those of IAM and STS, Lambda's,
    /// Application Auto Scaling's, and AWS Backup's. Always the same ones.
    fn operations(&self) -> &'static [&'static str];

    /// Which of [`Handler::operations`] an `X-Amz-Target` header names; `None` if it names none.
    fn operation(&self, target: &str) -> Option<usize>;

    /// The service that an `X-Amz-Target` header is for, as credential scopes name it.
    fn service(&self, target: &str) -> &'static str {
        let _ = target;
        SERVICE
    }

    /// The service whose REST API a path is of, as credential scopes name it; `None` if it is of none.
    fn rest_service(&self, path: &str) -> Option<&'static str> {
        let _ = path;
        None
    }

    /// Answers one call to DynamoDB, or to Application Auto Scaling. A panic in here is answered with DynamoDB's internal server error, and the process goes
    /// on.
    fn call(&self, origin: Origin, target: &str, body: Bytes) -> impl Future<Output = Reply> + Send;

    /// Answers one call to IAM or STS, by the Query protocol.
    fn query(&self, origin: Origin, service: ServiceName, body: Bytes) -> impl Future<Output = QueryReply> + Send {
        let _ = body;
        async move {
            let (status, body) = service.refusal("InvalidAction", "The service is not offered", origin.request_id());
            QueryReply {
                status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
                body: body.into(),
                operation: None,
                fault: None,
            }
        }
    }

    /// Answers one call to Lambda or to AWS Backup, by its REST API.
    fn rest(&self, origin: Origin, call: RestCall) -> impl Future<Output = RestReply> + Send {
        let _ = (origin, call);
        async move {
            RestReply::refusal(
                StatusCode::NOT_FOUND,
                "UnknownOperationException",
                "The service is not offered",
            )
        }
    }
}

impl<H: Handler> Handler for Arc<H> {
    fn operations(&self) -> &'static [&'static str] {
        (**self).operations()
    }

    fn operation(&self, target: &str) -> Option<usize> {
        (**self).operation(target)
    }

    fn service(&self, target: &str) -> &'static str {
        (**self).service(target)
    }

    fn rest_service(&self, path: &str) -> Option<&'static str> {
        (**self).rest_service(path)
    }

    fn call(&self, origin: Origin, target: &str, body: Bytes) -> impl Future<Output = Reply> + Send {
        (**self).call(origin, target, body)
    }

    fn query(&self, origin: Origin, service: ServiceName, body: Bytes) -> impl Future<Output = QueryReply> + Send {
        (**self).query(origin, service, body)
    }

    fn rest(&self, origin: Origin, call: RestCall) -> impl Future<Output = RestReply> + Send {
        (**self).rest(origin, call)
    }
}

/// Whose a call is and how it came.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Whose it is.
    pub principal: Principal,
    /// What the answer's `x-amzn-RequestId` tells.
    pub request_id: HeaderValue,
    /// Where it came from, if the system tells.
    pub source_ip: Option<IpAddr>,
    /// Whether it came over TLS.
    pub secure_transport: bool,
    /// Its `User-Agent` header.
    pub user_agent: Option<HeaderValue>,
    /// Its `Referer` header.
    pub referer: Option<HeaderValue>,
    /// The session that it brings or begins, and how old its answer may be.
    pub session: Option<Box<Asked>>,
}

impl Origin {
    /// The answer's id.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// The client's name for itself.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_ref().and_then(|value| value.to_str().ok())
    }

    /// The page that a browser called from.
    pub fn referer(&self) -> Option<&str> {
        self.referer.as_ref().and_then(|value| value.to_str().ok())
    }
}

/// An answer: a status and a JSON document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// 200, 400 or 500, as the operation has it.
    pub status: StatusCode,
    /// The whole document, not compressed.
    pub body: Bytes,
    /// What went wrong inside, where something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
    /// The session's token, if one was asked for.
    pub session: Option<Token>,
}

/// An answer of IAM or STS: a status and an XML document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueryReply {
    /// As the error has it; 200 if there is none.
    pub status: StatusCode,
    /// The whole document, not compressed.
    pub body: Bytes,
    /// Which of [`Handler::operations`] it was, if it was one.
    pub operation: Option<usize>,
    /// What went wrong inside, where something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
}

/// A call to Lambda or to AWS Backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestCall {
    /// Its method.
    pub method: Method,
    /// As it came, encoded.
    pub path: String,
    /// As it came, without the question mark.
    pub query: String,
    /// Its document.
    pub body: Bytes,
}

/// An answer of either: a status and a JSON document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestReply {
    /// As the operation or the error has it.
    pub status: StatusCode,
    /// The error's name, if it is one.
    pub error: Option<&'static str>,
    /// The whole document; nothing where an operation gives none.
    pub body: Bytes,
    /// Which of [`Handler::operations`] it was, if it was one.
    pub operation: Option<usize>,
    /// What went wrong inside, where something did: for the log, not for the client.
    pub fault: Option<Box<str>>,
}

impl RestReply {
    /// An error, of no operation.
    pub fn refusal(status: StatusCode, error: &'static str, message: &str) -> Self {
        let kind = if status.is_server_error() { "Service" } else { "User" };
        Self {
            status,
            error: Some(error),
            // Some shapes of the models have one, some the other; SDKs read the one that their shape has.
            body: json!({ "Type": kind, "message": message, "Message": message })
                .to_string()
                .into(),
            operation: None,
            fault: None,
        }
    }

    /// Of a caller who may not call.
    pub(crate) fn unauthenticated(code: ErrorCode, message: &str) -> Self {
        let status = match code {
            ErrorCode::IncompleteSignature | ErrorCode::Throttling => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        Self::refusal(status, code.name(), message)
    }
}
