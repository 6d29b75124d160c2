//! Reading and checking a call's parameters.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map as Object, Value};

use super::{
    error::{LambdaError, Result},
    shape::{Member, Operation, Place, Shape},
};
use crate::generated::OPERATIONS;

/// What a parameter in a path begins with.
const PARAMETER: char = '{';

/// Which operation a method and a path name, and the parameter in the path.
pub(crate) fn operation(method: &str, path: &str) -> Option<(usize, Option<String>)> {
    let path = path.strip_suffix('/').unwrap_or(path);
    OPERATIONS.iter().enumerate().find_map(|(place, operation)| {
        if operation.method != method {
            return None;
        }
        let Some((prefix, _)) = operation.path.split_once(PARAMETER) else {
            return (operation.path == path).then_some((place, None));
        };
        let parameter = path.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
        let parameter = percent_decode_str(parameter).decode_utf8_lossy().into_owned();
        Some((place, Some(parameter)))
    })
}

/// A call's checked parameters, by the members' names.
pub(crate) fn input(
    operation: &Operation,
    path: Option<&str>,
    query: &str,
    body: &[u8],
) -> Result<Object<String, Value>> {
    let mut given = match body {
        [] => Object::new(),
        body => match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(unreadable("the body is not a JSON object")),
            Err(_) => return Err(unreadable("Could not parse request body into json")),
        },
    };
    let mut read = Object::new();
    for member in operation.input {
        let value = match member.place {
            Place::Path => path.map(Value::from),
            Place::Body => given.remove(member.name),
            Place::Query(name) => of_query(member.shape, name, query)?,
        };
        if let Some(value) = checked(member, value, "")? {
            read.insert(member.name.to_owned(), value);
        }
    }
    // What nobody knows is passed over, as services of AWS do.
    Ok(read)
}

fn unreadable(message: &str) -> LambdaError {
    LambdaError::new("InvalidRequestContentException", message)
}

fn of_query(shape: &Shape, name: &str, query: &str) -> Result<Option<Value>> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
    Ok(match shape {
        Shape::List(_) => {
            let all: Vec<Value> = values
                .map(|value: Cow<'_, str>| Value::from(value.into_owned()))
                .collect();
            (!all.is_empty()).then(|| all.into())
        }
        Shape::Integer(_) => match values.next() {
            None => None,
            Some(text) => match text.parse::<i64>() {
                Ok(number) => Some(number.into()),
                Err(_) => return Err(wrong_type(name, "Integer")),
            },
        },
        _ => values.next().map(|value| value.into_owned().into()),
    })
}

/// A member's value, if there is one.
fn checked(member: &Member, value: Option<Value>, within: &str) -> Result<Option<Value>> {
    let path = format!("{within}{}", lower(member.name));
    match value {
        None | Some(Value::Null) if member.required => Err(LambdaError::validation(format_args!(
            "Value null at '{path}' failed to satisfy constraint: Member must not be null"
        ))),
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            if matches!(member.shape, Shape::OfOthers) {
                return of_others(member, value);
            }
            check(member.shape, &value, &path)?;
            Ok(Some(value))
        }
    }
}

/// What mappings of DynamoDB's streams do not have; empty, it says nothing.
fn of_others(member: &Member, value: Value) -> Result<Option<Value>> {
    let is_empty = match &value {
        Value::Array(members) => members.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if is_empty {
        return Ok(None);
    }
    Err(LambdaError::invalid(format!(
        "The parameter {} is not supported for DynamoDB event source mappings.",
        member.name
    )))
}

fn check(shape: &Shape, value: &Value, path: &str) -> Result<()> {
    match (shape, value) {
        (Shape::Structure(members), Value::Object(given)) => {
            for member in *members {
                checked(member, given.get(member.name).cloned(), &format!("{path}."))?;
            }
            Ok(())
        }
        (Shape::List(list), Value::Array(values)) => {
            within(values.len(), list.min, list.max, path, || "[…]".into())?;
            values
                .iter()
                .enumerate()
                .try_for_each(|(place, value)| check(list.member, value, &format!("{path}.{}.member", place + 1)))
        }
        (Shape::Map(map), Value::Object(entries)) => entries.iter().try_for_each(|(key, value)| {
            check(map.key, &Value::from(key.as_str()), &format!("{path}.key"))?;
            check(map.value, value, &format!("{path}.{key}.value"))
        }),
        (Shape::Text(text), Value::String(value)) => {
            within(value.chars().count(), text.min, text.max, path, || quoted(value))?;
            if !text.values.is_empty() && !text.values.contains(&value.as_str()) {
                return Err(LambdaError::validation(format_args!(
                    "Value '{}' at '{path}' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
                    quoted(value),
                    text.values.join(", ")
                )));
            }
            match text.pattern {
                Some(pattern) if !pattern.matches(value) => Err(LambdaError::validation(format_args!(
                    "Value '{}' at '{path}' failed to satisfy constraint: Member must satisfy regular expression \
                     pattern: {}",
                    quoted(value),
                    pattern.told
                ))),
                _ => Ok(()),
            }
        }
        (Shape::Integer(range), Value::Number(number)) => {
            let Some(number) = number.as_i64() else {
                return Err(wrong_type(path, "Integer"));
            };
            let (side, bound) = if number < range.min {
                ("greater", range.min)
            } else if number > range.max {
                ("less", range.max)
            } else {
                return Ok(());
            };
            Err(LambdaError::validation(format_args!(
                "Value '{number}' at '{path}' failed to satisfy constraint: Member must have value {side} than or equal \
                 to {bound}"
            )))
        }
        (Shape::Boolean, Value::Bool(_)) => Ok(()),
        (Shape::Structure(_) | Shape::Map(_), _) => Err(wrong_type(path, "Structure")),
        (Shape::List(_), _) => Err(wrong_type(path, "List")),
        (Shape::Text(_), _) => Err(wrong_type(path, "String")),
        (Shape::Integer(_), _) => Err(wrong_type(path, "Integer")),
        (Shape::Boolean, _) => Err(wrong_type(path, "Boolean")),
        (Shape::OfOthers, _) => Ok(()),
    }
}

fn within(length: usize, min: usize, max: usize, path: &str, shown: impl FnOnce() -> String) -> Result<()> {
    let (side, bound) = if length < min {
        ("greater", min)
    } else if length > max {
        ("less", max)
    } else {
        return Ok(());
    };
    Err(LambdaError::validation(format_args!(
        "Value '{}' at '{path}' failed to satisfy constraint: Member must have length {side} than or equal to {bound}",
        shown()
    )))
}

fn wrong_type(path: &str, expected: &str) -> LambdaError {
    LambdaError::new(
        "SerializationException",
        format!("The value at '{path}' is not of the type {expected}"),
    )
}

/// What a client sent, cut to what an error may show.
fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 256;
    let cut = text
        .char_indices()
        .nth(SHOWN_MAX)
        .map_or(text.len(), |(place, _)| place);
    text[..cut].to_owned()
}

