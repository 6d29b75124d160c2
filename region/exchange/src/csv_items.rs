//! Comma-separated values: a record for each item.

use std::io::BufRead;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use geodynamo_item::{AttributeType, AttributeValue, Item, Name, Number};

use crate::{ItemError, KeyTypes, ObjectError};

/// The delimiters that an import may name.
pub const DELIMITERS: [u8; 6] = [b',', b'\t', b':', b';', b'|', b' '];

/// The longest name of an attribute, in bytes.
const NAME_BYTES_MAX: usize = 65_535;

/// How a CSV object is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between the values: one of [`DELIMITERS`].
    pub delimiter: u8,
    /// The columns' names; without them, an object's first record has them.
    pub header: Option<Vec<String>>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            header: None,
        }
    }
}

/// The items of a CSV object.
pub(crate) struct CsvItems<'a> {
    reader: csv::Reader<Box<dyn BufRead + Send + 'a>>,
    columns: Vec<(Name, AttributeType)>,
    record: StringRecord,
    failed: bool,
}

impl<'a> CsvItems<'a> {
    pub(crate) fn new(
        input: Box<dyn BufRead + Send + 'a>,
        options: &CsvOptions,
        keys: &KeyTypes,
    ) -> Result<Self, ObjectError> {
        let mut reader = ReaderBuilder::new()
            .delimiter(options.delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(input);
        let mut record = StringRecord::new();
        let names: Vec<String> = match &options.header {
            Some(header) => header.clone(),
            None => {
                reader
                    .read_record(&mut record)
                    .map_err(|error| ObjectError::Format(error.to_string()))?;
                record.iter().map(str::to_owned).collect()
            }
        };
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(ObjectError::Format(format!(
                "The header names the column '{twice}' twice"
            )));
        }
        let columns = names.iter().map(|name| {
            (
                name.as_str().into(),
                keys.get(name).copied().unwrap_or(AttributeType::S),
            )
        });
        Ok(Self {
            columns: columns.collect(),
            reader,
            record,
            failed: false,
        })
    }

    pub(crate) fn next(&mut self) -> Option<Result<Result<Item, ItemError>, ObjectError>> {
        if self.failed {
            return None;
        }
        match self.reader.read_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => Some(Ok(self.item())),
            Err(error) => match error.into_kind() {
                ErrorKind::Io(error) => {
                    self.failed = true;
                    Some(Err(error.into()))
                }
                ErrorKind::Utf8 { .. } => Some(Ok(Err(ItemError("A record is not UTF-8".into())))),
                _ => Some(Ok(Err(ItemError("A record is not CSV".into())))),
            },
        }
    }

    /// The line on which the last record began.
    pub(crate) fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// The record as an item. A value that is empty is left out.
    fn item(&self) -> Result<Item, ItemError> {
        if self.record.len() > self.columns.len() {
            return Err(ItemError(format!(
                "The record has {} values and the header {}",
                self.record.len(),
                self.columns.len()
            )));
        }
        let values = self
            .columns
            .iter()
            .zip(&self.record)
            .filter(|(_, text)| !text.is_empty());
        values
            .map(|((name, kind), text)| {
                if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
                    return Err(ItemError("The header gives no attribute's name to a value".into()));
                }
                Ok((name.clone(), value(*kind, text)?))
            })
            .collect()
    }
}

fn value(kind: AttributeType, text: &str) -> Result<AttributeValue, ItemError> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    Ok(match kind {
        AttributeType::N => {
            AttributeValue::N(Number::parse(text.trim()).map_err(|error| ItemError(error.to_string()))?)
        }
        AttributeType::B => {
            let bytes = STANDARD.decode(text);
            AttributeValue::B(
                bytes
                    .map_err(|_| ItemError("A binary key is not Base64".into()))?
                    .into(),
            )
        }
        _ => AttributeValue::S(text.into()),
    })
}
