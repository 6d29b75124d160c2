//! Texts with wildcards and variables, which actions, resources and conditions are compared with.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::{evaluate::Asked, keys::Key};

/// What `*` and `?` are in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wildcards {
    /// Characters like others.
    None,
    /// Any characters, and any one.
    Any,
    /// In the first five of an ARN's parts, characters of one part; in the sixth, any.
    Arn,
}

/// A text, compiled.
#[derive(Debug)]
pub(crate) struct Template {
    tokens: Box<[Token]>,
    variables: Box<[Variable]>,
}

#[derive(Debug)]
enum Token {
    Literal(Box<str>),
    /// `?`: one character.
    One,
    /// `?`: one character but a colon.
    OneInPart,
    /// `*`: any characters, or none.
    Many,
    /// `*`: any characters but colons, or none.
    ManyInPart,
    /// The value of a variable, by its place.
    Variable(usize),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug)]
struct Variable {
    key: Key,
    default: Option<Box<str>>,
}

/// The values of a template's variables.
pub(crate) type Values<'a> = SmallVec<[Cow<'a, str>; 2]>;

impl Template {
    /// Compiles a text. With `variables`, `${…}` is a variable, or one of the characters `*`, `?` and `$`.
    pub(crate) fn new(text: &str, wildcards: Wildcards, variables: bool) -> Self {
        let mut builder = Builder::default();
        // The colons passed: those within variables are none of the ARN's.
        let mut colons = 0;
        let in_part = |colons| wildcards == Wildcards::Arn && colons < 5 && text != "*";
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if variables && let Some((inside, after)) = variable(rest) {
                match inside {
                    "*" | "?" | "$" => builder.literal.push_str(inside),
                    _ => builder.variable(inside),
                }
                rest = after;
                continue;
            }
            match character {
                '*' if wildcards != Wildcards::None => builder.token(if in_part(colons) {
                    Token::ManyInPart
                } else {
                    Token::Many
                }),
                '?' if wildcards != Wildcards::None => {
                    builder.token(if in_part(colons) { Token::OneInPart } else { Token::One })
                }
                _ => builder.literal.push(character),
            }
            colons += usize::from(character == ':');
            rest = &rest[character.len_utf8()..];
        }
        builder.finish()
    }

    /// Whether it is `*` alone.
    pub(crate) fn is_anything(&self) -> bool {
        matches!(*self.tokens, [Token::Many])
    }

    /// Whether it has variables.
    pub(crate) fn has_variables(&self) -> bool {
        !self.variables.is_empty()
    }

    /// The values of its variables; `None` if the request lacks one of them, or it has several values.
    pub(crate) fn values<'a>(&'a self, asked: &'a Asked<'_>) -> Option<Values<'a>> {
        self.variables
            .iter()
            .map(|variable| {
                asked
                    .single(&variable.key)
                    .or(variable.default.as_deref().map(Cow::Borrowed))
            })
            .collect()
    }

    /// Whether a text is like it, with these values of its variables.
    pub(crate) fn is_like(&self, text: &str, values: &[Cow<'_, str>]) -> bool {
        let bytes = text.as_bytes();
        let width = |at: usize| text[at..].chars().next().map_or(1, char::len_utf8);
        // Where to go on: a token and a place in the text. And the last star: what follows it, where, whether it takes colons.
        let (mut token, mut at) = (0, 0);
        let mut star: Option<(usize, usize, bool)> = None;
        loop {
            let fits = match self.tokens.get(token) {
                None if at == bytes.len() => return true,
                None => false,
                Some(many @ (Token::Many | Token::ManyInPart)) => {
                    let colons = matches!(many, Token::Many);
                    if colons && token + 1 == self.tokens.len() {
                        return true;
                    }
                    star = Some((token + 1, at, colons));
                    true
                }
                Some(one @ (Token::One | Token::OneInPart)) => {
                    let fits = at < bytes.len() && (matches!(one, Token::One) || bytes[at] != b':');
                    if fits {
                        at += width(at);
                    }
                    fits
                }
                Some(other) => {
                    let literal = other.literal(values).as_bytes();
                    let fits = bytes[at..].starts_with(literal);
                    if fits {
                        at += literal.len();
                    }
                    fits
                }
            };
            if fits {
                token += 1;
                continue;
            }
            // The last star takes one character more. One that is within a part ends at the part's colon, and an earlier one
            // cannot take more than it did either.
            match star {
                Some((after, from, colons)) if from < bytes.len() && (colons || bytes[from] != b':') => {
                    let from = from + width(from);
                    let Some(skipped) = self.skippable(after, &bytes[from..], colons) else {
                        return false;
                    };
                    let from = from + skipped;
                    star = Some((after, from, colons));
                    (token, at) = (after, from);
                }
                _ => return false,
            }
        }
    }

    /// How many bytes more a star takes at least, if what follows it is the token at `after`; `None` if nothing fits any more.
    /// A literal only fits where it stands, and the last one of all only at the end.
    fn skippable(&self, after: usize, rest: &[u8], colons: bool) -> Option<usize> {
        let Some(Token::Literal(literal)) = self.tokens.get(after) else {
            return Some(0);
        };
        let literal = literal.as_bytes();
        let last = rest.len().checked_sub(literal.len())?;
        let skipped = if after + 1 == self.tokens.len() {
            rest.ends_with(literal).then_some(last)?
        } else {
            let first = literal.first()?;
            (0..=last).find(|at| rest[*at] == *first && rest[*at..].starts_with(literal))?
        };
        (colons || !rest[..skipped].contains(&b':')).then_some(skipped)
    }

    /// Whether a text is like it, apart from case.
    pub(crate) fn is_like_ignoring_case(&self, text: &str, values: &[Cow<'_, str>]) -> bool {
        let own: String = self.tokens.iter().map(|token| token.literal(values)).collect();
        own.to_lowercase() == text.to_lowercase()
    }
}

impl Token {
    /// What stands in its place, with these values of the template's variables; nothing for wildcards.
    fn literal<'t>(&'t self, values: &'t [Cow<'_, str>]) -> &'t str {
        match self {
            Self::Literal(literal) => literal,
            // There are as many values as variables.
            Self::Variable(place) => values.get(*place).map_or("", |value| value),
            Self::One | Self::OneInPart | Self::Many | Self::ManyInPart => "",
        }
    }
}

