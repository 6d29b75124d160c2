//! From an access key to its secret and its caller.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use geodynamo_access::{Credential, CredentialSource, KeyError, KnownKey};
use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind, Session as CallerSession};
use parking_lot::RwLock;

use crate::{
    Core, Iam, Store,
    accounts::Accounts,
    entity::Kind,
    seal::Use,
    session::Session,
    state::{Compiled, Owner, State, UsedRow},
};

/// The most sessions whose tokens are kept open. Another one takes the place of all of them: each costs some microseconds
/// to open again.
pub const SESSIONS_CACHED_MAX: usize = 10_000;

/// The condition key that tells which of a session's tags go on to sessions that it begins. No policy needs it.
pub(crate) const TRANSITIVE_KEYS: &str = "geodynamo:transitivetagkeys";

/// How much later than what is stored a use must be to be stored, in seconds.
const STORED_EVERY_S: i64 = 24 * 3600;

/// The accounts' states, and what was resolved from them. A change of one begins an empty one, so nothing outlives what it was made of.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) accounts: Accounts,
    keys: RwLock<HashMap<Box<str>, Arc<KnownKey>>>,
    sessions: RwLock<HashMap<Box<str>, OpenSession>>,
}

#[derive(Clone, Debug)]
struct OpenSession {
    known: Arc<KnownKey>,
    expires: i64,
}

/// When access keys were last used in this process.
#[derive(Debug, Default)]
pub(crate) struct LastUses(RwLock<HashMap<Box<str>, Arc<LastUse>>>);

/// When an access key was last used, and for what.
#[derive(Debug, Default)]
pub(crate) struct LastUse {
    unix_s: AtomicI64,
    service: RwLock<&'static str>,
}

impl Snapshot {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self {
            accounts,
            ..Self::default()
        }
    }
}

impl LastUses {
    pub(crate) fn used(&self, access_key_id: &str, service: &'static str, now_unix_s: i64) {
        let known = self.0.read().get(access_key_id).cloned();
        let last = known.unwrap_or_else(|| Arc::clone(self.0.write().entry(access_key_id.into()).or_default()));
        if last.unix_s.fetch_max(now_unix_s, Ordering::Relaxed) < now_unix_s {
            *last.service.write() = service;
        }
    }

    /// When a key was last used, here or, as far as is stored, anywhere: the time, the service, the region.
    pub(crate) fn get(&self, state: &State, access_key_id: &str, region: &str) -> Option<(i64, String, String)> {
        let here = self.0.read().get(access_key_id).map(|last| {
            let service = (*last.service.read()).to_owned();
            (last.unix_s.load(Ordering::Relaxed), service, region.to_owned())
        });
        let stored = state
            .used(access_key_id)
            .map(|(region, used)| (used.unix_s, used.service.clone(), region.to_owned()));
        here.into_iter().chain(stored).max_by_key(|(unix_s, _, _)| *unix_s)
    }

    pub(crate) fn to_store(&self, state: &State, region: &str) -> Vec<(String, UsedRow)> {
        let mut due = Vec::new();
        for (key, last) in &*self.0.read() {
            let unix_s = last.unix_s.load(Ordering::Relaxed);
            let stored = state.used_in(key, region).map_or(0, |used| used.unix_s);
            if state.owner(key).is_some() && unix_s >= stored + STORED_EVERY_S {
                let service = (*last.service.read()).to_owned();
                due.push((key.to_string(), UsedRow { unix_s, service }));
            }
        }
        due
    }
}

impl<S: Store> CredentialSource for Iam<S> {
    fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&[u8]>,
        now_unix_s: i64,
    ) -> Result<Arc<KnownKey>, KeyError> {
        match session_token {
            None => self.core.find_key(access_key_id),
            Some(token) => self.core.find_session(access_key_id, token, now_unix_s),
        }
    }

    fn used(&self, access_key_id: &str, service: &'static str, now_unix_s: i64) {
        if access_key_id.starts_with("AKIA") {
            self.core.last_uses.used(access_key_id, service, now_unix_s);
        }
    }
}

