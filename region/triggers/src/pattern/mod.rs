//! Event patterns: which records a function gets.
//!
//! The language is EventBridge's, <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>.
//! A pattern has the structure of the events it matches. Its leaves are lists of alternatives; fields beside each other must all
//! match, and `$or` holds alternatives that reach over several fields. Where the event has a list, one element that matches is
//! enough.

mod matcher;
mod parse;
#[cfg(test)]
mod tests;
mod wildcard;

use serde_json::Value;

use self::matcher::Matcher;

/// A compiled pattern.
#[derive(Clone, PartialEq, Debug)]
pub struct Pattern(Node);

/// A text that is no pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub(crate) String);

/// What an object must be like.
#[derive(Clone, PartialEq, Debug, Default)]
struct Node {
    fields: Vec<(String, Field)>,
    /// Of each list, one must match.
    alternatives: Vec<Vec<Node>>,
}

#[derive(Clone, PartialEq, Debug)]
enum Field {
    Nested(Node),
    /// One must match.
    Leaf(Vec<Matcher>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        parse::pattern(text).map(Self)
    }

    /// Whether it matches an event.
    pub fn matches(&self, event: &Value) -> bool {
        self.0.matches(Some(event))
    }
}

impl Node {
    fn matches(&self, value: Option<&Value>) -> bool {
        if let Some(Value::Array(elements)) = value
            && !elements.is_empty()
        {
            return elements.iter().any(|element| self.matches(Some(element)));
        }
        let object = value.and_then(Value::as_object);
        let field = |(name, field): &(String, Field)| {
            let value = object.and_then(|object| object.get(name));
            match field {
                Field::Nested(node) => node.matches(value),
                Field::Leaf(matchers) => matchers.iter().any(|matcher| matcher.matches(value)),
            }
        };
        let one_of = |nodes: &Vec<Self>| nodes.iter().any(|node| node.matches(value));
        self.fields.iter().all(field) && self.alternatives.iter().all(one_of)
    }
}
