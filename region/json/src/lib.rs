//! JSON as DynamoDB's protocol needs it: a strict pull [`Reader`] for decoders, a [`Writer`] that appends to a byte vector,
//! and base64. Neither builds a document tree; neither allocates for a string that has no escapes. No I/O.

mod base64;
mod error;
mod reader;
mod scan;
mod writer;

pub use base64::{Base64Error, decode_base64, encode_base64};
pub use error::{JsonError, Kind};
pub use reader::{MAX_DEPTH, Reader};
pub use writer::Writer;
