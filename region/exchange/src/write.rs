//! Lines of an export.

use geodynamo_item::{Item, wire};
use geodynamo_json::Writer;

use crate::ion;

/// How an export's data files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportFormat {
    /// A line of `{"Item": {…}}` for each item.
    #[default]
    DynamoDbJson,
    /// A line of Ion text for each item.
    Ion,
}

impl ExportFormat {
    /// What the API and the manifest call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DynamoDbJson => "DYNAMODB_JSON",
            Self::Ion => "ION",
        }
    }

    /// The ending of a data file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::DynamoDbJson => "json.gz",
            Self::Ion => "ion.gz",
        }
    }
}

/// What became of one item within the window of an incremental export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was last written, in microseconds since 1970.
    pub written_us: u64,
    /// Its key attributes.
    pub keys: Item,
    /// The item at the window's end; `None` if it is deleted.
    pub new: Option<Item>,
    /// The item at the window's begin, where the view has it; `None` if there was none.
    pub old: Option<Item>,
}

/// Appends an item's line to a full export.
pub fn write_item(format: ExportFormat, item: &Item, out: &mut Vec<u8>) {
    match format {
        ExportFormat::DynamoDbJson => {
            let mut writer = Writer::new();
            writer.begin_object();
            writer.plain_key("Item");
            wire::write_item(item, &mut writer);
            writer.end_object();
            out.extend_from_slice(writer.as_bytes());
        }
        ExportFormat::Ion => {
            let mut text = format!("{} {{Item:", ion::VERSION);
            ion::write_item(item, &mut text);
            text.push('}');
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.push(b'\n');
}

/// Appends a change's line to an incremental export.
pub fn write_change(format: ExportFormat, change: &Change, out: &mut Vec<u8>) {
    let images = [
        ("Keys", Some(&change.keys)),
        ("NewImage", change.new.as_ref()),
        ("OldImage", change.old.as_ref()),
    ];
    let images = images.into_iter().filter_map(|(name, image)| Some((name, image?)));
    match format {
        ExportFormat::DynamoDbJson => {
            let mut writer = Writer::new();
            writer.begin_object();
            writer.plain_key("Metadata");
            writer.raw(&format!(
                "{{\"WriteTimestampMicros\":{{\"N\":\"{}\"}}}}",
                change.written_us
            ));
            for (name, image) in images {
                writer.plain_key(name);
                wire::write_item(image, &mut writer);
            }
            writer.end_object();
            out.extend_from_slice(writer.as_bytes());
        }
        ExportFormat::Ion => {
            let written = change.written_us;
            let mut text = format!(
                "{} {{Record:{{Metadata:{{WriteTimestampMicros:{written}.}}",
                ion::VERSION
            );
            for (name, image) in images {
                text.push(',');
                text.push_str(name);
                text.push(':');
                ion::write_item(image, &mut text);
            }
            text.push_str("}}");
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.push(b'\n');
}
