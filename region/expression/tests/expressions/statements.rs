//! PartiQL statements: what they mean, and what is refused of them.

use geodynamo_expression::partiql::{KeyNames, Plan, Returning, Select, Statement, plan, single_key};
use geodynamo_expression::{Condition, Parameter, Update, UpdateOperand};
use geodynamo_item::{AttributeValue, Item};

use crate::values::*;

fn parse(text: &str) -> Statement {
    Statement::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn select(text: &str) -> Select {
    match parse(text) {
        Statement::Select(select) => select,
        other => panic!("{text}: {other:?}"),
    }
}

fn condition(text: &str) -> Condition {
    select(&format!("SELECT * FROM t WHERE {text}")).condition.unwrap()
}

/// WHERE clauses and the filter expressions that are the same trees.
#[test]
fn a_where_clause_is_a_filter_expression() {
    let given = Given::new();
    for (clause, expression) in [
        ("a = 1", "a = :one"),
        ("\"a\" = 1", "a = :one"),
        ("\"a.b\" = 's'", "#dotted = :s"),
        ("name = 's'", "#name = :s"),
        ("1=a", ":one = a"),
        ("a <> 1", "a <> :one"),
        ("a != 1", "a <> :one"),
        (
            "a < 1 and a <= 1 And a > 1 AND a>=1",
            "a < :one AND a <= :one AND a > :one AND a >= :one",
        ),
        ("a = 1 OR b = 4 AND c = 5", "a = :one OR b = :four AND c = :five"),
        ("(a = 1 OR b = 4) AND c = 5", "(a = :one OR b = :four) AND c = :five"),
        ("a = 1 OR b = 4 OR c = 5", "a = :one OR b = :four OR c = :five"),
        ("a = 1 AND (b = 4 AND c = 5)", "a = :one AND (b = :four AND c = :five)"),
        ("((a = 1))", "a = :one"),
        ("NOT a = 1", "NOT a = :one"),
        ("NOT a = 1 AND b = 4", "NOT a = :one AND b = :four"),
        ("NOT (a = 1 AND b = 4)", "NOT (a = :one AND b = :four)"),
        ("not not a = 1", "NOT NOT a = :one"),
        ("a BETWEEN 1 AND 4", "a BETWEEN :one AND :four"),
        ("a BETWEEN 1 AND 4 AND b = 1", "a BETWEEN :one AND :four AND b = :one"),
        ("a NOT BETWEEN 1 AND 4", "NOT a BETWEEN :one AND :four"),
        ("a IN [1, 's']", "a IN (:one, :s)"),
        ("a IN (1, 's')", "a IN (:one, :s)"),
        ("a IN (1)", "a IN (:one)"),
        ("a IN <<1, b>>", "a IN (:one, b)"),
        ("a NOT IN [1]", "NOT a IN (:one)"),
        ("a IS MISSING", "attribute_not_exists(a)"),
        ("a is not missing", "attribute_exists(a)"),
        ("a = MISSING", "attribute_not_exists(a)"),
        ("a <> MISSING", "attribute_exists(a)"),
        ("a IS STRING", "attribute_type(a, :S)"),
        ("a IS NOT BOOLEAN", "NOT attribute_type(a, :BOOL)"),
        ("a IS LIST", "attribute_type(a, :L)"),
        ("attribute_type(a, 'S')", "attribute_type(a, :S)"),
        ("ATTRIBUTE_TYPE(\"a\", 'L')", "attribute_type(a, :L)"),
        ("begins_with(a, 'hell')", "begins_with(a, :hell)"),
        ("BEGINS_WITH(a, 'hell')", "begins_with(a, :hell)"),
        ("contains(a.b[1], 's')", "contains(a.b[1], :s)"),
        ("size(a) > 1", "size(a) > :one"),
        ("SIZE(\"a\") BETWEEN 1 AND size(b)", "size(a) BETWEEN :one AND size(b)"),
        ("size('hello') = a", "size(:hello) = a"),
        ("a.b.c[0][1].d = TRUE", "a.b.c[0][1].d = :true"),
        ("a['b'].c = 1", "a.b.c = :one"),
        ("a = NULL", "a = :null"),
        ("a = null", "a = :null"),
        ("a = [1]", "a = :list"),
        ("a = []", "a = :empty"),
        ("a = {'x': 1}", "a = :map"),
        ("a = <<'s', 't'>>", "a = :ss"),
        ("a = <<2, 1>>", "a = :ns"),
        ("a = +1", "a = :one"),
        ("a = 1.0", "a = :one"),
        ("a = 10e-1", "a = :one"),
        ("a = 's' -- what follows is a comment: AND", "a = :s"),
        ("a /* b */ = 's'", "a = :s"),
        ("a = b", "a = b"),
    ] {
        let expected = Condition::parse(Parameter::Filter, expression, &mut given.context()).unwrap();
        assert_eq!(condition(clause), expected, "{clause}");
    }
}

#[test]
fn types_of_is() {
    for (name, codes) in [
        ("NULL", vec!["NULL"]),
        ("bool", vec!["BOOL"]),
        ("STRING", vec!["S"]),
        ("INT", vec!["N"]),
        ("DECIMAL", vec!["N"]),
        ("BLOB", vec!["B"]),
        ("LIST", vec!["L"]),
        ("STRUCT", vec!["M"]),
        ("TUPLE", vec!["M"]),
        ("BAG", vec!["SS", "NS", "BS"]),
    ] {
        let values = [
            s("x"),
            n("1"),
            b(b"x"),
            AttributeValue::Bool(true),
            AttributeValue::Null,
            m([]),
            l([]),
            ss(&["x"]),
            ns(&["1"]),
            bs(&[b"x"]),
        ];
        let is = condition(&format!("a IS {name}"));
        let is_not = condition(&format!("a IS NOT {name}"));
        for value in values {
            let expected = codes.contains(&value.kind().code());
            let item = item([("a", value)]);
            assert_eq!(is.evaluate(&item), expected, "{name} {item:?}");
            assert_eq!(is_not.evaluate(&item), !expected, "{name} {item:?}");
        }
        assert!(!is.evaluate(&Item::new()), "{name}");
    }
}

#[test]
fn literals_of_every_type() {
    for (text, expected) in [
        ("'it''s'", s("it's")),
        ("''", s("")),
        ("'?'", s("?")),
        ("'\"é\n'", s("\"é\n")),
        (
            "12345678901234567890123456789012345678",
            n("12345678901234567890123456789012345678"),
        ),
        ("-0.5", n("-0.5")),
        ("1e125", n("1e125")),
        ("1E-130", n("1e-130")),
        ("true", AttributeValue::Bool(true)),
        ("False", AttributeValue::Bool(false)),
        ("NULL", AttributeValue::Null),
        ("[]", l([])),
        (
            "[1, 'a', [true, {}]]",
            l([n("1"), s("a"), l([AttributeValue::Bool(true), m([])])]),
        ),
        (
            "{'a': 1, 'b c': {'d': []}}",
            m([("a", n("1")), ("b c", m([("d", l([]))]))]),
        ),
        ("<<'a', 'b'>>", ss(&["a", "b"])),
        ("<< -1 , 2.5 >>", ns(&["-1", "2.5"])),
        ("(1)", n("1")),
    ] {
        let Statement::Insert(insert) = parse(&format!("INSERT INTO t VALUE {{'v': {text}}}")) else {
            panic!("{text}");
        };
        assert_eq!(insert.item, item([("v", expected)]), "{text}");
    }
}

#[test]
fn parameters_fill_the_question_marks_in_order() {
    let parameters = [n("1"), b(b"\x01"), ss(&["s", "t"]), s("x")];
    let text = "UPDATE t SET a = ?, b = [?, {'c': ?}] WHERE pk = ? ";
    let Ok(Statement::Update(update)) = Statement::parse(text, &parameters) else {
        panic!("{text}");
    };
    let expected = item([("a", n("1")), ("b", l([b(b"\x01"), m([("c", ss(&["s", "t"]))])]))]);
    assert_eq!(update.update.apply(&Item::new()), Ok(expected));
    assert_eq!(update.condition, Some(condition("pk = 'x'")));
    let set = Statement::parse("INSERT INTO t VALUE {'a': <<?, ?>>}", &[b(b"\x01"), b(b"\x02")]);
    let Ok(Statement::Insert(insert)) = set else {
        panic!("{set:?}")
    };
    assert_eq!(insert.item, item([("a", bs(&[b"\x01", b"\x02"]))]));
    // A list may be a parameter of IN, and a map the whole item.
    let Ok(Statement::Select(select)) = Statement::parse("SELECT * FROM t WHERE a IN ?", &[l([n("1"), s("s")])]) else {
        panic!("IN ?");
    };
    assert_eq!(select.condition, Some(condition("a IN [1, 's']")));
    let Ok(Statement::Insert(insert)) = Statement::parse("INSERT INTO t VALUE ?", &[m([("a", n("1"))])]) else {
        panic!("VALUE ?");
    };
    assert_eq!(insert.item, item([("a", n("1"))]));
    for count in [0, 1, 3] {
        let given = vec![n("1"); count];
        let error = Statement::parse("SELECT * FROM t WHERE a = ? AND b = ?", &given).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Number of parameters in request and statement don't match."
        );
    }
}

