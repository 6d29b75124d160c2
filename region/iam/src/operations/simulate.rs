//! The policy simulator: what policies would decide.

use std::sync::Arc;

use geodynamo_policy::{
    Caller, CallerKind, CallerPolicies, Context as Keys, ContextValue, Decision, Effect, Environment, Explanation,
    NamedPolicy, Policy, PolicyKind, PolicySource, Request, explain,
};

use super::{page::Page, parse_policy};
use crate::{
    accounts::is_id,
    authorize::policy_name,
    call::Context,
    entity::Kind,
    query::{
        error::{IamError, Result},
        value::{Structure, Value},
    },
};

/// The most results of a call, of all its pages.
const RESULTS_MAX: usize = 10_000;

pub(super) fn principal(cx: &Context<'_>) -> Result<Structure> {
    let arn = cx.input.required("PolicySourceArn");
    let mut found = None;
    for kind in Kind::ALL {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let held = cx.state().principal(kind, name);
        found = found.or(held
            .filter(|held| held.entity.arn(kind, cx.account()) == arn)
            .map(|held| (kind, held)));
    }
    let Some((kind, held)) = found else {
        return Err(IamError::no_such(format!("The entity {arn} cannot be found.")));
    };
    let own = match kind {
        Kind::User => cx.state().user_caller(cx.account(), held),
        Kind::Group | Kind::Role => Caller {
            tags: held.entity.tags.clone(),
            policies: cx.state().policies_of(cx.account(), held),
            ..Caller::new(cx.account(), arn, CallerKind::User, &held.entity.id)
        },
    };
    let mut caller = match cx.input.text("CallerArn") {
        Some(arn) => Caller {
            policies: own.policies,
            ..user(cx, arn)?
        },
        None if kind != Kind::User && cx.input.text("ResourcePolicy").is_some() => {
            return Err(IamError::invalid_input(
                "CallerArn must be the ARN of a user when there is a ResourcePolicy and PolicySourceArn is not a user's",
            ));
        }
        None => own,
    };
    caller
        .policies
        .identity
        .extend(given(cx, "PolicyInputList", PolicyKind::Identity)?);
    if let Some(boundary) = boundary(cx)? {
        caller.policies.boundary = Some(boundary);
    }
    simulate(cx, caller, kind.noun())
}

pub(super) fn custom(cx: &Context<'_>) -> Result<Structure> {
    let nobody = format!("arn:aws:iam::{}:user/simulated", cx.account());
    let caller = Caller {
        policies: CallerPolicies {
            identity: given(cx, "PolicyInputList", PolicyKind::Identity)?,
            boundary: boundary(cx)?,
            session: None,
        },
        ..user(cx, cx.input.text("CallerArn").unwrap_or(&nobody))?
    };
    simulate(cx, caller, "none")
}

/// The user that a simulation takes for its caller, who need not be there.
fn user(cx: &Context<'_>, arn: &str) -> Result<Caller> {
    let of_user = arn
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":user/"))
        .filter(|(account, path)| is_id(account) && !path.is_empty());
    let Some((account, path)) = of_user else {
        return Err(IamError::invalid_input(format!(
            "Invalid CallerArn: {arn} is not the ARN of a user"
        )));
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let held = cx.state().principal(Kind::User, name);
    match held.filter(|held| account == cx.account() && held.entity.arn(Kind::User, account) == arn) {
        Some(held) => Ok(cx.state().user_caller(account, held)),
        None => Ok(Caller {
            user_name: Some(name.into()),
            ..Caller::new(account, arn, CallerKind::User, "AIDASIMULATED")
        }),
    }
}

fn given(cx: &Context<'_>, parameter: &str, kind: PolicyKind) -> Result<Vec<NamedPolicy>> {
    let documents = cx.input.texts(parameter).enumerate();
    let named = documents.map(|(place, document)| {
        let policy = parse(document, kind)?;
        Ok(NamedPolicy::new(format!("{parameter}.{}", place + 1), Arc::new(policy)))
    });
    named.collect()
}

fn boundary(cx: &Context<'_>) -> Result<Option<NamedPolicy>> {
    let all = given(cx, "PermissionsBoundaryPolicyInputList", PolicyKind::Boundary)?;
    Ok(all.into_iter().next())
}

fn parse(document: &str, kind: PolicyKind) -> Result<Policy> {
    parse_policy(document, kind).map_err(|error| IamError::invalid_input(error.message))
}

/// The context keys that a call gives.
struct Entries<'a>(Vec<(String, ContextValue<'a>)>);

impl<'a> Entries<'a> {
    fn of(input: &'a Structure) -> Self {
        let entries = input.structures("ContextEntries").map(|entry| {
            let mut values: Vec<_> = entry.texts("ContextKeyValues").map(Into::into).collect();
            let is_list = entry.text("ContextKeyType").is_some_and(|kind| kind.ends_with("List"));
            let value = if values.len() == 1 && !is_list {
                ContextValue::Single(values.remove(0))
            } else {
                ContextValue::Multi(values)
            };
            (entry.required("ContextKeyName").to_lowercase(), value)
        });
        Self(entries.collect())
    }
}

