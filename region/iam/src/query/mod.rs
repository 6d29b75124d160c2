//! AWS's Query protocol: calls as forms, answers as XML.
//!
//! What each operation takes and gives is generated data ([`shape`]); [`form`] and [`read`] make a [`Value`] of a call's
//! form, [`xml`] makes an answer of one.
//!
//! Specification: <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>.

pub(crate) mod error;
pub(crate) mod form;
pub(crate) mod read;
pub(crate) mod shape;
pub(crate) mod value;
pub(crate) mod xml;

#[cfg(test)]
mod tests;
