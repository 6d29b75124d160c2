//! The port of a region that several nodes serve: one takes requests in that others pass on, or passes its own on.
//!
//! The way between two nodes is TLS with the certificates that links between regions have ([`Door`]), so both ends know that the
//! other is a node of this region; who takes a request in is told where its client is ([`forwarded`]), for conditions of policies
//! ask for that.

mod door;
mod eligible;
pub mod forwarded;

use std::{fmt, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, request::Parts};
use http_body_util::Full;

pub use self::{
    door::{Door, DoorError, Files, Forward},
    eligible::may_be_stale,
};
use crate::Remote;

/// Who answers what this node does not.
pub trait PassOn: Send + Sync + fmt::Debug {
    /// Lets the owner answer. `is_read` says that it may be asked twice.
    ///
    /// # Errors
    /// If there is no owner, or it is not known what it did.
    fn pass_on<'a>(&'a self, head: &'a Parts, body: &'a Bytes, remote: Remote, is_read: bool) -> Passed<'a>;

    /// Counts a request that was answered, by `node` or by `owner`.
    fn answered_by(&self, who: &'static str);
}

/// What comes of passing a request on.
pub type Passed<'a> = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, NotPassed>> + Send + 'a>>;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPassed {
    /// No node wrote the region's log for as long as a request waits. Nothing of it was done.
    NoOwner,
    /// The owner was lost before it answered, or its answer was. It may have been done.
    Unknown,
}