impl Core {
    /// A long-term key. Those that are inactive are as if they were not there.
    fn find_key(&self, access_key_id: &str) -> Result<Arc<KnownKey>, KeyError> {
        let snapshot = self.snapshot.load();
        if let Some(known) = snapshot.keys.read().get(access_key_id) {
            return Ok(Arc::clone(known));
        }
        let account = snapshot.accounts.of_key(access_key_id).ok_or(KeyError::Unknown)?;
        let state = snapshot.accounts.state(account);
        let (key, caller) = match state.owner(access_key_id).ok_or(KeyError::Unknown)? {
            Owner::Root => {
                let key = state.root_keys().get(access_key_id).filter(|key| key.active);
                (key.cloned(), Caller::root(account))
            }
            Owner::User(name) => {
                let held = state.principals(Kind::User).get(name).ok_or(KeyError::Unknown)?;
                let mut keys = held.entity.keys.iter();
                let key = keys.find(|key| key.id == access_key_id && key.active);
                (key.cloned(), state.user_caller(account, held))
            }
        };
        let key = key.ok_or(KeyError::Unknown)?;
        let opened = self.seals.open(Use::Secret, key.id.as_bytes(), &key.secret);
        let secret = opened.ok().and_then(|secret| String::from_utf8(secret).ok());
        let Some(secret_access_key) = secret else {
            tracing::warn!(
                access_key_id,
                "a secret access key is not sealed under this region's cluster key"
            );
            return Err(KeyError::Unknown);
        };
        let credential = Credential {
            access_key_id: key.id,
            secret_access_key,
            session_token: None,
            account: account.to_string(),
        };
        let known = Arc::new(KnownKey::new(credential, Arc::new(caller)));
        // There are no more of them than there are keys.
        snapshot.keys.write().insert(access_key_id.into(), Arc::clone(&known));
        Ok(known)
    }

    fn find_session(&self, access_key_id: &str, token: &[u8], now_unix_s: i64) -> Result<Arc<KnownKey>, KeyError> {
        let snapshot = self.snapshot.load();
        let open = snapshot.sessions.read().get(access_key_id).cloned();
        if let Some(open) = open.filter(|open| open.known.has_token(token)) {
            return if now_unix_s < open.expires {
                Ok(open.known)
            } else {
                Err(KeyError::Expired)
            };
        }
        let session = Session::open(&self.seals, access_key_id, token).map_err(|_| KeyError::Unknown)?;
        if now_unix_s >= session.expires {
            return Err(KeyError::Expired);
        }
        let caller = self
            .session_caller(&snapshot.accounts, &session)
            .ok_or(KeyError::Unknown)?;
        let credential = Credential {
            access_key_id: session.access_key_id,
            secret_access_key: session.secret,
            // It was opened, so it is ASCII.
            session_token: Some(String::from_utf8_lossy(token).into_owned()),
            account: caller.account.to_string(),
        };
        let known = Arc::new(KnownKey::new(credential, Arc::new(caller)));
        let mut sessions = snapshot.sessions.write();
        if sessions.len() >= SESSIONS_CACHED_MAX {
            sessions.clear();
        }
        let open = OpenSession {
            known: Arc::clone(&known),
            expires: session.expires,
        };
        sessions.insert(access_key_id.into(), open);
        Ok(known)
    }

    /// A session as a caller; `None` if its role or user is gone.
    pub(crate) fn session_caller(&self, accounts: &Accounts, session: &Session) -> Option<Caller> {
        let account = session.account.as_deref().unwrap_or(&self.account);
        let state = accounts.state(account);
        let mut caller = if session.principal == account {
            if accounts.generation(account) != session.generation.as_deref() {
                return None;
            }
            Caller::root(account)
        } else {
            let (kind, held) = state.by_id(&session.principal)?;
            match (kind, &session.name) {
                (Kind::User, None) => state.user_caller(account, held),
                (Kind::Role, Some(name)) => {
                    let role = &held.entity;
                    let mut caller = Caller::assumed_role(account, &role.path, &role.name, &role.id, name);
                    caller.tags = role.tags.clone();
                    caller.policies = state.policies_of(account, held);
                    caller
                }
                _ => return None,
            }
        };
        for (key, value) in &session.tags {
            // Keys differ by more than case.
            caller.tags.retain(|other, _| !other.eq_ignore_ascii_case(key));
            caller.tags.insert(key.clone(), value.clone());
        }
        let mut keys = session.keys.clone();
        if !session.transitive.is_empty() {
            keys.insert(TRANSITIVE_KEYS.into(), session.transitive.clone());
        }
        caller.session = Some(CallerSession {
            issued_unix_s: session.issued,
            mfa_unix_s: None,
            source_identity: session.source_identity.as_deref().map(Into::into),
            federated_provider: session.provider.as_deref().map(Into::into),
            keys,
        });
        if !session.documents.is_empty() || !session.managed.is_empty() {
            caller.policies.session = Some(session_policies(state, account, session).unwrap_or_default());
        }
        Some(caller)
    }
}

/// The session policies; `None` if one of them cannot be read, and so nothing is allowed. Managed ones are as they are now.
fn session_policies(state: &State, account: &str, session: &Session) -> Option<Vec<NamedPolicy>> {
    let mut all = Vec::new();
    for document in &session.documents {
        let policy = Policy::parse(document, PolicyKind::Session).ok()?;
        all.push(NamedPolicy::new("session-policy", Arc::new(policy)));
    }
    for arn in &session.managed {
        match state.compiled(account, arn) {
            Compiled::Policy(policy) => all.push(policy),
            Compiled::Unreadable => return None,
            Compiled::None => {}
        }
    }
    Some(all)
}
