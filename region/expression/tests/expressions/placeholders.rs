//! The names and values that come with expressions.

use std::collections::BTreeMap;

use geodynamo_expression::{Condition, Context, Parameter, Update};
use geodynamo_item::Item;

use crate::values::*;

fn names(names: &[(&str, &str)]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|&(key, name)| (key.to_owned(), name.to_owned()))
        .collect()
}

#[test]
fn bad_keys_are_refused() {
    for (given, expect) in [
        (names(&[]), "ExpressionAttributeNames must not be empty"),
        (
            names(&[("a", "b")]),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"a\"",
        ),
        (
            names(&[("#", "b")]),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"#\"",
        ),
        (
            names(&[("#a-b", "b")]),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"#a-b\"",
        ),
        (
            names(&[("", "b")]),
            "ExpressionAttributeNames contains invalid key: Syntax error; key: \"\"",
        ),
        (names(&[("#_0aZ", "b")]), ""),
    ] {
        let got = Context::of(Some(&given), None)
            .err()
            .map_or_else(String::new, |error| error.to_string());
        assert_eq!(got, expect);
    }
    for (given, expect) in [
        (Item::new(), "ExpressionAttributeValues must not be empty"),
        (
            item([("a", s("b"))]),
            "ExpressionAttributeValues contains invalid key: Syntax error; key: \"a\"",
        ),
        (
            item([(":", s("b"))]),
            "ExpressionAttributeValues contains invalid key: Syntax error; key: \":\"",
        ),
        (
            item([(":é", s("b"))]),
            "ExpressionAttributeValues contains invalid key: Syntax error; key: \":é\"",
        ),
        (item([(":_0aZ", s("b"))]), ""),
    ] {
        let got = Context::new()
            .with_values(&given)
            .err()
            .map_or_else(String::new, |error| error.to_string());
        assert_eq!(got, expect);
    }
}

#[test]
fn unused_ones_are_refused_once_all_expressions_are_parsed() {
    let names = names(&[("#a", "x"), ("#b", "y"), ("#c", "z")]);
    let values = item([(":a", n("1")), (":b", n("2")), (":c", n("3"))]);
    let mut context = Context::of(Some(&names), Some(&values)).unwrap();
    let message = |context: &Context<'_>| {
        context
            .finish()
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };

    Update::parse("SET #a = :a", &mut context).unwrap();
    assert_eq!(
        message(&context),
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b, #c}"
    );
    Condition::parse(Parameter::Condition, "#b = #c OR #b.#c = :c", &mut context).unwrap();
    assert_eq!(
        message(&context),
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}"
    );
    Condition::parse(Parameter::Filter, "a = :b", &mut context).unwrap();
    assert_eq!(message(&context), "");
}

#[test]
fn placeholders_need_expressions() {
    let names = names(&[("#a", "x")]);
    let values = item([(":a", n("1"))]);
    let with_names = Context::new().with_names(&names).unwrap();
    let with_values = Context::new().with_values(&values).unwrap();
    let missing = "UpdateExpression and ConditionExpression are null";
    let message = |result: Result<(), _>| {
        result
            .err()
            .map_or_else(String::new, |error: geodynamo_expression::ExpressionError| {
                error.to_string()
            })
    };
    assert_eq!(
        message(with_names.check_given(false, false, missing)),
        "ExpressionAttributeNames can only be specified when using expressions"
    );
    assert_eq!(
        message(with_values.check_given(true, false, missing)),
        "ExpressionAttributeValues can only be specified when using expressions: \
         UpdateExpression and ConditionExpression are null"
    );
    assert_eq!(message(with_names.check_given(true, false, missing)), "");
    assert_eq!(message(with_values.check_given(true, true, missing)), "");
    assert_eq!(message(Context::new().check_given(false, false, missing)), "");
}

#[test]
fn values_may_be_repeated_up_to_the_limit() {
    let text = "x".repeat(1024 * 1024);
    let values = item([(":v", s(&text)), (":n", n("1"))]);
    let parse = |text: &str| {
        let mut context = Context::of(None::<&BTreeMap<String, String>>, Some(&values)).unwrap();
        let update = Update::parse(text, &mut context);
        update.map(drop).map_err(|error| error.to_string())
    };
    // The first use, and two more.
    let thrice = "SET a = :v, b = :v, c = :v";
    assert_eq!(parse(thrice), Ok(()));
    let refusal = "Invalid UpdateExpression: The expression repeats attribute values of too many bytes; the limit is 2097152 bytes";
    assert_eq!(parse(&format!("{thrice}, d = :n, e = :n")), Err(refusal.into()));
    assert_eq!(parse(&format!("{thrice} ADD d :v")), Err(refusal.into()));
    let many: Vec<_> = (0..299).map(|at| format!("a{at} = :v")).collect();
    assert_eq!(parse(&format!("SET {}", many.join(","))), Err(refusal.into()));
    // All expressions of a request count together.
    let mut context = Context::of(None::<&BTreeMap<String, String>>, Some(&values)).unwrap();
    Update::parse(thrice, &mut context).unwrap();
    let condition = Condition::parse(Parameter::Condition, "a = :v", &mut context);
    assert_eq!(
        condition.unwrap_err().to_string(),
        "Invalid ConditionExpression: The expression repeats attribute values of too many bytes; the limit is 2097152 bytes"
    );
}
