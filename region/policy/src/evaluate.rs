//! What policies decide.

use std::{borrow::Cow, cell::RefCell, collections::BTreeSet};

use smallvec::SmallVec;

use crate::{
    Caller, CallerKind, ContextValue, Effect, NamedPolicy, Policy, PolicyKind, Request,
    keys::Key,
    principal::Relation,
    shortlist::{self, Listed},
};

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
    if resource_policy.is_none() && caller.is_root() && *caller.account == *request.resource_account {
        return Decision::Allow;
    }
    decide(&Asked::new(caller, request, None), resource_policy, None)
}

/// Decides as [`evaluate`] does, and tells what led to it. Slower: it looks at every statement.
pub fn explain(caller: &Caller, resource_policy: Option<&Policy>, request: &Request<'_>) -> Explanation {
    let missing = RefCell::default();
    let mut matches = Vec::new();
    let decision = decide(
        &Asked::new(caller, request, Some(&missing)),
        resource_policy,
        Some(&mut matches),
    );
    Explanation {
        decision,
        matches,
        missing_keys: missing.into_inner().into_iter().collect(),
    }
}

/// What is asked, as statements see it.
pub(crate) struct Asked<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) request: &'a Request<'a>,
    /// In lower case.
    action: SmallVec<[u8; 64]>,
    /// Keys that were asked for in vain.
    missing: Option<&'a RefCell<BTreeSet<String>>>,
}

impl<'a> Asked<'a> {
    fn new(caller: &'a Caller, request: &'a Request<'a>, missing: Option<&'a RefCell<BTreeSet<String>>>) -> Self {
        Self {
            caller,
            request,
            action: request.action.bytes().map(|byte| byte.to_ascii_lowercase()).collect(),
            missing,
        }
    }

    /// The action in lower case.
    pub(crate) fn action(&self) -> &str {
        // It was text before: lower case of ASCII alone leaves it so.
        std::str::from_utf8(&self.action).unwrap_or_default()
    }

    /// What the request has of a key.
    pub(crate) fn get(&self, key: &Key) -> Option<ContextValue<'a>> {
        let found = key.get(self.caller, self.request);
        if let (None, Some(missing)) = (&found, self.missing) {
            missing.borrow_mut().insert(key.name().to_owned());
        }
        found
    }

    /// The value of a single-valued key.
    pub(crate) fn single(&self, key: &Key) -> Option<Cow<'a, str>> {
        match self.get(key)? {
            ContextValue::Single(value) => Some(value),
            ContextValue::Multi(_) | ContextValue::Shared(_) => None,
        }
    }
}

/// What the policies of one source say.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    /// The first statement that denies.
    denied: Option<StatementPlace>,
    /// How close to the caller the closest statement that allows is.
    allowed: Relation,
}

impl Verdict {
    fn allows(self) -> bool {
        self.allowed > Relation::None
    }
}

/// Where the statements that apply are noted, if they are.
type Matches<'m> = Option<&'m mut Vec<Match>>;

fn decide(asked: &Asked<'_>, resource_policy: Option<&Policy>, mut matches: Matches<'_>) -> Decision {
    let mut verdict = |source, policies: &mut dyn Iterator<Item = &Policy>| -> Verdict {
        let mut verdict = Verdict {
            denied: None,
            allowed: Relation::None,
        };
        for (at, policy) in policies.enumerate() {
            judge(asked, source, at, policy, &mut verdict, matches.as_deref_mut());
        }
        verdict
    };
    fn named(policies: &[NamedPolicy]) -> impl Iterator<Item = &Policy> {
        policies.iter().map(|named| &*named.policy)
    }
    let own = &asked.caller.policies;
    let identity = verdict(PolicySource::Identity, &mut named(&own.identity));
    let resource = verdict(PolicySource::Resource, &mut resource_policy.into_iter());
    let boundary = own
        .boundary
        .as_ref()
        .map(|boundary| verdict(PolicySource::Boundary, &mut [&*boundary.policy].into_iter()));
    // Who federates without a session policy has nothing.
    let session = match (&own.session, &asked.caller.kind) {
        (Some(session), _) => Some(&session[..]),
        (None, CallerKind::FederatedUser) => Some(&[][..]),
        (None, _) => None,
    };
    let session = session.map(|session| verdict(PolicySource::Session, &mut named(session)));

    let denials = [
        (PolicySource::Identity, Some(identity)),
        (PolicySource::Resource, Some(resource)),
        (PolicySource::Boundary, boundary),
        (PolicySource::Session, session),
    ];
    for (source, verdict) in denials {
        if let Some(place) = verdict.and_then(|verdict| verdict.denied) {
            return Decision::ExplicitDeny(source, place);
        }
    }
    let is_trust = resource_policy.is_some_and(|policy| policy.kind() == PolicyKind::Trust);
    allowed(asked, is_trust, identity, resource, boundary, session)
}

