//! How an export's files are named.

/// An export's id: when it began, in milliseconds since 1970 with 14 digits, and eight hexadecimal digits.
pub fn export_id(started_ms: u64, random: u32) -> String {
    format!("{started_ms:014}-{random:08x}")
}

/// The folder of an export's files below its prefix, without a slash at its end.
pub fn folder(prefix: Option<&str>, export_id: &str) -> String {
    in_prefix(prefix, &format!("AWSDynamoDB/{export_id}"))
}

/// A data file of a full export.
pub fn data_file(folder: &str, name: &str, extension: &str) -> String {
    format!("{folder}/data/{name}.{extension}")
}

/// A data file of an incremental export; all incremental exports to one prefix share the folder.
pub fn incremental_data_file(prefix: Option<&str>, name: &str, extension: &str) -> String {
    in_prefix(prefix, &format!("AWSDynamoDB/data/{name}.{extension}"))
}

/// The manifest's files and what else stands in an export's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Empty; there from the beginning.
    pub started: String,
    /// The summary.
    pub summary: String,
    /// Its MD5 in Base64.
    pub summary_checksum: String,
    /// A line for each data file.
    pub files: String,
    /// Its MD5 in Base64.
    pub files_checksum: String,
}

impl Files {
    /// Those of a folder.
    pub fn of(folder: &str) -> Self {
        let file = |name: &str| format!("{folder}/{name}");
        Self {
            started: file("_started"),
            summary: file("manifest-summary.json"),
            summary_checksum: file("manifest-summary.checksum"),
            files: file("manifest-files.json"),
            files_checksum: file("manifest-files.checksum"),
        }
    }
}

fn in_prefix(prefix: Option<&str>, rest: &str) -> String {
    match prefix.map(|prefix| prefix.trim_end_matches('/')) {
        None | Some("") => rest.to_owned(),
        Some(prefix) => format!("{prefix}/{rest}"),
    }
}
