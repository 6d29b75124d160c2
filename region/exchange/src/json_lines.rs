//! DynamoDB JSON: a line of `{"Item": {…}}` for each item.

use geodynamo_item::{Item, wire};
use geodynamo_json::Reader;

use crate::ItemError;

/// Reads a line.
pub(crate) fn read(line: &str) -> Result<Item, ItemError> {
    let wrong = |error: &dyn std::fmt::Display| ItemError(error.to_string());
    let mut reader = Reader::new(line.as_bytes()).map_err(|error| wrong(&error))?;
    let mut found = None;
    reader.begin_object().map_err(|error| wrong(&error))?;
    while let Some(key) = reader.next_key().map_err(|error| wrong(&error))? {
        if key == "Item" {
            let item = wire::read_item(&mut reader).map_err(|error| wrong(&error))?;
            found = Some(item.map_err(|error| wrong(&error))?);
        } else {
            reader.skip_value().map_err(|error| wrong(&error))?;
        }
    }
    reader.end().map_err(|error| wrong(&error))?;
    found.ok_or_else(|| ItemError("The line has no member \"Item\"".into()))
}
