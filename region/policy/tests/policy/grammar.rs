//! What is a policy, and what is not.

use geodynamo_policy::{Place, Policy, PolicyKind, Version};

use crate::requests::statement;

fn refused(text: &str, kind: PolicyKind) -> String {
    match Policy::parse(text, kind) {
        Ok(policy) => panic!("{text} is {policy:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_parts_of_a_policy() {
    let text = r#"{
  "Version": "2012-10-17",
  "Id": "it",
  "Statement": [
    {"Sid": "one", "Effect": "Allow", "Principal": {"AWS": ["123456789012", "arn:aws:iam::123456789012:user/é"]},
     "Action": ["dynamodb:GetItem"], "Resource": "*"},
    {"Effect": "Deny", "Principal": "*", "NotAction": "dynamodb:*", "NotResource": "arn:aws:dynamodb:*"}
  ]
}"#;
    let policy = Policy::parse(text, PolicyKind::Resource).unwrap();
    assert_eq!(
        (policy.version(), policy.id(), policy.statements()),
        (Version::V2012, Some("it"), 2)
    );
    assert_eq!((policy.sid(0), policy.sid(1), policy.sid(2)), (Some("one"), None, None));
    let places = policy.statement_places(1).unwrap();
    assert_eq!(
        (places.0.line, places.0.column, places.1.line, places.1.column),
        (7, 5, 7, 105)
    );
    assert_eq!(
        &text[places.0.offset..places.1.offset],
        text.lines().nth(6).unwrap().trim()
    );
    let principals: Vec<_> = policy.aws_principals().collect();
    assert_eq!(principals, ["123456789012", "arn:aws:iam::123456789012:user/é"]);
    assert_eq!(policy.size_chars(), text.chars().filter(|c| !c.is_whitespace()).count());
}

#[test]
fn the_version_may_come_last_and_be_missing() {
    let text = r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"},"Version":"2012-10-17"}"#;
    assert_eq!(
        Policy::parse(text, PolicyKind::Identity).unwrap().version(),
        Version::V2012
    );
    let text = r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#;
    assert_eq!(
        Policy::parse(text, PolicyKind::Identity).unwrap().version(),
        Version::V2008
    );
}

#[test]
fn what_is_no_policy() {
    let check = |text: &str, kind: PolicyKind, reason: &str| {
        let error = refused(text, kind);
        assert!(error.starts_with(reason), "{text}: {error}");
    };
    let identity = |rest: &str, reason: &str| check(&statement(rest), PolicyKind::Identity, reason);
    let resource = |rest: &str, reason: &str| check(&statement(rest), PolicyKind::Resource, reason);
    check("", PolicyKind::Identity, "Syntax errors in policy");
    check("[]", PolicyKind::Identity, "Syntax errors in policy");
    check("{}", PolicyKind::Identity, "Syntax errors in policy: no statements");
    check(
        r#"{"Statement":[]}"#,
        PolicyKind::Identity,
        "Syntax errors in policy: no statements",
    );
    check(
        r#"{"Statement":[{}]} x"#,
        PolicyKind::Identity,
        "Syntax errors in policy",
    );
    check(
        r#"{"Version":"2012-10-18","Statement":{}}"#,
        PolicyKind::Identity,
        "The policy must contain a valid version string",
    );
    check(
        r#"{"Version":"2012-10-17","Version":"2012-10-17"}"#,
        PolicyKind::Identity,
        "Duplicate key: Version",
    );
    check(
        r#"{"Name":"x"}"#,
        PolicyKind::Identity,
        "Syntax errors in policy: no element Name",
    );
    identity(
        r#""Effect":"allow","Action":"a:b","Resource":"*""#,
        "Invalid effect: allow",
    );
    identity(
        r#""Action":"a:b","Resource":"*""#,
        "Syntax errors in policy: a statement without an effect",
    );
    identity(
        r#""Effect":"Allow","Resource":"*""#,
        "Policy statement must contain actions",
    );
    identity(
        r#""Effect":"Allow","Action":[],"Resource":"*""#,
        "Policy statement must contain actions",
    );
    identity(
        r#""Effect":"Allow","Action":"a:b""#,
        "Policy statement must contain resources",
    );
    identity(
        r#""Effect":"Allow","Action":"a:b","Resource":"x""#,
        "Resource x must be in ARN format or \"*\".",
    );
    identity(
        r#""Effect":"Allow","Action":"GetItem","Resource":"*""#,
        "Actions/Conditions must be prefaced by a vendor",
    );
    identity(
        r#""Effect":"Allow","Action":"*:GetItem","Resource":"*""#,
        "Actions/Conditions must be prefaced by a vendor",
    );
    identity(
        r#""Effect":"Allow","Action":"a:b","Action":"a:c","Resource":"*""#,
        "Duplicate key: Action",
    );
    identity(
        r#""Effect":"Allow","Action":"a:b","NotAction":"a:c","Resource":"*""#,
        "Syntax errors in policy: NotAction beside",
    );
    identity(
        r#""Effect":"Allow","Action":"a:b","Resource":"*","Principal":"*""#,
        "Policy document should not specify a principal",
    );
    identity(
        r#""Sid":"a-b","Effect":"Allow","Action":"a:b","Resource":"*""#,
        "Statement IDs (SID) must be alpha-numeric: a-b",
    );
    identity(
        r#""Effect":"Allow","Action":{"a":"b"},"Resource":"*""#,
        "Syntax errors in policy: found",
    );
    resource(
        r#""Effect":"Allow","Action":"a:b","Resource":"*""#,
        "Policy statement must contain principals",
    );
    resource(
        r#""Effect":"Allow","NotPrincipal":"*","Action":"a:b","Resource":"*""#,
        "Allow with NotPrincipal",
    );
    for principal in [
        r#""x""#,
        r#"{"AWS":"x"}"#,
        r#"{"AWS":"arn:aws:iam::123456789012:user/*"}"#,
        r#"{"Group":"x"}"#,
        r#"{"AWS":[]}"#,
        r#"{"AWS":"arn:aws:iam::123456789012:group/x"}"#,
        r#"{"AWS":"arn:aws:s3:::x"}"#,
        r#"{"AWS":"1234"}"#,
    ] {
        let text = format!(r#""Effect":"Allow","Principal":{principal},"Action":"a:b","Resource":"*""#);
        assert!(
            refused(&statement(&text), PolicyKind::Resource).contains("rincipal"),
            "{principal}"
        );
    }
    let trust = r#""Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*""#;
    check(&statement(trust), PolicyKind::Trust, "Has prohibited field Resource");
    let twice = r#"{"Statement":[{"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"},
                                 {"Sid":"a","Effect":"Allow","Action":"a:b","Resource":"*"}]}"#;
    check(
        twice,
        PolicyKind::Identity,
        "Statement IDs (SID) in a single policy must be unique",
    );
}

