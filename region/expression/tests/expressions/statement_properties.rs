//! What holds of any PartiQL statement.

use geodynamo_expression::partiql::{KeyNames, PrintedCondition, Statement, StatementError, plan, single_key};
use geodynamo_expression::{Condition, limits};
use geodynamo_item::testing::arb_item;
use proptest::prelude::*;

use crate::properties::arb_condition;
use crate::values::*;

/// Statements that are sound, to be spoilt.
const SOUND: [&str; 8] = [
    "SELECT * FROM \"t\".\"i\" WHERE pk = ? AND (a.b[0] BETWEEN 1 AND 2.5e3 OR NOT contains(c, 'x''y')) ORDER BY sk DESC",
    "SELECT a, \"b c\".d[1] FROM t WHERE pk IN [1, 'a', ?] AND size(x) >= 3 AND y IS NOT MISSING",
    "INSERT INTO t VALUE {'pk': 1, 'l': [1, {'m': <<1, 2>>}], 's': <<'a', ?>>, 'n': NULL, 'b': true}",
    "UPDATE t SET a = a + 1 SET b = list_append(b, [?]) REMOVE c.d SET e = set_add(e, <<1>>) WHERE pk = 1 RETURNING ALL OLD *",
    "DELETE FROM t WHERE pk = 1 AND attribute_type(a, 'S') RETURNING ALL OLD *",
    "EXISTS(SELECT * FROM t WHERE pk = 1 AND begins_with(a, ?))",
    "SELECT * FROM t WHERE a IS NULL OR b NOT IN (1, 2) OR c NOT BETWEEN -1 AND +1 -- end",
    "SELECT * FROM t /* all */ ;",
];

/// Parses a statement and uses what it gives.
fn try_everything(text: &str, item: &geodynamo_item::Item) -> Option<String> {
    for parameters in [&[][..], &[s("x")][..], &[n("1"), s("x")][..]] {
        let statement = match Statement::parse(text, parameters) {
            Ok(statement) => statement,
            Err(StatementError::Parameters) if parameters.len() < 2 => continue,
            Err(error) => return Some(error.to_string()),
        };
        let keys = KeyNames {
            partition: "pk",
            sort: Some("sk"),
            sort_has_beginning: true,
            has_several: false,
        };
        match &statement {
            Statement::Select(select) | Statement::Exists(select) => {
                drop(plan(select.condition.as_ref(), &select.order, keys));
                drop(single_key(select.condition.as_ref(), keys));
                if let Some(condition) = &select.condition {
                    condition.evaluate(item);
                    PrintedCondition::of(condition);
                }
                select.show(item.clone());
            }
            Statement::Update(update) => drop(update.update.apply(item)),
            Statement::Delete(delete) => drop(single_key(delete.condition.as_ref(), keys)),
            Statement::Insert(_) => {}
        }
        assert_eq!(statement.clone(), statement);
        assert!(!statement.table().is_empty());
        return None;
    }
    None
}

