//! Limits, and that no text overflows a stack.

use geodynamo_expression::{Condition, KeyCondition, Parameter, Projection, Update, limits, partiql::Statement};
use geodynamo_item::Item;

use crate::values::{Given, item, n};

/// Far less than a thread of the server has (2 MiB); an unoptimised build needs most of it.
const STACK_BYTES: usize = 768 * 1024;

fn on_a_small_stack(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, test).unwrap().join().unwrap();
    });
}

/// Parses the text as every kind of expression, and uses what it gives.
fn try_everything(text: &str) -> Vec<String> {
    let given = Given::new();
    let nothing = Item::new();
    let mut errors = Vec::new();
    for parameter in [Parameter::Condition, Parameter::Filter] {
        match Condition::parse(parameter, text, &mut given.context()) {
            Ok(condition) => {
                condition.evaluate(&nothing);
                assert_eq!(condition.clone(), condition);
                drop(condition.print());
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    match KeyCondition::parse(text, &mut given.context()) {
        Ok(condition) => drop(condition.resolve(&["pk"], &["sk"])),
        Err(error) => errors.push(error.to_string()),
    }
    match Projection::parse(text, &mut given.context()) {
        Ok(projection) => drop(projection.apply(&nothing)),
        Err(error) => errors.push(error.to_string()),
    }
    match Update::parse(text, &mut given.context()) {
        Ok(update) => {
            drop(update.apply(&nothing));
            assert_eq!(update.clone(), update);
            drop(update.print());
        }
        Err(error) => errors.push(error.to_string()),
    }
    errors
}

#[test]
fn endless_nesting_is_refused_by_every_parser() {
    on_a_small_stack(|| {
        let starts = ["", "a = ", "a = :s AND ", "SET a = ", "SET a = a + "];
        let nests = [
            "(",
            "NOT ",
            "NOT (",
            "size(",
            "foo(a,",
            "list_append(",
            "if_not_exists(a, ",
            "a[",
            "a.",
            "#a.",
        ];
        for start in starts {
            for nest in nests {
                let count = (limits::EXPRESSION_BYTES - start.len()) / nest.len();
                let errors = try_everything(&format!("{start}{}", nest.repeat(count)));
                assert_eq!(errors.len(), 5, "{start}{nest}…");
            }
        }
    });
}

#[test]
fn the_deepest_trees_that_are_taken_can_be_used() {
    on_a_small_stack(|| {
        let given = Given::new();
        // Each level has two operators: 149 levels, and the innermost comparison.
        let levels = limits::OPERATORS / 2 - 1;
        let deep = format!("{}a=:one{}", "a=:one AND (".repeat(levels), ")".repeat(levels));
        let condition = Condition::parse(Parameter::Filter, &deep, &mut given.context()).unwrap();
        assert!(condition.evaluate(&item([("a", n("1"))])));
        assert!(!condition.evaluate(&item([("a", n("2"))])));

        let deep = format!("{}a = :one", "NOT ".repeat(limits::OPERATORS - 1));
        let condition = Condition::parse(Parameter::Filter, &deep, &mut given.context()).unwrap();
        assert!(!condition.evaluate(&item([("a", n("1"))])));

        let calls = limits::EXPRESSION_BYTES / "if_not_exists(b,)".len() - 1;
        let deep = format!("SET a={}:list{}", "if_not_exists(b,".repeat(calls), ")".repeat(calls));
        let update = Update::parse(&deep, &mut given.context()).unwrap();
        assert_eq!(update.apply(&Item::new()).unwrap().len(), 1);
        assert_eq!(update.clone(), update);

        let calls = limits::EXPRESSION_BYTES / "list_append(:empty,if_not_exists(b,))".len() - 1;
        let deep = format!(
            "SET a={}:list{}",
            "list_append(:empty,if_not_exists(b,".repeat(calls),
            "))".repeat(calls)
        );
        let update = Update::parse(&deep, &mut given.context()).unwrap();
        assert_eq!(update.apply(&Item::new()).unwrap().len(), 1);
    });
}

#[test]
fn every_limit_holds_at_its_value_and_not_beyond() {
    let given = Given::new();
    let condition = |parameter, text: &str| {
        Condition::parse(parameter, text, &mut given.context())
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };

    let padded = |bytes: usize| format!("a = :s{}", " ".repeat(bytes - "a = :s".len()));
    for (parameter, name) in [
        (Parameter::Condition, "ConditionExpression"),
        (Parameter::Filter, "FilterExpression"),
    ] {
        assert_eq!(condition(parameter, &padded(limits::EXPRESSION_BYTES)), "");
        assert_eq!(
            condition(parameter, &padded(limits::EXPRESSION_BYTES + 1)),
            format!("Invalid {name}: Expression size has exceeded the maximum allowed size; expression size: 4097")
        );
    }
    let long = format!("a{}", " ".repeat(200_003));
    for (error, name) in [
        (
            KeyCondition::parse(&long, &mut given.context()).unwrap_err(),
            "KeyConditionExpression",
        ),
        (
            Projection::parse(&long, &mut given.context()).unwrap_err(),
            "ProjectionExpression",
        ),
        (
            Update::parse(&long, &mut given.context()).unwrap_err(),
            "UpdateExpression",
        ),
    ] {
        assert_eq!(
            error.to_string(),
            format!("Invalid {name}: Expression size has exceeded the maximum allowed size; expression size: 200004")
        );
    }

    let comparisons = |count| vec!["a<:s"; count].join(" OR "); // one operator each, and one between two
    assert_eq!(condition(Parameter::Filter, &comparisons(limits::OPERATORS / 2)), "");
    assert_eq!(
        condition(Parameter::Filter, &comparisons(limits::OPERATORS / 2 + 1)),
        "Invalid FilterExpression: The expression contains too many operators; operator count: 301"
    );

    let operands = |count| format!("a IN ({})", vec![":s"; count].join(","));
    assert_eq!(condition(Parameter::Filter, &operands(limits::IN_OPERANDS)), "");
    assert_eq!(
        condition(Parameter::Filter, &operands(limits::IN_OPERANDS + 1)),
        "Invalid FilterExpression: The IN operator is provided with too many operands; number of operands: 101"
    );

    // A path's elements, the attribute's name counted: an attribute nests 32 levels.
    let path = |elements, element: &str| format!("a{}", element.repeat(elements - 1));
    let too_deep = "The document path has too many nesting levels; nesting levels: 33";
    for element in [".a", "[0]"] {
        let (deepest, deeper) = (
            path(limits::PATH_ELEMENTS, element),
            path(limits::PATH_ELEMENTS + 1, element),
        );
        let mut refusals = Vec::new();
        for path in [&deepest, &deeper] {
            let text = format!("{path} = :s");
            refusals.push(condition(Parameter::Condition, &text));
            refusals.push(condition(Parameter::Filter, &format!("size({path}) = :one")));
            let error = Projection::parse(path, &mut given.context()).err();
            refusals.push(error.map_or_else(String::new, |error| error.to_string()));
            for text in [
                format!("SET {path} = :s"),
                format!("SET b = {path}"),
                format!("REMOVE {path}"),
                format!("ADD {path} :one"),
            ] {
                let error = Update::parse(&text, &mut given.context()).err();
                refusals.push(error.map_or_else(String::new, |error| error.to_string()));
            }
        }
        let names = [
            "Condition",
            "Filter",
            "Projection",
            "Update",
            "Update",
            "Update",
            "Update",
        ];
        let expect = names.map(|name| format!("Invalid {name}Expression: {too_deep}"));
        assert_eq!(refusals[..7], [""; 7]);
        assert_eq!(refusals[7..], expect);
    }
    let statement = |path: &str| {
        let text = format!("SELECT {path} FROM t WHERE pk = 1");
        Statement::parse(&text, &[]).err().map(|error| error.to_string())
    };
    assert_eq!(statement(&path(limits::PATH_ELEMENTS, ".a")), None);
    assert_eq!(
        statement(&path(limits::PATH_ELEMENTS + 1, ".a")).as_deref(),
        Some(too_deep)
    );
}
