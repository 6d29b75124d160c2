//! Where the keys of web identity providers come from.

use std::{future::Future, pin::Pin, sync::Arc};

use super::jwt::JwkSet;

/// Why there are no keys.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityKeyError {
    /// Nobody told where this provider's keys are.
    #[error("no keys are configured for {0}")]
    Unknown(String),
    /// They cannot be had, or are none.
    #[error("{0}")]
    Unavailable(String),
}

/// A future that gives keys.
pub type KeysFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<JwkSet>, IdentityKeyError>> + Send + 'a>>;

/// Where the keys of web identity providers come from: files, or the network.
pub trait IdentityKeys: Send + Sync + 'static {
    /// The keys of a provider, by its URL without `https://`. `key_id` is the key that is wanted: one that is not among those
    /// that are known is worth looking for again.
    fn keys<'a>(&'a self, provider: &'a str, key_id: Option<&'a str>) -> KeysFuture<'a>;
}

/// No provider's keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIdentityKeys;

impl IdentityKeys for NoIdentityKeys {
    fn keys<'a>(&'a self, provider: &'a str, _: Option<&'a str>) -> KeysFuture<'a> {
        Box::pin(async move { Err(IdentityKeyError::Unknown(provider.to_owned())) })
    }
}
