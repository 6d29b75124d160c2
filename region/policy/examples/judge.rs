//! Decides on requests that come in as JSON, a line each, and writes what it decided: the other side of `tests/policies`, which
//! holds it against another evaluator.

#![expect(clippy::unwrap_used, reason = "a test's program stops at errors")]

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{BufRead, stdin},
    sync::Arc,
};

use geodynamo_policy::{
    Caller, CallerKind, Context, ContextValue, Decision, Environment, NamedPolicy, Policy, PolicyKind, Request,
    evaluate,
};
use serde_json::Value;

struct Keys(BTreeMap<String, Vec<String>>, Vec<String>);

impl Context for Keys {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        let values = self.0.get(key)?;
        Some(match &values[..] {
            [one] if self.1.iter().any(|single| single == key) => one.as_str().into(),
            several => ContextValue::Multi(several.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
        })
    }
}

fn main() {
    for line in stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line.unwrap()).unwrap();
        println!("{}", judge(&case));
    }
}

fn judge(case: &Value) -> &'static str {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    let parse = |value: &Value, kind| Policy::parse(&value.to_string(), kind).map(Arc::new);
    let kind = match case["role"].as_str() {
        None => CallerKind::User,
        Some(role) => CallerKind::AssumedRole {
            role_arn: role.into(),
            session_name: "one".into(),
        },
    };
    let mut caller = Caller::new(text("account"), text("principal"), kind, "id");
    for policy in case["identity"].as_array().into_iter().flatten() {
        let Ok(policy) = parse(policy, PolicyKind::Identity) else {
            return "Invalid";
        };
        caller.policies.identity.push(NamedPolicy::new("p", policy));
    }
    if case["boundary"].is_object() {
        let Ok(policy) = parse(&case["boundary"], PolicyKind::Boundary) else {
            return "Invalid";
        };
        caller.policies.boundary = Some(NamedPolicy::new("b", policy));
    }
    let resource_policy = case["resourcePolicy"]
        .is_object()
        .then(|| parse(&case["resourcePolicy"], PolicyKind::Resource));
    let Ok(resource_policy) = resource_policy.transpose() else {
        return "Invalid";
    };
    let mut single = Vec::new();
    let mut keys = BTreeMap::new();
    for (key, value) in case["context"].as_object().into_iter().flatten() {
        let key = key.to_ascii_lowercase();
        let values: Vec<String> = match value {
            Value::Array(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            value => {
                single.push(key.clone());
                vec![value.as_str().unwrap_or_default().to_owned()]
            }
        };
        keys.insert(key, values);
    }
    let environment = Environment::default();
    let request = Request {
        action: text("action"),
        resource: text("resource"),
        resource_account: text("resourceAccount"),
        environment: &environment,
        context: &Keys(keys, single),
    };
    match evaluate(&caller, resource_policy.as_deref(), &request) {
        Decision::Allow => "Allowed",
        Decision::ExplicitDeny(..) => "ExplicitlyDenied",
        Decision::ImplicitDeny(_) => "ImplicitlyDenied",
    }
}
