//! Lambda's REST API: from a path, a query and a body to checked parameters.

pub(crate) mod error;
pub(crate) mod read;
pub(crate) mod shape;
