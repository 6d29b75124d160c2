//! All entities in memory, with their policies compiled, and how they are found.
//!
//! A state is immutable and shares what it has in common with the one before. It is a function of the rows: whatever
//! changes a row, here or in another region, goes through [`State::apply`].

use std::sync::Arc;

use bytes::Bytes;
use geodynamo_policy::{Caller, CallerPolicies, NamedPolicy, Policy, PolicyKind};
use imbl::OrdMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    accounts::Member,
    entity::{AccessKey, Account, Kind, ManagedPolicy, Principal, Provider, folded},
    managed,
};

/// The row of what the account itself has.
const ACCOUNT_ROW: &str = "account";
/// The row that says that an account was made.
const MEMBER_ROW: &str = "member";

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// By kind, by folded name.
    principals: [OrdMap<String, Arc<Held>>; 3],
    /// Principals by unique id.
    by_id: OrdMap<String, (Kind, String)>,
    /// Whose access keys there are.
    owners: OrdMap<String, Owner>,
    /// The account's own managed policies, by folded name.
    policies: OrdMap<String, Arc<HeldPolicy>>,
    /// By URL.
    providers: OrdMap<String, Arc<Provider>>,
    account: Arc<Account>,
    /// That the account was made, of others than the cluster's own.
    member: Option<Arc<Member>>,
    /// Access keys of the root user, by id. Each is a row, so that regions that make one at the same time each keep theirs.
    root_keys: OrdMap<String, AccessKey>,
    /// When keys were last used, as of the rows: by key id and region.
    used: OrdMap<(String, String), UsedRow>,
}

/// A principal with its compiled policies.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) entity: Principal,
    /// `None` if one of them cannot be compiled: a newer release wrote it.
    inline: Option<Vec<NamedPolicy>>,
    /// Of roles.
    pub(crate) trust: Option<Arc<Policy>>,
}

/// A managed policy with its default version compiled.
#[derive(Debug)]
pub(crate) struct HeldPolicy {
    pub(crate) entity: ManagedPolicy,
    pub(crate) compiled: Option<Arc<Policy>>,
}

/// Whose an access key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Root,
    /// A user, by folded name.
    User(String),
}

/// When a key was last used in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsedRow {
    pub(crate) unix_s: i64,
    pub(crate) service: String,
}

/// A row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the row {row} cannot be read: {reason}")]
pub(crate) struct UnreadableRow {
    row: String,
    reason: String,
}

/// Rows' keys.
pub(crate) mod row {
    use super::{Bytes, Kind, folded};

    pub(crate) fn principal(kind: Kind, name: &str) -> Bytes {
        format!("{}/{}", kind.noun(), folded(name)).into()
    }

    pub(crate) fn policy(name: &str) -> Bytes {
        format!("policy/{}", folded(name)).into()
    }

    pub(crate) fn provider(url: &str) -> Bytes {
        format!("provider/{url}").into()
    }

    pub(crate) fn account() -> Bytes {
        Bytes::from_static(super::ACCOUNT_ROW.as_bytes())
    }

    pub(crate) fn member() -> Bytes {
        Bytes::from_static(super::MEMBER_ROW.as_bytes())
    }

    pub(crate) fn root_key(id: &str) -> Bytes {
        format!("root/{id}").into()
    }

    pub(crate) fn used(key: &str, region: &str) -> Bytes {
        format!("used/{key}/{region}").into()
    }
}

