//! What holds of all policies: the compiled evaluator decides as the plain one, a Deny more never allows more, an Allow more
//! never allows less.

use geodynamo_policy::{Caller, Decision, NamedPolicy, Policy, PolicyKind};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{
    plain::Question,
    requests::{ACCOUNT, Keys, decide, policy},
};

const ACTIONS: &[&str] = &[
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:ListTables",
];
const ACTION_PATTERNS: &[&str] = &[
    "*",
    "dynamodb:*",
    "dynamodb:Get*",
    "dynamodb:?utItem",
    "DYNAMODB:query",
    "s3:*",
];
const TABLES: &[&str] = &[
    "*",
    "arn:aws:dynamodb:us-east-1:123456789012:table/ann",
    "arn:aws:dynamodb:us-east-1:123456789012:table/red-1",
    "arn:aws:dynamodb:us-east-1:123456789012:table/t/index/i",
];
const RESOURCE_PATTERNS: &[&str] = &[
    "*",
    "arn:aws:dynamodb:*:*:table/*",
    "arn:aws:dynamodb:us-east-1:123456789012:table/ann",
    "arn:aws:dynamodb:*:*:table/${aws:username}",
    "arn:aws:dynamodb:*:*:table/${aws:PrincipalTag/team}-?",
    "arn:aws:dynamodb:*:*:table/${aws:PrincipalTag/none, 't'}/index/*",
    "arn:aws:s3:::*",
];
const STRINGS: &[&str] = &[
    "a",
    "b",
    "ann",
    "a*",
    "?",
    "${aws:username}",
    "${aws:PrincipalTag/team}",
    "${*}",
    "red",
];
const ARNS: &[&str] = &[
    "arn:aws:iam::123456789012:user/ann",
    "arn:aws:iam::*:user/*",
    "arn:aws:iam:*:role/x",
    "arn:*:*:*:*:*",
];
const NUMBERS: &[&str] = &["0", "5", "10"];

fn condition() -> impl Strategy<Value = (String, String, Vec<String>)> {
    let values = |values: &'static [&'static str]| prop::collection::vec(select(values).prop_map(str::to_owned), 0..3);
    let family = prop_oneof![
        (
            select(&["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"][..]),
            select(
                &[
                    "dynamodb:LeadingKeys",
                    "dynamodb:Select",
                    "aws:username",
                    "aws:PrincipalTag/Team"
                ][..]
            ),
            values(STRINGS)
        ),
        (
            select(&["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"][..]),
            select(&["aws:PrincipalArn", "aws:SourceArn"][..]),
            values(ARNS)
        ),
        (
            select(
                &[
                    "NumericEquals",
                    "NumericNotEquals",
                    "NumericLessThan",
                    "NumericGreaterThanEquals"
                ][..]
            ),
            select(&["test:number", "test:other"][..]),
            values(NUMBERS)
        ),
        (
            select(&["Bool"][..]),
            select(&["test:bool"][..]),
            values(&["true", "false"])
        ),
        (
            select(&["Null"][..]),
            select(&["test:number", "dynamodb:LeadingKeys", "aws:username"][..]),
            prop::collection::vec(select(&["true", "false"][..]).prop_map(str::to_owned), 1..2)
        ),
    ];
    let quantifier = select(&["", "", "ForAllValues:", "ForAnyValue:"][..]);
    (quantifier, family, any::<bool>()).prop_map(|(quantifier, (name, key, values), if_exists)| {
        let (quantifier, suffix) = match (name, if_exists) {
            ("Null", _) => ("", ""),
            (_, true) => (quantifier, "IfExists"),
            (_, false) => (quantifier, ""),
        };
        (format!("{quantifier}{name}{suffix}"), key.to_owned(), values)
    })
}

fn any_statement(effects: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let some = |from: &'static [&'static str]| prop::collection::vec(select(from), 1..3);
    (
        select(effects),
        any::<(bool, bool)>(),
        some(ACTION_PATTERNS),
        some(RESOURCE_PATTERNS),
        prop::collection::vec(condition(), 0..3),
    )
        .prop_map(|(effect, (not_action, not_resource), actions, resources, conditions)| {
            // A variable without a value in NotResource is settled on the safe side; the plain evaluator knows nothing of that.
            let not_resource = not_resource && !resources.iter().any(|resource| resource.contains("${"));
            let mut statement = json!({ "Effect": effect });
            statement[if not_action { "NotAction" } else { "Action" }] = json!(actions);
            statement[if not_resource { "NotResource" } else { "Resource" }] = json!(resources);
            if !conditions.is_empty() {
                statement["Condition"] = json!({});
            }
            for (operator, key, values) in conditions {
                statement["Condition"][operator][key] = json!(values);
            }
            statement
        })
}

fn any_policy() -> impl Strategy<Value = Value> {
    let version = select(&["2012-10-17", "2012-10-17", "2008-10-17"][..]);
    let statements = prop::collection::vec(any_statement(&["Allow", "Allow", "Deny"]), 1..4);
    (version, statements).prop_map(|(version, statements)| json!({ "Version": version, "Statement": statements }))
}

