//! Every condition operator with a key that is present, missing, multi-valued.

use geodynamo_policy::PolicyKind;

use crate::requests::{Keys, TABLE, decide, policy, statement, user};

/// Whether a statement with this condition applies.
fn holds(condition: &str, keys: &[(&str, &[&str])]) -> bool {
    holds_in("2012-10-17", condition, keys)
}

fn holds_in(version: &str, condition: &str, keys: &[(&str, &[&str])]) -> bool {
    let text = statement(&format!(
        r#""Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}"#
    ));
    let text = text.replace("2012-10-17", version);
    let mut caller = user(&[&text]);
    caller.tags.insert("Team".into(), "red".into());
    decide(&caller, None, "dynamodb:GetItem", TABLE, &Keys::of(keys)).is_allowed()
}

/// An operator, the policy's value, request values that fit, and that do not.
const OPERATORS: &[(&str, &str, &[&str], &[&str])] = &[
    ("StringEquals", "red", &["red"], &["Red", "redder", ""]),
    ("StringNotEquals", "red", &["Red", "redder"], &["red"]),
    ("StringEqualsIgnoreCase", "Red", &["red", "RED"], &["redder"]),
    ("StringNotEqualsIgnoreCase", "Red", &["redder"], &["red", "RED"]),
    ("StringLike", "r?d*", &["red", "rod-and-reel"], &["rd", "Red"]),
    ("StringNotLike", "r?d*", &["rd", "Red"], &["red", "rod-and-reel"]),
    ("NumericEquals", "10", &["10", "10.0", "1e1"], &["11", "ten"]),
    ("NumericNotEquals", "10", &["11"], &["10"]),
    ("NumericLessThan", "10", &["9.9", "-1"], &["10", "11", "x"]),
    ("NumericLessThanEquals", "10", &["9", "10"], &["10.1"]),
    ("NumericGreaterThan", "10", &["10.1"], &["10", "9"]),
    ("NumericGreaterThanEquals", "10", &["10", "11"], &["9"]),
    (
        "DateEquals",
        "2024-01-31T00:00:00Z",
        &["1706659200", "2024-01-31T01:00:00+01:00"],
        &["2024-02-01", "x"],
    ),
    (
        "DateNotEquals",
        "2024-01-31",
        &["2024-02-01"],
        &["2024-01-31T00:00:00Z"],
    ),
    (
        "DateLessThan",
        "2024-01-31",
        &["2024-01-30T23:59:59Z"],
        &["2024-01-31", "2025"],
    ),
    (
        "DateLessThanEquals",
        "2024-01-31",
        &["2024-01-31"],
        &["2024-01-31T00:00:01Z"],
    ),
    (
        "DateGreaterThan",
        "1706659200",
        &["2024-01-31T00:00:01Z"],
        &["2024-01-31"],
    ),
    ("DateGreaterThanEquals", "2024-01-31", &["2024-01-31"], &["2024-01-30"]),
    ("Bool", "true", &["true", "TRUE"], &["false", "yes"]),
    ("BinaryEquals", "QmluYXJ5", &["QmluYXJ5"], &["Qmlu", "Binary"]),
    (
        "IpAddress",
        "203.0.113.0/24",
        &["203.0.113.255"],
        &["203.0.114.1", "2001:db8::1", "x"],
    ),
    ("NotIpAddress", "203.0.113.0/24", &["203.0.114.1"], &["203.0.113.255"]),
    (
        "ArnEquals",
        "arn:aws:iam::*:role/a*",
        &["arn:aws:iam::1:role/abc"],
        &["arn:aws:iam::1:role/b", "arn:aws:iam:1:role/abc"],
    ),
    (
        "ArnLike",
        "arn:aws:iam::*:role/a*",
        &["arn:aws:iam::1:role/abc"],
        &["arn:aws:iam::1:role/b", "role/abc"],
    ),
    (
        "ArnNotEquals",
        "arn:aws:iam::*:role/a*",
        &["arn:aws:iam::1:role/b"],
        &["arn:aws:iam::1:role/abc"],
    ),
    (
        "ArnNotLike",
        "arn:aws:iam::*:role/a*",
        &["arn:aws:iam::1:role/b"],
        &["arn:aws:iam::1:role/abc"],
    ),
];

const KEY: &str = "dynamodb:select";
const MULTI: &str = "dynamodb:leadingkeys";

