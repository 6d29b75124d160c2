//! The service model's patterns. They are few: each has a matcher of its own, cheaper than a compiled expression.

/// A pattern of the service model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Names of tables, indexes, backups.
    Name,
    /// Printable ASCII.
    Printable,
    /// Text without control characters but tab, line feed and carriage return.
    Text,
    /// Words of sixteen hexadecimal digits.
    HexWords,
    /// Anything without a dollar sign.
    NoDollar,
    /// A delimiter of CSV.
    CsvDelimiter,
    /// A header of CSV.
    CsvHeader,
    /// Names of buckets.
    Bucket,
    /// Twelve digits.
    Account,
}

impl Pattern {
    /// The pattern as the model has it and as errors show it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Name => "[a-zA-Z0-9_.-]+",
            Self::Printable => r"\p{Print}+",
            Self::Text => r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*",
            Self::HexWords => "([0-9a-f]{16})+",
            Self::NoDollar => r"^[^\$]+$",
            Self::CsvDelimiter => r"[,;:|\t ]",
            Self::CsvHeader => r"[\x20-\x21\x23-\x2B\x2D-\x7E]*",
            Self::Bucket => r"^[a-z0-9A-Z]+[\.\-\w]*[a-z0-9A-Z]+$",
            Self::Account => "[0-9]{12}",
        }
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self {
            Self::Name => some(bytes, |byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)),
            Self::Printable => some(bytes, |byte| (0x20..0x7F).contains(&byte)),
            Self::Text => text
                .chars()
                .all(|c| c >= ' ' && c != '\u{FFFE}' && c != '\u{FFFF}' || "\r\n\t".contains(c)),
            Self::HexWords => bytes.len().is_multiple_of(16) && some(bytes, is_hex),
            Self::NoDollar => some(bytes, |byte| byte != b'$'),
            Self::CsvDelimiter => bytes.len() == 1 && b",;:|\t ".contains(&bytes[0]),
            Self::CsvHeader => bytes
                .iter()
                .all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x2B | 0x2D..=0x7E)),
            Self::Bucket => {
                bytes.len() >= 2
                    && ends_alphanumeric(bytes)
                    && bytes
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
            }
            Self::Account => bytes.len() == 12 && bytes.iter().all(u8::is_ascii_digit),
        }
    }
}

fn some(bytes: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| allowed(*byte))
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn ends_alphanumeric(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphanumeric) && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: Pattern, good: &[&str], bad: &[&str]| {
            for text in good {
                assert!(pattern.matches(text), "{pattern:?} {text:?}");
            }
            for text in bad {
                assert!(!pattern.matches(text), "{pattern:?} {text:?}");
            }
        };
        check(Pattern::Name, &["a", "A_b.c-9"], &["", "a b", "a/b", "ä", "a:"]);
        check(Pattern::Printable, &[" ~a"], &["", "\u{7f}", "\n", "é"]);
        check(Pattern::Text, &["", "a\tb\r\n", "é😀"], &["\u{1}", "\u{FFFE}"]);
        check(
            Pattern::HexWords,
            &["0123456789abcdef"],
            &["", "0123456789abcde", "0123456789ABCDEF"],
        );
        check(Pattern::NoDollar, &["a"], &["", "a$"]);
        check(Pattern::CsvDelimiter, &[",", "\t"], &["", ",,", "x"]);
        check(Pattern::CsvHeader, &["", "a b"], &["a\"", "a,b"]);
        check(Pattern::Bucket, &["my.bucket-1"], &["a", "-a", "a/b"]);
        check(Pattern::Account, &["012345678901"], &["1", "01234567890a"]);
    }
}
