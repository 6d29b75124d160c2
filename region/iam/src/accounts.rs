//! The accounts of a cluster: its own, whose rows have no prefix, and those that its administrator makes.
//!
//! Each has principals, policies and keys of its own, so a [`State`]. A row of another account than the cluster's own has the
//! key that it would have there behind `@ACCOUNT/`; releases that know one account pass such rows over. That an account was
//! made is a row of its own, and what is under an account without one counts all the same: regions hear of rows in any order.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::{
    Iam, RootKey, Store, StoreError, ids,
    query::error::IamError,
    state::{State, UnreadableRow, pack, row},
    store::Change,
};

/// The most accounts that a cluster makes, beside its own.
pub const ACCOUNTS_MAX: usize = 1_000;
/// The most characters of an account's name, as in AWS Organizations.
pub const ACCOUNT_NAME_MAX: usize = 50;

/// What every row of another account than the cluster's own begins with.
const PREFIX: char = '@';

/// An account, as it is stored: `golden/` has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// What people call it.
    pub(crate) name: String,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    /// Made anew with the account: sessions of its root user bear it, so that none outlives the account and is one of another
    /// that has the id later.
    pub(crate) generation: String,
}

/// An account of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    /// What people call it; empty of the cluster's own, and of one that only a configured access key is of.
    pub name: String,
    /// When it was made, in seconds since 1970; 0 if that is not known.
    pub created_unix_s: i64,
}

/// Why an account is not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// An id that is none, or a name that is none.
    #[error("{0}")]
    Invalid(String),
    /// There is one already, or something of it is left.
    #[error("{0}")]
    Conflict(String),
    /// There is none.
    #[error("There is no account {0}")]
    Unknown(String),
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No key can be made.
    #[error("{}", .0.message)]
    Iam(#[from] IamError),
}

/// The states of all accounts. Immutable, like the states: a change makes another one that shares most of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    /// The cluster's own account.
    own: Arc<str>,
    of_own: State,
    others: OrdMap<Arc<str>, State>,
    /// Whose the access keys of the others are.
    keys: OrdMap<String, Arc<str>>,
    /// What an account has that nobody made.
    none: State,
}

impl Accounts {
    pub(crate) fn new(own: &str) -> Self {
        Self {
            own: own.into(),
            ..Self::default()
        }
    }

    /// What an account has.
    pub(crate) fn state(&self, account: &str) -> &State {
        if account == &*self.own {
            return &self.of_own;
        }
        self.others.get(account).unwrap_or(&self.none)
    }

    /// All accounts with what they have, the cluster's own first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &State)> {
        std::iter::once((&self.own, &self.of_own)).chain(&self.others)
    }

    /// The account that has an access key.
    pub(crate) fn of_key(&self, access_key_id: &str) -> Option<&Arc<str>> {
        match self.keys.get(access_key_id) {
            Some(account) => Some(account),
            None => self.of_own.owner(access_key_id).map(|_| &self.own),
        }
    }

    /// Whether there is such an account.
    pub(crate) fn has(&self, account: &str) -> bool {
        *account == *self.own || self.others.contains_key(account)
    }

    /// The generation that sessions of an account's root user bear; `None` for the cluster's own account and for one that
    /// only a configured access key is of.
    pub(crate) fn generation(&self, account: &str) -> Option<&str> {
        Some(&self.member(account)?.generation)
    }

    fn member(&self, account: &str) -> Option<&Member> {
        self.others.get(account)?.member()
    }

    /// Takes in a row as it is now; see [`State::apply`].
    pub(crate) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), UnreadableRow> {
        let Some((account, rest)) = split(key) else {
            return self.of_own.apply(key, value);
        };
        let account: Arc<str> = account.into();
        let mut state = self.others.get(&account).cloned().unwrap_or_default();
        for id in state.key_ids() {
            self.keys.remove(id);
        }
        let applied = state.apply(rest, value);
        for id in state.key_ids() {
            self.keys.insert(id.clone(), Arc::clone(&account));
        }
        if state.is_empty() {
            self.others.remove(&account);
        } else {
            self.others.insert(account, state);
        }
        applied
    }

    /// A row's key as it is stored.
    pub(crate) fn key(&self, account: &str, key: &Bytes) -> Bytes {
        if account == &*self.own {
            return key.clone();
        }
        let mut stored = format!("{PREFIX}{account}/").into_bytes();
        stored.extend_from_slice(key);
        stored.into()
    }
}

/// The account of another's row, and the rest of its key.
fn split(key: &[u8]) -> Option<(&str, &[u8])> {
    let (account, rest) = key.strip_prefix(&[PREFIX as u8])?.split_at_checked(ID_LEN)?;
    let account = std::str::from_utf8(account).ok().filter(|account| is_id(account))?;
    Some((account, rest.strip_prefix(b"/")?))
}

/// How many digits an account's id has.
const ID_LEN: usize = 12;

