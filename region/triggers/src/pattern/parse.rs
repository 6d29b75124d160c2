//! Reading patterns.

use serde_json::{Map, Value};

use super::{
    Field, Node, PatternError,
    matcher::{Cidr, Comparison, Matcher, TextMatcher},
    wildcard::Wildcard,
};

/// The greatest number, and the least without its sign, that numeric matching knows.
const NUMBER_MAX: f64 = 5.0e9;
/// What says that alternatives of several fields follow.
const OR: &str = "$or";
/// The names of what leaves ask. An object with one of them is no alternative of `$or`.
const RESERVED: [&str; 8] = [
    "prefix",
    "suffix",
    "equals-ignore-case",
    "wildcard",
    "anything-but",
    "numeric",
    "exists",
    "cidr",
];

type Result<T> = std::result::Result<T, PatternError>;

fn wrong<T>(reason: impl Into<String>) -> Result<T> {
    Err(PatternError(reason.into()))
}

pub(super) fn pattern(text: &str) -> Result<Node> {
    // A name that is there twice counts as it was told last.
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => node(&fields),
        Ok(_) => wrong("a pattern is a JSON object"),
        Err(error) => wrong(error.to_string()),
    }
}

fn node(fields: &Map<String, Value>) -> Result<Node> {
    if fields.is_empty() {
        return wrong("an empty object is no pattern");
    }
    let mut node = Node::default();
    for (name, value) in fields {
        if name == OR
            && let Some(objects) = alternatives(value)
        {
            let nodes = objects.into_iter().map(self::node).collect::<Result<_>>()?;
            node.alternatives.push(nodes);
            continue;
        }
        let field = match value {
            Value::Object(fields) => Field::Nested(self::node(fields)?),
            Value::Array(values) if !values.is_empty() => {
                Field::Leaf(values.iter().map(|value| matcher(name, value)).collect::<Result<_>>()?)
            }
            _ => return wrong(format!("\"{name}\" must be an object or a list that is not empty")),
        };
        node.fields.push((name.clone(), field));
    }
    Ok(node)
}

/// The alternatives of `$or`; none if it is an ordinary field that is called so.
fn alternatives(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    let values = value.as_array().filter(|values| values.len() > 1)?;
    values
        .iter()
        .map(|value| {
            let fields = value.as_object().filter(|fields| !fields.is_empty())?;
            let is_reserved = fields.keys().any(|name| RESERVED.contains(&name.as_str()));
            (!is_reserved).then_some(fields)
        })
        .collect()
}

fn matcher(name: &str, value: &Value) -> Result<Matcher> {
    let Value::Object(asked) = value else {
        return match value {
            Value::Array(_) => wrong(format!("a list within the list of \"{name}\"")),
            value => Ok(Matcher::Equals(value.clone())),
        };
    };
    let mut asked = asked.iter();
    let (Some((kind, operand)), None) = (asked.next(), asked.next()) else {
        return wrong(format!("\"{name}\" must ask one thing at a time"));
    };
    match (kind.as_str(), operand) {
        ("exists", Value::Bool(wanted)) => Ok(Matcher::Exists(*wanted)),
        ("numeric", Value::Array(bounds)) => numeric(bounds),
        ("cidr", Value::String(text)) => match Cidr::parse(text) {
            Some(cidr) => Ok(Matcher::Cidr(cidr)),
            None => wrong(format!("'{text}' is no range of addresses")),
        },
        ("anything-but", operand) => anything_but(operand),
        (kind, operand) => text(kind, operand).map(Matcher::Text),
    }
}

fn text(kind: &str, operand: &Value) -> Result<TextMatcher> {
    let folded = |value: &Value| match value {
        Value::Object(asked) if asked.len() == 1 => {
            let folded = asked.get("equals-ignore-case").and_then(Value::as_str);
            folded.map(str::to_lowercase)
        }
        _ => None,
    };
    let matcher = match (kind, operand) {
        ("prefix", Value::String(text)) => Some(TextMatcher::Prefix(text.clone())),
        ("suffix", Value::String(text)) => Some(TextMatcher::Suffix(text.clone())),
        ("prefix", operand) => folded(operand).map(TextMatcher::PrefixIgnoreCase),
        ("suffix", operand) => folded(operand).map(TextMatcher::SuffixIgnoreCase),
        ("equals-ignore-case", Value::String(text)) => Some(TextMatcher::IgnoreCase(text.to_lowercase())),
        ("wildcard", Value::String(text)) => Wildcard::parse(text).map(TextMatcher::Wildcard),
        _ => None,
    };
    match matcher {
        Some(matcher) => Ok(matcher),
        None => wrong(format!("{{\"{kind}\": {operand}}} is nothing that can be asked")),
    }
}

/// What is excluded: a value, values of one kind, or what texts are asked.
fn anything_but(operand: &Value) -> Result<Matcher> {
    let one = |value: &Value| match value {
        Value::String(_) | Value::Number(_) => Ok(Matcher::Equals(value.clone())),
        value => wrong(format!("{value} cannot be excluded")),
    };
    let others = match operand {
        Value::Array(values) if !values.is_empty() => {
            if values.iter().any(Value::is_string) && !values.iter().all(Value::is_string) {
                return wrong("texts and numbers cannot be excluded together");
            }
            values.iter().map(one).collect::<Result<_>>()?
        }
        Value::Object(asked) if asked.len() == 1 => {
            let (kind, operand) = asked
                .iter()
                .next()
                .map_or(("", &Value::Null), |(kind, operand)| (kind, operand));
            match operand {
                Value::Array(values) if !values.is_empty() => values
                    .iter()
                    .map(|value| text(kind, value).map(Matcher::Text))
                    .collect::<Result<_>>()?,
                operand => vec![text(kind, operand).map(Matcher::Text)?],
            }
        }
        operand => vec![one(operand)?],
    };
    Ok(Matcher::AnythingBut(others))
}

/// `["=", 1]`, `[">", 0, "<=", 5]`.
fn numeric(bounds: &[Value]) -> Result<Matcher> {
    let mut read = Vec::new();
    for pair in bounds.chunks(2) {
        let [Value::String(sign), Value::Number(number)] = pair else {
            return wrong("a numeric comparison is a sign and a number");
        };
        let comparison = match sign.as_str() {
            "=" => Comparison::Equal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return wrong(format!("'{sign}' compares nothing")),
        };
        let number = number.as_f64().filter(|number| number.abs() <= NUMBER_MAX);
        let Some(number) = number else {
            return wrong("numbers are compared from -5.0e9 to 5.0e9");
        };
        read.push((comparison, number));
    }
    let is_lower = |comparison| matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual);
    let is_upper = |comparison| matches!(comparison, Comparison::Less | Comparison::LessOrEqual);
    match &read[..] {
        [_] => Ok(Matcher::Numeric(read)),
        [(lower, from), (upper, to)] if is_lower(*lower) && is_upper(*upper) && from < to => Ok(Matcher::Numeric(read)),
        _ => wrong("numeric takes one comparison, or a lower bound and a greater upper one"),
    }
}
