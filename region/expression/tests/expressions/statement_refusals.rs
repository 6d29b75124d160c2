//! What is refused of PartiQL statements, and how.

use geodynamo_expression::partiql::Statement;

const MALFORMED: &str = "Statement wasn't well formed, can't be processed: ";
const COMPONENTS: &str = "A path may contain at most 2 components in the FROM clause";
const SINGLE_TABLE: &str = "FROM clause may only contain a single table name in data manipulation statements";
const NOT_ON_INDEX: &str = "This operation is not supported on an index";
const EMPTY: &str = "Path component cannot be an empty string";

#[test]
fn malformed_statements_are_refused() {
    for (text, expected) in [
        ("", "Expected data manipulation"),
        ("  ", "Expected data manipulation"),
        ("TRUNCATE t", "Expected data manipulation"),
        ("t", "Expected data manipulation"),
        // From users' posts: a table's name with a dash, and SQL's list of columns.
        (
            "UPDATE Payment-x SET active = true WHERE id = 's'",
            "Expected data manipulation",
        ),
        (
            "INSERT INTO urls (key, secret_key) VALUES ('a', 'b')",
            "Unexpected keyword",
        ),
        ("UPDATE t WHERE a = 1", "Expected data manipulation"),
        ("SELECT FROM t", "Cannot have empty SELECT list"),
        (
            "SELECT *, a FROM t",
            "Other expressions may not be present in the select list when '*' is used without dot notation.",
        ),
        (
            "SELECT a, * FROM t",
            "Other expressions may not be present in the select list when '*' is used without dot notation.",
        ),
        ("SELECT a WHERE b = 1", "Expected FROM after SELECT list"),
        ("SELECT * FROM", "Unexpected term"),
        ("SELECT * FROM table", "Unexpected keyword"),
        ("SELECT * FROM t WHERE", "Unexpected term"),
        ("SELECT * FROM t WHERE a = ", "Unexpected term"),
        ("SELECT * FROM t WHERE a = )", "Unexpected term"),
        ("SELECT * FROM t WHERE (a = 1", "Expected RIGHT_PAREN"),
        ("SELECT * FROM t WHERE a = 1)", "Unexpected token after expression"),
        ("SELECT * FROM t WHERE a = 1 b = 2", "Unexpected token after expression"),
        (
            "SELECT * FROM t WHERE a = 1; SELECT * FROM t",
            "Unexpected token after expression",
        ),
        ("SELECT * FROM t WHERE = 1", "Unexpected operator"),
        ("SELECT * FROM t WHERE user = 1", "Unexpected keyword"),
        ("SELECT * FROM t WHERE a.user = 1", "Invalid path dot component"),
        ("SELECT * FROM t WHERE a. = 1", "Invalid path dot component"),
        ("SELECT * FROM t WHERE a BETWEEN 1", "Expected AND"),
        ("SELECT * FROM t WHERE a = [1", "Expected RIGHT_BRACKET"),
        ("SELECT * FROM t WHERE a IS", "Expected type name"),
        ("SELECT * FROM t ORDER a", "Expected BY"),
        ("SELECT * FROM t WHERE a = 'b", "Invalid character at 1:27:1"),
        ("SELECT * FROM t WHERE a = `1`", "Invalid character at 1:27:1"),
        ("INSERT t VALUE {}", "Expected INTO"),
        ("INSERT INTO t VALUE {'a' 1}", "Expected COLON"),
        ("INSERT INTO t VALUE {'a': 1", "Expected RIGHT_CURLY"),
        ("INSERT INTO t VALUE <<", "Unexpected term"),
        ("DELETE t WHERE a = 1", "Expected FROM after DELETE"),
        ("UPDATE t SET WHERE a = 1", "Unexpected keyword"),
        ("UPDATE t SET = 1 WHERE a = 1", "Expected assignment for SET"),
        ("UPDATE t SET a 1 WHERE a = 1", "Expected EQUALS"),
        (
            "UPDATE t SET a = 1 WHERE a = 1 RETURNING OLD",
            "Expected ( MODIFIED | ALL ) ( NEW | OLD ) in each returning element.",
        ),
        ("EXISTS SELECT * FROM t", "Expected LEFT_PAREN"),
    ] {
        let error = Statement::parse(text, &[]).unwrap_err();
        assert_eq!(error.to_string(), format!("{MALFORMED}{expected}"), "{text}");
    }
}

