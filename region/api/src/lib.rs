//! DynamoDB's API: the wire shapes, their validation, the operations, the error texts.

pub mod errors;
pub mod generated;
mod wire;
