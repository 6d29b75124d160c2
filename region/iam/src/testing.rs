//! IAM on rows in memory, and calls to it as clients make them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use geodynamo_access::{CredentialSource, KeyError};
use geodynamo_policy::{Caller, Environment};
use parking_lot::Mutex;

use crate::{
    Authorization, CLUSTER_KEY_LEN, Call, Change, Iam, IdentityKeys, NoIdentityKeys, Options, Reply, ServiceName,
    Store, StoreError,
};

pub(crate) const ACCOUNT: &str = "123456789012";
/// The access key that signs all calls.
pub(crate) const SIGNED_WITH: &str = "AKIASIGNEDWITHITHERE";
pub(crate) const NOW: i64 = 1_796_019_120;

/// Rows in memory, which several regions may share as if nothing lay between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStore {
    rows: Arc<Mutex<BTreeMap<Bytes, Bytes>>>,
    /// What the last commit changed.
    pub(crate) last: Arc<Mutex<Vec<Bytes>>>,
    pub(crate) fails: Arc<Mutex<bool>>,
}

impl Store for MemoryStore {
    async fn rows(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Ok(self.rows.lock().clone().into_iter().collect())
    }

    async fn get(&self, rows: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let all = self.rows.lock();
        Ok(rows.iter().map(|row| all.get(row).cloned()).collect())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if *self.fails.lock() {
            return Err(StoreError("the disk is full".into()));
        }
        let mut rows = self.rows.lock();
        *self.last.lock() = changes.iter().map(|(key, _)| key.clone()).collect();
        for (key, value) in changes {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        Ok(())
    }
}

/// A region's IAM, a clock, and the account's root user.
pub(crate) struct World {
    pub(crate) iam: Arc<Iam<MemoryStore>>,
    pub(crate) store: MemoryStore,
    pub(crate) root: Arc<Caller>,
    pub(crate) now: AtomicI64,
}

/// An answer, taken apart as far as tests need.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Reply);

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(MemoryStore::default(), Arc::new(NoIdentityKeys)).await
    }

    pub(crate) async fn on(store: MemoryStore, identity_keys: Arc<dyn IdentityKeys>) -> Self {
        let options = Options {
            account: ACCOUNT.into(),
            region: "eu-west-1".into(),
            cluster_key: [7; CLUSTER_KEY_LEN],
        };
        Self {
            iam: Iam::open(store.clone(), options, identity_keys).await.unwrap(),
            store,
            root: Arc::new(Caller::root(ACCOUNT)),
            now: AtomicI64::new(NOW),
        }
    }

    /// A call of a caller's: `Action`, then the other parameters.
    pub(crate) async fn call(&self, caller: &Arc<Caller>, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let is_sts = [
            "AssumeRole",
            "AssumeRoleWithWebIdentity",
            "GetCallerIdentity",
            "GetSessionToken",
            "GetAccessKeyInfo",
        ];
        let service = if is_sts.contains(&action) {
            ServiceName::Sts
        } else {
            ServiceName::Iam
        };
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action).extend_pairs(parameters);
        let now_unix_s = self.now.load(Ordering::Relaxed);
        let call = Call {
            service,
            caller,
            access_key_id: SIGNED_WITH,
            environment: Environment {
                now_unix_s: Some(now_unix_s),
                ..Environment::default()
            },
            now_unix_s,
            request_id: "request",
            authorization: Authorization::Enforce,
        };
        Answer(self.iam.call(call, body.finish().as_bytes()).await)
    }

    /// A call of the root user's, which must not be refused.
    pub(crate) async fn root(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let answer = self.call(&self.root, action, parameters).await;
        assert_eq!(answer.0.status, 200, "{action}: {}", answer.0.body);
        answer
    }

    /// A call of the root user's, which must be refused: with this code, and words that hold these.
    pub(crate) async fn refused(&self, action: &str, parameters: &[(&str, &str)], code: &str, words: &str) {
        let answer = self.call(&self.root, action, parameters).await;
        answer.is_refused(code, words);
    }

    /// A new access key of a user: its id and its secret.
    pub(crate) async fn key(&self, user: &str) -> (String, String) {
        let made = self.root("CreateAccessKey", &[("UserName", user)]).await;
        (made.text("AccessKeyId"), made.text("SecretAccessKey"))
    }

    /// Who signs with a key.
    pub(crate) fn caller(&self, id: &str, token: Option<&str>) -> Result<Arc<Caller>, KeyError> {
        let now = self.now.load(Ordering::Relaxed);
        let known = self.iam.find(id, token.map(str::as_bytes), now)?;
        Ok(Arc::clone(known.caller()))
    }
}

impl Answer {
    /// The first element of a name.
    pub(crate) fn text(&self, name: &str) -> String {
        self.find(name)
            .unwrap_or_else(|| panic!("no {name} in {}", self.0.body))
    }

    pub(crate) fn find(&self, name: &str) -> Option<String> {
        let (_, rest) = self.0.body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text.replace("&quot;", "\"").replace("&lt;", "<").replace("&amp;", "&"))
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.body.contains(text)
    }

    pub(crate) fn is_refused(&self, code: &str, words: &str) {
        let told = (
            self.find("Code").unwrap_or_default(),
            self.find("Message").unwrap_or_default(),
        );
        assert!(
            told.0 == code && told.1.contains(words),
            "{code} {words}: {}",
            self.0.body
        );
        assert!(self.0.status >= 400);
    }
}
