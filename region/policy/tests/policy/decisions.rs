//! Which policies decide: "Policy evaluation logic", and "Cross-account policy evaluation logic".

use std::sync::Arc;

use geodynamo_policy::{
    Caller, CallerKind, Decision, Environment, NamedPolicy, Policy, PolicyKind, PolicySource, Request, Session,
    StatementPlace, explain,
};

use crate::requests::{ACCOUNT, Keys, OTHER_ACCOUNT, TABLE, decide, identity, policy, session, statement, user};

const ALLOW: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"}}"#;
const DENY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"dynamodb:Get*","Resource":"*"}}"#;
const NOTHING: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;

const ANN: &str = r#"{"AWS":"arn:aws:iam::123456789012:user/ann"}"#;
const ROLE: &str = r#"{"AWS":"arn:aws:iam::123456789012:role/app/reader"}"#;
const SESSION: &str = r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/reader/one"}"#;
const ALL_OF_ACCOUNT: &str = r#"{"AWS":"123456789012"}"#;
const ROOT_OF_ACCOUNT: &str = r#"{"AWS":"arn:aws:iam::123456789012:root"}"#;
const ANYONE: &str = r#""*""#;

fn of_table(effect: &str, principal: &str) -> Arc<Policy> {
    let text = statement(&format!(
        r#""Effect":"{effect}","Principal":{principal},"Action":"dynamodb:*","Resource":"{TABLE}""#
    ));
    policy(&text, PolicyKind::Resource)
}

fn get(caller: &Caller, resource_policy: Option<&Policy>) -> Decision {
    decide(caller, resource_policy, "dynamodb:GetItem", TABLE, &Keys::default())
}

fn with_boundary(mut caller: Caller, text: &str) -> Caller {
    caller.policies.boundary = Some(NamedPolicy::new("boundary", policy(text, PolicyKind::Boundary)));
    caller
}

fn with_session(mut caller: Caller, texts: &[&str]) -> Caller {
    let named = |text: &&str| NamedPolicy::new("session", policy(text, PolicyKind::Session));
    caller.policies.session = Some(texts.iter().map(named).collect());
    caller
}

fn lacks(source: PolicySource) -> Decision {
    Decision::ImplicitDeny(source)
}

fn denied(source: PolicySource) -> Decision {
    let place = StatementPlace {
        policy: 0,
        statement: 0,
    };
    Decision::ExplicitDeny(source, place)
}

use Decision::Allow;
use PolicySource::{Boundary, Identity, Resource, Session as OfSession};

#[test]
fn pinned_principals_are_who_has_the_id() {
    let pinned = |principal: &str, id: &str| {
        let text = statement(&format!(
            r#""Effect":"Allow","Principal":{principal},"Action":"dynamodb:*","Resource":"{TABLE}""#
        ));
        let policy = Policy::parse(&text, PolicyKind::Resource).unwrap();
        policy.pinned(|arn| arn.starts_with("arn:").then_some(id))
    };
    let ann = user(&[]);
    for (id, expect) in [(&*ann.user_id, Allow), ("AIDASOMEBODYELSE1234", lacks(Identity))] {
        assert_eq!(get(&ann, Some(&pinned(ANN, id))), expect, "{id}");
    }
    let one = session(&[ALLOW]);
    let (role, _) = one.user_id.split_once(':').unwrap();
    for (principal, id, expect) in [
        (SESSION, &*one.user_id, Allow),
        (SESSION, "AROASOMEBODYELSE1234:one", lacks(Identity)),
        (ROLE, role, Allow),
        (ROLE, "AROASOMEBODYELSE1234", lacks(Identity)),
    ] {
        let nothing = session(&[]);
        assert_eq!(get(&nothing, Some(&pinned(principal, id))), expect, "{principal} {id}");
    }
    // Accounts stay what they are.
    assert_eq!(get(&ann, Some(&pinned(ALL_OF_ACCOUNT, "x"))), lacks(Identity));
    assert_eq!(
        pinned(ALL_OF_ACCOUNT, "x").aws_principals().next(),
        Some("123456789012")
    );
}

