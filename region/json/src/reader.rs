//! The reader: a strict pull parser over one whole text.

use std::borrow::Cow;

use crate::{JsonError, Kind, scan};

/// How deeply arrays and objects may nest. An item nests 32 maps and lists, each of them two JSON levels, inside at most
/// eight levels of a request; more than that is left for texts whose nesting is to be refused with DynamoDB's own words.
pub const MAX_DEPTH: usize = 256;

/// A pull parser for generated decoders: each call consumes one token, or one whole value, and says what is wrong if that
/// is not there. It never recurses.
///
/// ```
/// # use geodynamo_json::{JsonError, Reader};
/// let mut reader = Reader::new(br#"{"TableName": "t", "Limit": 5, "Keys": [1, 2]}"#)?;
/// reader.begin_object()?;
/// while let Some(key) = reader.next_key()? {
///     match &*key {
///         "TableName" => assert_eq!(reader.string()?, "t"),
///         "Limit" => assert_eq!(reader.number()?, "5"),
///         "Keys" => {
///             reader.begin_array()?;
///             while reader.next_element()? {
///                 reader.number()?;
///             }
///         }
///         _ => drop(reader.skip_value()?),
///     }
/// }
/// reader.end()?;
/// # Ok::<(), JsonError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// The last token opened an array or an object: what follows is its first element or its end, without a comma.
    fresh: bool,
}

