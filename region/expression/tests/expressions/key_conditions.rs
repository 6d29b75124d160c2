//! Key conditions for keys `pk` and `sk`.

use geodynamo_expression::{KeyCondition, ResolvedKeyCondition, SortCondition};

use crate::values::*;

fn resolve(text: &str, sort_key: Option<&str>) -> Result<ResolvedKeyCondition, String> {
    let given = Given::new();
    KeyCondition::parse(text, &mut given.context())
        .and_then(|condition| condition.resolve(&["pk"], sort_key.as_slice()))
        .map_err(|error| error.to_string())
}

#[test]
fn resolve_to_keys() {
    for (text, expect) in [
        ("pk = :s", None),
        ("(pk = :s)", None),
        (":s = pk", None),
        ("pk = :s AND sk = :one", Some(SortCondition::Equal(n("1")))),
        ("sk < :one AND pk = :s", Some(SortCondition::Less(n("1")))),
        ("(pk = :s) and (sk <= :one)", Some(SortCondition::LessOrEqual(n("1")))),
        ("pk = :s AND sk > :one", Some(SortCondition::Greater(n("1")))),
        ("pk = :s AND :one > sk", Some(SortCondition::Less(n("1")))),
        ("pk = :s AND sk >= :one", Some(SortCondition::GreaterOrEqual(n("1")))),
        (
            "pk = :s AND sk BETWEEN :one AND :five",
            Some(SortCondition::Between(n("1"), n("5"))),
        ),
        (
            "pk = :s AND begins_with(sk, :hell)",
            Some(SortCondition::BeginsWith(s("hell"))),
        ),
    ] {
        let expect = ResolvedKeyCondition {
            partition: vec![s("s")],
            sort_equal: vec![],
            sort: expect,
        };
        assert_eq!(resolve(text, Some("sk")), Ok(expect), "{text}");
    }
}

#[test]
fn what_is_no_key_condition() {
    for (text, expect) in [
        ("sk = :s", "Query condition missed key schema element: pk"),
        (
            "pk = :s AND another = :s",
            "Query condition missed key schema element: sk",
        ),
        ("pk > :s", "Query key condition not supported"),
        ("begins_with(pk, :s)", "Query key condition not supported"),
        ("pk BETWEEN :s AND :s AND sk = :s", "Query key condition not supported"),
        (
            "pk = :s AND pk = :s",
            "KeyConditionExpressions must only contain one condition per key",
        ),
        (
            "pk = :s AND sk > :one AND sk < :five",
            "KeyConditionExpressions must only contain one condition per key",
        ),
        (
            "pk = :s AND sk > :one AND another < :five",
            "Conditions can be of length 1 or 2 only",
        ),
        (
            "pk = :s OR sk = :s",
            "Invalid operator used in KeyConditionExpression: OR",
        ),
        ("NOT pk = :s", "Invalid operator used in KeyConditionExpression: NOT"),
        ("pk <> :s", "Invalid operator used in KeyConditionExpression: <>"),
        (
            "pk = :s AND sk IN (:s)",
            "Invalid operator used in KeyConditionExpression: IN",
        ),
        (
            "attribute_exists(pk)",
            "Invalid operator used in KeyConditionExpression: attribute_exists",
        ),
        (
            "attribute_not_exists(pk)",
            "Invalid operator used in KeyConditionExpression: attribute_not_exists",
        ),
        (
            "contains(pk, :s)",
            "Invalid operator used in KeyConditionExpression: contains",
        ),
        (
            "attribute_type(pk, :S)",
            "Invalid operator used in KeyConditionExpression: attribute_type",
        ),
        (
            "size(pk) = :one",
            "KeyConditionExpressions cannot contain nested operations",
        ),
        (
            "pk.x = :s",
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
        ),
        (
            "pk = :s AND sk[0] BETWEEN :one AND :five",
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
        ),
        (
            "pk = :s AND begins_with(sk, pk)",
            "Invalid KeyConditionExpression: Invalid condition in KeyConditionExpression: Multiple attribute names used in one \
             condition",
        ),
        (
            ":s = :one",
            "Invalid condition in KeyConditionExpression: No key attribute specified",
        ),
        (
            "pk = sk",
            "Invalid KeyConditionExpression: Invalid condition in KeyConditionExpression: Multiple attribute names used in one \
             condition",
        ),
        (
            "pk = :s AND begins_with(:s, sk)",
            "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first \
             operand",
        ),
        (
            "pk = :s AND :one BETWEEN sk AND :five",
            "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first \
             operand",
        ),
    ] {
        assert_eq!(resolve(text, Some("sk")), Err(expect.to_owned()), "{text}");
    }
    assert_eq!(
        resolve("pk = :s AND sk = :s", None),
        Err("Query key condition not supported".to_owned())
    );
    assert!(resolve("pk = :s", None).is_ok());
}

/// The keys of a global index may have several attributes: `a` and `b` for the partition key, `c` and `d` to sort by.
#[test]
fn keys_of_several_attributes() {
    let resolve = |text: &str| {
        let given = Given::new();
        KeyCondition::parse(text, &mut given.context())
            .and_then(|condition| condition.resolve(&["a", "b"], &["c", "d"]))
            .map_err(|error| error.to_string())
    };
    for (text, sort_equal, sort) in [
        ("a = :s AND b = :one", vec![], None),
        (
            "b = :one AND a = :s AND c > :five",
            vec![],
            Some(SortCondition::Greater(n("5"))),
        ),
        (
            "a = :s AND b = :one AND c = :five",
            vec![],
            Some(SortCondition::Equal(n("5"))),
        ),
        (
            "d <= :five AND c = :s AND b = :one AND a = :s",
            vec![s("s")],
            Some(SortCondition::LessOrEqual(n("5"))),
        ),
    ] {
        let expect = ResolvedKeyCondition {
            partition: vec![s("s"), n("1")],
            sort_equal,
            sort,
        };
        assert_eq!(resolve(text), Ok(expect), "{text}");
    }
    for (text, expect) in [
        (
            "a = :s",
            "Query key condition must have an equality condition on HASH key attribute b",
        ),
        (
            "b = :s AND c = :s",
            "Query key condition must have an equality condition on HASH key attribute a",
        ),
        (
            "a = :s AND b > :one",
            "Query key condition must have an equality condition on HASH key attribute b",
        ),
        // The partition key is told first.
        (
            "b > :one AND d < :s",
            "Query key condition must have an equality condition on HASH key attribute a",
        ),
        (
            "a = :s AND b = :one AND d = :s",
            "Query key condition must have an equality condition on RANGE key attribute c, which stands before another one",
        ),
        (
            "a = :s AND b = :one AND c = :s AND e = :s",
            "Query condition missed key schema element: d",
        ),
        (
            "a = :s AND b = :one AND c < :s AND d = :s",
            "Query key condition must have an equality condition on RANGE key attribute c, which stands before another one",
        ),
        (
            "a = :s AND b = :one AND c = :s AND d = :s AND e = :s",
            "Query key condition not supported",
        ),
        (
            "a = :s AND b = :one AND b = :five",
            "KeyConditionExpressions must only contain one condition per key",
        ),
    ] {
        assert_eq!(resolve(text), Err(expect.to_owned()), "{text}");
    }
}

#[test]
fn gives_the_operands_whose_types_must_fit() {
    let resolved = resolve("pk = :s AND sk BETWEEN :one AND :five", Some("sk")).unwrap();
    let operands: Vec<_> = resolved.sort.as_ref().unwrap().operands().cloned().collect();
    assert_eq!(operands, [n("1"), n("5")]);
}
