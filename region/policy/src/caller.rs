//! Who asks.

use std::{collections::BTreeMap, sync::Arc};

use crate::Policy;

/// A principal of a request, with all that its policies and their conditions may ask about it.
///
/// Held as an `Arc<Caller>`; whoever changes a principal or one of its policies makes a new one.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account that it belongs to: twelve digits.
    pub account: Arc<str>,
    /// Its ARN as refusals tell it: `arn:aws:iam::A:root`, `arn:aws:iam::A:user/PATH/NAME`,
    /// `arn:aws:sts::A:assumed-role/ROLE/SESSION`, `arn:aws:sts::A:federated-user/NAME`.
    pub arn: Arc<str>,
    /// What it is.
    pub kind: CallerKind,
    /// `aws:userid`: the account of root, `AIDA…` of a user, `AROA…:SESSION` of a role's session, `A:NAME` of a federated user.
    pub user_id: Arc<str>,
    /// `aws:username`, which only users have.
    pub user_name: Option<Arc<str>>,
    /// `aws:PrincipalTag/…`: the user's or the role's tags, and those of the session in their place.
    pub tags: BTreeMap<String, String>,
    /// What temporary credentials bring along; `None` with a long-term access key.
    pub session: Option<Session>,
    /// What it may do.
    pub policies: CallerPolicies,
}

/// What a caller is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallerKind {
    /// An account's root user, whom no policy of its own account binds.
    Root,
    /// An IAM user, with a long-term key or a session of `GetSessionToken`.
    User,
    /// A session of a role: `AssumeRole`, `AssumeRoleWithWebIdentity`.
    AssumedRole {
        /// The role's ARN: `arn:aws:iam::A:role/PATH/NAME`. It is `aws:PrincipalArn`, and what policies name as principal.
        role_arn: Arc<str>,
        /// The session's name.
        session_name: Arc<str>,
    },
    /// A session of `GetFederationToken`: it has what both the user's policies and its session policies allow.
    FederatedUser,
    /// Who presents a web identity token, before it has a role's session: a principal of trust policies only.
    WebIdentity {
        /// What trust policies name as `Federated`: the provider's ARN, or the name of a built-in one.
        provider: Arc<str>,
    },
    /// A part of the service itself: what policies name as `Service`, such as `replication.dynamodb.amazonaws.com`.
    Service,
    /// Nobody: no credentials.
    Anonymous,
}

/// What temporary credentials bring along.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Session {
    /// `aws:TokenIssueTime`, in seconds since 1970.
    pub issued_unix_s: i64,
    /// When a multi-factor device was used, in seconds since 1970: `aws:MultiFactorAuthPresent` and `aws:MultiFactorAuthAge`.
    pub mfa_unix_s: Option<i64>,
    /// `aws:SourceIdentity`
    pub source_identity: Option<Arc<str>>,
    /// `aws:FederatedProvider`
    pub federated_provider: Option<Arc<str>>,
    /// Further context keys that the session carries (`PROVIDER:sub`, `PROVIDER:aud`): names in lower case, with their
    /// values. One value is single-valued.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// The policies that bear on a caller, apart from those of resources.
#[derive(Clone, Debug, Default)]
pub struct CallerPolicies {
    /// Identity-based policies: inline, attached, those of the user's groups, of the role.
    pub identity: Vec<NamedPolicy>,
    /// The permissions boundary.
    pub boundary: Option<NamedPolicy>,
    /// Session policies: `Some` if any were passed with the session, which then may do only what they allow, too.
    pub session: Option<Vec<NamedPolicy>>,
}

/// A policy and what it is called.
#[derive(Clone, Debug)]
pub struct NamedPolicy {
    /// A managed policy's ARN, or an inline policy's name.
    pub name: Arc<str>,
    /// The policy.
    pub policy: Arc<Policy>,
}

impl NamedPolicy {
    /// A policy of this name.
    pub fn new(name: impl Into<Arc<str>>, policy: Arc<Policy>) -> Self {
        Self {
            name: name.into(),
            policy,
        }
    }
}

impl Caller {
    /// The root user of an account.
    pub fn root(account: &str) -> Self {
        Self::new(
            account,
            format!("arn:aws:iam::{account}:root"),
            CallerKind::Root,
            account,
        )
    }

    /// A user of an account, without policies. `path` begins and ends with a slash; `/` for none.
    pub fn user(account: &str, path: &str, name: &str, user_id: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:user{path}{name}");
        Self {
            user_name: Some(name.into()),
            ..Self::new(account, arn, CallerKind::User, user_id)
        }
    }

    /// A session of a role, without policies. `role_path` begins and ends with a slash; `/` for none.
    pub fn assumed_role(account: &str, role_path: &str, role: &str, role_id: &str, session_name: &str) -> Self {
        let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/{session_name}");
        let kind = CallerKind::AssumedRole {
            role_arn: format!("arn:aws:iam::{account}:role{role_path}{role}").into(),
            session_name: session_name.into(),
        };
        Self::new(account, arn, kind, &format!("{role_id}:{session_name}"))
    }

    /// A caller of this kind, without tags, session and policies.
    pub fn new(account: &str, arn: impl Into<Arc<str>>, kind: CallerKind, user_id: &str) -> Self {
        Self {
            account: account.into(),
            arn: arn.into(),
            kind,
            user_id: user_id.into(),
            user_name: None,
            tags: BTreeMap::new(),
            session: None,
            policies: CallerPolicies::default(),
        }
    }

    /// Whether it is the root user of an account.
    pub fn is_root(&self) -> bool {
        self.kind == CallerKind::Root
    }

    /// `aws:PrincipalArn`: of a role's session, the role's ARN.
    pub fn principal_arn(&self) -> &str {
        match &self.kind {
            CallerKind::AssumedRole { role_arn, .. } => role_arn,
            _ => &self.arn,
        }
    }
}
