//! The manifest of an export.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use serde::Serialize;

/// The version that a full export's summary names.
pub const FULL_VERSION: &str = "2020-06-30";
/// The version that an incremental export's summary names.
pub const INCREMENTAL_VERSION: &str = "2023-08-01";

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

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

/// A moment in milliseconds since 1970 as manifests tell it: ISO 8601 in UTC, with milliseconds.
pub fn iso8601(ms: u64) -> String {
    let (days, of_day) = (ms / DAY_MS, ms % DAY_MS);
    // Howard Hinnant's days-to-civil, with years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (seconds, millis) = (of_day / 1_000, of_day % 1_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
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