fn any_keys() -> impl Strategy<Value = Keys> {
    let strings = prop::option::of(prop::collection::vec(select(&["a", "b", "ann", "red", "*"][..]), 0..3));
    let one = prop::option::of(select(&["a", "ann", "red"][..]));
    let number = prop::option::of(select(NUMBERS));
    let boolean = prop::option::of(select(&["true", "false"][..]));
    (strings, one, number, boolean).prop_map(|(strings, one, number, boolean)| {
        let mut keys = Vec::new();
        keys.extend(strings.as_deref().map(|values| ("dynamodb:LeadingKeys", values)));
        keys.extend(
            one.as_ref()
                .map(|value| ("dynamodb:Select", std::slice::from_ref(value))),
        );
        keys.extend(
            number
                .as_ref()
                .map(|value| ("test:number", std::slice::from_ref(value))),
        );
        keys.extend(boolean.as_ref().map(|value| ("test:bool", std::slice::from_ref(value))));
        Keys::of(&keys)
    })
}

fn any_caller() -> impl Strategy<Value = Caller> {
    (any::<bool>(), any::<bool>()).prop_map(|(is_user, tagged)| {
        let mut caller = if is_user {
            Caller::user(ACCOUNT, "/", "ann", "AIDAANNANNANNANNANNAN")
        } else {
            Caller::assumed_role(ACCOUNT, "/", "x", "AROAREADERREADERREADE", "one")
        };
        caller
            .tags
            .extend(tagged.then(|| ("team".to_owned(), "red".to_owned())));
        caller
    })
}

fn with(caller: &Caller, policies: &[Value]) -> Caller {
    let mut caller = caller.clone();
    let named = |text: &Value| NamedPolicy::new("policy", policy(&text.to_string(), PolicyKind::Identity));
    caller.policies.identity = policies.iter().map(named).collect();
    caller
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_compiled_evaluator_decides_as_the_plain_one(
        policies in prop::collection::vec(any_policy(), 1..3),
        boundary in prop::option::weighted(0.3, any_policy()),
        caller in any_caller(),
        keys in any_keys(),
        action in select(ACTIONS),
        resource in select(TABLES),
    ) {
        let mut judged = with(&caller, &policies);
        judged.policies.boundary = boundary.as_ref().map(|boundary| {
            NamedPolicy::new("boundary", policy(&boundary.to_string(), PolicyKind::Boundary))
        });
        let question = Question { action, resource, caller: &caller, keys: &keys };
        let identity: Vec<_> = policies.iter().map(|policy| question.ask(policy)).collect();
        let bound = boundary.as_ref().map(|policy| question.ask(policy));
        let denied = identity.iter().chain(&bound).any(|says| says.denies);
        let allowed = identity.iter().any(|says| says.allows) && bound.is_none_or(|says| says.allows);
        let decision = decide(&judged, None, action, resource, &keys);
        prop_assert_eq!(decision.is_allowed(), allowed && !denied, "{:?}", decision);
        prop_assert_eq!(matches!(decision, Decision::ExplicitDeny(..)), denied);
    }

    #[test]
    fn more_denies_allow_no_more_and_more_allows_no_less(
        policies in prop::collection::vec(any_policy(), 1..3),
        deny in any_statement(&["Deny"]),
        allow in any_statement(&["Allow"]),
        caller in any_caller(),
        keys in any_keys(),
        action in select(ACTIONS),
        resource in select(TABLES),
    ) {
        let decide = |policies: &[Value]| decide(&with(&caller, policies), None, action, resource, &keys).is_allowed();
        let one = |statement: Value| json!({ "Version": "2012-10-17", "Statement": statement });
        let before = decide(&policies);
        let with_deny = [&policies[..], &[one(deny)]].concat();
        let with_allow = [&policies[..], &[one(allow)]].concat();
        prop_assert!(before || !decide(&with_deny));
        prop_assert!(!before || decide(&with_allow));
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[\{\}\[\]":,a-zA-Z0-9${}*? ]{0,200}"#) {
        for kind in [PolicyKind::Identity, PolicyKind::Resource, PolicyKind::Trust] {
            drop(Policy::parse(&text, kind));
        }
    }
}

/// Negative controls: evaluators that are wrong in one thing are found out by requests like those above.
#[test]
fn what_is_wrong_is_found_out() {
    let keys = Keys::default();
    let caller = Caller::user(ACCOUNT, "/", "ann", "AIDAANNANNANNANNANNAN");
    let question = Question {
        action: "dynamodb:GetItem",
        resource: TABLES[1],
        caller: &caller,
        keys: &keys,
    };
    let check = |statement: Value, wrong: Value| {
        let policy = |statement: Value| json!({ "Version": "2012-10-17", "Statement": statement });
        let (right, wrong) = (policy(statement), policy(wrong));
        let decision = decide(
            &with(&caller, &[right]),
            None,
            question.action,
            question.resource,
            &keys,
        );
        let says = question.ask(&wrong);
        assert_ne!(decision.is_allowed(), says.allows && !says.denies);
    };
    let allow = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    let deny = json!({ "Effect": "Deny", "Action": "*", "Resource": "*" });
    // A deny that is overlooked.
    check(json!([allow, deny]), json!([allow]));
    // IfExists that is overlooked.
    let conditional = |operator: &str| json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { operator: { "dynamodb:Select": "COUNT" } } });
    check(conditional("StringEqualsIfExists"), conditional("StringEquals"));
    // A wildcard that takes too much.
    let of = |resource: &str| json!({ "Effect": "Allow", "Action": "*", "Resource": resource });
    check(
        of("arn:aws:dynamodb:us-east-1:123456789012:table/${*}"),
        of("arn:aws:dynamodb:us-east-1:123456789012:table/*"),
    );
}
