//! Text to tokens.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A letter, then letters, digits and underscores: a name, a function or a keyword.
    Word,
    /// `#` and a name's key.
    Name,
    /// `:` and a value's key.
    Value,
    /// Digits.
    Number,
    Dot,
    Comma,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    Plus,
    Minus,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The end of the text.
    End,
    /// A character that begins no token.
    Unknown,
}

/// A token and where it stands, in bytes from the beginning of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Gives a text's tokens, one after another; [`Kind::End`] for ever at its end.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn next(&mut self) -> Token {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        let start = self.at;
        let Some(&first) = bytes.get(start) else {
            return Token {
                kind: Kind::End,
                start,
                end: start,
            };
        };
        let second = bytes.get(start + 1).copied();
        let (kind, end) = match first {
            b'a'..=b'z' | b'A'..=b'Z' => (Kind::Word, self.end_of(start + 1, is_key_byte)),
            b'0'..=b'9' => (Kind::Number, self.end_of(start + 1, |byte| byte.is_ascii_digit())),
            b'#' if second.is_some_and(is_key_byte) => (Kind::Name, self.end_of(start + 1, is_key_byte)),
            b':' if second.is_some_and(is_key_byte) => (Kind::Value, self.end_of(start + 1, is_key_byte)),
            b'<' if second == Some(b'=') => (Kind::LessOrEqual, start + 2),
            b'<' if second == Some(b'>') => (Kind::NotEqual, start + 2),
            b'>' if second == Some(b'=') => (Kind::GreaterOrEqual, start + 2),
            b'.' => (Kind::Dot, start + 1),
            b',' => (Kind::Comma, start + 1),
            b'(' => (Kind::Open, start + 1),
            b')' => (Kind::Close, start + 1),
            b'[' => (Kind::OpenIndex, start + 1),
            b']' => (Kind::CloseIndex, start + 1),
            b'+' => (Kind::Plus, start + 1),
            b'-' => (Kind::Minus, start + 1),
            b'=' => (Kind::Equal, start + 1),
            b'<' => (Kind::Less, start + 1),
            b'>' => (Kind::Greater, start + 1),
            _ => {
                let width = self.text[start..].chars().next().map_or(1, char::len_utf8);
                (Kind::Unknown, start + width)
            }
        };
        self.at = end;
        Token { kind, start, end }
    }

    fn end_of(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text.as_bytes()[from..];
        from + rest.iter().position(|&byte| !belongs(byte)).unwrap_or(rest.len())
    }
}

/// Whether the byte may stand in a name after its first letter, or in a placeholder's key.
pub(crate) fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The token at `start`, and the text from the token before it to the one after it, as DynamoDB quotes them.
///
/// `SET a b` gives token `b`, near `a b`; the end of the text is called `<EOF>` and adds nothing to what is near.
pub(crate) fn quote(text: &str, start: usize) -> (&str, &str) {
    let mut lexer = Lexer::new(text);
    let mut from = None;
    loop {
        let token = lexer.next();
        if token.start < start && token.kind != Kind::End {
            from = Some((token.start, token.end));
            continue;
        }
        let (near_start, last_end) = from.unwrap_or((token.start, token.start));
        if token.kind == Kind::End {
            return ("<EOF>", &text[near_start..last_end]);
        }
        let after = lexer.next();
        let near_end = if after.kind == Kind::End { token.end } else { after.end };
        return (&text[token.start..token.end], &text[near_start..near_end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From error messages that users of DynamoDB have published.
    #[test]
    fn quotes_as_dynamodb_does() {
        for (text, at, token, near) in [
            ("INVALID SYNTAX HERE", 0, "INVALID", "INVALID SYNTAX"),
            ("ADD hits : incr", 9, ":", "hits : incr"),
            ("a-b", 1, "-", "a-b"),
            ("set _something = :something", 4, "_", "set _something"),
            ("_type = :t", 0, "_", "_type"),
            ("SET a = :a, updated = :b", 12, "updated", ", updated ="),
            ("SET a, #, b", 7, "#", ", #,"),
            (
                "attribute_exists(car_id) AND NOT #has_air_conditioner",
                53,
                "<EOF>",
                "#has_air_conditioner",
            ),
            ("contains()", 9, ")", "()"),
            ("a )  ", 2, ")", "a )"),
            ("", 0, "<EOF>", ""),
            ("a = é", 4, "é", "= é"),
        ] {
            assert_eq!(quote(text, at), (token, near), "{text}");
        }
    }
}
