//! A plain evaluator, written from AWS's documents over the JSON itself, to hold the compiled one against.

use geodynamo_policy::{Caller, CallerKind};
use serde_json::Value;

use crate::requests::{Keys, MULTI_VALUED};

/// What a policy says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Says {
    pub(crate) denies: bool,
    pub(crate) allows: bool,
}

/// What is asked for.
pub(crate) struct Question<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) caller: &'a Caller,
    pub(crate) keys: &'a Keys,
}

pub(crate) fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(list).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

impl Question<'_> {
    pub(crate) fn ask(&self, policy: &Value) -> Says {
        let version = policy["Version"].as_str().unwrap_or("2008-10-17");
        let statements = match &policy["Statement"] {
            Value::Array(statements) => statements.clone(),
            one => vec![one.clone()],
        };
        let applies = |statement: &&Value| self.applies(statement, version == "2012-10-17");
        let effects: Vec<_> = statements
            .iter()
            .filter(applies)
            .map(|statement| statement["Effect"].as_str().unwrap_or_default())
            .collect();
        Says {
            denies: effects.contains(&"Deny"),
            allows: effects.contains(&"Allow"),
        }
    }

    fn applies(&self, statement: &Value, variables: bool) -> bool {
        let among = |element: &str, fits: &dyn Fn(&str) -> bool| match statement.get(element) {
            Some(value) => list(value).iter().any(|entry| fits(entry)),
            None => !list(&statement[format!("Not{element}")])
                .iter()
                .any(|entry| fits(entry)),
        };
        among("Action", &|entry| {
            like(&entry.to_lowercase(), &self.action.to_lowercase(), true, &|_| None)
        }) && among("Resource", &|entry| self.like(entry, self.resource, true, variables))
            && statement
                .get("Condition")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .flat_map(|(operator, keys)| {
                    keys.as_object()
                        .into_iter()
                        .flatten()
                        .map(move |(key, values)| (operator, key, values))
                })
                .all(|(operator, key, values)| self.holds(operator, &key.to_lowercase(), &list(values), variables))
    }

    fn value(&self, key: &str) -> Option<Vec<String>> {
        if let Some(values) = self.keys.0.get(key) {
            return Some(values.clone());
        }
        match key {
            "aws:username" => Some(vec![self.caller.user_name.as_deref()?.to_owned()]),
            "aws:principalarn" => match &self.caller.kind {
                CallerKind::AssumedRole { role_arn, .. } => Some(vec![role_arn.to_string()]),
                _ => Some(vec![self.caller.arn.to_string()]),
            },
            "aws:principaltag/team" => Some(vec![self.caller.tags.get("team")?.clone()]),
            _ => None,
        }
    }

    fn like(&self, pattern: &str, text: &str, wildcards: bool, variables: bool) -> bool {
        like(pattern, text, wildcards, &|name: &str| {
            if !variables {
                return None;
            }
            let (key, default) = match name.split_once(',') {
                Some((key, default)) => (key, Some(default.trim().trim_matches('\'').to_owned())),
                None => (name, None),
            };
            let key = key.to_lowercase();
            let found = self
                .value(&key)
                .filter(|values| values.len() == 1 && !MULTI_VALUED.contains(&&*key));
            Some(found.map(|mut values| values.remove(0)).or(default))
        })
    }

    fn holds(&self, operator: &str, key: &str, wanted: &[String], variables: bool) -> bool {
        let given = self.value(key).unwrap_or_default();
        let (quantifier, rest) = operator
            .split_once(':')
            .map_or(("", operator), |(quantifier, rest)| (quantifier, rest));
        let (name, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |name| (name, true));
        if name == "Null" {
            return wanted.contains(&given.is_empty().to_string());
        }
        let negated = name.contains("Not");
        let positive = name.replace("Not", "");
        let fits = |given: &String| {
            let one = |wanted: &String| match &*positive {
                "StringEquals" => self.like(wanted, given, false, variables),
                "StringLike" => self.like(wanted, given, true, variables),
                "ArnLike" | "ArnEquals" => {
                    let (wanted, given): (Vec<_>, Vec<_>) =
                        (wanted.splitn(6, ':').collect(), given.splitn(6, ':').collect());
                    wanted.len() == 6
                        && given.len() == 6
                        && wanted
                            .iter()
                            .zip(&given)
                            .all(|(wanted, given)| self.like(wanted, given, true, variables))
                }
                "NumericEquals" => number(given) == number(wanted),
                "NumericLessThan" => number(given) < number(wanted),
                "NumericGreaterThanEquals" => number(given) >= number(wanted),
                "Bool" => given.eq_ignore_ascii_case(wanted),
                other => panic!("no operator {other}"),
            };
            wanted.iter().any(one) != negated
        };
        match quantifier {
            "ForAllValues" => given.iter().all(fits),
            "ForAnyValue" if given.is_empty() => if_exists,
            "ForAnyValue" => given.iter().any(fits),
            _ if given.is_empty() => negated || if_exists,
            _ if negated => given.iter().all(fits),
            _ => given.iter().any(fits),
        }
    }
}

fn number(text: &str) -> f64 {
    text.parse().expect("the generator's numbers are numbers")
}

/// A variable's value: `Some(None)` if it has none, `None` if it is plain text.
type Variable<'v> = dyn Fn(&str) -> Option<Option<String>> + 'v;

/// Matches by recursion.
fn like(pattern: &str, text: &str, wildcards: bool, variable: &Variable<'_>) -> bool {
    if let Some((name, rest)) = pattern.strip_prefix("${").and_then(|inside| inside.split_once('}')) {
        let value = match (name, variable(name)) {
            (_, None) => None,
            ("*" | "?" | "$", Some(_)) => Some(name.to_owned()),
            (_, Some(None)) => return false,
            (_, Some(value)) => value,
        };
        if let Some(value) = value {
            let text = text.strip_prefix(&*value);
            return text.is_some_and(|text| like(rest, text, wildcards, variable));
        }
    }
    let mut characters = pattern.chars();
    match characters.next() {
        None => text.is_empty(),
        Some('*') if wildcards => {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| like(characters.as_str(), &text[at..], wildcards, variable))
        }
        Some('?') if wildcards => {
            let mut rest = text.chars();
            rest.next().is_some() && like(characters.as_str(), rest.as_str(), wildcards, variable)
        }
        Some(one) => {
            let text = text.strip_prefix(one);
            text.is_some_and(|text| like(characters.as_str(), text, wildcards, variable))
        }
    }
}
