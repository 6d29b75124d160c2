//! Expressions of all kinds: text to tree, tree to text and to tree again, and against an item.

use geodynamo_expression::{
    Condition, Context, KeyCondition, Parameter, Printed, Projection, Update, limits::EXPRESSION_BYTES,
    partiql::Statement,
};
use geodynamo_item::{AttributeValue, Item, Number, wire};
use geodynamo_json::Reader;

use crate::bytes_to::{byte, texts};

/// What expressions are held against, and its values are those of the placeholders.
const ITEM: &str = r#"{"a":{"S":"text"},"b":{"N":"-12.5"},"c":{"B":"AAH/"},"d":{"BOOL":true},"e":{"NULL":true},
    "f":{"L":[{"N":"1"},{"S":"x"},{"M":{"g":{"L":[{"N":"2"}]}}}]},"m":{"M":{"a":{"S":"y"},"n":{"M":{"o":{"N":"0"}}}}},
    "s":{"SS":["a","b"]},"t":{"NS":["1","2"]},"u":{"BS":["AA=="]}}"#;

pub(crate) fn run(mut bytes: &[u8]) {
    let kind = byte(&mut bytes);
    let parts = texts(bytes);
    let text = parts.first().copied().unwrap_or_default();
    let item = item();
    // Placeholders of the item's names, with a colon or a number sign before them; then those that the input names.
    let names: Vec<(String, String)> = item
        .iter()
        .map(|(name, _)| (format!("#{name}"), name.to_string()))
        .chain(
            parts
                .iter()
                .skip(1)
                .map(|name| (format!("#{name}"), (*name).to_owned())),
        )
        .collect();
    let values: Item = item
        .iter()
        .map(|(name, value)| (format!(":{name}").into(), value.clone()))
        .collect();
    let mut given = match Context::of(Some(names.iter().map(|(key, name)| (key, name))), Some(&values)) {
        Ok(given) => given,
        Err(_) => Context::new(),
    };
    match kind % 5 {
        0 | 1 => {
            let parameter = if kind.is_multiple_of(5) {
                Parameter::Condition
            } else {
                Parameter::Filter
            };
            let Ok(condition) = Condition::parse(parameter, text, &mut given) else {
                return;
            };
            condition.evaluate(&item);
            let printed = condition.print();
            if is_too_long(&printed) {
                return;
            }
            let mut context = printed.context().expect("what was printed has good placeholders");
            assert_eq!(Condition::parse(parameter, &printed.text, &mut context), Ok(condition));
        }
        2 => {
            if let Ok(condition) = KeyCondition::parse(text, &mut given) {
                drop(condition.resolve(&["a"], &["b"]));
            }
        }
        3 => {
            let Ok(projection) = Projection::parse(text, &mut given) else {
                return;
            };
            let part = projection.apply(&item);
            assert!(part.iter().all(|(name, _)| item.contains(name)));
            let printed = projection.print();
            if is_too_long(&printed) {
                return;
            }
            let mut context = printed.context().expect("what was printed has good placeholders");
            assert_eq!(Projection::parse(&printed.text, &mut context), Ok(projection));
        }
        _ => {
            let Ok(update) = Update::parse(text, &mut given) else {
                return;
            };
            if let Ok(new) = update.apply(&item) {
                update.updated_old(&item);
                update.updated_new(&new);
            }
            let printed = update.print();
            if is_too_long(&printed) {
                return;
            }
            let mut context = printed.context().expect("what was printed has good placeholders");
            assert_eq!(Update::parse(&printed.text, &mut context), Ok(update));
        }
    }
}

/// Whether it cannot be parsed again: placeholders may be longer than the names that they stand for.
fn is_too_long(printed: &Printed) -> bool {
    printed.text.len() > EXPRESSION_BYTES
}

/// PartiQL: a byte that says how many parameters there are, then the statement.
pub(crate) fn statements(mut bytes: &[u8]) {
    let given = usize::from(byte(&mut bytes) % 8);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let item = item();
    let parameters: Vec<AttributeValue> = item.iter().map(|(_, value)| value.clone()).take(given).collect();
    match Statement::parse(text, &parameters) {
        Ok(Statement::Select(select) | Statement::Exists(select)) => {
            evaluate(select.condition.as_ref(), &item);
            select.show(item);
        }
        Ok(Statement::Update(update)) => {
            evaluate(update.condition.as_ref(), &item);
            drop(update.update.apply(&item));
        }
        Ok(Statement::Delete(delete)) => evaluate(delete.condition.as_ref(), &item),
        Ok(Statement::Insert(_)) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn evaluate(condition: Option<&Condition>, item: &Item) {
    if let Some(condition) = condition {
        condition.evaluate(item);
    }
}

fn item() -> Item {
    let read = Reader::new(ITEM.as_bytes())
        .ok()
        .and_then(|mut reader| wire::read_item(&mut reader).ok());
    let mut item = read.and_then(Result::ok).expect("the item above is one");
    item.insert("one".into(), AttributeValue::N(Number::from(1u64)));
    item
}