#[test]
fn statements_that_make_no_sense_are_refused() {
    for (text, expected) in [
        ("SELECT COUNT(*) FROM t", "Unexpected path component at 1:8:5"),
        ("SELECT a + 1 FROM t", "Unexpected path component at 1:10:1"),
        ("SELECT 'a' FROM t", "Unexpected path component at 1:8:3"),
        ("SELECT a.* FROM t", "Unexpected path component at 1:10:1"),
        ("SELECT a AS b FROM t", "Unexpected path component at 1:10:2"),
        ("SELECT * FROM my-music", "Unexpected from source at 1:17:1"),
        ("SELECT * FROM a, b", "Unexpected from source at 1:16:1"),
        (
            "SELECT * FROM a JOIN b ON a.x = b.x",
            "Unexpected from source at 1:17:4",
        ),
        ("SELECT * FROM a.b.c", COMPONENTS),
        (r#"SELECT * FROM "a"."b"."c"."d" WHERE a = 1"#, COMPONENTS),
        ("EXISTS(SELECT * FROM a.b.c WHERE a = 1)", COMPONENTS),
        ("UPDATE a.b.c SET a = 1 WHERE pk = 1", COMPONENTS),
        ("DELETE FROM a.b.c WHERE pk = 1", COMPONENTS),
        ("SELECT * FROM a.b[0]", "Unexpected from source at 1:15:1"),
        ("INSERT INTO a.b VALUE {'a': 1}", SINGLE_TABLE),
        ("INSERT INTO a.b.c VALUE {'a': 1}", SINGLE_TABLE),
        ("UPDATE a.b SET a = 1 WHERE pk = 1", NOT_ON_INDEX),
        ("DELETE FROM a.b WHERE pk = 1", NOT_ON_INDEX),
        (r#"SELECT * FROM """#, EMPTY),
        (r#"SELECT * FROM ""."i"WHERE a = 1"#, EMPTY),
        (r#"SELECT * FROM t."""#, EMPTY),
        (r#"SELECT a."" FROM t"#, EMPTY),
        ("SELECT a[''] FROM t", EMPTY),
        (r#"SELECT * FROM t WHERE "" = 1"#, EMPTY),
        (r#"INSERT INTO "" VALUE {'a': 1}"#, EMPTY),
        (r#"UPDATE "" SET a = 1 WHERE pk = 1"#, EMPTY),
        (r#"UPDATE t SET "" = 1 WHERE pk = 1"#, EMPTY),
        (r#"UPDATE t REMOVE a."" WHERE pk = 1"#, EMPTY),
        (r#"DELETE FROM "" WHERE pk = 1"#, EMPTY),
        ("SELECT * FROM a[0]", "Unexpected from source at 1:15:1"),
        ("SELECT * FROM t x WHERE x.a = 1", "Unexpected from source at 1:17:1"),
        (
            "SELECT * FROM t\nWHERE a = 1 LIMIT 5",
            "Unsupported clause: LIMIT at 2:13:5",
        ),
        ("SELECT * FROM t GROUP BY a", "Unsupported clause: GROUP at 1:17:5"),
        ("SELECT DISTINCT a FROM t", "Unsupported clause: DISTINCT at 1:8:8"),
        (
            "SELECT * FROM t WHERE a LIKE 'b%'",
            "Unsupported operator: LIKE at 1:25:4",
        ),
        ("SELECT * FROM t WHERE a * 2 = 4", "Unsupported operator: * at 1:25:1"),
        ("SELECT * FROM t WHERE a + 1 = 4", "Unexpected expression at 1:25:1"),
        ("SELECT * FROM t WHERE a", "Unexpected expression at 1:23:1"),
        ("SELECT * FROM t WHERE a = b = c", "Unexpected expression at 1:25:1"),
        ("SELECT * FROM t WHERE a = [b]", "Unexpected path component at 1:28:1"),
        ("SELECT * FROM t WHERE nope(a)", "Invalid function name; function: nope"),
        (
            "SELECT * FROM t WHERE attribute_exists(a)",
            "Invalid function name; function: attribute_exists",
        ),
        (
            "SELECT * FROM t WHERE size(a)",
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "SELECT * FROM t WHERE contains(a, 'b') = true",
            "The function is not allowed to be used this way in an expression; function: contains",
        ),
        (
            "SELECT * FROM t WHERE begins_with(a)",
            "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
        ),
        (
            "SELECT * FROM t WHERE a < true",
            "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
        ),
        (
            "SELECT * FROM t WHERE attribute_type(a, 'X')",
            "Invalid attribute type name found; type: X, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        (
            "SELECT a, a.b FROM t",
            "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of these \
             paths; path one: [a], path two: [a, b]",
        ),
        (
            "UPDATE t SET a = 1 REMOVE a WHERE pk = 1",
            "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these \
             paths; path one: [a], path two: [a]",
        ),
        (
            "UPDATE t SET a = 1 + 'x' WHERE pk = 1",
            "Incorrect operand type for operator or function; operator or function: +, operand type: S",
        ),
        (
            "UPDATE t SET a = list_append(a, 1) WHERE pk = 1",
            "Incorrect operand type for operator or function; operator or function: list_append, operand type: N",
        ),
        (
            "UPDATE t SET a = list_append([1], list_append(a, b)) WHERE pk = 1",
            "The function is not allowed to be used this way in an expression; function: list_append",
        ),
        (
            "UPDATE t SET a = set_add(a, 1) WHERE pk = 1",
            "Incorrect operand type for operator or function; operator or function: set_add, operand type: N",
        ),
        (
            "UPDATE t SET a = set_add(b, <<1>>) WHERE pk = 1",
            "Unexpected path component at 1:26:1",
        ),
        (
            "UPDATE t SET a = if_not_exists(a, 1) WHERE pk = 1",
            "Invalid function name; function: if_not_exists",
        ),
        (
            "DELETE FROM t WHERE pk = 1 RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
        (
            "DELETE FROM t WHERE pk = 1 returning all new *",
            "Invalid returning clause: RETURNING ALL NEW *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
        (
            "DELETE FROM t WHERE pk = 1 RETURNING MODIFIED NEW *",
            "Invalid returning clause: RETURNING MODIFIED NEW *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
        (
            "UPDATE t SET a = 1 WHERE pk = 1 RETURNING ALL OLD a",
            "Unsupported RETURNING clause at 1:51:1",
        ),
        (
            "INSERT INTO t VALUE {'a': 1} RETURNING ALL OLD *",
            "Unsupported RETURNING clause at 1:30:9",
        ),
        (
            "INSERT INTO t VALUE [1]",
            "INSERT requires a single item: VALUE { ... } at 1:21:1",
        ),
        (
            "INSERT INTO t <<{'a': 1}>>",
            "INSERT requires a single item: VALUE { ... } at 1:15:12",
        ),
        (
            "INSERT INTO t VALUE {'a': 1, 'a': 2}",
            "Duplicate attribute name in map: a",
        ),
        ("INSERT INTO t VALUE {1: 1}", "Unexpected expression at 1:22:1"),
        ("INSERT INTO t VALUE {'a': b}", "Unexpected path component at 1:27:1"),
        ("INSERT INTO t VALUE {'a': MISSING}", "Unexpected expression at 1:27:7"),
        (
            "INSERT INTO t VALUE {'a': <<>>}",
            "One or more parameter values were invalid: An string set  may not be empty",
        ),
        (
            "INSERT INTO t VALUE {'a': <<1, 'b'>>}",
            "One or more parameter values were invalid: The members of a set must be of one type",
        ),
        (
            "INSERT INTO t VALUE {'a': <<1, 1.0>>}",
            "One or more parameter values were invalid: Input collection contains duplicates",
        ),
        (
            "INSERT INTO t VALUE {'a': <<true>>}",
            "One or more parameter values were invalid: A set may not have a member of type BOOL",
        ),
        (
            "INSERT INTO t VALUE {'a': 123456789012345678901234567890123456789}",
            "Attempting to store more than 38 significant digits in a Number",
        ),
        (
            "SELECT * FROM t WHERE a IN []",
            "The IN operator is provided with too many operands; number of operands: 0",
        ),
        (
            "SELECT * FROM t WHERE a[2147483648] = 1",
            "List index is not within the allowable range; index: [2147483648]",
        ),
    ] {
        let error = Statement::parse(text, &[]).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}
