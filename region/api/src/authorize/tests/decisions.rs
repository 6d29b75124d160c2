//! Every action of the reference that operations ask for × what can allow or deny it, by whole calls.

use std::collections::{BTreeMap, BTreeSet};

use geodynamo_policy::{Caller, CallerPolicies, NamedPolicy, Policy, PolicyKind};

use super::*;
use crate::Reply;

const OTHER: &str = "111122223333";

fn allow(kind: PolicyKind, statement: &str) -> NamedPolicy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
    NamedPolicy::new("p", Arc::new(Policy::parse(&text, kind).unwrap()))
}

fn all() -> NamedPolicy {
    allow(
        PolicyKind::Identity,
        r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#,
    )
}

/// Everything but one action.
fn all_but(action: &str, kind: PolicyKind) -> NamedPolicy {
    allow(
        kind,
        &format!(r#"{{"Effect":"Allow","NotAction":"{action}","Resource":"*"}}"#),
    )
}

fn caller(account: &str, policies: CallerPolicies) -> Caller {
    Caller {
        policies,
        ..Caller::user(account, "/", "ann", "AIDAANNANNANNANNANNAN")
    }
}

fn with(identity: NamedPolicy) -> CallerPolicies {
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

async fn call(api: &Api<MemoryEngine>, caller: &Caller, operation: Operation, body: &str) -> Reply {
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

fn is_denied(reply: &Reply) -> bool {
    reply.error.as_deref() == Some("AccessDeniedException")
}

/// Nobody has what newer releases of DynamoDB have: no policy is asked.
fn is_not_offered(reply: &Reply) -> bool {
    reply.error.as_deref() == Some("UnknownOperationException")
}

fn text(reply: &Reply) -> String {
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
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
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
        *seen.entry(action).or_default() += 1;
    }
    let missing: Vec<_> = reference()
        .into_keys()
        .filter(|action| !seen.contains_key(&**action) && !OF_NO_OPERATION.contains(&&**action))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Whoever may do everything is refused by no policy. Each in a region of its own, for it is done.
    for operation in Operation::ALL {
        let api = super::api().await;
        for body in requests(operation).iter().filter(|body| !body.contains("999988887777")) {
            let reply = call(&api, &caller("000000000000", with(all())), operation, body).await;
            assert!(!is_denied(&reply), "{operation:?} {body}: {}", text(&reply));
        }
    }
}

/// The same of the table's own policy: a Deny in it, an Allow in it alone, and callers of another account.
#[tokio::test]
async fn every_action_by_the_policy_of_the_table() {
    let mut seen = BTreeSet::new();
    for (operation, body, action, resource) in rows(&api().await) {
        let of_table = resource == TABLE || resource.starts_with(&format!("{TABLE}/index/"));
        if !of_table || operation == Operation::CreateTable {
            continue;
        }
        let api = api().await;
        let put = async |effect: &str, principal: &str| {
            let policy = format!(
                r#"{{\"Version\":\"2012-10-17\",\"Statement\":{{\"Effect\":\"{effect}\",\"Principal\":{{\"AWS\":\"{principal}\"}},\"Action\":\"dynamodb:*\",\"Resource\":[\"{TABLE}\",\"{TABLE}/index/*\"]}}}}"#
            );
            let put = format!(r#"{{"ResourceArn":"{TABLE}","Policy":"{policy}"}}"#);
            let root = Caller::root("000000000000");
            let reply = call(&api, &root, Operation::PutResourcePolicy, &put).await;
            assert_eq!(reply.status, 200, "{}", text(&reply));
        };
        put("Deny", "arn:aws:iam::000000000000:user/ann").await;
        let reply = call(&api, &caller("000000000000", with(all())), operation, &body).await;
        if is_not_offered(&reply) {
            continue;
        }
        let told = text(&reply);
        assert!(
            is_denied(&reply) && told.contains("with an explicit deny in a resource-based policy"),
            "{operation:?} {action}: {told}"
        );
        seen.insert(action);
        // Tables are made in the caller's account.
        if operation == Operation::ImportTable {
            continue;
        }
        // Of another account, by the table's ARN.
        let by_arn = body.replace(r#""TableName":"name""#, &format!(r#""TableName":"{TABLE}""#));
        if by_arn == body && !body.contains(TABLE) {
            continue;
        }
        let stranger = caller(OTHER, with(all()));
        let reply = call(&api, &stranger, operation, &by_arn).await;
        assert!(is_denied(&reply), "{operation:?} {action}: {}", text(&reply));
        put("Allow", OTHER).await;
        let nobody = caller(OTHER, CallerPolicies::default());
        let reply = call(&api, &nobody, operation, &by_arn).await;
        assert!(is_denied(&reply), "{operation:?} {action}: {}", text(&reply));
    }
    assert!(seen.len() >= 30, "{seen:?}");
}
