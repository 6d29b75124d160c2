//! What a copy has in its folder: written beside Iceberg's own metadata, which is a function of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::schema::Columns;

/// The most snapshots that a table has, however young.
const SNAPSHOTS_MAX: usize = 500;
/// Metadata files that are kept behind the newest.
pub(super) const METADATA_KEPT: u64 = 20;
/// Names in a snapshot's summary.
pub(super) const STATE: &str = "geodynamo.state";
const EPOCH: &str = "geodynamo.epoch";
const POSITIONS: &str = "geodynamo.positions";

/// What there is. Names are relative to the table's folder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The number of the metadata file that goes with it.
    pub(super) version: u64,
    pub(super) uuid: String,
    /// The schemas that snapshots have, the current one last.
    pub(super) schemas: Vec<Columns>,
    /// The files of rows, which have each item once, as long as the places of their deleted rows are passed over.
    pub(super) files: Vec<DataFile>,
    /// Files that the newest snapshot does not have any more.
    pub(super) gone: Vec<Gone>,
    /// Snapshots, the newest last.
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) epoch: String,
    pub(super) positions: Vec<u64>,
}

/// A file of rows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct DataFile {
    pub(super) file: File,
    /// About what its rows take in memory.
    pub(super) raw: u64,
    /// The places of the rows that are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deletes: Option<File>,
}

/// A file, and when it was added.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The snapshot that added it, and its sequence number.
    pub(super) snapshot: i64,
    pub(super) sequence: i64,
}

/// A file that snapshots before this one may have.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Gone {
    pub(super) name: String,
    pub(super) sequence: i64,
}

/// A snapshot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<i64>,
    pub(super) sequence: i64,
    pub(super) ms: u64,
    pub(super) schema: i32,
    pub(super) summary: BTreeMap<String, String>,
}

impl Snapshot {
    /// As Iceberg's metadata has it.
    pub(super) fn json(&self, location: &str) -> Value {
        let mut json = json!({
            "snapshot-id": self.id,
            "sequence-number": self.sequence,
            "timestamp-ms": self.ms,
            "manifest-list": format!("{location}/{}", list(self.id)),
            "summary": self.summary,
            "schema-id": self.schema,
        });
        if let (Some(parent), Some(json)) = (self.parent, json.as_object_mut()) {
            json.insert("parent-snapshot-id".into(), parent.into());
        }
        json
    }
}

/// A snapshot's own files.
pub(super) fn list(id: i64) -> String {
    format!("metadata/snap-{id}.avro")
}

pub(super) fn manifest(id: i64, content: &str) -> String {
    format!("metadata/{id}-{content}.avro")
}

pub(super) fn state(id: i64) -> String {
    format!("metadata/{id}-state.json")
}

/// The metadata file with a number.
pub(super) fn metadata(version: u64) -> String {
    format!("metadata/v{version}.metadata.json")
}

/// Where the digests of a file's rows are.
pub(super) fn digests(name: &str) -> String {
    let name = name.strip_prefix("data/").unwrap_or(name);
    format!("keys/{}", name.replace(".parquet", ".keys"))
}

impl State {
    /// Of a table that is not there yet.
    pub(super) fn new() -> Self {
        let bytes: [u8; 16] = rand::random();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let uuid = [
            &hex[..8],
            &hex[8..12],
            &format!("4{}", &hex[13..16]),
            &format!("8{}", &hex[17..20]),
            &hex[20..],
        ];
        Self {
            version: 0,
            uuid: uuid.join("-"),
            schemas: Vec::new(),
            files: Vec::new(),
            gone: Vec::new(),
            snapshots: Vec::new(),
            epoch: String::new(),
            positions: Vec::new(),
        }
    }

    pub(super) fn sequence(&self) -> i64 {
        self.snapshots.last().map_or(0, |snapshot| snapshot.sequence)
    }

    /// Makes columns the current ones. What more they have than those before makes another schema of them.
    pub(super) fn take_columns(&mut self, mut columns: Columns) {
        let Some(last) = self.schemas.last() else {
            return self.schemas.push(columns);
        };
        if *last != columns {
            columns.id = last.id + 1;
            self.schemas.push(columns);
        }
    }

