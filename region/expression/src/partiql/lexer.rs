//! A statement's text to tokens.

use super::error::{At, SyntaxFault};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, a function or a keyword.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string in single quotes.
    Text,
    /// Digits, maybe with a point and an exponent.
    Number,
    /// `?`
    Parameter,
    /// A sign, as written.
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// A token and where it stands, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The signs, longer ones before those that they begin with.
const SIGNS: [&str; 26] = [
    "<<", ">>", "<>", "<=", ">=", "!=", "||", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "*",
    "+", "-", "/", "%", "@",
];

/// All tokens of a text, the last of them [`Kind::End`]. There are no more than the text has bytes, and one.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxFault> {
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    let mut at = 0;
    loop {
        at = after_space(text, at)?;
        let rest = text.get(at..).unwrap_or_default();
        let (kind, length) = match rest.as_bytes() {
            [] => (Kind::End, 0),
            [b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$', ..] => (Kind::Word, run(rest, is_word_byte)),
            [b'0'..=b'9', ..] => (Kind::Number, number(rest)),
            [b'\'', ..] => (Kind::Text, quoted(rest, b'\'').ok_or_else(|| invalid(text, at))?),
            [b'"', ..] => (Kind::Quoted, quoted(rest, b'"').ok_or_else(|| invalid(text, at))?),
            [b'?', ..] => (Kind::Parameter, 1),
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => (Kind::Sign(sign), sign.len()),
                None => return Err(invalid(text, at)),
            },
        };
        let end = at + length;
        tokens.push(Token { kind, start: at, end });
        if kind == Kind::End {
            return Ok(tokens);
        }
        at = end;
    }
}

/// What is between the quotes, where doubled ones stand for one.
pub(super) fn unquote(quoted: &str) -> String {
    let quote = quoted.get(..1).unwrap_or_default();
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    inner.replace(&quote.repeat(2), quote)
}

/// Where the next token begins, behind white space and comments.
fn after_space(text: &str, mut at: usize) -> Result<usize, SyntaxFault> {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").ok_or_else(|| invalid(text, at))? + 2
        } else {
            rest.len() - rest.trim_start().len()
        };
        if length == 0 {
            return Ok(at);
        }
        at += length;
    }
}

fn invalid(text: &str, at: usize) -> SyntaxFault {
    let width = text
        .get(at..)
        .and_then(|rest| rest.chars().next())
        .map_or(0, char::len_utf8);
    SyntaxFault::Character(At::of(text, at, at + width))
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

fn run(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len())
}

/// Bytes of a number. An `e` without digits behind it does not belong to it.
fn number(text: &str) -> usize {
    let digits = |from: usize| run(text.get(from..).unwrap_or_default(), |byte| byte.is_ascii_digit());
    let mut end = digits(0);
    if text.as_bytes().get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if matches!(text.as_bytes().get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.as_bytes().get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

/// Bytes of what is in quotes, with them; `None` if it does not end.
fn quoted(text: &str, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_as_in_sql() {
        let check = |text: &str, expected: &[&str]| {
            let tokens = tokens(text).unwrap();
            let shown: Vec<&str> = tokens.iter().map(|token| &text[token.start..token.end]).collect();
            assert_eq!(shown, [expected, &[""]].concat(), "{text}");
        };
        check("", &[]);
        check("a<=-1.5e+3,b", &["a", "<=", "-", "1.5e+3", ",", "b"]);
        check("1e 1.x 1e+ 2.", &["1", "e", "1.", "x", "1", "e", "+", "2."]);
        check("<<'a''b'>>", &["<<", "'a''b'", ">>"]);
        check("\"a\"\"b\".\"c\"", &["\"a\"\"b\"", ".", "\"c\""]);
        check("a -- b\n/* c ' */ d", &["a", "d"]);
        check("?=''''", &["?", "=", "''''"]);
        check("$a_1[0]", &["$a_1", "[", "0", "]"]);
    }

    #[test]
    fn what_does_not_end_is_refused_where_it_begins() {
        for (text, at) in [
            ("a 'b", "1:3:1"),
            ("'a''", "1:1:1"),
            ("a\n  \"", "2:3:1"),
            ("/*", "1:1:1"),
            ("é = 1", "1:1:1"),
            ("`1`", "1:1:1"),
        ] {
            assert_eq!(
                tokens(text).unwrap_err().to_string(),
                format!("Invalid character at {at}")
            );
        }
    }

    #[test]
    fn doubled_quotes_stand_for_one() {
        for (text, expected) in [
            ("'it''s'", "it's"),
            ("''", ""),
            ("''''", "'"),
            ("\"a\"\"\"", "a\""),
            ("'\"\"'", "\"\""),
        ] {
            assert_eq!(unquote(text), expected);
        }
    }
}