/// As errors name members.
fn lower(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, path: Option<&str>, query: &str, body: &str) -> Result<Value> {
        let operation = OPERATIONS.iter().find(|operation| operation.name == name).unwrap();
        input(operation, path, query, body.as_bytes()).map(Value::Object)
    }

    #[test]
    fn paths() {
        let named = |method: &str, path: &str| {
            operation(method, path).map(|(place, parameter)| (OPERATIONS[place].name, parameter.unwrap_or_default()))
        };
        let mappings = "/2015-03-31/event-source-mappings";
        assert_eq!(
            named("POST", mappings),
            Some(("CreateEventSourceMapping", String::new()))
        );
        assert_eq!(
            named("POST", &format!("{mappings}/")),
            Some(("CreateEventSourceMapping", String::new()))
        );
        assert_eq!(named("GET", mappings), Some(("ListEventSourceMappings", String::new())));
        assert_eq!(
            named("GET", &format!("{mappings}/u")),
            Some(("GetEventSourceMapping", "u".into()))
        );
        assert_eq!(
            named("PUT", &format!("{mappings}/u")),
            Some(("UpdateEventSourceMapping", "u".into()))
        );
        assert_eq!(
            named("DELETE", &format!("{mappings}/u")),
            Some(("DeleteEventSourceMapping", "u".into()))
        );
        assert_eq!(
            named("GET", "/2017-03-31/tags/arn%3Aaws%3Ax"),
            Some(("ListTags", "arn:aws:x".into()))
        );
        assert_eq!(named("PATCH", mappings), None);
        assert_eq!(named("GET", "/2015-03-31/functions"), None);
    }

    #[test]
    fn parameters_are_checked() {
        let create = |body: &str| read("CreateEventSourceMapping", None, "", body).map_err(|error| error.message);
        assert!(create(r#"{"FunctionName": "f", "BatchSize": 10000, "Enabled": false, "Unknown": 1}"#).is_ok());
        assert_eq!(
            create("{}").unwrap_err(),
            "1 validation error detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null"
        );
        assert_eq!(
            create(r#"{"FunctionName": "f", "BatchSize": 10001}"#).unwrap_err(),
            "1 validation error detected: Value '10001' at 'batchSize' failed to satisfy constraint: Member must have value \
             less than or equal to 10000"
        );
        assert!(create(r#"{"FunctionName": "f", "StartingPosition": "NOW"}"#).is_err());
        assert!(create(r#"{"FunctionName": "f", "Topics": ["t"]}"#).is_err());
        assert!(create(r#"{"FunctionName": "f", "Topics": []}"#).is_ok());
        assert!(create(r#"{"FunctionName": 1}"#).is_err());
        assert!(create(r#"{"FunctionName": "f", "FilterCriteria": {"Filters": [{"Pattern": 1}]}}"#).is_err());
        assert!(create("[]").is_err() && create("{").is_err());
        let list = read("ListEventSourceMappings", None, "MaxItems=7&FunctionName=f&x=y", "").unwrap();
        assert_eq!(list, serde_json::json!({"MaxItems": 7, "FunctionName": "f"}));
        assert!(read("ListEventSourceMappings", None, "MaxItems=x", "").is_err());
        let arn = "arn:aws:lambda:eu:000000000000:event-source-mapping:00000000-0000-0000-0000-000000000000";
        let untag = read("UntagResource", Some(arn), "tagKeys=a&tagKeys=b", "").unwrap();
        assert_eq!(untag["TagKeys"], serde_json::json!(["a", "b"]));
    }

    #[test]
    fn function_names() {
        let takes = |name: &str| {
            let body = serde_json::json!({"FunctionName": name}).to_string();
            read("CreateEventSourceMapping", None, "", &body).is_ok()
        };
        assert!(takes("f") && takes("arn:aws:lambda:us-east-1:123456789012:function:f:PROD"));
        assert!(takes("123456789012:function:f") && takes("f:$LATEST"));
        assert!(!takes("") && !takes("a b") && !takes("arn:aws:s3:::f"));
    }
}