impl State {
    /// Takes in a row as it is now; `None` if it is gone. Rows of kinds that a newer release has are passed over.
    ///
    /// # Errors
    /// A row that cannot be read: the state is as before.
    pub(crate) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), UnreadableRow> {
        let unreadable = |reason: String| UnreadableRow {
            row: String::from_utf8_lossy(key).into_owned(),
            reason,
        };
        let name = std::str::from_utf8(key).map_err(|error| unreadable(error.to_string()))?;
        let (kind, name) = name.split_once('/').unwrap_or((name, ""));
        match kind {
            "user" => self.apply_principal(Kind::User, name, read(value).map_err(unreadable)?),
            "group" => self.apply_principal(Kind::Group, name, read(value).map_err(unreadable)?),
            "role" => self.apply_principal(Kind::Role, name, read(value).map_err(unreadable)?),
            "policy" => match read::<ManagedPolicy>(value).map_err(unreadable)? {
                Some(entity) => {
                    let compiled = compile(entity.document(), PolicyKind::Identity);
                    self.policies
                        .insert(name.into(), Arc::new(HeldPolicy { entity, compiled }));
                }
                None => drop(self.policies.remove(name)),
            },
            "provider" => match read(value).map_err(unreadable)? {
                Some(provider) => drop(self.providers.insert(name.into(), Arc::new(provider))),
                None => drop(self.providers.remove(name)),
            },
            ACCOUNT_ROW => {
                let account: Option<Account> = read(value).map_err(unreadable)?;
                self.account = Arc::new(account.unwrap_or_default());
            }
            MEMBER_ROW => self.member = read(value).map_err(unreadable)?.map(Arc::new),
            "root" => match read::<AccessKey>(value).map_err(unreadable)? {
                Some(key) => {
                    self.owners.insert(name.into(), Owner::Root);
                    self.root_keys.insert(name.into(), key);
                }
                None => {
                    self.owners.remove(name);
                    self.root_keys.remove(name);
                }
            },
            "used" => {
                if let Some((key, region)) = name.split_once('/') {
                    let place = (key.to_owned(), region.to_owned());
                    match read(value).map_err(unreadable)? {
                        Some(used) => drop(self.used.insert(place, used)),
                        None => drop(self.used.remove(&place)),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_principal(&mut self, kind: Kind, name: &str, entity: Option<Principal>) {
        let owner = Owner::User(name.to_owned());
        if let Some(before) = self.principals[kind as usize].remove(name) {
            let place = (kind, name.to_owned());
            if self.by_id.get(&before.entity.id) == Some(&place) {
                self.by_id.remove(&before.entity.id);
            }
            self.forget_keys(&before.entity.keys, &owner);
        }
        let Some(entity) = entity else { return };
        self.by_id.insert(entity.id.clone(), (kind, name.to_owned()));
        for key in &entity.keys {
            self.owners.insert(key.id.clone(), owner.clone());
        }
        let inline = entity.inline.iter().map(|(name, document)| {
            compile(document, PolicyKind::Identity).map(|policy| NamedPolicy::new(name.as_str(), policy))
        });
        let held = Held {
            inline: inline.collect(),
            trust: (kind == Kind::Role).then(|| compile_trust(&entity)).flatten(),
            entity,
        };
        self.principals[kind as usize].insert(name.to_owned(), Arc::new(held));
    }

    fn forget_keys(&mut self, keys: &[AccessKey], owner: &Owner) {
        for key in keys {
            if self.owners.get(&key.id) == Some(owner) {
                self.owners.remove(&key.id);
            }
        }
    }

    pub(crate) fn principal(&self, kind: Kind, name: &str) -> Option<&Arc<Held>> {
        self.principals[kind as usize].get(&folded(name))
    }

    pub(crate) fn principals(&self, kind: Kind) -> &OrdMap<String, Arc<Held>> {
        &self.principals[kind as usize]
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<(Kind, &Arc<Held>)> {
        let (kind, name) = self.by_id.get(id)?;
        Some((*kind, self.principals[*kind as usize].get(name)?))
    }

    pub(crate) fn owner(&self, access_key_id: &str) -> Option<&Owner> {
        self.owners.get(access_key_id)
    }

    pub(crate) fn policies(&self) -> &OrdMap<String, Arc<HeldPolicy>> {
        &self.policies
    }

    pub(crate) fn providers(&self) -> &OrdMap<String, Arc<Provider>> {
        &self.providers
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// That the account was made.
    pub(crate) fn member(&self) -> Option<&Member> {
        self.member.as_deref()
    }

    /// The ids of all access keys.
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = &String> {
        self.owners.keys()
    }

    /// Whether there is no row any more that matters.
    pub(crate) fn is_empty(&self) -> bool {
        self.member.is_none()
            && self.by_id.is_empty()
            && self.owners.is_empty()
            && self.policies.is_empty()
            && self.providers.is_empty()
            && *self.account == Account::default()
    }

    pub(crate) fn root_keys(&self) -> &OrdMap<String, AccessKey> {
        &self.root_keys
    }

    pub(crate) fn used(&self, access_key_id: &str) -> Option<(&str, &UsedRow)> {
        let first = (access_key_id.to_owned(), String::new());
        let rows = self
            .used
            .range(first..)
            .take_while(|((key, _), _)| key == access_key_id);
        let last = rows.max_by_key(|(_, used)| used.unix_s)?;
        Some((last.0.1.as_str(), last.1))
    }

    pub(crate) fn used_in(&self, access_key_id: &str, region: &str) -> Option<&UsedRow> {
        self.used.get(&(access_key_id.to_owned(), region.to_owned()))
    }

    /// A managed policy of the account's own, by ARN.
    pub(crate) fn own_policy(&self, account: &str, arn: &str) -> Option<&Arc<HeldPolicy>> {
        let name = arn.rsplit('/').next()?;
        let held = self.policies.get(&folded(name))?;
        (held.entity.arn(account) == arn).then_some(held)
    }

    /// Whether there is a managed policy with this ARN, of the account's own or of AWS's.
    pub(crate) fn has_policy(&self, account: &str, arn: &str) -> bool {
        managed::find(arn).is_some() || self.own_policy(account, arn).is_some()
    }

    /// A managed policy, compiled.
    pub(crate) fn compiled(&self, account: &str, arn: &str) -> Compiled {
        let found = managed::find(arn)
            .map(|managed| managed.compiled.clone())
            .or_else(|| self.own_policy(account, arn).map(|held| held.compiled.clone()));
        match found {
            Some(Some(policy)) => Compiled::Policy(NamedPolicy::new(arn, policy)),
            Some(None) => Compiled::Unreadable,
            None => Compiled::None,
        }
    }

    /// The groups that a user is in.
    pub(crate) fn groups_of<'a>(&'a self, user: &'a Principal) -> impl Iterator<Item = &'a Arc<Held>> {
        user.groups.iter().filter_map(|id| match self.by_id(id) {
            Some((Kind::Group, group)) => Some(group),
            _ => None,
        })
    }

    /// What a user or a role may do. If one of its policies cannot be read, nothing: it might have denied something.
    pub(crate) fn policies_of(&self, account: &str, held: &Held) -> CallerPolicies {
        let of_one = |held: &Held| -> Option<Vec<NamedPolicy>> {
            let mut all = held.inline.clone()?;
            for arn in &held.entity.attached {
                match self.compiled(account, arn) {
                    Compiled::Policy(policy) => all.push(policy),
                    Compiled::Unreadable => return None,
                    // Another region has deleted it while this one attached it.
                    Compiled::None => {}
                }
            }
            Some(all)
        };
        let mut identity = of_one(held);
        for group in self.groups_of(&held.entity) {
            identity = identity.zip(of_one(group)).map(|(mut all, more)| {
                all.extend(more);
                all
            });
        }
        let mut boundary = None;
        if let Some(arn) = &held.entity.boundary {
            match self.compiled(account, arn) {
                Compiled::Policy(policy) => boundary = Some(policy),
                // A boundary that is not there allows nothing.
                Compiled::Unreadable | Compiled::None => identity = None,
            }
        }
        CallerPolicies {
            identity: identity.unwrap_or_default(),
            boundary,
            session: None,
        }
    }

    /// A user as a caller.
    pub(crate) fn user_caller(&self, account: &str, held: &Held) -> Caller {
        let user = &held.entity;
        Caller {
            tags: user.tags.clone(),
            policies: self.policies_of(account, held),
            ..Caller::user(account, &user.path, &user.name, &user.id)
        }
    }
}

/// What is known of a managed policy.
pub(crate) enum Compiled {
    Policy(NamedPolicy),
    Unreadable,
    None,
}

fn compile(document: &str, kind: PolicyKind) -> Option<Arc<Policy>> {
    parse(document, kind).map(Arc::new)
}

fn compile_trust(role: &Principal) -> Option<Arc<Policy>> {
    let policy = parse(&role.trust, PolicyKind::Trust)?;
    Some(Arc::new(policy.pinned(|arn| role.trusted.get(arn).map(String::as_str))))
}

fn parse(document: &str, kind: PolicyKind) -> Option<Policy> {
    let parsed = Policy::parse(document, kind);
    let told = parsed.inspect_err(|error| {
        tracing::error!(%error, "a stored policy cannot be read: whoever has it may do nothing");
    });
    told.ok()
}

fn read<T: DeserializeOwned>(value: Option<&[u8]>) -> Result<Option<T>, String> {
    let read = value.map(rmp_serde::from_slice).transpose();
    read.map_err(|error| error.to_string())
}

/// A row's value.
pub(crate) fn pack<T: Serialize>(entity: &T) -> Result<Bytes, String> {
    let packed = rmp_serde::to_vec_named(entity);
    packed.map(Bytes::from).map_err(|error| error.to_string())
}