/// What is decided if nothing denies.
fn allowed(
    asked: &Asked<'_>,
    is_trust: bool,
    identity: Verdict,
    resource: Verdict,
    boundary: Option<Verdict>,
    session: Option<Verdict>,
) -> Decision {
    let same_account = match asked.caller.kind {
        CallerKind::Root | CallerKind::User | CallerKind::AssumedRole { .. } | CallerKind::FederatedUser => {
            *asked.caller.account == *asked.request.resource_account
        }
        // They have no policies of their own.
        CallerKind::WebIdentity { .. } | CallerKind::Service | CallerKind::Anonymous => {
            return if resource.allows() {
                Decision::Allow
            } else {
                Decision::ImplicitDeny(PolicySource::Resource)
            };
        }
    };
    if (is_trust || !same_account) && !resource.allows() {
        // Root too may assume only roles that trust it.
        return Decision::ImplicitDeny(PolicySource::Resource);
    }
    if asked.caller.is_root() {
        return Decision::Allow;
    }
    let by_resource = if same_account { resource.allowed } else { Relation::None };
    if by_resource == Relation::Direct {
        return Decision::Allow;
    }
    let sources = [
        // What a resource allows a role is allowed to its sessions, within what else binds them.
        (
            PolicySource::Identity,
            by_resource == Relation::Role || identity.allows(),
        ),
        (PolicySource::Boundary, boundary.is_none_or(Verdict::allows)),
        (PolicySource::Session, session.is_none_or(Verdict::allows)),
    ];
    match sources.into_iter().find(|(_, allows)| !allows) {
        Some((source, _)) => Decision::ImplicitDeny(source),
        None => Decision::Allow,
    }
}

fn judge(
    asked: &Asked<'_>,
    source: PolicySource,
    at: usize,
    policy: &Policy,
    verdict: &mut Verdict,
    mut matches: Matches<'_>,
) {
    let explains = matches.is_some();
    let each = |Listed { at: statement_at, fits }: Listed| {
        let statement = &policy.statements[statement_at];
        // What is decided already need not be looked at.
        let decided = match statement.effect {
            Effect::Allow => verdict.allowed == Relation::Direct,
            Effect::Deny => verdict.denied.is_some(),
        };
        if decided && !explains {
            return;
        }
        let relation = if fits {
            statement.applies_if_fits(asked)
        } else {
            statement.applies(asked)
        };
        // A statement about an account denies all who are in it.
        if relation == Relation::None {
            return;
        }
        let place = StatementPlace {
            policy: at,
            statement: statement_at,
        };
        match statement.effect {
            Effect::Allow => verdict.allowed = verdict.allowed.max(relation),
            Effect::Deny => drop(verdict.denied.get_or_insert(place)),
        }
        if let Some(matches) = matches.as_deref_mut() {
            matches.push(Match {
                source,
                place,
                effect: statement.effect,
            });
        }
    };
    // Who explains looks at every statement by itself.
    if explains {
        shortlist::all(&policy.statements).for_each(each);
    } else {
        policy.shortlists.each(asked, &policy.statements, each);
    }
}