#[test]
fn within_an_account() {
    let check = |caller: Caller, resource: Option<Arc<Policy>>, expect: Decision| {
        let decision = get(&caller, resource.as_deref());
        assert_eq!(decision, expect, "{caller:?} {resource:?}");
    };
    let allowing = |principal: &str| Some(of_table("Allow", principal));
    // Identity-based policies.
    check(user(&[]), None, lacks(Identity));
    check(user(&[NOTHING]), None, lacks(Identity));
    check(user(&[NOTHING, ALLOW]), None, Allow);
    check(user(&[DENY, ALLOW]), None, denied(Identity));
    // Either the principal's or the resource's.
    check(user(&[]), allowing(ANN), Allow);
    check(user(&[]), allowing(ANYONE), Allow);
    check(user(&[]), allowing(ROLE), lacks(Identity));
    check(user(&[ALLOW]), allowing(ROLE), Allow);
    check(user(&[ALLOW]), Some(of_table("Deny", ANN)), denied(Resource));
    check(user(&[ALLOW]), Some(of_table("Deny", ALL_OF_ACCOUNT)), denied(Resource));
    // What an account is allowed, its administrators must give.
    check(user(&[]), allowing(ALL_OF_ACCOUNT), lacks(Identity));
    check(user(&[]), allowing(ROOT_OF_ACCOUNT), lacks(Identity));
    // Boundaries.
    check(with_boundary(user(&[ALLOW]), ALLOW), None, Allow);
    check(with_boundary(user(&[ALLOW]), NOTHING), None, lacks(Boundary));
    check(with_boundary(user(&[ALLOW]), DENY), None, denied(Boundary));
    check(with_boundary(user(&[]), ALLOW), None, lacks(Identity));
    check(with_boundary(user(&[]), NOTHING), allowing(ANN), Allow);
    check(with_boundary(user(&[]), DENY), allowing(ANN), denied(Boundary));
    // Sessions.
    check(session(&[ALLOW]), None, Allow);
    check(with_session(session(&[ALLOW]), &[ALLOW]), None, Allow);
    check(with_session(session(&[ALLOW]), &[NOTHING]), None, lacks(OfSession));
    check(with_session(session(&[ALLOW]), &[]), None, lacks(OfSession));
    check(
        with_session(session(&[ALLOW]), &[ALLOW, DENY]),
        None,
        Decision::ExplicitDeny(
            OfSession,
            StatementPlace {
                policy: 1,
                statement: 0,
            },
        ),
    );
    check(with_session(session(&[]), &[ALLOW]), None, lacks(Identity));
    // A resource that names the role is bound by the session's policies and the boundary; one that names the session is not.
    check(session(&[]), allowing(ROLE), Allow);
    check(with_session(session(&[]), &[NOTHING]), allowing(ROLE), lacks(OfSession));
    check(with_boundary(session(&[]), NOTHING), allowing(ROLE), lacks(Boundary));
    check(with_session(session(&[]), &[NOTHING]), allowing(SESSION), Allow);
    check(with_boundary(session(&[]), NOTHING), allowing(SESSION), Allow);
    check(session(&[]), allowing(ANN), lacks(Identity));
}