fn arb_spoilt() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<<",
        ">>",
        "<",
        ">",
        "=",
        "<>",
        "!=",
        ",",
        ".",
        ":",
        ";",
        "*",
        "?",
        "'",
        "\"",
        "'a'",
        "\"b\"",
        "a",
        "pk",
        "sk",
        "1",
        "-",
        "+",
        "1e",
        "99999999999999999999999999999999999999999",
        "AND",
        "OR",
        "NOT",
        "BETWEEN",
        "IN",
        "IS",
        "MISSING",
        "NULL",
        "SELECT",
        "FROM",
        "WHERE",
        "ORDER BY",
        "SET",
        "REMOVE",
        "VALUE",
        "RETURNING ALL OLD *",
        "size(",
        "contains(",
        "list_append(",
        "set_add(",
        "EXISTS(",
        "--",
        "/*",
        "*/",
        "é",
        "\u{0}",
        "\n",
    ]);
    let sound = prop::sample::select(SOUND.to_vec());
    (
        sound,
        prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, token), 0..4),
    )
        .prop_map(|(text, edits)| {
            let mut chars: Vec<char> = text.chars().collect();
            for (at, removed, inserted) in edits {
                let at = at.index(chars.len() + 1);
                let end = (at + removed).min(chars.len());
                chars.splice(at..end, inserted.chars());
            }
            chars.into_iter().collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_statement_panics(text in prop_oneof![arb_spoilt(), ".{0,60}"], item in arb_item()) {
        try_everything(&text, &item);
    }

    #[test]
    fn a_printed_condition_is_the_where_clause_it_was(condition in arb_condition(), item in arb_item()) {
        let Some(printed) = PrintedCondition::of(&condition) else { return Ok(()) };
        prop_assume!(!printed.text.contains("\"\"") || !has_empty_name(&condition));
        let text = format!("SELECT * FROM t WHERE {}", printed.text);
        prop_assume!(text.chars().count() <= limits::STATEMENT_CHARACTERS);
        let parsed = Statement::parse(&text, &printed.parameters);
        let parsed = parsed.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let Statement::Select(select) = parsed else { unreachable!("a SELECT was written") };
        let again = select.condition.unwrap();
        prop_assert_eq!(again.evaluate(&item), condition.evaluate(&item));
        prop_assert_eq!(again, condition);
    }
}

fn has_empty_name(condition: &Condition) -> bool {
    let mut empty = false;
    condition.for_each_path(&mut |path| empty |= path.root.is_empty());
    empty
}

#[test]
fn sound_statements_are_sound() {
    for text in SOUND {
        assert_eq!(try_everything(text, &item([])), None, "{text}");
    }
}

/// Far less than a thread of the server has (2 MiB); an unoptimised build needs most of it.
const STACK_BYTES: usize = 768 * 1024;

#[test]
fn no_statement_overflows_the_stack() {
    let run = |text: String| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let tried = thread.spawn(move || try_everything(&text, &item([]))).unwrap();
        tried.join().unwrap()
    };
    let nested = Some("Statement wasn't well formed, can't be processed: Statement is nested too deeply".to_owned());
    for open in ["(", "[", "<<", "{'a':", "NOT ", "size(", "a IN (", "a IN [", "1 + ("] {
        let text = format!("SELECT * FROM t WHERE {}", open.repeat(8000 / open.len()));
        assert_eq!(run(text), nested, "{open}");
        let text = format!("UPDATE t SET a = {}", open.repeat(8000 / open.len()));
        assert_eq!(run(text), nested, "{open}");
    }
    let many = Some("The expression contains too many operators; operator count: 301".to_owned());
    for (text, count) in [(" + 1", 1000), (" AND a = 1", 300), (" OR a", 500), (" = a", 1000)] {
        let text = format!("SELECT * FROM t WHERE a{}", text.repeat(count));
        assert_eq!(run(text), many);
    }
    // As deep as it goes.
    let open = "(".repeat(limits::STATEMENT_NESTING - 1);
    let close = ")".repeat(limits::STATEMENT_NESTING - 1);
    assert_eq!(run(format!("SELECT * FROM t WHERE {open}a = 'x'{close}")), None);
    let nots = "NOT ".repeat(limits::STATEMENT_NESTING - 1);
    assert_eq!(run(format!("SELECT * FROM t WHERE {nots}a = 'x'")), None);
    assert_eq!(
        run(format!("SELECT * FROM t WHERE a[0]{}", ".a".repeat(3000))).map(|e| e.contains("nesting")),
        Some(true)
    );
    let sum = " + 1".repeat(limits::OPERATORS - 1);
    assert_eq!(run(format!("UPDATE t SET a = a{sum} WHERE pk = 1")), None);
    let too_long = format!(
        "SELECT * FROM t WHERE a = '{}'",
        "é".repeat(limits::STATEMENT_CHARACTERS)
    );
    assert_eq!(
        run(too_long).unwrap(),
        "Statement wasn't well formed, can't be processed: Statement is too long"
    );
    let values = |levels: usize| {
        format!(
            "INSERT INTO t VALUE {{'a': {}1{}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert_eq!(run(values(31)), None);
    assert!(run(values(32)).is_some_and(|error| error.starts_with("Nesting Levels")));
}