#[test]
fn values_of_one_key() {
    for (operator, value, fit, unfit) in OPERATORS {
        let condition = format!(r#"{{"{operator}":{{"DynamoDB:Select":"{value}"}}}}"#);
        for given in *fit {
            assert!(holds(&condition, &[(KEY, &[given])]), "{operator} {given}");
        }
        for given in *unfit {
            assert!(!holds(&condition, &[(KEY, &[given])]), "{operator} {given}");
        }
    }
}

#[test]
fn missing_keys() {
    for (operator, value, ..) in OPERATORS {
        let negated = operator.contains("Not");
        let check = |operator: &str, expect: bool| {
            let condition = format!(r#"{{"{operator}":{{"{KEY}":"{value}"}}}}"#);
            assert_eq!(holds(&condition, &[]), expect, "{operator}");
        };
        check(operator, negated);
        check(&format!("{operator}IfExists"), true);
        check(&format!("ForAllValues:{operator}"), true);
        check(&format!("ForAnyValue:{operator}"), false);
        check(&format!("ForAllValues:{operator}IfExists"), true);
        check(&format!("ForAnyValue:{operator}IfExists"), true);
    }
}

#[test]
fn if_exists_asks_what_is_there() {
    for (operator, value, fit, unfit) in OPERATORS {
        let condition = format!(r#"{{"{operator}IfExists":{{"{KEY}":"{value}"}}}}"#);
        assert!(holds(&condition, &[(KEY, &fit[..1])]), "{operator}");
        assert!(!holds(&condition, &[(KEY, &unfit[..1])]), "{operator}");
    }
}

#[test]
fn keys_of_several_values() {
    for (operator, value, fit, unfit) in OPERATORS {
        let (fit, unfit) = (fit[0], unfit[0]);
        let check = |quantifier: &str, given: &[&str], expect: bool| {
            let condition = format!(r#"{{"{quantifier}:{operator}":{{"{MULTI}":["{value}"]}}}}"#);
            assert_eq!(
                holds(&condition, &[(MULTI, given)]),
                expect,
                "{quantifier} {operator} {given:?}"
            );
        };
        check("ForAllValues", &[fit], true);
        check("ForAllValues", &[fit, fit], true);
        check("ForAllValues", &[fit, unfit], false);
        check("ForAllValues", &[unfit], false);
        check("ForAllValues", &[], true);
        check("ForAnyValue", &[fit], true);
        check("ForAnyValue", &[fit, unfit], true);
        check("ForAnyValue", &[unfit], false);
        check("ForAnyValue", &[], false);
    }
}

#[test]
fn several_values_in_the_policy() {
    let condition = |operator: &str| format!(r#"{{"{operator}":{{"{KEY}":["a","b"]}}}}"#);
    assert!(holds(&condition("StringEquals"), &[(KEY, &["b"])]));
    assert!(!holds(&condition("StringEquals"), &[(KEY, &["c"])]));
    // It must be none of them.
    assert!(!holds(&condition("StringNotEquals"), &[(KEY, &["b"])]));
    assert!(holds(&condition("StringNotEquals"), &[(KEY, &["c"])]));
    assert!(!holds(
        &format!(r#"{{"StringEquals":{{"{KEY}":[]}}}}"#),
        &[(KEY, &["c"])]
    ));
}

#[test]
fn several_keys_and_operators() {
    let condition = r#"{"StringEquals":{"dynamodb:select":"COUNT","dynamodb:returnvalues":"NONE"},"Bool":{"aws:SecureTransport":true}}"#;
    assert!(holds(
        condition,
        &[("dynamodb:select", &["COUNT"]), ("dynamodb:returnvalues", &["NONE"])]
    ));
    assert!(!holds(condition, &[("dynamodb:select", &["COUNT"])]));
    assert!(!holds(
        condition,
        &[("dynamodb:select", &["x"]), ("dynamodb:returnvalues", &["NONE"])]
    ));
}

#[test]
fn null() {
    let check = |value: &str, keys: &[(&str, &[&str])], expect: bool| {
        assert_eq!(
            holds(&format!(r#"{{"Null":{{"{KEY}":{value}}}}}"#), keys),
            expect,
            "{value} {keys:?}"
        );
    };
    check(r#""true""#, &[], true);
    check("true", &[(KEY, &["x"])], false);
    check(r#""false""#, &[], false);
    check("false", &[(KEY, &["x"])], true);
    check("[true, false]", &[], true);
}

#[test]
fn global_keys() {
    let check = |operator: &str, key: &str, value: &str, expect: bool| {
        assert_eq!(
            holds(&format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#), &[]),
            expect,
            "{key} {value}"
        );
    };
    check("IpAddress", "aws:SourceIp", "203.0.113.0/24", true);
    check("IpAddress", "aws:SourceIp", "198.51.100.0/24", false);
    check("DateGreaterThan", "aws:CurrentTime", "2023-11-14T22:13:19Z", true);
    check("DateGreaterThan", "aws:CurrentTime", "2023-11-14T22:13:20Z", false);
    check("NumericEquals", "aws:EpochTime", "1700000000", true);
    check("Bool", "aws:SecureTransport", "true", true);
    check("Bool", "aws:ViaAWSService", "false", true);
    check("StringLike", "aws:UserAgent", "aws-sdk-*", true);
    check("StringEquals", "aws:RequestedRegion", "us-east-1", true);
    check("StringEquals", "aws:PrincipalAccount", "123456789012", true);
    check("StringEquals", "aws:ResourceAccount", "123456789012", true);
    check(
        "ArnEquals",
        "aws:PrincipalArn",
        "arn:aws:iam::123456789012:user/ann",
        true,
    );
    check("StringEquals", "aws:PrincipalType", "User", true);
    check("StringEquals", "aws:username", "ann", true);
    check("StringEquals", "aws:userid", "AIDAANNANNANNANNANNAN", true);
    check("StringEquals", "aws:PrincipalTag/team", "red", true);
    check("StringEquals", "aws:PrincipalTag/other", "red", false);
    // Long-term keys do not have it at all.
    check("Bool", "aws:MultiFactorAuthPresent", "false", false);
    check("BoolIfExists", "aws:MultiFactorAuthPresent", "false", true);
    check("Null", "aws:TokenIssueTime", "true", true);
}

#[test]
fn variables() {
    let check = |operator: &str, value: &str, given: &str, expect: bool| {
        let condition = format!(r#"{{"{operator}":{{"{KEY}":"{value}"}}}}"#);
        assert_eq!(holds(&condition, &[(KEY, &[given])]), expect, "{value} {given}");
    };
    check("StringEquals", "${aws:username}", "ann", true);
    check("StringEquals", "${AWS:UserName}-x", "ann-x", true);
    check("StringEquals", "${aws:username}", "bob", false);
    check("StringLike", "${aws:PrincipalTag/team}/*", "red/1", true);
    check("StringEqualsIgnoreCase", "${aws:username}", "ANN", true);
    check("StringEquals", "${aws:PrincipalTag/none, 'nobody'}", "nobody", true);
    check("StringEquals", "${aws:PrincipalTag/team, 'nobody'}", "red", true);
    // A variable without a value fits nothing, not even itself.
    check(
        "StringEquals",
        "${aws:PrincipalTag/none}",
        "${aws:PrincipalTag/none}",
        false,
    );
    check("StringLike", "${aws:PrincipalTag/none}*", "x", false);
    check("StringLike", "${*}", "*", true);
    check("StringLike", "${*}", "x", false);
    check("StringEquals", "${$}{aws:username}", "${aws:username}", true);
    check(
        "ArnLike",
        "arn:aws:iam::${aws:PrincipalAccount}:*",
        "arn:aws:iam::123456789012:user/x",
        true,
    );
    // Of a request's value, wildcards are characters.
    check("StringLike", "${aws:username}", "*", false);
}

#[test]
fn variables_are_text_in_the_older_language() {
    let condition = r#"{"StringEquals":{"dynamodb:select":"${aws:username}"}}"#;
    assert!(holds_in("2008-10-17", condition, &[(KEY, &["${aws:username}"])]));
    assert!(!holds_in("2008-10-17", condition, &[(KEY, &["ann"])]));
}

#[test]
fn variables_of_several_values_fit_nothing() {
    let condition = r#"{"StringEquals":{"dynamodb:select":"${dynamodb:LeadingKeys}"}}"#;
    assert!(!holds(condition, &[(KEY, &["a"]), (MULTI, &["a"])]));
}

#[test]
fn what_is_no_condition() {
    let check = |condition: &str, reason: &str| {
        let text = statement(&format!(
            r#""Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}"#
        ));
        let error = geodynamo_policy::Policy::parse(&text, PolicyKind::Identity).unwrap_err();
        assert!(error.reason.starts_with(reason), "{condition}: {error}");
    };
    check(
        r#"{"StringSame":{"aws:username":"x"}}"#,
        "Invalid Condition type : StringSame",
    );
    check(r#"{"NullIfExists":{"aws:username":"true"}}"#, "Invalid Condition type");
    check(
        r#"{"ForSome:StringEquals":{"aws:username":"x"}}"#,
        "Invalid Condition type",
    );
    check(
        r#"{"StringEquals":{"username":"x"}}"#,
        "Conditions must be prefaced by a vendor",
    );
    check(
        r#"{"StringEquals":{"aws:username":"x","AWS:username":"y"}}"#,
        "Duplicate key",
    );
    check(
        r#"{"NumericEquals":{"aws:EpochTime":"x"}}"#,
        "Invalid value for the condition on aws:EpochTime: x",
    );
    check(r#"{"DateEquals":{"aws:CurrentTime":"yesterday"}}"#, "Invalid value");
    check(r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/33"}}"#, "Invalid value");
    check(r#"{"Bool":{"aws:SecureTransport":"yes"}}"#, "Invalid value");
    check(r#"{"StringEquals":{"aws:username":null}}"#, "Syntax errors in policy");
    drop(policy(
        &statement(r#""Effect":"Deny","Action":"a:b","Resource":"*""#),
        PolicyKind::Identity,
    ));
}
