//! What the data port asks of the API behind it.

use std::future::Future;

use bytes::Bytes;
use geodynamo_access::Principal;
use http::StatusCode;

/// Answers calls. The data port has checked the signature, the size and that the target names an operation; everything
/// else about the body is the handler's.
pub trait Handler: Send + Sync + 'static {
    /// The operations' names, as metrics call them. Always the same ones.
    fn operations(&self) -> &'static [&'static str];

    /// Which of [`Handler::operations`] an `X-Amz-Target` header names; `None` if it names none.
    fn operation(&self, target: &str) -> Option<usize>;

    /// Answers one call. A panic in here is answered with DynamoDB's internal server error, and the process goes on.
    fn call(&self, principal: Principal, target: &str, body: Bytes) -> impl Future<Output = Reply> + Send;
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
}
