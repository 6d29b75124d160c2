//! Reads the items of an object, one at a time.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

use geodynamo_item::{AttributeType, Item};

use crate::{
    LINE_BYTES_MAX,
    csv_items::{CsvItems, CsvOptions},
    ion, json_lines,
};

/// How an import's objects are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of `{"Item": {…}}` for each item.
    DynamoDbJson,
    /// A line of Ion text, `{Item: {…}}`, for each item.
    Ion,
    /// Comma-separated values.
    Csv(CsvOptions),
}

/// How an import's objects are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
}

/// The types of the key attributes of a table and its indexes, which CSV does not tell. Every other column is a string.
pub type KeyTypes = BTreeMap<String, AttributeType>;

/// Why a line, or a record, is no item. The import goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ItemError(pub String);

/// Why an object cannot be read on. The import fails.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Reading, or decompressing, failed.
    #[error("the object cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The object is not of the import's format.
    #[error("{0}")]
    Format(String),
}

/// The items of an object, in its order.
pub struct ItemReader<'a> {
    source: Source<'a>,
}

enum Source<'a> {
    Lines {
        input: Box<dyn BufRead + Send + 'a>,
        line: Vec<u8>,
        /// The line's number, from 1 on.
        number: u64,
        parse: fn(&str) -> Result<Item, ItemError>,
    },
    Csv(Box<CsvItems<'a>>),
}

impl<'a> ItemReader<'a> {
    /// Reads an object as it is stored.
    ///
    /// # Errors
    /// If the first record is needed (CSV's header) and cannot be read.
    pub fn new(
        object: impl Read + Send + 'a,
        format: &Format,
        compression: Compression,
        keys: &KeyTypes,
    ) -> Result<Self, ObjectError> {
        let plain: Box<dyn BufRead + Send + 'a> = match compression {
            Compression::None => Box::new(BufReader::new(object)),
            Compression::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(
                object,
            )))),
            Compression::Zstd => Box::new(BufReader::new(zstd::stream::read::Decoder::new(object)?)),
        };
        let lines = |input, parse| Source::Lines {
            input,
            line: Vec::new(),
            number: 0,
            parse,
        };
        let source = match format {
            Format::DynamoDbJson => lines(plain, json_lines::read),
            Format::Ion => lines(plain, ion::read),
            Format::Csv(options) => Source::Csv(Box::new(CsvItems::new(plain, options, keys)?)),
        };
        Ok(Self { source })
    }

    /// The line on which what was last given began, from 1 on.
    pub fn line(&self) -> u64 {
        match &self.source {
            Source::Lines { number, .. } => *number,
            Source::Csv(items) => items.line(),
        }
    }
}

impl Iterator for ItemReader<'_> {
    type Item = Result<Result<Item, ItemError>, ObjectError>;

    /// The next item, or why there is none of this line. Ends for good at the object's end or an [`ObjectError`].
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Csv(items) => items.next(),
            Source::Lines {
                input,
                line,
                number,
                parse,
            } => loop {
                match next_line(input, line) {
                    Ok(false) => return None,
                    Ok(true) => *number += 1,
                    Err(error) => {
                        *input = Box::new(io::empty());
                        return Some(Err(error.into()));
                    }
                }
                if line.len() > LINE_BYTES_MAX {
                    return Some(Ok(Err(ItemError(format!(
                        "A line is longer than {LINE_BYTES_MAX} bytes"
                    )))));
                }
                let text = match std::str::from_utf8(line) {
                    Ok(text) => text.trim(),
                    Err(_) => return Some(Ok(Err(ItemError("A line is not UTF-8".into())))),
                };
                // An Ion text may begin with its version, alone.
                if !text.is_empty() && text != ion::VERSION {
                    return Some(Ok(parse(text)));
                }
            },
        }
    }
}

/// Reads to the next line's end. Of a line that is too long, only as much is kept as tells that it is. Whether there was one.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut some = false;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Ok(some);
        }
        some = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(chunk.len());
        let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len());
        line.extend_from_slice(&chunk[..taken.min(room)]);
        input.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(true);
        }
    }
}
