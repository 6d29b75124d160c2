//! What a region asks of other services: HTTP(S) calls, signed where they want that.
//!
//! A [`Client`] keeps connections and bounds what it waits for and reads; an [`Endpoint`] is a service's address with the key
//! to sign for it.

mod client;
mod endpoint;

pub use crate::{
    client::{Answer, CallError, Client, ClientError},
    endpoint::{Call, Credentials, Endpoint, EndpointError, encode_segment},
};
