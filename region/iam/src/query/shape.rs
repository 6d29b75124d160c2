//! What goes over the wire, as data.

use std::sync::LazyLock;

use regex_lite::Regex;

/// A service of the Query protocol.
#[derive(Debug)]
pub(crate) struct Service {
    /// As actions name it: `iam`.
    pub(crate) name: &'static str,
    /// The only version of its API.
    pub(crate) version: &'static str,
    /// The namespace of its answers.
    pub(crate) namespace: &'static str,
    /// The operations that are offered, by name.
    pub(crate) operations: &'static [Operation],
    /// The names of those that are not.
    pub(crate) others: &'static [&'static str],
    /// HTTP statuses of errors, by code. Those that are not listed have 400.
    pub(crate) statuses: &'static [(&'static str, u16)],
}

/// An operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// A structure; none if it takes nothing.
    pub(crate) input: Option<&'static Shape>,
    /// A structure; none if it gives nothing.
    pub(crate) output: Option<&'static Shape>,
}

/// The form of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    Structure(&'static [Member]),
    List(List),
    Map(Map),
    Text(Text),
    Integer(Integer),
    Boolean,
    /// A moment: ISO 8601.
    Time,
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
}

/// A list: its members are called `member`.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) member: &'static Shape,
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// A map from texts; its entries are called `entry`, `key` and `value`. Only in answers.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) value: &'static Shape,
}

/// A text, its length in characters.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) pattern: Option<&'static Pattern>,
    /// The values that it may have; any, if there is none.
    pub(crate) values: &'static [&'static str],
}

/// A number, with both ends of its range.
#[derive(Debug)]
pub(crate) struct Integer {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// What the whole of a text must match.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// As the model has it, and errors show it.
    pub(crate) told: &'static str,
    meant: &'static str,
    compiled: std::sync::OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Stands for the characters of tags, which are told by what Unicode says of them.
    const TAG: &str = "TAG";

    pub(crate) const fn new(told: &'static str, meant: &'static str) -> Self {
        Self {
            told,
            meant,
            compiled: std::sync::OnceLock::new(),
        }
    }

    /// Whether a text matches as a whole.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.meant == Self::TAG {
            return text.chars().all(is_of_tag);
        }
        let compiled = self
            .compiled
            .get_or_init(|| Regex::new(&format!(r"\A(?:{})\z", self.meant)).ok());
        // That each compiles is tested; one that did not would let nothing through.
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    #[cfg(test)]
    pub(crate) fn compiles(&self) -> bool {
        Regex::new(&format!(r"\A(?:{})\z", self.meant)).is_ok()
    }
}

/// Letters, separators, numbers and some signs.
fn is_of_tag(character: char) -> bool {
    character.is_alphanumeric()
        || "_.:/=+-@".contains(character)
        || matches!(
            character,
            ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
                ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        )
}

impl Service {
    /// An operation that is offered.
    pub(crate) fn operation(&self, name: &str) -> Option<&'static Operation> {
        let place = self.operations.binary_search_by(|operation| operation.name.cmp(name));
        place.ok().and_then(|place| self.operations.get(place))
    }

    /// The HTTP status of an error.
    pub(crate) fn status(&self, code: &str) -> u16 {
        match code {
            "AccessDenied"
            | "SignatureDoesNotMatch"
            | "InvalidClientTokenId"
            | "ExpiredToken"
            | "MissingAuthenticationToken" => 403,
            "InternalFailure" => 500,
            _ => {
                let listed = self.statuses.iter().find(|(known, _)| *known == code);
                listed.map_or(400, |(_, status)| *status)
            }
        }
    }
}

/// Names of all operations of both services, offered or not, for metrics.
pub(crate) static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    [&crate::generated::IAM, &crate::generated::STS]
        .iter()
        .flat_map(|service| service.operations.iter().map(|operation| operation.name))
        .collect()
});
