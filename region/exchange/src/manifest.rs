//! The manifest of an export.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use serde::Serialize;

/// The version that a full export's summary names.
pub const FULL_VERSION: &str = "2020-06-30";
/// The version that an incremental export's summary names.
pub const INCREMENTAL_VERSION: &str = "2023-08-01";

/// `manifest-summary.json`. Times are ISO 8601 in UTC with milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// [`FULL_VERSION`] or [`INCREMENTAL_VERSION`].
    pub version: &'static str,
    /// The export.
    pub export_arn: String,
    /// When it began.
    pub start_time: String,
    /// When it ended.
    pub end_time: String,
    /// The table.
    pub table_arn: String,
    /// Its id.
    pub table_id: String,
    /// The moment of a full export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_time: Option<String>,
    /// `INCREMENTAL_EXPORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_type: Option<&'static str>,
    /// The begin of an incremental export's window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_from_time: Option<String>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_to_time: Option<String>,
    /// `NEW_IMAGE` or `NEW_AND_OLD_IMAGES`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_view: Option<String>,
    /// The bucket.
    pub s3_bucket: String,
    /// The prefix.
    pub s3_prefix: Option<String>,
    /// `AES256` or `KMS`.
    pub s3_sse_algorithm: String,
    /// The key of `KMS`.
    pub s3_sse_kms_key_id: Option<String>,
    /// Where `manifest-files.json` is.
    pub manifest_files_s3_key: String,
    /// The table's size.
    pub billed_size_bytes: u64,
    /// Lines in all data files.
    pub item_count: u64,
    /// `DYNAMODB_JSON` or `ION`.
    pub output_format: &'static str,
}

/// A line of `manifest-files.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataFile {
    /// Its lines.
    pub item_count: u64,
    /// The MD5 of its bytes, in Base64.
    pub md5_checksum: String,
    /// The ETag that S3 gives it as an upload of one part.
    pub etag: String,
    /// Where it is.
    pub data_file_s3_key: String,
}

impl DataFile {
    /// Describes a file by its bytes.
    pub fn of(key: String, bytes: &[u8], items: u64) -> Self {
        let md5 = Md5::digest(bytes);
        let hex: String = Md5::digest(md5).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            item_count: items,
            md5_checksum: STANDARD.encode(md5),
            etag: format!("{hex}-1"),
            data_file_s3_key: key,
        }
    }
}

/// The text of `manifest-files.json`.
pub fn files(files: &[DataFile]) -> String {
    files.iter().fold(String::new(), |mut text, file| {
        // Strings and numbers only: this cannot fail.
        text.push_str(&serde_json::to_string(file).unwrap_or_default());
        text.push('\n');
        text
    })
}

/// The text of a `.checksum` file: the MD5 of a manifest's bytes, in Base64.
pub fn checksum(manifest: &[u8]) -> String {
    STANDARD.encode(Md5::digest(manifest))
}
