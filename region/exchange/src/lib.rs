//! The forms in which tables leave and enter: DynamoDB JSON, Amazon Ion and CSV, compressed or not, and the layout of an export.
//!
//! - [`ItemReader`] reads the items of one object of an import, whatever its form and compression, and tells of each that is
//!   none why not; a bad item does not end the reading, a bad object does.
//! - [`PutReader`] reads the puts of a bulk operation, each with its condition.
//! - [`write_item`] and [`write_change`] write the lines of an export; [`layout`] and [`manifest`] name and describe its files.
//!
//! Sources: AWS developer guide, "DynamoDB data export to Amazon S3: output format" and "DynamoDB import formats".
//!
//! Nothing here reads a clock or opens a file: streams are handed in.

mod csv_items;
mod import;
mod ion;
mod ion_brackets;
mod json_lines;
pub mod layout;
pub mod manifest;
mod puts;
mod write;

pub use csv_items::{CsvOptions, DELIMITERS};
pub use import::{Compression, Format, ItemError, ItemReader, KeyTypes, ObjectError, PutReader, Records};
pub use puts::{Put, PutCondition};
pub use write::{Change, ExportFormat, write_change, write_item};

/// The longest line of an object, in bytes: an item of 400 KB in Ion or JSON with every character escaped.
pub const LINE_BYTES_MAX: usize = 4 << 20;