/// Whether this is an account's id: twelve digits.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl<S: Store> Iam<S> {
    /// All accounts, the cluster's own first.
    pub fn accounts(&self) -> Vec<Account> {
        let snapshot = self.core.snapshot.load();
        let shown = snapshot.accounts.all().map(|(id, state)| {
            let member = state.member().cloned().unwrap_or_default();
            Account {
                id: id.to_string(),
                name: member.name,
                created_unix_s: member.created,
            }
        });
        shown.collect()
    }

    /// Makes an account with an access key for its root user, which is shown here and never again. Without an `id` it has one
    /// that nobody has.
    ///
    /// # Errors
    /// If the id or the name is none or taken, if there are [`ACCOUNTS_MAX`], or if it cannot be stored.
    pub async fn create_account(
        &self,
        id: Option<&str>,
        name: &str,
        now_unix_s: i64,
    ) -> Result<(Account, RootKey), AccountError> {
        let printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if name.trim().is_empty() || name.len() > ACCOUNT_NAME_MAX || !printable {
            let rule = format!("An account's name has 1 to {ACCOUNT_NAME_MAX} printable ASCII characters");
            return Err(AccountError::Invalid(rule));
        }
        let _writing = self.writing.lock().await;
        let accounts = self.core.snapshot.load_full();
        let accounts = &accounts.accounts;
        if accounts.others.len() >= ACCOUNTS_MAX {
            return Err(AccountError::Conflict(format!(
                "There are {ACCOUNTS_MAX} accounts, the most that there may be"
            )));
        }
        // What is left of one, whose end another region did not know of when it changed something, is nobody's to inherit.
        let taken = |id: &str| *id == *accounts.own || accounts.others.contains_key(id);
        let id = match id {
            Some(id) if !is_id(id) => return Err(AccountError::Invalid("An account has 12 digits".into())),
            Some(id) if taken(id) => return Err(AccountError::Conflict(format!("There is an account {id} already"))),
            Some(id) => id.to_owned(),
            None => loop {
                let id = ids::account()?;
                if !taken(&id) {
                    break id;
                }
            },
        };
        let member = Member {
            name: name.to_owned(),
            created: now_unix_s,
            generation: ids::generation()?,
        };
        let packed = pack(&member).map_err(StoreError)?;
        let mut changes = vec![(accounts.key(&id, &row::member()), Some(packed))];
        let key = self.new_root_key(&id, now_unix_s, &mut changes)?;
        self.commit(changes).await?;
        let made = Account {
            id,
            name: member.name,
            created_unix_s: member.created,
        };
        Ok((made, key))
    }

    /// Gives an account's root user a new access key in the place of all that it has.
    ///
    /// # Errors
    /// If there is no such account, or if it cannot be stored.
    pub async fn reset_root(&self, id: &str, now_unix_s: i64) -> Result<RootKey, AccountError> {
        let _writing = self.writing.lock().await;
        let snapshot = self.core.snapshot.load_full();
        let accounts = &snapshot.accounts;
        if !accounts.others.contains_key(id) {
            return Err(AccountError::Unknown(id.to_owned()));
        }
        let before = accounts.state(id).root_keys().keys();
        let mut changes: Vec<Change> = before
            .map(|key| (accounts.key(id, &row::root_key(key)), None))
            .collect();
        let key = self.new_root_key(id, now_unix_s, &mut changes)?;
        self.commit(changes).await?;
        Ok(key)
    }

    /// Removes an account with all its principals, policies and keys. Whoever calls has seen to it that nothing else is left of
    /// it.
    ///
    /// # Errors
    /// If there is none, or if it cannot be stored.
    pub async fn delete_account(&self, id: &str) -> Result<(), AccountError> {
        let _writing = self.writing.lock().await;
        if !self.core.snapshot.load().accounts.others.contains_key(id) {
            return Err(AccountError::Unknown(id.to_owned()));
        }
        let rows = self.store.rows().await?;
        let of_account = |key: &Bytes| split(key).is_some_and(|(account, _)| account == id);
        let gone = rows.into_iter().filter(|(key, _)| of_account(key));
        self.commit(gone.map(|(key, _)| (key, None)).collect()).await?;
        Ok(())
    }

    fn new_root_key(&self, id: &str, now_unix_s: i64, changes: &mut Vec<Change>) -> Result<RootKey, AccountError> {
        let (key, secret) = self.core.new_access_key(now_unix_s)?;
        let packed = pack(&key).map_err(StoreError)?;
        let accounts = &self.core.snapshot.load().accounts;
        changes.push((accounts.key(id, &row::root_key(&key.id)), Some(packed)));
        Ok(RootKey {
            access_key_id: key.id,
            secret_access_key: secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_tell_whose_they_are() {
        assert_eq!(
            split(b"@111122223333/user/ann"),
            Some(("111122223333", &b"user/ann"[..]))
        );
        for none in [
            &b"user/ann"[..],
            b"@",
            b"@11112222333/user/ann",
            b"@11112222333x/u",
            b"@111122223333",
            b"\xff",
        ] {
            assert_eq!(split(none), None);
        }
        let accounts = Accounts::new("000000000000");
        let key = Bytes::from_static(b"user/ann");
        assert_eq!(accounts.key("000000000000", &key), key);
        assert_eq!(&accounts.key("111122223333", &key)[..], b"@111122223333/user/ann");
    }

    #[test]
    fn the_stored_form_stays() {
        let member = Member {
            name: "ours".into(),
            created: 1,
            generation: "AGEN1".into(),
        };
        let golden = include_bytes!("../golden/member.msgpack");
        assert_eq!(rmp_serde::to_vec_named(&member).unwrap(), golden);
        assert_eq!(rmp_serde::from_slice::<Member>(golden).unwrap(), member);
    }
}
