//! IAM and STS: who there is, what they may do, and temporary credentials.
//!
//! [`Iam::call`] answers calls of both services by the Query protocol; [`Iam`] is also where access keys come from that are
//! not configured ([`CredentialSource`](geodynamo_access::CredentialSource)). What is stored is rows of a [`Store`], which
//! all regions of the topology replicate; everything is in memory besides, with its policies compiled, and a row's change,
//! here or in another region, replaces what depends on it. Temporary credentials are not stored: their session token holds
//! all that they are, sealed under the cluster's key.
//!
//! Shapes and constraints come from botocore's models by `generator/generate.py`. Sources of behaviour are the API
//! references, <https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html> and
//! <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>, and IAM's user guide.

mod accounts;
mod authorize;
mod call;
mod entity;
mod generated;
mod ids;
mod managed;
mod operations;
mod query;
mod resolve;
mod seal;
mod session;
mod state;
mod store;
mod sts;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::{
    accounts::Accounts,
    entity::AccessKey,
    resolve::{LastUses, Snapshot},
    seal::{Seals, Use},
    state::{pack, row},
};
pub use crate::{
    accounts::{ACCOUNT_NAME_MAX, ACCOUNTS_MAX, Account, AccountError, is_id as is_account_id},
    call::{Authorization, Call, Reply, ServiceName, is_reading, operation_names},
    entity::DEFAULT_ACCOUNT,
    query::{
        error::IamError,
        form::{FORM_BYTES_MAX, parameter},
    },
    resolve::SESSIONS_CACHED_MAX,
    seal::{CLUSTER_KEY_LEN, SealError},
    store::{Change, Store, StoreError},
    sts::{
        identity::{IdentityKeyError, IdentityKeys, KeysFuture, NoIdentityKeys},
        jwt::{Jwk, JwkSet},
    },
};

/// How a cluster's IAM is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's own account: twelve digits.
    pub account: String,
    /// The region that this process is of.
    pub region: String,
    /// The key that secrets are sealed under, the same in all regions.
    pub cluster_key: [u8; CLUSTER_KEY_LEN],
}

/// A secret access key and its id.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey {
    /// `AKIA…`
    pub access_key_id: String,
    /// Shown here and never again.
    pub secret_access_key: String,
}

/// Why there is no IAM.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Rows cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Something else.
    #[error(transparent)]
    Iam(#[from] IamError),
}

/// The IAM of a cluster's accounts in one region.
pub struct Iam<S> {
    core: Core,
    store: S,
    /// Held by whoever changes something, from reading it to its commit.
    writing: tokio::sync::Mutex<()>,
}

/// All of it but where it is stored.
pub(crate) struct Core {
    pub(crate) account: Arc<str>,
    pub(crate) region: Arc<str>,
    pub(crate) seals: Seals,
    pub(crate) identity_keys: Arc<dyn IdentityKeys>,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) last_uses: LastUses,
}

impl<S: Store> Iam<S> {
    /// Opens what a store holds. `identity_keys` are where web identity providers' keys come from.
    ///
    /// # Errors
    /// If the store cannot be read. A row that cannot be read is passed over, and told in the log: what it would have
    /// allowed is refused.
    pub async fn open(
        store: S,
        options: Options,
        identity_keys: Arc<dyn IdentityKeys>,
    ) -> Result<Arc<Self>, OpenError> {
        let mut accounts = Accounts::new(&options.account);
        for (key, value) in store.rows().await? {
            take_in(&mut accounts, &key, Some(&value[..]));
        }
        Ok(Arc::new(Self {
            core: Core {
                account: options.account.into(),
                region: options.region.into(),
                seals: Seals::new(&options.cluster_key)?,
                identity_keys,
                snapshot: ArcSwap::from_pointee(Snapshot::new(accounts)),
                last_uses: LastUses::default(),
            },
            store,
            writing: tokio::sync::Mutex::default(),
        }))
    }

    /// The cluster's own account.
    pub fn account(&self) -> &str {
        &self.core.account
    }