#[test]
fn root_may_do_everything_in_its_account() {
    let root = Caller::root(ACCOUNT);
    assert_eq!(get(&root, None), Allow);
    assert_eq!(get(&root, Some(&of_table("Allow", ANN))), Allow);
    assert_eq!(get(&root, Some(&of_table("Deny", ANYONE))), denied(Resource));
    assert_eq!(get(&Caller::root(OTHER_ACCOUNT), None), lacks(Resource));
    let trusting = of_table("Allow", r#"{"AWS":"999988887777"}"#);
    assert_eq!(get(&Caller::root(OTHER_ACCOUNT), Some(&trusting)), Allow);
}

#[test]
fn across_accounts_both_sides_must_allow() {
    let stranger = |policies: &[&str]| {
        let mut caller = Caller::user(OTHER_ACCOUNT, "/", "eve", "AIDAEVEEVEEVEEVEEVEEV");
        caller.policies.identity = identity(policies);
        caller
    };
    let eve = of_table("Allow", r#"{"AWS":"arn:aws:iam::999988887777:user/eve"}"#);
    let account = of_table("Allow", r#"{"AWS":"999988887777"}"#);
    assert_eq!(get(&stranger(&[ALLOW]), None), lacks(Resource));
    assert_eq!(get(&stranger(&[ALLOW]), Some(&of_table("Allow", ANN))), lacks(Resource));
    assert_eq!(get(&stranger(&[]), Some(&eve)), lacks(Identity));
    assert_eq!(get(&stranger(&[ALLOW]), Some(&eve)), Allow);
    assert_eq!(get(&stranger(&[ALLOW]), Some(&account)), Allow);
    assert_eq!(
        get(&with_boundary(stranger(&[ALLOW]), NOTHING), Some(&eve)),
        lacks(Boundary)
    );
    assert_eq!(
        get(&with_session(stranger(&[ALLOW]), &[NOTHING]), Some(&eve)),
        lacks(OfSession)
    );
    assert_eq!(get(&stranger(&[DENY, ALLOW]), Some(&eve)), denied(Identity));
}

#[test]
fn trust_policies_must_allow() {
    let trust = |principal: &str| {
        let text = statement(&format!(
            r#""Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole""#
        ));
        policy(&text, PolicyKind::Trust)
    };
    let may = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}"#;
    let role = "arn:aws:iam::123456789012:role/app/reader";
    let assume =
        |caller: &Caller, trust: &Policy| decide(caller, Some(trust), "sts:AssumeRole", role, &Keys::default());
    assert_eq!(assume(&user(&[may]), &trust(ROLE)), lacks(Resource));
    assert_eq!(assume(&user(&[may]), &trust(ROOT_OF_ACCOUNT)), Allow);
    assert_eq!(assume(&user(&[]), &trust(ROOT_OF_ACCOUNT)), lacks(Identity));
    assert_eq!(assume(&user(&[]), &trust(ANN)), Allow);
    assert_eq!(assume(&Caller::root(ACCOUNT), &trust(ANN)), lacks(Resource));
    let provider = "arn:aws:iam::123456789012:oidc-provider/issuer.example";
    let kind = |provider: &str| CallerKind::WebIdentity {
        provider: provider.into(),
    };
    let web = |provider: &str| Caller::new("", "issuer.example:someone", kind(provider), "someone");
    let federated = trust(&format!(r#"{{"Federated":"{provider}"}}"#));
    assert_eq!(assume(&web(provider), &federated), Allow);
    assert_eq!(assume(&web("accounts.example"), &federated), lacks(Resource));
}

#[test]
fn services_and_nobody() {
    let service = Caller::new("", "replication.dynamodb.amazonaws.com", CallerKind::Service, "");
    let nobody = Caller::new("", "anonymous", CallerKind::Anonymous, "");
    let for_service = of_table("Allow", r#"{"Service":"replication.dynamodb.amazonaws.com"}"#);
    assert_eq!(get(&service, Some(&for_service)), Allow);
    assert_eq!(get(&service, None), lacks(Resource));
    assert_eq!(get(&nobody, Some(&for_service)), lacks(Resource));
    assert_eq!(get(&nobody, Some(&of_table("Allow", ANYONE))), Allow);
    assert_eq!(get(&user(&[]), Some(&for_service)), lacks(Identity));
}

#[test]
fn federated_users_have_what_both_allow() {
    let federated = |policies: &[&str]| {
        let arn = "arn:aws:sts::123456789012:federated-user/bob";
        let mut caller = Caller::new(ACCOUNT, arn, CallerKind::FederatedUser, "123456789012:bob");
        caller.policies.identity = identity(policies);
        caller
    };
    assert_eq!(get(&federated(&[ALLOW]), None), lacks(OfSession));
    assert_eq!(get(&with_session(federated(&[ALLOW]), &[ALLOW]), None), Allow);
    let named = of_table("Allow", r#"{"AWS":"arn:aws:sts::123456789012:federated-user/bob"}"#);
    assert_eq!(get(&federated(&[]), Some(&named)), Allow);
}

#[test]
fn not_principal() {
    let except = |principals: &str| {
        let text = statement(&format!(
            r#""Effect":"Deny","NotPrincipal":{{"AWS":[{principals}]}},"Action":"dynamodb:*","Resource":"{TABLE}""#
        ));
        policy(&text, PolicyKind::Resource)
    };
    let ann = except(r#""arn:aws:iam::123456789012:user/ann","arn:aws:iam::123456789012:root""#);
    assert_eq!(get(&user(&[ALLOW]), Some(&ann)), Allow);
    assert_eq!(get(&session(&[ALLOW]), Some(&ann)), denied(Resource));
    // Whoever has a boundary is always denied.
    assert_eq!(get(&with_boundary(user(&[ALLOW]), ALLOW), Some(&ann)), denied(Resource));
    let role = except(r#""arn:aws:iam::123456789012:role/app/reader","arn:aws:iam::123456789012:root""#);
    assert_eq!(get(&session(&[ALLOW]), Some(&role)), denied(Resource));
    let one = except(r#""arn:aws:sts::123456789012:assumed-role/reader/one","arn:aws:iam::123456789012:root""#);
    assert_eq!(get(&session(&[ALLOW]), Some(&one)), Allow);
}

#[test]
fn actions_and_resources() {
    let check = |rest: &str, action: &str, resource: &str, expect: bool| {
        let text = statement(&format!(r#""Effect":"Allow",{rest}"#));
        let decision = decide(&user(&[&text]), None, action, resource, &Keys::default());
        assert_eq!(decision.is_allowed(), expect, "{rest} {action} {resource}");
    };
    let own = r#""Action":"dynamodb:getITEM","Resource":"arn:aws:dynamodb:*:*:table/${aws:username}*""#;
    let of = |table: &str| format!("arn:aws:dynamodb:us-east-1:123456789012:table/{table}");
    check(own, "dynamodb:GetItem", &of("ann-1"), true);
    check(own, "dynamodb:GetItem", &of("bob-1"), false);
    check(own, "dynamodb:PutItem", &of("ann-1"), false);
    let but = r#""NotAction":["dynamodb:Delete*","dynamodb:GetItem"],"Resource":"*""#;
    check(but, "dynamodb:PutItem", &of("t"), true);
    check(but, "dynamodb:DeleteTable", &of("t"), false);
    let others = format!(r#""Action":"*","NotResource":"{}""#, of("t"));
    check(&others, "dynamodb:GetItem", &of("t"), false);
    check(&others, "dynamodb:GetItem", &of("u"), true);
    check(&others, "dynamodb:ListTables", "*", true);
    // A variable without a value: nothing is allowed.
    let unknown = r#""Action":"*","Resource":"arn:aws:dynamodb:*:*:table/${aws:PrincipalTag/none}*""#;
    check(unknown, "dynamodb:GetItem", &of("t"), false);
    check(
        &unknown.replace("\"Resource", "\"NotResource"),
        "dynamodb:GetItem",
        &of("t"),
        false,
    );
}

#[test]
fn messages_in_the_words_of_aws() {
    let environment = Environment::default();
    let request = Request {
        action: "dynamodb:GetItem",
        resource: TABLE,
        resource_account: ACCOUNT,
        environment: &environment,
        context: &(),
    };
    let begin = "is not authorized to perform: dynamodb:GetItem on resource: \
                 arn:aws:dynamodb:us-east-1:123456789012:table/GameScores";
    let check = |caller: &Caller, decision: Decision, expect: &str| {
        let expect = format!("User: {} {begin} {expect}", caller.arn);
        assert_eq!(decision.message(caller, &request), Some(expect));
    };
    let ann = user(&[]);
    check(
        &ann,
        lacks(Identity),
        "because no identity-based policy allows the dynamodb:GetItem action",
    );
    check(
        &ann,
        lacks(Resource),
        "because no resource-based policy allows the dynamodb:GetItem action",
    );
    check(
        &ann,
        denied(Boundary),
        "with an explicit deny in a permissions boundary",
    );
    check(
        &session(&[]),
        denied(OfSession),
        "with an explicit deny in a session policy",
    );
    assert_eq!(Allow.message(&ann, &request), None);
    assert_eq!(&*session(&[]).arn, "arn:aws:sts::123456789012:assumed-role/reader/one");
}

#[test]
fn sessions_bring_keys_along() {
    let text = statement(
        r#""Effect":"Allow","Action":"*","Resource":"*","Condition":{
            "Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"},
            "DateLessThan":{"aws:TokenIssueTime":"2024"},"StringEquals":{"aws:SourceIdentity":"carl","issuer.example:sub":"s"},
            "ForAnyValue:StringEquals":{"issuer.example:aud":"b"},
            "ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:role/app/reader"}}"#,
    );
    let mut caller = session(&[&text]);
    assert_eq!(get(&caller, None), lacks(Identity));
    caller.session = Some(Session {
        issued_unix_s: 1_699_999_000,
        mfa_unix_s: Some(1_699_999_000),
        source_identity: Some("carl".into()),
        federated_provider: None,
        keys: [
            ("issuer.example:sub".to_owned(), vec!["s".to_owned()]),
            ("issuer.example:aud".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
        ]
        .into(),
    });
    assert_eq!(get(&caller, None), Allow);
}

#[test]
fn explanations() {
    let conditional = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/X":"y"}}},
        {"Effect":"Deny","Action":"dynamodb:GetItem","Resource":"*"}]}"#;
    let caller = user(&[conditional]);
    let environment = Environment::default();
    let request = Request {
        action: "dynamodb:GetItem",
        resource: TABLE,
        resource_account: ACCOUNT,
        environment: &environment,
        context: &(),
    };
    let explanation = explain(&caller, None, &request);
    let statements: Vec<_> = explanation.matches.iter().map(|found| found.place.statement).collect();
    assert_eq!(statements, [0, 2]);
    assert_eq!(explanation.missing_keys, ["aws:principaltag/x"]);
    assert_eq!(
        explanation.decision,
        Decision::ExplicitDeny(
            Identity,
            StatementPlace {
                policy: 0,
                statement: 2
            }
        )
    );
}