/// What is inside the variable that a text begins with, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("${")?.split_once('}')
}

#[derive(Default)]
struct Builder {
    tokens: Vec<Token>,
    variables: Vec<Variable>,
    literal: String,
}

impl Builder {
    fn token(&mut self, token: Token) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal).into_boxed_str();
            self.tokens.push(Token::Literal(literal));
        }
        // Of stars beside each other one is enough.
        let repeats = matches!(
            (self.tokens.last(), &token),
            (Some(Token::Many), Token::Many) | (Some(Token::ManyInPart), Token::ManyInPart)
        );
        if !repeats {
            self.tokens.push(token);
        }
    }

    fn variable(&mut self, inside: &str) {
        let (key, default) = match inside.split_once(',') {
            None => (inside, None),
            Some((key, default)) => {
                let default = default.trim();
                let quoted = default.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
                (key, Some(quoted.unwrap_or(default).into()))
            }
        };
        self.token(Token::Variable(self.variables.len()));
        self.variables.push(Variable {
            key: Key::new(key.trim()),
            default,
        });
    }

    fn finish(mut self) -> Template {
        if !self.literal.is_empty() || self.tokens.is_empty() {
            let literal = std::mem::take(&mut self.literal).into_boxed_str();
            self.tokens.push(Token::Literal(literal));
        }
        Template {
            tokens: self.tokens.into(),
            variables: self.variables.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_like(pattern: &str, wildcards: Wildcards, text: &str) -> bool {
        Template::new(pattern, wildcards, true).is_like(text, &[])
    }

    #[test]
    fn wildcards() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(is_like(pattern, Wildcards::Any, text), expect, "{pattern} {text}");
        };
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("*", "a:b", true);
        check("a*c", "abc", true);
        check("a*c", "ac", true);
        check("a*c", "acd", false);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("?", "é", true);
        check("?", "", false);
        check("??", "é", false);
        check("*é?", "aéé", true);
        check("${*}", "*", true);
        check("${*}", "a", false);
        check("${?}${$}", "?$", true);
        check("${", "${", true);
    }

    #[test]
    fn without_wildcards() {
        assert!(is_like("a*?", Wildcards::None, "a*?"));
        assert!(!is_like("a*?", Wildcards::None, "abc"));
    }

    #[test]
    fn parts_of_arns() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(is_like(pattern, Wildcards::Arn, text), expect, "{pattern} {text}");
        };
        let stream = "arn:aws:dynamodb:us-east-1:1:table/t/stream/2024-01-01T00:00:00.000";
        check("arn:aws:dynamodb:*:*:table/*", stream, true);
        check("arn:aws:dynamodb:*:table/*", stream, false);
        check("arn:aws:*", stream, false);
        check("arn:*:*:*:*:*", stream, true);
        check("arn:aws:dynamodb:us-east-?:1:table/t/*.000", stream, true);
        check("arn:aws:dynamodb:us-east-1?1:table/t/*", stream, false);
        check("*", stream, true);
    }

    /// Written as recursion over both texts.
    fn plain(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| plain(rest, &text[taken..])),
            Some(('?', rest)) => !text.is_empty() && plain(rest, &text[1..]),
            Some((one, rest)) => text.first() == Some(one) && plain(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn as_a_plain_matcher_says(pattern in "[ab*?]{0,8}", text in "[abé]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(is_like(&pattern, Wildcards::Any, &text), plain(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn of_an_arn_each_part_for_itself(pattern in "[a*?]{0,4}(:[a*?]{0,4}){5}", text in "[a]{0,4}(:[a]{0,4}){5}(:a)?") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expect = pattern.splitn(6, ':').zip(text.splitn(6, ':')).all(|(pattern, text)| plain(&chars(pattern), &chars(text)));
            prop_assert_eq!(is_like(&pattern, Wildcards::Arn, &text), expect);
        }
    }
}
