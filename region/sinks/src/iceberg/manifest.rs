//! Manifests and manifest lists, as Iceberg's format has them in its version 2.
//!
//! Source: "Iceberg Table Spec", Manifests and Manifest Lists: the numbers are its field ids.

use serde_json::{Value, json};

use super::{
    avro::{self, Datum},
    schema::Columns,
    state::File,
};

/// What happened to a file in a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Existing = 0,
    Added = 1,
    Deleted = 2,
}

/// What a manifest's files have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// Rows.
    Data = 0,
    /// Places of deleted rows.
    Deletes = 1,
}

/// A file in a manifest.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) status: Status,
    pub(super) file: &'a File,
    /// Of places: the file that has the rows.
    pub(super) of: Option<&'a str>,
}

/// A manifest in a list.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) bytes: usize,
    pub(super) content: Content,
    /// Files and rows: that exist, that were added, that were deleted.
    pub(super) counts: [(u64, u64); 3],
    pub(super) min_sequence: i64,
}

impl Content {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Deletes => "deletes",
        }
    }
}

fn field(id: i32, name: &str, kind: &str) -> Value {
    json!({"name": name, "type": kind, "field-id": id})
}

fn optional(id: i32, name: &str, kind: Value) -> Value {
    json!({"name": name, "type": ["null", kind], "default": null, "field-id": id})
}

/// A manifest of files, whose names are below a location.
pub(super) fn manifest(
    columns: &Columns,
    location: &str,
    content: Content,
    snapshot: i64,
    marker: [u8; 16],
    entries: &[Entry<'_>],
) -> Vec<u8> {
    let file = json!({"type": "record", "name": "r2", "fields": [
        field(134, "content", "int"),
        field(100, "file_path", "string"),
        field(101, "file_format", "string"),
        {"name": "partition", "type": {"type": "record", "name": "r102", "fields": []}, "field-id": 102},
        field(103, "record_count", "long"),
        field(104, "file_size_in_bytes", "long"),
        optional(140, "sort_order_id", json!("int")),
        optional(143, "referenced_data_file", json!("string")),
    ]});
    let schema = json!({"type": "record", "name": "manifest_entry", "fields": [
        field(0, "status", "int"),
        optional(1, "snapshot_id", json!("long")),
        optional(3, "sequence_number", json!("long")),
        optional(4, "file_sequence_number", json!("long")),
        {"name": "data_file", "type": file, "field-id": 2},
    ]});
    let metadata = [
        ("schema", columns.json().to_string()),
        ("schema-id", columns.id.to_string()),
        ("partition-spec", "[]".to_owned()),
        ("partition-spec-id", "0".to_owned()),
        ("format-version", "2".to_owned()),
        ("content", content.name().to_owned()),
    ];
    let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let datum = |entry: &Entry<'_>| {
        let by = if entry.status == Status::Deleted {
            snapshot
        } else {
            entry.file.snapshot
        };
        let mut datum = Datum::default();
        datum.long(entry.status as i64);
        datum.branch(1).long(by);
        datum.branch(1).long(entry.file.sequence);
        datum.branch(1).long(entry.file.sequence);
        datum.long(content as i64);
        datum
            .string(&format!("{location}/{}", entry.file.name))
            .string("PARQUET");
        datum.long(long(entry.file.rows)).long(long(entry.file.bytes));
        match (content, entry.of) {
            (Content::Data, _) => datum.branch(1).long(0).branch(0),
            (Content::Deletes, Some(of)) => datum.branch(0).branch(1).string(&format!("{location}/{of}")),
            (Content::Deletes, None) => datum.branch(0).branch(0),
        };
        datum
    };
    let data: Vec<Datum> = entries.iter().map(datum).collect();
    avro::file(&schema, &metadata, marker, &data)
}

/// What a list says of a manifest.
pub(super) fn listed(path: String, bytes: usize, content: Content, entries: &[Entry<'_>]) -> Listed {
    let mut counts = [(0, 0); 3];
    for entry in entries {
        if let Some((files, rows)) = counts.get_mut(entry.status as usize) {
            *files += 1;
            *rows += entry.file.rows;
        }
    }
    let there = entries.iter().filter(|entry| entry.status != Status::Deleted);
    Listed {
        path,
        bytes,
        content,
        counts,
        min_sequence: there.map(|entry| entry.file.sequence).min().unwrap_or(0),
    }
}

/// A snapshot's list of manifests.
pub(super) fn list(
    snapshot: i64,
    parent: Option<i64>,
    sequence: i64,
    marker: [u8; 16],
    manifests: &[Listed],
) -> Vec<u8> {
    let schema = json!({"type": "record", "name": "manifest_file", "fields": [
        field(500, "manifest_path", "string"),
        field(501, "manifest_length", "long"),
        field(502, "partition_spec_id", "int"),
        field(517, "content", "int"),
        field(515, "sequence_number", "long"),
        field(516, "min_sequence_number", "long"),
        field(503, "added_snapshot_id", "long"),
        field(504, "added_files_count", "int"),
        field(505, "existing_files_count", "int"),
        field(506, "deleted_files_count", "int"),
        field(512, "added_rows_count", "long"),
        field(513, "existing_rows_count", "long"),
        field(514, "deleted_rows_count", "long"),
    ]});
    let metadata = [
        ("snapshot-id", snapshot.to_string()),
        (
            "parent-snapshot-id",
            parent.map_or_else(|| "null".to_owned(), |parent| parent.to_string()),
        ),
        ("sequence-number", sequence.to_string()),
        ("format-version", "2".to_owned()),
    ];
    let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let datum = |manifest: &Listed| {
        let [existing, added, deleted] = manifest.counts;
        let mut datum = Datum::default();
        datum
            .string(&manifest.path)
            .long(long(manifest.bytes as u64))
            .long(0)
            .long(manifest.content as i64);
        datum.long(sequence).long(manifest.min_sequence).long(snapshot);
        datum.long(long(added.0)).long(long(existing.0)).long(long(deleted.0));
        datum.long(long(added.1)).long(long(existing.1)).long(long(deleted.1));
        datum
    };
    let data: Vec<Datum> = manifests.iter().map(datum).collect();
    avro::file(&schema, &metadata, marker, &data)
}
