//! What goes over the wire, as data.

use regex_lite::Regex;

/// An operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    /// With a parameter in braces, if it has one: its last segment.
    pub(crate) path: &'static str,
    /// The status of its answers.
    pub(crate) status: u16,
    pub(crate) input: &'static [Member],
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
}

/// Where a member is.
#[derive(Debug)]
pub(crate) enum Place {
    Body,
    Path,
    /// In the query, under this name.
    Query(&'static str),
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
    /// What mappings of other event sources have.
    OfOthers,
}

/// A list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) member: &'static Shape,
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// A map from texts.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) key: &'static Shape,
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
