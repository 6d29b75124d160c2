//! Reads the items of an object, one at a time, or a bulk operation's puts.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

use geodynamo_item::{AttributeType, Item};

use crate::{
    LINE_BYTES_MAX, Put,
    csv_items::{CsvItems, CsvOptions},
    ion,
    ion_brackets::Brackets,
    json_lines,
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

/// The records of an object, in its order.
pub struct Records<'a, T> {
    source: Source<'a, T>,
}

/// The items of an import's object.
pub type ItemReader<'a> = Records<'a, Item>;

/// The puts of a bulk operation's object.
pub type PutReader<'a> = Records<'a, Put>;

enum Source<'a, T> {
    Lines(Lines<'a>, fn(&str) -> Result<T, ItemError>),
    Csv(Box<CsvItems<'a>>, fn(Item) -> T),
}

/// Lines, each a record; or several together, where that is so.
struct Lines<'a> {
    input: Box<dyn BufRead + Send + 'a>,
    line: Vec<u8>,
    /// How many were read.
    number: u64,
    /// The number of the first one of the record, from 1 on.
    first: u64,
    /// Whether a record goes on to where its brackets are closed.
    brackets: bool,
}

/// How each format's records are read.
struct Reading<T> {
    json: fn(&str) -> Result<T, ItemError>,
    ion: fn(&str) -> Result<T, ItemError>,
    csv: fn(Item) -> T,
    /// Whether a struct of Ion may go on over several lines.
    brackets: bool,
}

impl<'a> Records<'a, Item> {
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
        let reading = Reading {
            json: json_lines::read,
            ion: ion::read,
            csv: |item| item,
            brackets: false,
        };
        Self::open(plain(object, compression)?, format, keys, &reading)
    }
}

impl<'a> Records<'a, Put> {
    /// Reads an object as it is stored. A struct of Ion may go on over several lines. Records of CSV have no conditions.
    ///
    /// # Errors
    /// As [`ItemReader::new`].
    pub fn new(
        object: impl Read + Send + 'a,
        format: &Format,
        compression: Compression,
        keys: &KeyTypes,
    ) -> Result<Self, ObjectError> {
        let reading = Reading {
            json: json_lines::read_put,
            ion: ion::read_put,
            csv: Put::from,
            brackets: true,
        };
        Self::open(plain(object, compression)?, format, keys, &reading)
    }
}

impl<'a, T> Records<'a, T> {
    fn open(
        plain: Box<dyn BufRead + Send + 'a>,
        format: &Format,
        keys: &KeyTypes,
        reading: &Reading<T>,
    ) -> Result<Self, ObjectError> {
        let source = match format {
            Format::DynamoDbJson => Source::Lines(Lines::new(plain, false), reading.json),
            Format::Ion => Source::Lines(Lines::new(plain, reading.brackets), reading.ion),
            Format::Csv(options) => Source::Csv(Box::new(CsvItems::new(plain, options, keys)?), reading.csv),
        };
        Ok(Self { source })
    }

    /// The line on which what was last given began, from 1 on.
    pub fn line(&self) -> u64 {
        match &self.source {
            Source::Lines(lines, _) => lines.first,
            Source::Csv(items, _) => items.line(),
        }
    }
}

impl<T> Iterator for Records<'_, T> {
    type Item = Result<Result<T, ItemError>, ObjectError>;

    /// The next record, or why this line is none. Ends for good at the object's end or an [`ObjectError`].
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Csv(items, give) => Some(items.next()?.map(|item| item.map(*give))),
            Source::Lines(lines, parse) => {
                let text = lines.next()?;
                Some(text.map(|text| text.and_then(*parse)))
            }
        }
    }
}

fn plain<'a>(
    object: impl Read + Send + 'a,
    compression: Compression,
) -> Result<Box<dyn BufRead + Send + 'a>, ObjectError> {
    Ok(match compression {
        Compression::None => Box::new(BufReader::new(object)),
        Compression::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(
            object,
        )))),
        Compression::Zstd => Box::new(BufReader::new(zstd::stream::read::Decoder::new(object)?)),
    })
}

impl<'a> Lines<'a> {
    fn new(input: Box<dyn BufRead + Send + 'a>, brackets: bool) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
            first: 0,
            brackets,
        }
    }

    /// The next record's text.
    fn next(&mut self) -> Option<Result<Result<&str, ItemError>, ObjectError>> {
        loop {
            match self.read() {
                Ok(false) => return None,
                Ok(true) => {}
                Err(error) => {
                    self.input = Box::new(io::empty());
                    return Some(Err(error.into()));
                }
            }
            if self.line.len() > LINE_BYTES_MAX {
                return Some(Ok(Err(ItemError(format!(
                    "A line is longer than {LINE_BYTES_MAX} bytes"
                )))));
            }
            let is_text = |line: &[u8]| std::str::from_utf8(line).map(|text| !is_empty(text));
            match is_text(&self.line) {
                // Reads on.
                Ok(false) => {}
                Ok(true) => break,
                Err(_) => return Some(Ok(Err(ItemError("A line is not UTF-8".into())))),
            }
        }
        // It is UTF-8, as above.
        Some(Ok(Ok(std::str::from_utf8(&self.line).unwrap_or_default().trim())))
    }

    /// Reads the lines of a record. Whether there was one.
    fn read(&mut self) -> io::Result<bool> {
        self.line.clear();
        if !next_line(&mut self.input, &mut self.line)? {
            return Ok(false);
        }
        self.number += 1;
        self.first = self.number;
        if !self.brackets {
            return Ok(true);
        }
        let mut brackets = Brackets::default();
        brackets.feed(&self.line);
        while brackets.is_open() && self.line.len() <= LINE_BYTES_MAX {
            let before = self.line.len();
            self.line.push(b'\n');
            if !next_line(&mut self.input, &mut self.line)? {
                break;
            }
            self.number += 1;
            brackets.feed(&self.line[before..]);
        }
        Ok(true)
    }
}

/// Whether a line says nothing. An Ion text may begin with its version, alone.
fn is_empty(text: &str) -> bool {
    matches!(text.trim(), "" | ion::VERSION)
}

/// Appends the next line. Of one that is too long, only as much is kept as tells that it is. Whether there was one.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
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