impl Keys for Entries<'_> {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    }
}

fn simulate(cx: &Context<'_>, caller: Caller, source_kind: &'static str) -> Result<Structure> {
    let resource_policy = cx.input.text("ResourcePolicy");
    let resource_policy = resource_policy
        .map(|document| parse(document, PolicyKind::Resource))
        .transpose()?;
    let entries = Entries::of(cx.input);
    // What the call gives of it stands first: see `Entries`.
    let environment = Environment {
        now_unix_s: Some(cx.call.now_unix_s),
        ..Environment::default()
    };
    let mut resources: Vec<&str> = cx.input.texts("ResourceArns").collect();
    if resources.is_empty() {
        resources.push("*");
    }
    let actions: Vec<&str> = cx.input.texts("ActionNames").collect();
    if actions.len().saturating_mul(resources.len()) > RESULTS_MAX {
        return Err(IamError::invalid_input(format!(
            "At most {RESULTS_MAX} actions and resources can be simulated at once"
        )));
    }
    for action in &actions {
        let parts = action.split_once(':');
        if parts.is_none_or(|(service, name)| service.is_empty() || name.is_empty() || name.contains('*')) {
            return Err(IamError::invalid_input(format!("Invalid Action Names: {action}")));
        }
    }
    let owner = cx.input.text("ResourceOwner").and_then(|arn| arn.split(':').nth(4));
    let pairs = actions
        .iter()
        .flat_map(|action| resources.iter().map(move |resource| (*action, *resource)));
    let numbered = pairs.enumerate().map(|(place, pair)| (format!("{place:08}"), pair));
    let page = Page::of(cx.input, numbered, |(action, resource)| {
        let request = Request {
            action,
            resource,
            resource_account: owner.unwrap_or(&caller.account),
            environment: &environment,
            context: &entries,
        };
        let explained = explain(&caller, resource_policy.as_ref(), &request);
        result(&caller, resource_policy.as_ref(), &request, &explained, source_kind)
    })?;
    Ok(page.answer("EvaluationResults"))
}

fn result(
    caller: &Caller,
    resource_policy: Option<&Policy>,
    request: &Request<'_>,
    explained: &Explanation,
    source_kind: &'static str,
) -> Structure {
    let decision = match explained.decision {
        Decision::Allow => "allowed",
        Decision::ExplicitDeny(..) => "explicitDeny",
        Decision::ImplicitDeny(_) => "implicitDeny",
    };
    let matched = explained.matches.iter().map(|found| {
        let identity = caller.policies.identity.get(found.place.policy);
        let (id, kind, policy): (&str, &str, Option<&Policy>) = match found.source {
            PolicySource::Identity => identity.map_or(("", "none", None), |named| {
                let kind = match &*named.name {
                    name if name.starts_with("arn:aws:iam::aws:") => "aws-managed",
                    name if name.starts_with("arn:") => "user-managed",
                    name if name.starts_with("PolicyInputList.") => "none",
                    _ => source_kind,
                };
                (policy_name(&named.name), kind, Some(&*named.policy))
            }),
            PolicySource::Boundary => {
                let named = caller.policies.boundary.as_ref();
                named.map_or(("", "none", None), |named| (&*named.name, "none", Some(&*named.policy)))
            }
            PolicySource::Resource => ("ResourcePolicy", "resource", resource_policy),
            PolicySource::Session => ("", "none", None),
        };
        let places = policy.and_then(|policy| policy.statement_places(found.place.statement));
        let position = |place: geodynamo_policy::Place| {
            Structure::new()
                .with("Line", i64::from(place.line))
                .with("Column", i64::from(place.column))
        };
        Structure::new()
            .with("SourcePolicyId", id)
            .with("SourcePolicyType", kind)
            .with("StartPosition", places.map(|(start, _)| position(start)))
            .with("EndPosition", places.map(|(_, end)| position(end)))
    });
    let matched: Vec<Structure> = matched.collect();
    let by_boundary = caller.policies.boundary.as_ref().map(|_| {
        let allows = |effect| {
            let mut of_boundary = explained
                .matches
                .iter()
                .filter(|found| found.source == PolicySource::Boundary);
            of_boundary.any(|found| found.effect == effect)
        };
        let allowed = allows(Effect::Allow) && !allows(Effect::Deny);
        Structure::new().with("AllowedByPermissionsBoundary", allowed)
    });
    let missing: Vec<Value> = explained.missing_keys.iter().map(Value::from).collect();
    Structure::new()
        .with("EvalActionName", request.action)
        .with("EvalResourceName", request.resource)
        .with("EvalDecision", decision)
        .with("MatchedStatements", matched)
        .with("MissingContextValues", missing)
        .with("PermissionsBoundaryDecisionDetail", by_boundary)
}
