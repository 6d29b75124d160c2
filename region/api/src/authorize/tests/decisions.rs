//! Every action of the reference that operations ask for × what can allow or deny it, by whole calls.

use std::collections::BTreeSet;

use geodynamo_policy::{Caller, CallerPolicies, NamedPolicy, Policy, PolicyKind};

use super::*;
use crate::Reply;

pub(super) fn allow(kind: PolicyKind, statement: &str) -> NamedPolicy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
    NamedPolicy::new("p", Arc::new(Policy::parse(&text, kind).unwrap()))
}

pub(super) fn all() -> NamedPolicy {
    allow(
        PolicyKind::Identity,
        r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#,
    )
}

/// Everything but one action.
pub(super) fn all_but(action: &str, kind: PolicyKind) -> NamedPolicy {
    allow(
        kind,
        &format!(r#"{{"Effect":"Allow","NotAction":"{action}","Resource":"*"}}"#),
    )
}

pub(super) fn caller(account: &str, policies: CallerPolicies) -> Caller {
    Caller {
        policies,
        ..Caller::user(account, "/", "ann", "AIDAANNANNANNANNANNAN")
    }
}

pub(super) fn with(identity: NamedPolicy) -> CallerPolicies {
    CallerPolicies {
        identity: vec![identity],
        ..CallerPolicies::default()
    }
}

/// Callers whom one action is not allowed, and the words that tell what kept it from them.
fn refused(action: &str) -> [(Caller, &'static str); 5] {
    let deny = format!(
        r#"{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"{action}","Resource":"*"}}"#
    );
    let own = |policies| caller("000000000000", policies);
    [
        (
            own(CallerPolicies::default()),
            "because no identity-based policy allows",
        ),
        (
            own(with(all_but(action, PolicyKind::Identity))),
            "because no identity-based policy allows",
        ),
        (
            own(with(allow(PolicyKind::Identity, &deny))),
            "with an explicit deny in an identity-based policy",
        ),
        (
            own(CallerPolicies {
                boundary: Some(all_but(action, PolicyKind::Boundary)),
                ..with(all())
            }),
            "because no permissions boundary allows",
        ),
        (
            own(CallerPolicies {
                session: Some(vec![all_but(action, PolicyKind::Session)]),
                ..with(all())
            }),
            "because no session policy allows",
        ),
    ]
}

pub(super) async fn call(api: &Api<MemoryEngine>, caller: &Caller, operation: Operation, body: &str) -> Reply {
    let service = if operation.name().ends_with("Stream") || operation.name().ends_with("Streams") {
        "DynamoDBStreams_20120810"
    } else {
        "DynamoDB_20120810"
    };
    let of_streams = [Operation::GetRecords, Operation::GetShardIterator].contains(&operation);
    let service = if of_streams {
        "DynamoDBStreams_20120810"
    } else {
        service
    };
    let target = format!("{service}.{}", operation.name());
    api.call(Call::of(caller), &target, body.as_bytes()).await
}

pub(super) fn is_denied(reply: &Reply) -> bool {
    reply.error.as_deref() == Some("AccessDeniedException")
}

/// Nobody has what newer releases of DynamoDB have: no policy is asked.
pub(super) fn is_not_offered(reply: &Reply) -> bool {
    reply.error.as_deref() == Some("UnknownOperationException")
}

pub(super) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// What calls of an operation ask for: the request, the action, the resource. Statements of a batch fail one by one.
fn rows(api: &Api<MemoryEngine>) -> Vec<(Operation, String, &'static str, String)> {
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        for body in requests(operation) {
            let asked = asked_by(api, operation, &body);
            let rest = asked.into_iter().map(|(action, resource, _)| (action, resource));
            let of_each: BTreeSet<_> = rest.collect();
            rows.extend(
                of_each
                    .into_iter()
                    .map(|(action, resource)| (operation, body.clone(), action, resource)),
            );
        }
    }
    rows
}

#[tokio::test]
async fn every_action_by_every_policy() {
    let api = api().await;
    let mut seen = BTreeSet::new();
    for (operation, body, action, resource) in rows(&api) {
        // Samples name things of another account, which this one's policies decide nothing about.
        if account_of(&resource) == "999988887777" {
            continue;
        }
        for (caller, words) in refused(action) {
            let reply = call(&api, &caller, operation, &body).await;
            if is_not_offered(&reply) {
                continue;
            }
            let told = text(&reply);
            assert!(is_denied(&reply), "{operation:?} {action} {words}: {told}");
            // Who has no policy at all is refused the first that is asked for.
            let is_of_it = told.contains(&format!("perform: {action} on")) || caller.policies.identity.is_empty();
            assert!(is_of_it && told.contains(words), "{action} {words}: {told}");
        }
        seen.insert(action);
    }
    assert_all_seen(seen.into_iter());
}

/// Whoever may do exactly what a request asks for is refused by no policy: by an identity's policies, and within a boundary and a
/// session that allow no more than that. Each in a region of its own, for it is done.
#[tokio::test]
async fn what_a_request_asks_for_is_enough() {
    let mut seen = BTreeSet::new();
    for operation in Operation::ALL {
        for body in requests(operation).iter().filter(|body| !body.contains("999988887777")) {
            let asked = asked_by(&api().await, operation, body);
            // Statements of a batch ask one by one, as they run.
            let Some(just) = just(&asked) else { continue };
            let exactly = |kind| allow(kind, &just);
            let own = |policies| caller("000000000000", policies);
            for allowed in [
                own(with(exactly(PolicyKind::Identity))),
                own(CallerPolicies {
                    boundary: Some(exactly(PolicyKind::Boundary)),
                    ..with(all())
                }),
                own(CallerPolicies {
                    session: Some(vec![exactly(PolicyKind::Session)]),
                    ..with(all())
                }),
            ] {
                let reply = call(&api().await, &allowed, operation, body).await;
                assert!(!is_denied(&reply), "{operation:?} {body}: {}", text(&reply));
            }
            seen.extend(asked.into_iter().map(|(action, ..)| action));
        }
    }
    assert_all_seen(seen.into_iter());
}

/// Statements that allow what was asked for, each on its resource.
fn just(asked: &Asked) -> Option<String> {
    let statements = asked
        .iter()
        .map(|(action, resource, _)| format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#));
    let statements: BTreeSet<String> = statements.collect();
    let statements: Vec<String> = statements.into_iter().collect();
    (!statements.is_empty()).then(|| statements.join(","))
}

/// Every action of the reference that an operation asks for was seen.
fn assert_all_seen<'a>(seen: impl Iterator<Item = &'a str>) {
    let seen: BTreeSet<_> = seen.collect();
    let missing: Vec<_> = reference()
        .into_keys()
        .filter(|action| !seen.contains(&**action) && !OF_NO_OPERATION.contains(&&**action))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
