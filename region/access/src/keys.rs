//! The access keys that a region knows.

use std::{collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use geodynamo_policy::Caller;

use crate::signing_key::SigningKeyCache;

/// One access key: what a client signs with, and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The public name of the key, as in `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// The secret, as in `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// For temporary keys: the token that must come with each request. Keys without one refuse any token.
    pub session_token: Option<String>,
    /// The account whose root user the key acts as.
    pub account: String,
}

impl fmt::Debug for Credential {
    /// Leaves the secrets out, so that no log ever holds them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("access_key_id", &self.access_key_id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// The known keys. They can be replaced while requests are being verified: a request sees the old set or the new one.
#[derive(Debug)]
pub struct Keys {
    by_id: ArcSwap<HashMap<Box<str>, Arc<KeyEntry>>>,
}

/// A key with what is derived from it. A replaced key takes its derived keys with it.
#[derive(Debug)]
pub(crate) struct KeyEntry {
    pub(crate) access_key_id: Arc<str>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) credential: Credential,
    pub(crate) signing_keys: SigningKeyCache,
}

impl Keys {
    /// A store of these keys. Of two with the same id, the later counts.
    pub fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        Self {
            by_id: ArcSwap::from_pointee(index(credentials)),
        }
    }

    /// Puts these keys in the place of all that were known.
    pub fn replace(&self, credentials: impl IntoIterator<Item = Credential>) {
        self.by_id.store(Arc::new(index(credentials)));
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.by_id.load().len()
    }

    /// Whether no key is known, so that every request is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn find(&self, access_key_id: &str) -> Option<Arc<KeyEntry>> {
        self.by_id.load().get(access_key_id).cloned()
    }
}

fn index(credentials: impl IntoIterator<Item = Credential>) -> HashMap<Box<str>, Arc<KeyEntry>> {
    credentials
        .into_iter()
        .map(|credential| {
            let entry = KeyEntry {
                access_key_id: credential.access_key_id.as_str().into(),
                caller: Arc::new(Caller::root(&credential.account)),
                signing_keys: SigningKeyCache::default(),
                credential,
            };
            (entry.credential.access_key_id.as_str().into(), Arc::new(entry))
        })
        .collect()
}
