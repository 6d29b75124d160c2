//! Answers as XML.

use super::{
    error::IamError,
    shape::{Operation, Service, Shape},
    value::{Structure, Value},
};

/// An operation's answer.
pub(crate) fn answer(service: &Service, operation: &Operation, output: &Structure, request_id: &str) -> String {
    let name = operation.name;
    let mut out = String::with_capacity(512);
    open(&mut out, &format!("{name}Response"), service.namespace);
    if let Some(shape) = operation.output {
        element(&mut out, &format!("{name}Result"), |out| {
            structure(out, shape, output);
        });
    } else {
        debug_assert!(output.0.is_empty(), "{name} gives nothing");
    }
    element(&mut out, "ResponseMetadata", |out| text(out, "RequestId", request_id));
    close(&mut out, &format!("{name}Response"));
    out
}

/// A refusal.
pub(crate) fn refusal(service: &Service, error: &IamError, request_id: &str) -> String {
    let mut out = String::with_capacity(512);
    open(&mut out, "ErrorResponse", service.namespace);
    element(&mut out, "Error", |out| {
        text(out, "Type", error.kind(service));
        text(out, "Code", error.code);
        text(out, "Message", &error.message);
    });
    text(&mut out, "RequestId", request_id);
    close(&mut out, "ErrorResponse");
    out
}

/// The members of a structure, in the model's order.
fn structure(out: &mut String, shape: &Shape, given: &Structure) {
    let Shape::Structure(members) = shape else {
        debug_assert!(false, "a structure stands where the model has none");
        return;
    };
    debug_assert!(
        given
            .0
            .iter()
            .all(|(name, _)| members.iter().any(|member| member.name == *name)),
        "a member that the model does not have: {:?}",
        given.0.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    );
    for member in *members {
        if let Some(found) = given.get(member.name) {
            element(out, member.name, |out| value(out, member.shape, found));
        }
    }
}

fn value(out: &mut String, shape: &Shape, given: &Value) {
    match (shape, given) {
        (Shape::Text(_), Value::Text(given)) => escape(out, given),
        (Shape::Integer(_), Value::Integer(number)) => out.push_str(&number.to_string()),
        (Shape::Boolean, Value::Boolean(is)) => out.push_str(if *is { "true" } else { "false" }),
        (Shape::Time, Value::Time(unix_s)) => out.push_str(&geodynamo_access::format_iso8601(*unix_s)),
        (Shape::Structure(_), Value::Structure(given)) => structure(out, shape, given),
        (Shape::List(list), Value::List(members)) => {
            for member in members {
                element(out, "member", |out| value(out, list.member, member));
            }
        }
        (Shape::Map(map), Value::Map(entries)) => {
            for (key, member) in entries {
                element(out, "entry", |out| {
                    text(out, "key", key);
                    element(out, "value", |out| value(out, map.value, member));
                });
            }
        }
        _ => debug_assert!(false, "a value of another kind than the model has: {given:?}"),
    }
}

fn open(out: &mut String, name: &str, namespace: &str) {
    for part in ["<", name, " xmlns=\"", namespace, "\">"] {
        out.push_str(part);
    }
}

fn close(out: &mut String, name: &str) {
    for part in ["</", name, ">"] {
        out.push_str(part);
    }
}

fn element(out: &mut String, name: &str, content: impl FnOnce(&mut String)) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    content(out);
    close(out, name);
}

fn text(out: &mut String, name: &str, content: &str) {
    element(out, name, |out| escape(out, content));
}

/// Text as XML 1.0 has it. Characters that no XML may hold become the replacement character.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
}
