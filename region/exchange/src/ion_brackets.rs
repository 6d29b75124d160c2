//! Brackets of Ion text: how deep they nest, and whether they are closed. What stands in strings, symbols, blobs and comments
//! is none.

/// What has been seen of a text, of which a piece at a time is told. No token may be split between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Brackets {
    inside: Inside,
    /// Whether that is in a blob or a clob.
    in_lob: bool,
    depth: usize,
    deepest: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Nothing,
    /// A string or a symbol that this byte ends.
    Quotes(u8),
    /// `'''`
    LongString,
    /// `//`
    LineComment,
    /// `/*`
    BlockComment,
}

impl Brackets {
    /// Of a whole text.
    pub(crate) fn of(text: &str) -> Self {
        let mut brackets = Self::default();
        brackets.feed(text.as_bytes());
        brackets
    }

    /// Whether one is open.
    pub(crate) fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// How many were open at most.
    pub(crate) fn deepest(&self) -> usize {
        self.deepest
    }

    /// Looks at the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(byte) = rest.first() {
            let taken = match self.inside {
                Inside::Nothing => self.outside(*byte, rest),
                Inside::Quotes(_) | Inside::LongString if *byte == b'\\' => 2,
                Inside::Quotes(end) => self.end_at(*byte == end, 1),
                Inside::LongString => self.end_at(rest.starts_with(b"'''"), 3),
                Inside::LineComment => self.end_at(matches!(byte, b'\n' | b'\r'), 1),
                Inside::BlockComment => self.end_at(rest.starts_with(b"*/"), 2),
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Ends what it is in if it ends here, with so many bytes. Gives how many are done with.
    fn end_at(&mut self, ends: bool, bytes: usize) -> usize {
        if ends {
            self.inside = Inside::Nothing;
            bytes
        } else {
            1
        }
    }

    fn outside(&mut self, byte: u8, rest: &[u8]) -> usize {
        let (inside, taken) = match byte {
            b'"' => (Inside::Quotes(byte), 1),
            b'\'' if rest.starts_with(b"'''") => (Inside::LongString, 3),
            b'\'' => (Inside::Quotes(byte), 1),
            b'}' if self.in_lob && rest.starts_with(b"}}") => {
                self.in_lob = false;
                self.close(2)
            }
            _ if self.in_lob => (Inside::Nothing, 1),
            b'/' if rest.starts_with(b"//") => (Inside::LineComment, 2),
            b'/' if rest.starts_with(b"/*") => (Inside::BlockComment, 2),
            b'{' if rest.starts_with(b"{{") => {
                self.in_lob = true;
                self.open(2)
            }
            b'{' | b'[' | b'(' => self.open(1),
            b'}' | b']' | b')' => self.close(1),
            _ => (Inside::Nothing, 1),
        };
        self.inside = inside;
        taken
    }

    fn open(&mut self, brackets: usize) -> (Inside, usize) {
        self.depth += brackets;
        self.deepest = self.deepest.max(self.depth);
        (Inside::Nothing, brackets)
    }

    fn close(&mut self, brackets: usize) -> (Inside, usize) {
        self.depth = self.depth.saturating_sub(brackets);
        (Inside::Nothing, brackets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_that_count() {
        for (text, deepest, open) in [
            ("{a:[(1)]}", 3, false),
            ("{a:[", 2, true),
            (r#"{a:"[[[\"[[["}"#, 1, false),
            ("{'[[':'''{{{ ' {'''}", 1, false),
            ("{a: /* ' */ [[[1]]] // }}\n}", 4, false),
            ("// '\n[[[[", 4, true),
            ("{a:{{aGk//}}}", 3, false),
            // What looks like the end of a clob stands in its string.
            (r#"[{{"}}"}}, [[[1]]]]"#, 4, false),
        ] {
            let brackets = Brackets::of(text);
            assert_eq!((brackets.deepest(), brackets.is_open()), (deepest, open), "{text}");
        }
    }
}