#[test]
fn tables_indexes_and_columns() {
    let check = |text: &str, table: &str, index: Option<&str>| {
        let select = select(text);
        assert_eq!(
            (select.table.as_str(), select.index.as_deref()),
            (table, index),
            "{text}"
        );
    };
    check("select * from Music", "Music", None);
    check("SELECT * FROM \"my-table.1\"", "my-table.1", None);
    check("SELECT * FROM \"t\".\"by-year\";", "t", Some("by-year"));
    check("SELECT * FROM t.i", "t", Some("i"));
    let columns = |text: &str| {
        let columns = select(&format!("SELECT {text} FROM t")).columns.unwrap();
        let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
        names.join(" ")
    };
    for (text, expected) in [
        ("a", "a"),
        ("a, \"b c\", d", "a b c d"),
        ("Devices.FireStick.DateWatched[0]", "DateWatched[0]"),
        ("a[1][2]", "a[1][2]"),
        ("a[1].b", "b"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
    let shown = select("SELECT a.b, c[1], d, nope FROM t").show(item([
        ("a", m([("b", n("1")), ("x", n("2"))])),
        ("c", l([n("3"), n("4")])),
        ("d", AttributeValue::Null),
    ]));
    assert_eq!(
        shown,
        item([("b", n("1")), ("c[1]", n("4")), ("d", AttributeValue::Null)])
    );
    let order = select("SELECT * FROM t WHERE a = 1 ORDER BY a, \"b\" DESC, c ASC").order;
    let order: Vec<_> = order.iter().map(|by| (by.attribute.as_str(), by.descending)).collect();
    assert_eq!(order, [("a", false), ("b", true), ("c", false)]);
}

#[test]
fn updates_are_update_expressions() {
    let given = Given::new();
    for (text, expression) in [
        ("SET a = 1", "SET a = :one"),
        ("SET a = 1 SET b = 's'", "SET a = :one, b = :s"),
        ("SET a = 1, b.c[0] = 's'", "SET a = :one, b.c[0] = :s"),
        ("set a=a+1", "SET a = a + :one"),
        ("SET a = a -1", "SET a = a - :one"),
        ("SET a = b", "SET a = b"),
        ("SET a = list_append(a, [1])", "SET a = list_append(a, :list)"),
        ("SET a = LIST_APPEND([1], a)", "SET a = list_append(:list, a)"),
        ("REMOVE a", "REMOVE a"),
        ("REMOVE a[1] REMOVE b.c", "REMOVE a[1], b.c"),
        ("SET words = set_add(words, <<'s','t'>>)", "ADD words :ss"),
        ("SET words = SET_DELETE(words, <<1, 2>>)", "DELETE words :ns"),
        (
            "SET a = 1 REMOVE b SET c = set_add(c, <<1, 2>>) SET d = 's' SET e = set_delete(e, <<'s', 't'>>)",
            "SET a = :one, d = :s REMOVE b ADD c :ns DELETE e :ss",
        ),
    ] {
        let Statement::Update(update) = parse(&format!("UPDATE t {text} WHERE pk = 1")) else {
            panic!("{text}");
        };
        let expected = Update::parse(expression, &mut given.context()).unwrap();
        assert_eq!(update.update, expected, "{text}");
        assert_eq!(update.condition, Some(condition("pk = 1")));
        assert_eq!(update.returning, None);
    }
}

/// An update expression's sums have two operands; a statement's have as many as are written.
#[test]
fn sums_of_statements_are_worked_out_from_left_to_right() {
    let b = || Box::new(UpdateOperand::Path("b".into()));
    let value = |number| Box::new(UpdateOperand::Value(n(number)));
    for (text, expected) in [
        (
            "1 + b - 4",
            UpdateOperand::Minus(Box::new(UpdateOperand::Plus(value("1"), b())), value("4")),
        ),
        (
            "1 + (b - 4)",
            UpdateOperand::Plus(value("1"), Box::new(UpdateOperand::Minus(b(), value("4")))),
        ),
    ] {
        let Statement::Update(update) = parse(&format!("UPDATE t SET a = {text} WHERE pk = 1")) else {
            panic!("{text}");
        };
        assert_eq!(update.update.set, [("a".into(), expected)], "{text}");
    }
}

#[test]
fn what_writes_return() {
    for (text, expected) in [
        ("ALL OLD *", Returning::AllOld),
        ("modified old *", Returning::ModifiedOld),
        ("ALL NEW *", Returning::AllNew),
        ("MODIFIED NEW *", Returning::ModifiedNew),
    ] {
        let Statement::Update(update) = parse(&format!("UPDATE t SET a = 1 WHERE pk = 1 RETURNING {text}")) else {
            panic!("{text}");
        };
        assert_eq!(update.returning, Some(expected));
    }
    for (text, expected) in [("", false), ("RETURNING ALL OLD *", true)] {
        let Statement::Delete(delete) = parse(&format!("DELETE FROM \"t\" WHERE pk = 1 {text}")) else {
            panic!("{text}");
        };
        assert_eq!(delete.returns_old, expected);
    }
    assert!(matches!(
        parse("EXISTS(SELECT * FROM t WHERE a = 1 AND b IS MISSING)"),
        Statement::Exists(_)
    ));
}

const KEYS: KeyNames<'_> = KeyNames {
    partition: "pk",
    sort: Some("sk"),
    sort_has_beginning: true,
    has_several: false,
};

/// A plan in short: the ranges' partition and sort conditions, the direction, and whether there is a filter.
fn planned(text: &str) -> Result<String, String> {
    let select = select(&format!("SELECT * FROM t {text}"));
    let Plan {
        ranges,
        forward,
        filter,
    } = plan(select.condition.as_ref(), &select.order, KEYS).map_err(|error| error.to_string())?;
    let number = |value: &AttributeValue| match value {
        AttributeValue::N(number) => number.text().to_string(),
        AttributeValue::S(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    let ranges = ranges.map(|ranges| {
        let shown = (0..ranges.len()).map(|at| {
            let range = ranges.get(at).unwrap();
            let sort = range.sort.as_ref().map(|sort| {
                let operands: Vec<String> = sort.operands().map(number).collect();
                let debug = format!("{sort:?}");
                let name = debug.split('(').next().unwrap_or_default();
                format!("/{name} {}", operands.join(" "))
            });
            format!("{}{}", number(&range.partition), sort.unwrap_or_default())
        });
        shown.collect::<Vec<_>>().join(", ")
    });
    let direction = if forward { "" } else { " backward" };
    let filter = filter
        .map(|filter| format!(" where {}", filter.print().text))
        .unwrap_or_default();
    Ok(format!("{}{direction}{filter}", ranges.unwrap_or("scan".into())))
}

#[test]
fn a_select_queries_where_its_partition_keys_are_given() {
    for (text, expected) in [
        ("", "scan"),
        ("WHERE pk > 1", "scan where #n0 > :v0"),
        ("WHERE a = 1", "scan where #n0 = :v0"),
        ("WHERE pk = 1 OR a = 1", "scan where #n0 = :v0 OR #n1 = :v1"),
        ("WHERE NOT pk = 1", "scan where NOT #n0 = :v0"),
        ("WHERE pk.a = 1", "scan where #n0.#n1 = :v0"),
        ("WHERE pk = a", "scan where #n0 = #n1"),
        ("WHERE pk = 1", "1"),
        ("WHERE 1 = pk", "1"),
        ("WHERE pk IN [3, 1, 2, 1]", "3, 1, 2"),
        ("WHERE pk = 1 OR pk = 2", "1, 2"),
        ("WHERE pk = 1 AND a = 5", "1 where #n0 = :v0"),
        ("WHERE pk = 1 AND a = 5 AND b = 6", "1 where #n0 = :v0 AND #n1 = :v1"),
        ("WHERE a = 5 AND (b = 6 AND pk = 1)", "1 where #n0 = :v0 AND #n1 = :v1"),
        ("WHERE pk = 1 AND pk = 2", "1 where #n0 = :v0"),
        (
            "WHERE (pk = 1 AND a = 1) OR (pk = 2 AND b = 2)",
            "1, 2 where #n0 = :v0 AND #n1 = :v1 OR #n2 = :v2 AND #n3 = :v3",
        ),
        ("WHERE pk = 1 AND sk = 2", "1/Equal 2"),
        ("WHERE sk < 2 AND pk = 1", "1/Less 2"),
        ("WHERE pk = 1 AND 2 < sk", "1/Greater 2"),
        (
            "WHERE pk = 1 AND sk >= 2 AND sk <= 4",
            "1/GreaterOrEqual 2 where #n0 <= :v0",
        ),
        ("WHERE pk = 1 AND sk BETWEEN 2 AND 3", "1/Between 2 3"),
        ("WHERE pk = 1 AND begins_with(sk, 'a')", "1/BeginsWith a"),
        ("WHERE pk = 1 AND sk <> 2", "1 where #n0 <> :v0"),
        ("WHERE pk = 1 AND NOT sk = 2", "1 where NOT #n0 = :v0"),
        ("WHERE pk = 1 AND contains(sk, 'a')", "1 where contains(#n0, :v0)"),
        (
            "WHERE pk IN [1, 2] AND sk IN [5, 4]",
            "1/Equal 4, 1/Equal 5, 2/Equal 4, 2/Equal 5",
        ),
        ("WHERE pk = 1 ORDER BY sk", "1"),
        ("WHERE pk = 1 ORDER BY sk DESC", "1 backward"),
        ("WHERE pk = 1 ORDER BY pk DESC", "1"),
        ("WHERE pk IN [1, 3, 2] ORDER BY pk", "1, 2, 3"),
        ("WHERE pk IN [1, 3, 2] ORDER BY pk DESC, sk DESC", "3, 2, 1 backward"),
        (
            "WHERE pk = 1 AND sk IN [5, 4, 6] ORDER BY sk DESC",
            "1/Equal 6, 1/Equal 5, 1/Equal 4 backward",
        ),
    ] {
        assert_eq!(planned(text), Ok(expected.to_owned()), "{text}");
    }
    let many = |count: usize| {
        let list: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        planned(&format!("WHERE pk IN [{}]", list.join(",")))
    };
    assert!(many(50).is_ok());
    for (refused, expected) in [
        (
            planned("ORDER BY sk"),
            "Must have WHERE clause in the statement when using ORDER BY clause.",
        ),
        (
            planned("WHERE a = 1 ORDER BY sk"),
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ),
        (
            planned("WHERE pk = 1 ORDER BY a"),
            "Variable reference a in ORDER BY clause must be part of the primary key",
        ),
        (
            planned("WHERE pk IN [1, 2] ORDER BY sk"),
            "Must have the hash key first in ORDER BY clause when the WHERE clause has several hash keys",
        ),
        (
            many(51),
            "The IN operator is provided with too many operands; number of operands: 51",
        ),
    ] {
        assert_eq!(refused, Err(expected.to_owned()));
    }
}

#[test]
fn a_write_names_one_whole_key() {
    for (text, expected) in [
        ("pk = 1 AND sk = 2", Some(0)),
        ("2 = sk AND a = 1 AND (pk = 1 AND b = 2)", Some(2)),
        ("pk = 1 AND sk = 2 AND sk = 3", Some(1)),
        ("pk = 1", None),
        ("sk = 2", None),
        ("pk = 1 OR sk = 2", None),
        ("pk = 1 AND sk > 2", None),
        ("pk IN [1] AND sk = 2", None),
        ("NOT (pk = 1 AND sk = 2)", None),
    ] {
        let found = single_key(Some(&condition(text)), KEYS);
        let key = found.as_ref().map(|(key, _)| key.clone());
        assert_eq!(key, expected.map(|_| item([("pk", n("1")), ("sk", n("2"))])), "{text}");
        assert_eq!(found.map(|(_, rest)| rest.len()), expected, "{text}");
    }
    assert_eq!(single_key(None, KEYS), None);
}
