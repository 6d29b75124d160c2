//! Policy documents: parsed as every kind, and asked about a request.

use std::sync::Arc;

use geodynamo_policy::{Caller, Environment, NamedPolicy, Policy, PolicyKind, Request, TEXT_BYTES_MAX, explain};

const KINDS: [PolicyKind; 5] = [
    PolicyKind::Identity,
    PolicyKind::Resource,
    PolicyKind::Trust,
    PolicyKind::Session,
    PolicyKind::Boundary,
];

/// The input is the document.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for kind in KINDS {
        match Policy::parse(text, kind) {
            Ok(policy) => ask(Arc::new(policy)),
            Err(error) => {
                assert!(!error.reason.is_empty() && error.place.offset <= text.len().min(TEXT_BYTES_MAX));
            }
        }
    }
}

fn ask(policy: Arc<Policy>) {
    for statement in 0..policy.statements() {
        let places = policy.statement_places(statement);
        assert!(places.is_some_and(|(begin, end)| begin.offset < end.offset));
    }
    let mut caller = Caller::assumed_role("123456789012", "/", "reader", "AROAREADERREADERREADE", "one");
    caller.tags.insert("team".into(), "red".into());
    let resource_policy = match policy.kind() {
        PolicyKind::Resource | PolicyKind::Trust => Some(Arc::clone(&policy)),
        PolicyKind::Identity | PolicyKind::Session | PolicyKind::Boundary => {
            caller
                .policies
                .identity
                .push(NamedPolicy::new("p", Arc::clone(&policy)));
            None
        }
    };
    let environment = Environment {
        now_unix_s: Some(1_700_000_000),
        source_ip: Some([203, 0, 113, 7].into()),
        ..Environment::default()
    };
    let request = Request {
        action: "dynamodb:GetItem",
        resource: "arn:aws:dynamodb:us-east-1:123456789012:table/t",
        resource_account: "123456789012",
        environment: &environment,
        context: &(),
    };
    let explanation = explain(&caller, resource_policy.as_deref(), &request);
    let message = explanation.decision.message(&caller, &request);
    assert_eq!(message.is_none(), explanation.decision.is_allowed());
}