    /// Notes that files are not in the table from a snapshot on.
    pub(super) fn drop_files<'a>(&mut self, names: impl Iterator<Item = &'a str>, sequence: i64) {
        self.gone.extend(names.map(|name| Gone {
            name: name.to_owned(),
            sequence,
        }));
    }

    /// Adds a snapshot of what there is now.
    pub(super) fn add_snapshot(&mut self, id: i64, ms: u64, operation: &str, changed: &[(&str, u64)]) {
        let sum = |of: &dyn Fn(&DataFile) -> u64| self.files.iter().map(of).sum::<u64>().to_string();
        let deletes = |of: &dyn Fn(&File) -> u64| sum(&|file| file.deletes.as_ref().map_or(0, of));
        let mut summary: BTreeMap<String, String> = [
            ("operation", operation.to_owned()),
            ("total-data-files", self.files.len().to_string()),
            ("total-delete-files", deletes(&|_| 1)),
            ("total-records", sum(&|file| file.file.rows)),
            ("total-position-deletes", deletes(&|file| file.rows)),
            ("total-equality-deletes", "0".to_owned()),
            (
                "total-files-size",
                sum(&|file| file.file.bytes + file.deletes.as_ref().map_or(0, |file| file.bytes)),
            ),
            (STATE, state(id)),
            (EPOCH, self.epoch.clone()),
            (
                POSITIONS,
                self.positions.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
            ),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        summary.extend(
            changed
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| ((*name).into(), count.to_string())),
        );
        self.snapshots.push(Snapshot {
            id,
            parent: self.snapshots.last().map(|snapshot| snapshot.id),
            sequence: self.sequence() + 1,
            // Later than the one before, whatever the clock says.
            ms: ms.max(self.snapshots.last().map_or(0, |snapshot| snapshot.ms)),
            schema: self.schemas.last().map_or(0, |columns| columns.id),
            summary,
        });
    }

    /// Takes out snapshots that are older than a moment, all but the newest; gives the files that nothing has any more.
    pub(super) fn expire(&mut self, before_ms: u64) -> Vec<String> {
        let old = self
            .snapshots
            .iter()
            .take_while(|snapshot| snapshot.ms < before_ms)
            .count();
        let many = self.snapshots.len().saturating_sub(SNAPSHOTS_MAX);
        let count = old.max(many).min(self.snapshots.len().saturating_sub(1));
        let mut names = Vec::new();
        for snapshot in self.snapshots.drain(..count) {
            names.extend([
                list(snapshot.id),
                manifest(snapshot.id, "data"),
                manifest(snapshot.id, "deletes"),
            ]);
        }
        // Files know their fields by ids, so they need no schema but the current one.
        let current = self.schemas.last().map(|columns| columns.id);
        let needed = |id: i32| Some(id) == current || self.snapshots.iter().any(|snapshot| snapshot.schema == id);
        self.schemas.retain(|columns| needed(columns.id));
        let first = self.snapshots.first().map_or(0, |snapshot| snapshot.sequence);
        for gone in std::mem::take(&mut self.gone) {
            if gone.sequence > first {
                self.gone.push(gone);
            } else {
                if gone.name.starts_with("data/") && !gone.name.ends_with(".deletes.parquet") {
                    names.push(digests(&gone.name));
                }
                names.push(gone.name);
            }
        }
        names
    }

    /// Iceberg's metadata.
    pub(super) fn json(&self, location: &str) -> Value {
        let current = self.snapshots.last().map_or(-1, |snapshot| snapshot.id);
        let log = |snapshot: &Snapshot| json!({"snapshot-id": snapshot.id, "timestamp-ms": snapshot.ms});
        json!({
            "format-version": 2,
            "table-uuid": self.uuid,
            "location": location,
            "last-sequence-number": self.sequence(),
            "last-updated-ms": self.snapshots.last().map_or(0, |snapshot| snapshot.ms),
            "last-column-id": self.schemas.last().map_or(0, Columns::last_field),
            "schemas": self.schemas.iter().map(Columns::json).collect::<Vec<_>>(),
            "current-schema-id": self.schemas.last().map_or(0, |columns| columns.id),
            "partition-specs": [{"spec-id": 0, "fields": []}],
            "default-spec-id": 0,
            "last-partition-id": 999,
            "sort-orders": [{"order-id": 0, "fields": []}],
            "default-sort-order-id": 0,
            "properties": {"write.format.default": "parquet", "write.delete.mode": "merge-on-read"},
            "current-snapshot-id": current,
            "refs": {"main": {"snapshot-id": current, "type": "branch"}},
            "snapshots": self.snapshots.iter().map(|snapshot| snapshot.json(location)).collect::<Vec<_>>(),
            "snapshot-log": self.snapshots.iter().map(log).collect::<Vec<_>>(),
            "metadata-log": [],
            "statistics": [],
            "partition-statistics": [],
        })
    }
}
