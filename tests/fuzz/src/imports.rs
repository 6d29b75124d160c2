//! Objects that imports read: DynamoDB JSON, Ion and CSV, compressed or not.

use std::collections::BTreeMap;

use geodynamo_exchange::{Compression, CsvOptions, DELIMITERS, ExportFormat, Format, ItemReader, KeyTypes, write_item};
use geodynamo_item::{AttributeType, Item};

use crate::bytes_to::byte;

/// Records of an input that are looked at: a short one that unpacks to a long one would take for ever.
const RECORDS_MAX: usize = 512;

/// The first byte says how the rest is written and compressed. What is read as an item can be exported, in either form, and read
/// again the same.
pub(crate) fn run(mut bytes: &[u8]) {
    let choice = usize::from(byte(&mut bytes));
    let compression = [Compression::None, Compression::Gzip, Compression::Zstd][choice / 3 % 3];
    let format = match choice % 3 {
        0 => Format::DynamoDbJson,
        1 => Format::Ion,
        _ => Format::Csv(CsvOptions {
            delimiter: DELIMITERS[choice / 9 % DELIMITERS.len()],
            header: (choice / 54 % 2 == 1).then(|| vec!["pk".to_owned(), "n".to_owned(), "other".to_owned()]),
        }),
    };
    let keys = BTreeMap::from([
        ("pk".to_owned(), AttributeType::S),
        ("n".to_owned(), AttributeType::N),
        ("b".to_owned(), AttributeType::B),
    ]);
    let Ok(reader) = ItemReader::new(bytes, &format, compression, &keys) else {
        return;
    };
    let mut is_over = false;
    for record in reader.take(RECORDS_MAX) {
        assert!(!is_over, "an object that cannot be read on is read on");
        match record {
            Ok(Ok(item)) => {
                for (written, read) in [
                    (ExportFormat::DynamoDbJson, Format::DynamoDbJson),
                    (ExportFormat::Ion, Format::Ion),
                ] {
                    assert_eq!(again(&item, written, &read, &keys).as_ref(), Some(&item), "{written:?}");
                }
            }
            Ok(Err(_)) => {}
            Err(_) => is_over = true,
        }
    }
}

fn again(item: &Item, written: ExportFormat, read: &Format, keys: &KeyTypes) -> Option<Item> {
    let mut line = Vec::new();
    write_item(written, item, &mut line);
    let mut reader = ItemReader::new(&*line, read, Compression::None, keys).ok()?;
    reader.next()?.ok()?.ok()
}
