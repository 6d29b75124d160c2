//! Whom statements of resource-based policies are about.

use crate::{Caller, CallerKind};

/// `Principal` or `NotPrincipal`.
#[derive(Debug)]
pub(crate) struct Principals {
    pub(crate) negated: bool,
    pub(crate) patterns: Box<[Principal]>,
}

/// One principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Principal {
    /// `*`
    Anyone,
    /// All of an account: its number, or its root user's ARN.
    Account { account: Box<str>, text: Box<str> },
    /// A user, a role, a role's session or a federated user.
    Arn(Box<str>),
    /// The unique id of a user or a role.
    UniqueId(Box<str>),
    /// An identity provider.
    Federated(Box<str>),
    /// A part of the service.
    Service(Box<str>),
    /// A canonical user id, which nobody here has.
    Canonical,
}

/// How a statement is about a caller; the later the closer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Relation {
    /// It is not.
    None,
    /// By its account: what is allowed so is left to the account's administrators, who must allow it by policies of theirs.
    Account,
    /// By its role: boundaries and session policies still bind it.
    Role,
    /// By itself.
    Direct,
}

impl Principals {
    pub(crate) fn relation(&self, caller: &Caller) -> Relation {
        let closest = self.patterns.iter().map(|principal| principal.relation(caller)).max();
        let closest = closest.unwrap_or(Relation::None);
        if !self.negated {
            return closest;
        }
        // Whoever is excepted must be named itself: not by its role, nor by its account. And who has a boundary is not excepted
        // at all. ("AWS JSON policy elements: NotPrincipal")
        if closest == Relation::Direct && caller.policies.boundary.is_none() {
            Relation::None
        } else {
            Relation::Direct
        }
    }
}

impl Principal {
    /// Reads one of `AWS`; `None` if it is no principal.
    pub(crate) fn aws(text: &str) -> Option<Self> {
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let account = |account: &str| Self::Account {
            account: account.into(),
            text: text.into(),
        };
        if text == "*" {
            return Some(Self::Anyone);
        }
        if is_account(text) {
            return Some(account(text));
        }
        let is_id = (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_id && (text.starts_with("AIDA") || text.starts_with("AROA")) {
            return Some(Self::UniqueId(text.into()));
        }
        let mut parts = text.splitn(6, ':');
        let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, owner, resource) = (parts.next()?, parts.next()?, parts.next()?);
        if scheme != "arn" || !partition.starts_with("aws") || !region.is_empty() || !is_account(owner) {
            return None;
        }
        // Wildcards are for `Principal` as a whole, not for parts of it.
        let named = |kind: &str| {
            let name = resource.strip_prefix(kind);
            name.is_some_and(|name| !name.is_empty() && !name.contains(['*', '?']))
        };
        match service {
            "iam" if resource == "root" => Some(account(owner)),
            "iam" if named("user/") || named("role/") => Some(Self::Arn(text.into())),
            "sts" if named("assumed-role/") || named("federated-user/") => Some(Self::Arn(text.into())),
            _ => None,
        }
    }

    fn relation(&self, caller: &Caller) -> Relation {
        let role = match &caller.kind {
            CallerKind::AssumedRole { role_arn, .. } => Some(role_arn),
            _ => None,
        };
        match self {
            Self::Anyone => Relation::Direct,
            Self::Account { account, .. } if **account == *caller.account => match caller.kind {
                CallerKind::Root => Relation::Direct,
                CallerKind::User | CallerKind::AssumedRole { .. } | CallerKind::FederatedUser => Relation::Account,
                CallerKind::WebIdentity { .. } | CallerKind::Service | CallerKind::Anonymous => Relation::None,
            },
            Self::Arn(arn) if **arn == *caller.arn && caller.kind != CallerKind::Service => Relation::Direct,
            Self::Arn(arn) if role.is_some_and(|role| **role == **arn) => Relation::Role,
            Self::UniqueId(id) => match caller.user_id.strip_prefix(&**id) {
                Some("") => Relation::Direct,
                Some(rest) if role.is_some() && rest.starts_with(':') => Relation::Role,
                _ => Relation::None,
            },
            Self::Federated(name) => match &caller.kind {
                CallerKind::WebIdentity { provider } if **provider == **name => Relation::Direct,
                _ => Relation::None,
            },
            Self::Service(name) if caller.kind == CallerKind::Service && **name == *caller.arn => Relation::Direct,
            Self::Account { .. } | Self::Arn(_) | Self::Service(_) | Self::Canonical => Relation::None,
        }
    }
}
