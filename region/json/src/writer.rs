//! The writer: appends JSON text to a byte vector.

use std::io::Write as _;

use crate::{base64, scan};

/// Appends JSON to a byte vector, with commas where they belong. What is begun must be ended by the caller, in order.
///
/// ```
/// # use geodynamo_json::Writer;
/// let mut writer = Writer::new();
/// writer.begin_object();
/// writer.key("Count");
/// writer.integer(2);
/// writer.key("Names");
/// writer.begin_array();
/// writer.string("a");
/// writer.string("\"");
/// writer.end_array();
/// writer.end_object();
/// assert_eq!(writer.into_bytes(), br#"{"Count":2,"Names":["a","\""]}"#);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// The last token ended a value: another one beside it needs a comma.
    comma: bool,
}

impl Writer {
    /// An empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty text with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            comma: false,
        }
    }

    /// `{`
    #[inline]
    pub fn begin_object(&mut self) {
        self.before();
        self.bytes.push(b'{');
    }

    /// `}`
    #[inline]
    pub fn end_object(&mut self) {
        self.bytes.push(b'}');
        self.comma = true;
    }

    /// A key and its colon; the value must follow.
    #[inline]
    pub fn key(&mut self, key: &str) {
        self.before();
        append_string(key, &mut self.bytes);
        self.bytes.push(b':');
    }

    /// A key that is known to need no escapes (it has no `"`, no `\` and no control character), such as a member's name
    /// in a service model.
    #[inline]
    pub fn plain_key(&mut self, key: &str) {
        self.before();
        self.append_plain(key);
        self.bytes.push(b':');
    }

    /// `[`
    #[inline]
    pub fn begin_array(&mut self) {
        self.before();
        self.bytes.push(b'[');
    }

    /// `]`
    #[inline]
    pub fn end_array(&mut self) {
        self.bytes.push(b']');
        self.comma = true;
    }

    /// A string, escaped where it must be.
    #[inline]
    pub fn string(&mut self, text: &str) {
        self.value(|bytes| append_string(text, bytes));
    }

    /// A string that is known to need no escapes (it has no `"`, no `\` and no control character).
    #[inline]
    pub fn plain_string(&mut self, text: &str) {
        self.before();
        self.append_plain(text);
        self.comma = true;
    }

    /// Bytes, as a string of padded standard base64.
    pub fn base64(&mut self, binary: &[u8]) {
        self.value(|bytes| {
            bytes.push(b'"');
            base64::append_base64(binary, bytes);
            bytes.push(b'"');
        });
    }

    /// A whole number.
    pub fn integer(&mut self, number: i64) {
        self.value(|bytes| append(bytes, format_args!("{number}")));
    }

    /// A number as `0.5`, `1.0`, `1763890000.123`, `1e300`; `null` for infinities and NaN, which JSON does not have.
    pub fn float(&mut self, number: f64) {
        if number.is_finite() {
            // Debug's form keeps the `.0`, as DynamoDB's capacity units have it, and reads back as the same number.
            self.value(|bytes| append(bytes, format_args!("{number:?}")));
        } else {
            self.null();
        }
    }

    /// `true` or `false`.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self) {
        self.raw("null");
    }

    /// One JSON value as it is; the caller vouches for its form.
    #[inline]
    pub fn raw(&mut self, json: &str) {
        self.value(|bytes| bytes.extend_from_slice(json.as_bytes()));
    }

    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes the text has so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    #[inline]
    fn value(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        self.before();
        append(&mut self.bytes);
        self.comma = true;
    }

    #[inline]
    fn append_plain(&mut self, text: &str) {
        debug_assert!(!text.bytes().any(scan::is_special), "{text:?} needs escapes");
        self.bytes.reserve(text.len() + 2);
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(b'"');
    }

    #[inline]
    fn before(&mut self) {
        if self.comma {
            self.bytes.push(b',');
            self.comma = false;
        }
    }
}

impl From<Vec<u8>> for Writer {
    /// Appends a new text to what the vector has.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, comma: false }
    }
}

fn append(bytes: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    bytes.write_fmt(text).expect("writing to a vector does not fail");
}

#[inline]
fn append_string(text: &str, to: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    to.reserve(bytes.len() + 2);
    to.push(b'"');
    let mut start = 0;
    loop {
        let end = scan::special(bytes, start);
        to.extend_from_slice(&bytes[start..end]);
        let Some(byte) = bytes.get(end) else { break };
        append_escape(*byte, to);
        start = end + 1;
    }
    to.push(b'"');
}

#[cold]
fn append_escape(byte: u8, to: &mut Vec<u8>) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            to.extend_from_slice(br"\u00");
            to.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    to.extend([b'\\', short]);
}