    /// Takes in rows that were changed by another region.
    ///
    /// # Errors
    /// If the store cannot be read: the rows are to be given again.
    pub async fn refresh(&self, rows: &[Bytes]) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let values = self.store.get(rows).await?;
        let changes: Vec<Change> = rows.iter().cloned().zip(values).collect();
        self.take_in_all(&changes);
        Ok(())
    }

    /// Makes an access key for the account's root user, if it has none. Whoever starts an account for the first time shows
    /// it to its owner.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub async fn ensure_root_key(&self, now_unix_s: i64) -> Result<Option<RootKey>, OpenError> {
        let _writing = self.writing.lock().await;
        if !self
            .core
            .snapshot
            .load()
            .accounts
            .state(&self.core.account)
            .root_keys()
            .is_empty()
        {
            return Ok(None);
        }
        let (key, secret) = self.core.new_access_key(now_unix_s)?;
        let made = RootKey {
            access_key_id: key.id.clone(),
            secret_access_key: secret,
        };
        let packed = pack(&key).map_err(StoreError)?;
        self.commit(vec![(row::root_key(&key.id), Some(packed))]).await?;
        Ok(Some(made))
    }

    /// Stores when keys were last used, of those where it is a day or more since it was stored. To be called now and then.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub async fn store_last_uses(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let snapshot = self.core.snapshot.load_full();
        let mut changes = Vec::new();
        for (account, state) in snapshot.accounts.all() {
            for (key, used) in self.core.last_uses.to_store(state, &self.core.region) {
                let row = snapshot.accounts.key(account, &row::used(&key, &self.core.region));
                changes.push((row, Some(pack(&used).map_err(StoreError)?)));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.commit(changes).await
    }

    /// Whether there is a principal with this ARN or unique id, as policies of an account name them. Of accounts that are not of
    /// this cluster nothing is known: their principals are taken to be there.
    pub fn has_principal(&self, account: &str, named: &str) -> bool {
        authorize::has_principal(&self.core.snapshot.load().accounts, account, named)
    }

    /// The unique id of whom a principal's ARN names: a user, a role, or a session of a role. Nothing of whoever is not here.
    pub fn principal_id(&self, arn: &str) -> Option<String> {
        authorize::id_of(&self.core.snapshot.load().accounts, arn)
    }

    /// Of principals that a stored policy has by ARN and unique id: what they are called now, where that is another ARN; their id,
    /// where there is none any more. By the ARN that the policy has.
    pub fn principal_names(&self, ids: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        authorize::names_now(&self.core.snapshot.load().accounts, ids)
    }

    /// Commits rows and takes them in. The caller holds the lock.
    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.store.commit(changes.clone()).await?;
        self.take_in_all(&changes);
        Ok(())
    }

    fn take_in_all(&self, changes: &[Change]) {
        let mut accounts = self.core.snapshot.load().accounts.clone();
        for (key, value) in changes {
            take_in(&mut accounts, key, value.as_deref());
        }
        self.core.snapshot.store(Arc::new(Snapshot::new(accounts)));
    }
}

impl Core {
    /// A new access key and its secret.
    fn new_access_key(&self, now_unix_s: i64) -> Result<(AccessKey, String), IamError> {
        let id = ids::unique(ids::Prefix::AccessKey)?;
        let secret = ids::secret()?;
        let sealed = self.seals.seal(Use::Secret, id.as_bytes(), secret.as_bytes());
        let key = AccessKey {
            secret: sealed.map_err(IamError::internal)?,
            id,
            active: true,
            created: now_unix_s,
        };
        Ok((key, secret))
    }
}

fn take_in(accounts: &mut Accounts, key: &[u8], value: Option<&[u8]>) {
    if let Err(error) = accounts.apply(key, value) {
        tracing::error!(%error, "an entity of IAM is passed over");
    }
}

impl<S> std::fmt::Debug for Iam<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iam")
            .field("account", &self.core.account)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}