impl<'a> Reader<'a> {
    /// A reader of one whole text; an error if it is not UTF-8.
    pub fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|error| JsonError::Malformed {
            offset: error.valid_up_to(),
            what: "invalid UTF-8",
        })?;
        Ok(Self {
            text,
            at: 0,
            depth: 0,
            fresh: false,
        })
    }

    /// The kind of the value that comes next, by its first character. Consumes white space only.
    #[inline]
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        self.skip_space();
        match self.byte() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.malformed("a value was expected")),
            None => Err(self.malformed("the text ends where a value was expected")),
        }
    }

    /// Enters an object. Follow with [`next_key`](Self::next_key) until it gives `None`.
    #[inline]
    pub fn begin_object(&mut self) -> Result<(), JsonError> {
        self.expect(Kind::Object)?;
        self.begin()
    }

    /// The next key of the object entered last, its colon consumed: the value must be read or skipped next. `None` at the
    /// object's end, which leaves it. Keys may repeat; that is for the caller to judge.
    #[inline]
    pub fn next_key(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        if !self.next(b'}', "',' or '}' was expected")? {
            return Ok(None);
        }
        if self.byte() != Some(b'"') {
            return Err(self.malformed("a key was expected"));
        }
        let key = self.read_string()?;
        self.skip_space();
        if self.byte() != Some(b':') {
            return Err(self.malformed("':' was expected"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Enters an array. Follow with [`next_element`](Self::next_element) until it gives `false`.
    #[inline]
    pub fn begin_array(&mut self) -> Result<(), JsonError> {
        self.expect(Kind::Array)?;
        self.begin()
    }

    /// Whether the array entered last has another element, which must be read or skipped next. `false` at the array's
    /// end, which leaves it.
    #[inline]
    pub fn next_element(&mut self) -> Result<bool, JsonError> {
        self.next(b']', "',' or ']' was expected")
    }

    /// A string: borrowed from the text unless it has escapes.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.expect(Kind::String)?;
        self.read_string()
    }

    /// A number's own text, such as `-1.50e+3`: valid by RFC 8259, of any size.
    pub fn number(&mut self) -> Result<&'a str, JsonError> {
        self.expect(Kind::Number)?;
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.fresh = false;
        Ok(&self.text[start..self.at])
    }

    /// `true` or `false`.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, JsonError> {
        self.expect(Kind::Bool)?;
        let value = self.byte() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// `null`.
    #[inline]
    pub fn null(&mut self) -> Result<(), JsonError> {
        self.expect(Kind::Null)?;
        self.word("null")
    }

    /// Passes over the next value, whatever it is and however deep within the limit; gives its text. It is checked as
    /// strictly as if it were read.
    pub fn skip_value(&mut self) -> Result<&'a str, JsonError> {
        self.skip_space();
        let (start, floor) = (self.at, self.depth);
        // One bit for each level entered here: whether it is an object.
        let mut objects = [0u64; MAX_DEPTH.div_ceil(64)];
        loop {
            match self.peek()? {
                kind @ (Kind::Object | Kind::Array) => {
                    self.begin()?;
                    let (word, bit) = ((self.depth - 1) / 64, 1 << ((self.depth - 1) % 64));
                    objects[word] = if kind == Kind::Object {
                        objects[word] | bit
                    } else {
                        objects[word] & !bit
                    };
                }
                Kind::String => self.skip_string()?,
                Kind::Number => drop(self.number()?),
                Kind::Bool => drop(self.bool()?),
                Kind::Null => self.null()?,
            }
            // To the next value at whatever level has one.
            loop {
                if self.depth == floor {
                    return Ok(&self.text[start..self.at]);
                }
                let object = objects[(self.depth - 1) / 64] >> ((self.depth - 1) % 64) & 1 == 1;
                let more = if object {
                    self.next_key()?.is_some()
                } else {
                    self.next_element()?
                };
                if more {
                    break;
                }
            }
        }
    }

    /// That the text ends here: nothing but white space follows.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.malformed("the text goes on after the value"));
        }
        Ok(())
    }

    /// Where the reader stands, in bytes from the text's start.
    pub fn offset(&self) -> usize {
        self.at
    }

    #[inline]
    fn begin(&mut self) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep { offset: self.at });
        }
        self.depth += 1;
        self.at += 1;
        self.fresh = true;
        Ok(())
    }

    /// Passes the comma before the next member if there is one; leaves the array or object and gives `false` if not.
    #[inline]
    fn next(&mut self, close: u8, what: &'static str) -> Result<bool, JsonError> {
        self.skip_space();
        match self.byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                // Saturating: a caller that leaves more than it entered gets an error for the text, not a panic.
                self.depth = self.depth.saturating_sub(1);
                self.fresh = false;
                return Ok(false);
            }
            Some(_) if self.fresh => self.fresh = false,
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                if self.byte() == Some(close) {
                    return Err(self.malformed("a comma before the end"));
                }
            }
            _ => return Err(self.malformed(what)),
        }
        Ok(true)
    }

    #[inline]
    fn read_string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.at + 1;
        let end = scan::special(self.text.as_bytes(), start);
        self.at = end;
        if self.byte() == Some(b'"') {
            self.at = end + 1;
            self.fresh = false;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        let mut string = String::from(&self.text[start..end]);
        self.rest_of_string(|piece| string.push_str(piece))?;
        Ok(Cow::Owned(string))
    }

    fn skip_string(&mut self) -> Result<(), JsonError> {
        self.at = scan::special(self.text.as_bytes(), self.at + 1);
        self.rest_of_string(|_| ())
    }

    /// Reads on in a string, from its first special byte through the closing quote.
    fn rest_of_string(&mut self, mut piece: impl FnMut(&str)) -> Result<(), JsonError> {
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    self.fresh = false;
                    return Ok(());
                }
                Some(b'\\') => piece(self.escape()?.encode_utf8(&mut [0; 4])),
                Some(_) => return Err(self.malformed("a control character in a string")),
                None => return Err(self.malformed("the text ends within a string")),
            }
            let start = self.at;
            self.at = scan::special(self.text.as_bytes(), start);
            piece(&self.text[start..self.at]);
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let bad = |what| JsonError::Malformed { offset: start, what };
        self.at += 1;
        let escaped = match self.byte() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4().ok_or(bad("four hexadecimal digits were expected"))?;
                if !(0xD800..0xE000).contains(&unit) {
                    return char::from_u32(unit).ok_or(bad("not a character"));
                }
                let low = match self.text.as_bytes().get(self.at..self.at + 2) {
                    Some(br"\u") => {
                        self.at += 2;
                        self.hex4().ok_or(bad("four hexadecimal digits were expected"))?
                    }
                    _ => return Err(bad("a surrogate alone")),
                };
                if unit >= 0xDC00 || !(0xDC00..0xE000).contains(&low) {
                    return Err(bad("a surrogate alone"));
                }
                let point = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                return char::from_u32(point).ok_or(bad("not a character"));
            }
            _ => return Err(bad("an unknown escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.malformed("a digit was expected"))
        } else {
            Ok(())
        }
    }

    #[inline]
    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed("an unknown word"));
        }
        self.at += word.len();
        self.fresh = false;
        Ok(())
    }

    #[inline]
    fn expect(&mut self, expected: Kind) -> Result<(), JsonError> {
        let found = self.peek()?;
        if found != expected {
            return Err(JsonError::Unexpected {
                offset: self.at,
                expected,
                found,
            });
        }
        Ok(())
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[cold]
    fn malformed(&self, what: &'static str) -> JsonError {
        JsonError::Malformed { offset: self.at, what }
    }
}
