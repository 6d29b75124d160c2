//! The access keys that a region knows.

use std::{collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use geodynamo_policy::Caller;

use crate::{hash, signing_key::SigningKeyCache};

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

/// Where keys come from that are not configured: whoever makes and removes them while the process runs.
pub trait CredentialSource: fmt::Debug + Send + Sync + 'static {
    /// A key as it is now. `session_token` is what came along; a key without one must not be given for it, nor the other way
    /// round. `now_unix_s` is the region's clock. It is asked for every request, so it answers from memory.
    ///
    /// # Errors
    /// If there is no such key, if it is switched off, or if it has expired.
    fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&[u8]>,
        now_unix_s: i64,
    ) -> Result<Arc<KnownKey>, KeyError>;

    /// A request of this key was verified.
    fn used(&self, access_key_id: &str, service: &'static str, now_unix_s: i64);
}

/// Why a key cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// There is none.
    Unknown,
    /// It was temporary.
    Expired,
}

/// The known keys: those that are configured, and those of a source. The configured ones can be replaced while requests are
/// being verified: a request sees the old set or the new one.
#[derive(Debug)]
pub struct Keys {
    by_id: ArcSwap<HashMap<Box<str>, Arc<KnownKey>>>,
    source: Option<Arc<dyn CredentialSource>>,
}

/// A key with its caller and what is derived from it. Whatever changes of it makes a new one.
#[derive(Debug)]
pub struct KnownKey {
    pub(crate) access_key_id: Arc<str>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) credential: Credential,
    pub(crate) signing_keys: SigningKeyCache,
}

impl KnownKey {
    /// A key of a caller's.
    pub fn new(credential: Credential, caller: Arc<Caller>) -> Self {
        Self {
            access_key_id: credential.access_key_id.as_str().into(),
            caller,
            signing_keys: SigningKeyCache::default(),
            credential,
        }
    }

    /// Whose it is.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Whether it is a temporary one with this token; takes the same time for any token of one length.
    pub fn has_token(&self, token: &[u8]) -> bool {
        let own = self.credential.session_token.as_deref().unwrap_or_default();
        !own.is_empty() && hash::equal_in_constant_time(own.as_bytes(), token)
    }
}

impl Keys {
    /// A store of these keys. Of two with the same id, the later counts.
    pub fn new(credentials: impl IntoIterator<Item = Credential>) -> Self {
        Self {
            by_id: ArcSwap::from_pointee(index(credentials)),
            source: None,
        }
    }

    /// The same keys, and those of a source. Where both have one of the same id, the configured one counts.
    pub fn with_source(self, source: Arc<dyn CredentialSource>) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }

    /// Puts these keys in the place of all that were configured.
    pub fn replace(&self, credentials: impl IntoIterator<Item = Credential>) {
        self.by_id.store(Arc::new(index(credentials)));
    }

    /// How many keys are configured.
    pub fn len(&self) -> usize {
        self.by_id.load().len()
    }

    /// Whether no key is configured.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A key, and whether its session token, or that there is none, is right.
    pub(crate) fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&[u8]>,
        now_unix_s: i64,
    ) -> Result<Arc<KnownKey>, KeyError> {
        if let Some(known) = self.by_id.load().get(access_key_id) {
            let fits = match (&known.credential.session_token, session_token) {
                (None, None) => true,
                (Some(_), Some(given)) => known.has_token(given),
                _ => false,
            };
            return fits.then(|| Arc::clone(known)).ok_or(KeyError::Unknown);
        }
        match &self.source {
            Some(source) => source.find(access_key_id, session_token, now_unix_s),
            None => Err(KeyError::Unknown),
        }
    }

    pub(crate) fn used(&self, access_key_id: &str, service: &'static str, now_unix_s: i64) {
        if let Some(source) = &self.source {
            source.used(access_key_id, service, now_unix_s);
        }
    }
}

fn index(credentials: impl IntoIterator<Item = Credential>) -> HashMap<Box<str>, Arc<KnownKey>> {
    credentials
        .into_iter()
        .map(|credential| {
            let caller = Arc::new(Caller::root(&credential.account));
            let id = credential.access_key_id.as_str().into();
            (id, Arc::new(KnownKey::new(credential, caller)))
        })
        .collect()
}
