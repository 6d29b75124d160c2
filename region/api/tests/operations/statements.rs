//! PartiQL against the operations that it stands for.

use std::collections::BTreeMap;

use geodynamo_expression::partiql::PrintedCondition;
use geodynamo_expression::{Comparator, Condition, Operand, Path, Printed, Step};
use geodynamo_item::testing::arb_value;
use geodynamo_item::{AttributeType, AttributeValue, Item, Number, wire};
use geodynamo_json::{Reader, Writer};
use proptest::prelude::*;

use crate::client::Client;

/// A table (pk: S, sk: N) with a local index by `l` (N) and a global one by `g` (S) and sk, both of whole items.
async fn client() -> Client {
    let client = Client::new().await;
    client
        .ok(
            "CreateTable",
            r#"{"TableName":"table","BillingMode":"PAY_PER_REQUEST",
            "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"},
                {"AttributeName":"l","AttributeType":"N"},{"AttributeName":"g","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],
            "LocalSecondaryIndexes":[{"IndexName":"local","Projection":{"ProjectionType":"ALL"},
                "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}]}],
            "GlobalSecondaryIndexes":[{"IndexName":"global","Projection":{"ProjectionType":"ALL"},
                "KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]}]}"#,
        )
        .await;
    client
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However a SELECT is planned, and into whatever pages it is cut, it gives what the filter lets through.
    #[test]
    fn a_select_gives_what_a_scan_with_the_filter_gives(
        items in arb_items(),
        conditions in prop::collection::vec(prop_oneof![arb_condition(), arb_keyed()], 24),
        index in prop::sample::select(vec![None, Some("local"), Some("global")]),
        limit in prop::option::of(1usize..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let client = client().await;
            for item in items.values() {
                client.ok("PutItem", &format!(r#"{{"TableName":"table","Item":{}}}"#, json(item))).await;
            }
            for condition in conditions {
                let Some(statement) = PrintedCondition::of(&condition) else { continue };
                let scanned = scan(&client, index, &condition.print()).await;
                let selected = select(&client, index, &statement, limit).await;
                prop_assert_eq!(scanned.is_some(), selected.is_some(), "{}", &statement.text);
                prop_assert_eq!(scanned, selected, "{}", &statement.text);
            }
            Ok(())
        })?;
    }
}

/// API reference, ExecuteStatement: a page ends where the data that is processed exceeds 1 MB, whatever of it matches.
#[tokio::test]
async fn a_select_over_several_keys_ends_its_page_at_a_megabyte_read() {
    let client = client().await;
    let large = "x".repeat(390 * 1024);
    for pk in ["a", "b", "c", "d"] {
        let item = format!(r#"{{"pk":{{"S":"{pk}"}},"sk":{{"N":"1"}},"x":{{"S":"{large}"}}}}"#);
        client
            .ok("PutItem", &format!(r#"{{"TableName":"table","Item":{item}}}"#))
            .await;
    }
    let statement = r#"SELECT pk FROM \"table\" WHERE pk IN ['a','b','c','d'] AND x = 'y'"#;
    let body = format!(r#"{{"Statement":"{statement}","ReturnConsumedCapacity":"TOTAL"}}"#);
    let (status, reply) = client.call("ExecuteStatement", &body).await;
    assert_eq!(status, 200, "{reply}");
    let page = Page::read(&reply);
    assert!(page.items.is_empty() && page.next.is_some(), "{reply}");
    // Three items of 98 units each, by halves.
    assert!(reply.contains(r#""CapacityUnits":147"#), "{reply}");
}

/// The items that a Scan gives, sorted; `None` if it is refused.
async fn scan(client: &Client, index: Option<&str>, filter: &Printed) -> Option<Vec<String>> {
    let mut body = Writer::new();
    body.begin_object();
    for (name, value) in [("TableName", "table"), ("FilterExpression", &filter.text)] {
        body.key(name);
        body.string(value);
    }
    if let Some(index) = index {
        body.key("IndexName");
        body.string(index);
    }
    if !filter.names.is_empty() {
        body.key("ExpressionAttributeNames");
        body.begin_object();
        for (key, name) in &filter.names {
            body.key(key);
            body.string(name);
        }
        body.end_object();
    }
    if !filter.values.is_empty() {
        body.key("ExpressionAttributeValues");
        wire::write_item(&filter.values, &mut body);
    }
    body.end_object();
    let (status, reply) = client.call("Scan", &text(body)).await;
    (status == 200).then(|| {
        let page = Page::read(&reply);
        assert!(page.next.is_none(), "one page holds all of them");
        sorted(page.items)
    })
}

/// The items that a SELECT gives in all of its pages, sorted; `None` if it is refused.
async fn select(
    client: &Client,
    index: Option<&str>,
    condition: &PrintedCondition,
    limit: Option<usize>,
) -> Option<Vec<String>> {
    let source = index.map_or("\"table\"".into(), |index| format!("\"table\".\"{index}\""));
    let statement = format!("SELECT * FROM {source} WHERE {}", condition.text);
    let mut items = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut body = Writer::new();
        body.begin_object();
        body.key("Statement");
        body.string(&statement);
        if !condition.parameters.is_empty() {
            body.key("Parameters");
            body.begin_array();
            for parameter in &condition.parameters {
                wire::write_value(parameter, &mut body);
            }
            body.end_array();
        }
        if let Some(token) = &token {
            body.key("NextToken");
            body.string(token);
        }
        body.end_object();
        let mut body = text(body);
        if let Some(limit) = limit {
            body.insert_str(1, &format!("\"Limit\":{limit},"));
        }
        let (status, reply) = client.call("ExecuteStatement", &body).await;
        if status != 200 {
            assert!(token.is_none(), "{statement}: {reply}");
            return None;
        }
        let page = Page::read(&reply);
        assert!(
            limit.is_none_or(|limit| page.items.len() <= limit),
            "{statement}: {reply}"
        );
        items.extend(page.items);
        token = page.next;
        if token.is_none() {
            return Some(sorted(items));
        }
    }
}

/// What matters of a reply.
#[derive(Default)]
struct Page {
    items: Vec<String>,
    next: Option<String>,
}

impl Page {
    fn read(reply: &str) -> Self {
        let mut page = Self::default();
        let mut reader = Reader::new(reply.as_bytes()).unwrap();
        reader.begin_object().unwrap();
        while let Some(key) = reader.next_key().unwrap() {
            match &*key {
                "Items" => {
                    reader.begin_array().unwrap();
                    while reader.next_element().unwrap() {
                        page.items.push(json(&wire::read_item(&mut reader).unwrap().unwrap()));
                    }
                }
                "NextToken" => page.next = Some(reader.string().unwrap().into_owned()),
                _ => drop(reader.skip_value().unwrap()),
            }
        }
        page
    }
}

fn sorted(mut items: Vec<String>) -> Vec<String> {
    items.sort();
    items
}

fn json(item: &Item) -> String {
    let mut writer = Writer::new();
    wire::write_item(item, &mut writer);
    text(writer)
}

fn text(writer: Writer) -> String {
    String::from_utf8(writer.into_bytes()).unwrap()
}

/// Index keys and other attributes: l, g, a, b, c.
type Others = (
    Option<i64>,
    Option<u8>,
    Option<AttributeValue>,
    Option<AttributeValue>,
    Option<Vec<AttributeValue>>,
);

/// Items of few keys, by their keys; index keys and other attributes are there or not.
fn arb_items() -> impl Strategy<Value = BTreeMap<(u8, u8), Item>> {
    let others = (
        prop::option::of(0i64..4),
        prop::option::of(0u8..3),
        prop::option::of(arb_value()),
        prop::option::of(arb_small()),
        prop::option::of(prop::collection::vec(arb_small(), 0..3)),
    );
    prop::collection::btree_map((0u8..4, 0u8..6), others, 0..20).prop_map(|items| {
        let item = |((partition, sort), (l, g, a, b, c)): ((u8, u8), Others)| {
            let attributes = [
                ("pk", Some(letter(partition))),
                ("sk", Some(number(sort.into()))),
                ("l", l.map(number)),
                ("g", g.map(letter)),
                ("a", a),
                ("b", b),
                ("c", c.map(AttributeValue::L)),
            ];
            let there = attributes
                .into_iter()
                .filter_map(|(name, value)| Some((name.into(), value?)));
            ((partition, sort), there.collect())
        };
        items.into_iter().map(item).collect()
    })
}

fn letter(number: u8) -> AttributeValue {
    AttributeValue::S(["a", "b", "ab", "c"][usize::from(number)].into())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(Number::from(number))
}

/// Few values, so that items and conditions have the same ones.
fn arb_small() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        (0i64..3).prop_map(number),
        (0u8..3).prop_map(letter),
        Just(AttributeValue::Bool(true)),
        Just(AttributeValue::Null),
        Just(AttributeValue::S("it's \"é\"".into())),
        Just(AttributeValue::B(bytes::Bytes::from_static(b"\x00\xff"))),
    ]
}

/// A path, and what of its type it can be compared with: keys only with values that keys can have.
fn arb_operands() -> impl Strategy<Value = (Operand, AttributeValue, AttributeValue)> {
    let letters = || (0u8..4).prop_map(letter);
    let numbers = || (0i64..6).prop_map(number);
    let of = |name: &'static str| Just(Operand::Path(Path::from(name)));
    let element = Path {
        root: "c".into(),
        steps: vec![Step::Index(1)],
    };
    prop_oneof![
        4 => (of("pk"), letters(), letters()),
        3 => (of("sk"), numbers(), numbers()),
        2 => (of("l"), numbers(), numbers()),
        2 => (of("g"), letters(), letters()),
        1 => (of("a"), arb_small(), arb_small()),
        2 => (of("b"), arb_small(), arb_small()),
        1 => (Just(Operand::Path(element)), arb_small(), arb_small()),
        1 => (Just(Operand::Size(Path::from("a"))), numbers(), numbers()),
    ]
}

/// A condition that says which partition keys it is about, in the table or in the global index, and maybe more: one key,
/// several, whole keys, or several with a condition each.
fn arb_keyed() -> impl Strategy<Value = Condition> {
    let values = prop::collection::vec((0u8..4).prop_map(letter), 1..4);
    let name = prop::sample::select(vec!["pk", "pk", "g"]);
    (name, values, prop::collection::vec(arb_condition(), 4), 0u8..5).prop_map(|(name, values, rest, form)| {
        let path = || Operand::Path(Path::from(name));
        let equal = |value: &AttributeValue| Condition::Compare {
            comparator: Comparator::Equal,
            left: path(),
            right: Operand::Value(value.clone()),
        };
        let mut rest = rest.into_iter();
        let mut with_rest = |condition| Condition::And([condition].into_iter().chain(rest.next()).collect());
        let list = || Condition::In {
            value: path(),
            list: values.iter().cloned().map(Operand::Value).collect(),
        };
        let sorts = Condition::In {
            value: Operand::Path(Path::from("sk")),
            list: (0..6).map(|sort| Operand::Value(number(sort))).collect(),
        };
        match form {
            0 => with_rest(equal(&values[0])),
            1 => with_rest(list()),
            2 => list(),
            3 => Condition::And(vec![list(), sorts]),
            _ => Condition::Or(
                values
                    .iter()
                    .chain(&values)
                    .take(3)
                    .map(|value| with_rest(equal(value)))
                    .collect(),
            ),
        }
    })
}

fn arb_condition() -> impl Strategy<Value = Condition> {
    let comparators = vec![
        Comparator::Equal,
        Comparator::Equal,
        Comparator::Equal,
        Comparator::NotEqual,
        Comparator::Less,
        Comparator::LessOrEqual,
        Comparator::Greater,
        Comparator::GreaterOrEqual,
    ];
    let compare = (prop::sample::select(comparators), arb_operands(), any::<bool>()).prop_map(
        |(comparator, (left, right, _), flipped)| {
            let right = Operand::Value(right);
            let (left, right) = if flipped { (right, left) } else { (left, right) };
            Condition::Compare {
                comparator,
                left,
                right,
            }
        },
    );
    let within = arb_operands().prop_map(|(value, low, high)| Condition::Between {
        value,
        low: Operand::Value(low),
        high: Operand::Value(high),
    });
    let one_of = arb_operands().prop_map(|(value, one, other)| Condition::In {
        value,
        list: vec![Operand::Value(one), Operand::Value(other)],
    });
    let of_text = prop::sample::select(vec!["pk", "g", "a", "b"]);
    let of_any = prop::sample::select(vec!["pk", "sk", "l", "g", "a", "b", "c", "d"]);
    let leaf = prop_oneof![
        6 => compare,
        1 => within,
        2 => one_of,
        1 => (of_text.clone(), 0u8..3).prop_map(|(name, prefix)| Condition::BeginsWith {
            value: Operand::Path(Path::from(name)),
            prefix: Operand::Value(letter(prefix)),
        }),
        1 => (of_text, arb_small()).prop_map(|(name, element)| Condition::Contains {
            container: Operand::Path(Path::from(name)),
            element: Operand::Value(element),
        }),
        1 => of_any.clone().prop_map(|name| Condition::Exists(Path::from(name))),
        1 => of_any.clone().prop_map(|name| Condition::NotExists(Path::from(name))),
        1 => (of_any, prop::sample::select(AttributeType::ALL.to_vec()))
            .prop_map(|(name, kind)| Condition::Type { value: Operand::Path(Path::from(name)), kind }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::And),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Or),
            1 => inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}
