//! Requests and callers of the tests.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use geodynamo_policy::{
    Caller, Context, ContextValue, Decision, Environment, NamedPolicy, Policy, PolicyKind, Request, evaluate, explain,
};

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const OTHER_ACCOUNT: &str = "999988887777";
pub(crate) const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/GameScores";

/// Keys with their values; a single value counts as single-valued unless the key is in [`MULTI_VALUED`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(pub(crate) BTreeMap<String, Vec<String>>);

/// The keys that have several values even if they have one.
pub(crate) const MULTI_VALUED: [&str; 3] = ["dynamodb:leadingkeys", "dynamodb:attributes", "aws:tagkeys"];

impl Keys {
    pub(crate) fn of(keys: &[(&str, &[&str])]) -> Self {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Self(
            keys.iter()
                .map(|(key, values)| (key.to_ascii_lowercase(), owned(values)))
                .collect(),
        )
    }
}

impl Context for Keys {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        let values = self.0.get(key)?;
        Some(match &values[..] {
            [one] if !MULTI_VALUED.contains(&key) => one.as_str().into(),
            several => ContextValue::Multi(several.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
        })
    }
}

pub(crate) fn policy(text: &str, kind: PolicyKind) -> Arc<Policy> {
    Arc::new(Policy::parse(text, kind).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// A user with these identity-based policies.
pub(crate) fn user(policies: &[&str]) -> Caller {
    let mut caller = Caller::user(ACCOUNT, "/", "ann", "AIDAANNANNANNANNANNAN");
    caller.policies.identity = identity(policies);
    caller
}

/// A role's session with these identity-based policies.
pub(crate) fn session(policies: &[&str]) -> Caller {
    let mut caller = Caller::assumed_role(ACCOUNT, "/app/", "reader", "AROAREADERREADERREADE", "one");
    caller.policies.identity = identity(policies);
    caller
}

pub(crate) fn identity(policies: &[&str]) -> Vec<NamedPolicy> {
    let named = |text: &&str| NamedPolicy::new("policy", policy(text, PolicyKind::Identity));
    policies.iter().map(named).collect()
}

/// Decides on an action of DynamoDB on a resource, with these keys.
pub(crate) fn decide(
    caller: &Caller,
    resource_policy: Option<&Policy>,
    action: &str,
    resource: &str,
    keys: &Keys,
) -> Decision {
    let environment = Environment {
        now_unix_s: Some(1_700_000_000),
        source_ip: Some([203, 0, 113, 7].into()),
        secure_transport: Some(true),
        user_agent: Some("aws-sdk-rust/1.0"),
        region: Some("us-east-1"),
        via_service: Some(false),
        ..Environment::default()
    };
    let request = Request {
        action,
        resource,
        resource_account: ACCOUNT,
        environment: &environment,
        context: keys,
    };
    let decision = evaluate(caller, resource_policy, &request);
    // What was remembered of the first time changes nothing, and neither does looking at every statement.
    assert_eq!(evaluate(caller, resource_policy, &request), decision);
    assert_eq!(explain(caller, resource_policy, &request).decision, decision);
    decision
}

/// A policy of one statement: `rest` follows the version.
pub(crate) fn statement(rest: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":{{{rest}}}}}"#)
}
