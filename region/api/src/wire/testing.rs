//! What tests of the wire forms share.

use super::{Structure, checked, encode};
use crate::{errors::ApiError, generated::Operation};

/// A valid request or reply.
pub(crate) struct Sample {
    /// The shape, and which members are there.
    pub(crate) what: &'static str,
    pub(crate) operation: Operation,
    /// Whether it is a request.
    pub(crate) input: bool,
    /// Decodes, checks and encodes.
    pub(crate) round_trip: fn(&[u8]) -> Result<Vec<u8>, ApiError>,
    pub(crate) json: &'static str,
}

/// Decodes a text as a shape, checks it and encodes it again.
pub(crate) fn round_trip<T: Structure>(json: &[u8]) -> Result<Vec<u8>, ApiError> {
    checked::<T>(json).map(|value| encode(&value))
}