#[test]
fn errors_tell_the_place() {
    let text = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\"é\": 1, \"x\": 2}}";
    let error = Policy::parse(text, PolicyKind::Identity).unwrap_err();
    assert_eq!(error.place.line, 3);
    assert!(error.to_string().contains("(line 3, column "), "{error}");
}

#[test]
fn limits() {
    let check = |text: &str, reason: &str| {
        let error = refused(text, PolicyKind::Identity);
        assert!(error.starts_with(reason), "{error}");
    };
    let statement = r#"{"Effect":"Allow","Action":"a:b","Resource":"*"}"#;
    let many = |count: usize| format!(r#"{{"Statement":[{}]}}"#, vec![statement; count].join(","));
    assert!(Policy::parse(&many(1000), PolicyKind::Identity).is_ok());
    check(&many(1001), "The policy has more than 1000 statements");
    check(&many(10_000), "The policy has more than 131072 bytes");
    let long = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"a:{}","Resource":"*"}}}}"#,
        "b".repeat(4096)
    );
    check(&long, "An entry of the policy has more than 4096 bytes");
    let entries = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":["a:b"{}],"Resource":"*"}}}}"#,
        r#","a:b""#.repeat(10_000)
    );
    check(&entries, "The policy has more than 10000 entries");
    check(&"[".repeat(1000), "Syntax errors in policy");
    assert_eq!(
        Policy::parse("", PolicyKind::Identity).unwrap_err().place,
        Place {
            offset: 0,
            line: 1,
            column: 1
        }
    );
}
