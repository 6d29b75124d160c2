//! What is refused before any item is looked at, in DynamoDB's words.

use geodynamo_expression::{Condition, KeyCondition, Parameter, Projection, Update};

use crate::values::Given;

/// What DynamoDB says after `Invalid …Expression: `; nothing where it takes the expression.
fn check(parameter: Parameter, cases: &[(&str, &str)]) {
    let given = Given::new();
    for &(text, expect) in cases {
        let mut context = given.context();
        let error = match parameter {
            Parameter::Condition | Parameter::Filter => Condition::parse(parameter, text, &mut context).err(),
            Parameter::KeyCondition => KeyCondition::parse(text, &mut context).err(),
            Parameter::Projection => Projection::parse(text, &mut context).err(),
            Parameter::Update => Update::parse(text, &mut context).err(),
        };
        let got = error.map_or_else(String::new, |error| error.to_string());
        let expect = if expect.is_empty() {
            String::new()
        } else {
            format!("Invalid {parameter}: {expect}")
        };
        assert_eq!(got, expect, "{text}");
    }
}

#[test]
fn conditions() {
    check(
        Parameter::Condition,
        &[
            ("", "The expression can not be empty;"),
            (" ", r#"Syntax error; token: "<EOF>", near: """#),
            ("a", r#"Syntax error; token: "<EOF>", near: "a""#),
            ("a)", r#"Syntax error; token: ")", near: "a)""#),
            ("a = :s)", r#"Syntax error; token: ")", near: ":s)""#),
            ("a = ", r#"Syntax error; token: "<EOF>", near: "=""#),
            ("a == :s", r#"Syntax error; token: "=", near: "== :s""#),
            ("a = 5", r#"Syntax error; token: "5", near: "= 5""#),
            ("a-b", r#"Syntax error; token: "-", near: "a-b""#),
            ("_type = :s", r#"Syntax error; token: "_", near: "_type""#),
            (
                "attribute_exists(a) AND NOT #a",
                r##"Syntax error; token: "<EOF>", near: "#a""##,
            ),
            ("contains()", r#"Syntax error; token: ")", near: "()""#),
            ("a IN ()", r#"Syntax error; token: ")", near: "()""#),
            ("a IN :s", r#"Syntax error; token: ":s", near: "IN :s""#),
            ("a BETWEEN :one", r#"Syntax error; token: "<EOF>", near: ":one""#),
            ("a. = :s", r#"Syntax error; token: "=", near: ". = :s""#),
            ("a[b] = :s", r#"Syntax error; token: "b", near: "[b]""#),
            ("a[-1] = :s", r#"Syntax error; token: "-", near: "[-1""#),
            ("and = :s", r#"Syntax error; token: "and", near: "and =""#),
            ("a = :s AND", r#"Syntax error; token: "<EOF>", near: "AND""#),
            ("a = \"s\"", r#"Syntax error; token: """, near: "= "s""#),
            ("a = :s SET b = :s", r#"Syntax error; token: "SET", near: ":s SET b""#),
            // Syntax comes before all else.
            (
                "name = :undefined AND foo(#undefined",
                r##"Syntax error; token: "<EOF>", near: "#undefined""##,
            ),
            ("((a = :s))", "The expression has redundant parentheses;"),
            ("((a)) = :s", "The expression has redundant parentheses;"),
            ("a = ((:s))", "The expression has redundant parentheses;"),
            ("a = :s OR (a = :s AND #a = :s)", ""),
            ("(a = :s) AND (a = :s)", ""),
            ("foo(a)", "Invalid function name; function: foo"),
            ("Size(a) = :one", "Invalid function name; function: Size"),
            (
                "if_not_exists(a, :s) = :s",
                "The function is not allowed in a condition expression; function: if_not_exists",
            ),
            (
                "list_append(a, :s)",
                "The function is not allowed in a condition expression; function: list_append",
            ),
            (
                "size(a)",
                "The function is not allowed to be used this way in an expression; function: size",
            ),
            (
                "a = :s AND size(a)",
                "The function is not allowed to be used this way in an expression; function: size",
            ),
            (
                "attribute_exists(a) = :true",
                "The function is not allowed to be used this way in an expression; function: attribute_exists",
            ),
            (
                ":true = attribute_exists(a)",
                "The function is not allowed to be used this way in an expression; function: attribute_exists",
            ),
            (
                "contains(a, begins_with(b, :s))",
                "The function is not allowed to be used this way in an expression; function: begins_with",
            ),
            (
                "name = :s",
                "Attribute name is a reserved keyword; reserved keyword: name",
            ),
            (
                "a.Name[1] = :s",
                "Attribute name is a reserved keyword; reserved keyword: Name",
            ),
            (
                "size = :s",
                "Attribute name is a reserved keyword; reserved keyword: size",
            ),
            (
                "#x = :s",
                "An expression attribute name used in the document path is not defined; attribute name: #x",
            ),
            (
                "a = :x",
                "An expression attribute value used in expression is not defined; attribute value: :x",
            ),
            ("a[2147483647] = :s", ""),
            (
                "a[2147483648] = :s",
                "List index is not within the allowable range; index: [2147483648]",
            ),
            (
                "size(a, b) = :one",
                "Incorrect number of operands for operator or function; operator or function: size, \
                 number of operands: 2",
            ),
            (
                "attribute_exists(a, b, c)",
                "Incorrect number of operands for operator or function; operator or function: attribute_exists, \
                 number of operands: 3",
            ),
            (
                "begins_with(a)",
                "Incorrect number of operands for operator or function; operator or function: begins_with, \
                 number of operands: 1",
            ),
            (
                "attribute_exists(:s)",
                "Operator or function requires a document path; operator or function: attribute_exists",
            ),
            (
                "attribute_not_exists(size(a))",
                "Operator or function requires a document path; operator or function: attribute_not_exists",
            ),
            (
                "begins_with(a, :one)",
                "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
            ),
            (
                "a < :true",
                "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
            ),
            (
                ":ss >= a",
                "Incorrect operand type for operator or function; operator or function: >=, operand type: SS",
            ),
            (
                "a BETWEEN :null AND :one",
                "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: NULL",
            ),
            (
                "size(:one) = :one",
                "Incorrect operand type for operator or function; operator or function: size, operand type: N",
            ),
            (
                "contains(:map, a)",
                "Incorrect operand type for operator or function; operator or function: contains, operand type: M",
            ),
            (
                "attribute_type(a, :one)",
                "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N",
            ),
            (
                "attribute_type(a, :hello)",
                "Invalid attribute type name found; type: hello, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
            ),
            (
                "a = #a",
                "The first operand must be distinct from the remaining operands for this operator or function; \
                 operator: =, first operand: [a]",
            ),
            (
                "a.b[3] IN (:s, a.b[3])",
                "The first operand must be distinct from the remaining operands for this operator or function; \
                 operator: IN, first operand: [a, b, [3]]",
            ),
            (
                "begins_with(a, a)",
                "The first operand must be distinct from the remaining operands for this operator or function; \
                 operator: begins_with, first operand: [a]",
            ),
            (
                "a BETWEEN :five AND :four",
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound \
                 operand: AttributeValue: {N:5}, upper bound operand: AttributeValue: {N:4}",
            ),
            (
                "a BETWEEN :s AND :four",
                "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: \
                 AttributeValue: {S:s}, upper bound operand: AttributeValue: {N:4}",
            ),
            ("a BETWEEN :five AND :five", ""),
        ],
    );
}

#[test]
fn filters_name_themselves() {
    check(
        Parameter::Filter,
        &[
            (
                "status = :s",
                "Attribute name is a reserved keyword; reserved keyword: status",
            ),
            (
                "if_not_exists(a, :s)",
                "The function is not allowed in a filter expression; function: if_not_exists",
            ),
        ],
    );
}

#[test]
fn key_conditions_are_conditions() {
    check(
        Parameter::KeyCondition,
        &[
            ("", "The expression can not be empty;"),
            ("a-b", r#"Syntax error; token: "-", near: "a-b""#),
            (
                "a = :one AND begins_with(b, :one)",
                "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
            ),
        ],
    );
}

#[test]
fn projections() {
    check(
        Parameter::Projection,
        &[
            ("", "The expression can not be empty;"),
            ("a,", r#"Syntax error; token: "<EOF>", near: ",""#),
            ("a b", r#"Syntax error; token: "b", near: "a b""#),
            ("a, :s", r#"Syntax error; token: ":s", near: ", :s""#),
            (
                "a, name",
                "Attribute name is a reserved keyword; reserved keyword: name",
            ),
            (
                "#x",
                "An expression attribute name used in the document path is not defined; attribute name: #x",
            ),
            (
                "a, b, a.b",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; \
                 path one: [a], path two: [a, b]",
            ),
            (
                "a.b, #a",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; \
                 path one: [a, b], path two: [a]",
            ),
            (
                "a.b, a[0]",
                "Two document paths conflict with each other; must remove or rewrite one of these paths; \
                 path one: [a, b], path two: [a, [0]]",
            ),
            ("a.b, a.c, #dotted, b[0], b[1].c, b[1].d", ""),
        ],
    );
}

#[test]
fn updates() {
    check(
        Parameter::Update,
        &[
            ("", "The expression can not be empty;"),
            (
                "INVALID SYNTAX HERE",
                r#"Syntax error; token: "INVALID", near: "INVALID SYNTAX""#,
            ),
            ("SET", r#"Syntax error; token: "<EOF>", near: "SET""#),
            (
                "set _something = :s",
                r#"Syntax error; token: "_", near: "set _something""#,
            ),
            ("ADD hits : incr", r#"Syntax error; token: ":", near: "hits : incr""#),
            ("SET a = :s,", r#"Syntax error; token: "<EOF>", near: ",""#),
            ("SET a :s", r#"Syntax error; token: ":s", near: "a :s""#),
            ("SET a = :s b = :s", r#"Syntax error; token: "b", near: ":s b =""#),
            ("SET a = :s = :s", r#"Syntax error; token: "=", near: ":s = :s""#),
            ("ADD a b", r#"Syntax error; token: "b", near: "a b""#),
            ("DELETE a", r#"Syntax error; token: "<EOF>", near: "a""#),
            ("SET a = b +", r#"Syntax error; token: "<EOF>", near: "+""#),
            ("REMOVE a = :s", r#"Syntax error; token: "=", near: "a = :s""#),
            (
                "ADD x :one SET a = :s ADD y :one",
                "The \"ADD\" section can only be used once in an update expression;",
            ),
            (
                "set a = :s SET b = :s",
                "The \"SET\" section can only be used once in an update expression;",
            ),
            ("SET a = foo(b)", "Invalid function name; function: foo"),
            (
                "SET a = size(b)",
                "The function is not allowed in an update expression; function: size",
            ),
            ("SET a = ((:one))", "The expression has redundant parentheses;"),
            ("SET a = ((b + :one))", "The expression has redundant parentheses;"),
            ("SET a = b + ((:one))", "The expression has redundant parentheses;"),
            ("SET a = (b) + (:one)", ""),
            ("SET a = ((b) + :one)", ""),
            ("SET a = (b - :one), c = (d)", ""),
            // Two operands, whatever the parentheses.
            (
                "SET a = :one + :one + :one",
                r#"Syntax error; token: "+", near: ":one + :one""#,
            ),
            ("SET a = b - :one + c", r#"Syntax error; token: "+", near: ":one + c""#),
            (
                "SET a = (b - :one) + :one",
                r#"Syntax error; token: "+", near: ") + :one""#,
            ),
            (
                "SET a = b - (:one + c)",
                r#"Syntax error; token: "+", near: ":one + c""#,
            ),
            (
                "SET a = if_not_exists(b, :one + c)",
                r#"Syntax error; token: "+", near: ":one + c""#,
            ),
            ("SET a = if_not_exists(b, :one) + if_not_exists(c, (:one))", ""),
            (
                "SET a = list_append(list_append(:list, :list), :list)",
                "The function is not allowed to be used this way in an expression; function: list_append",
            ),
            (
                "SET a = list_append(b, (list_append(c, d)))",
                "The function is not allowed to be used this way in an expression; function: list_append",
            ),
            ("SET a = list_append(if_not_exists(a, :empty), :list)", ""),
            (
                "SET name = :s",
                "Attribute name is a reserved keyword; reserved keyword: name",
            ),
            (
                "SET a = name",
                "Attribute name is a reserved keyword; reserved keyword: name",
            ),
            (
                "SET a = :x",
                "An expression attribute value used in expression is not defined; attribute value: :x",
            ),
            (
                "SET #x = :s",
                "An expression attribute name used in the document path is not defined; attribute name: #x",
            ),
            (
                "SET a = list_append(b)",
                "Incorrect number of operands for operator or function; operator or function: list_append, \
                 number of operands: 1",
            ),
            (
                "SET a = if_not_exists(:s, :s)",
                "Operator or function requires a document path; operator or function: if_not_exists",
            ),
            (
                "SET a = list_append(a, :map)",
                "Incorrect operand type for operator or function; operator or function: list_append, operand type: M",
            ),
            (
                "SET a = a + :s",
                "Incorrect operand type for operator or function; operator or function: +, operand type: S",
            ),
            (
                "SET a = list_append(b, c) - :one",
                "Incorrect operand type for operator or function; operator or function: -, operand type: L",
            ),
            (
                "ADD a :s",
                "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, \
                 typeSet: ALLOWED_FOR_ADD_OPERAND",
            ),
            (
                "DELETE a :one",
                "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, \
                 typeSet: ALLOWED_FOR_DELETE_OPERAND",
            ),
            ("ADD a :one, b :ss, c :ns, d :bs DELETE e :ss", ""),
            (
                "SET f = :s REMOVE f",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; \
                 path one: [f], path two: [f]",
            ),
            (
                "SET a = :s REMOVE a.nested.hello",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; \
                 path one: [a], path two: [a, nested, hello]",
            ),
            (
                "SET a.b = :s, a[1] = :s",
                "Two document paths conflict with each other; must remove or rewrite one of these paths; \
                 path one: [a, b], path two: [a, [1]]",
            ),
            ("SET a = a, b = a", ""),
        ],
    );
}
