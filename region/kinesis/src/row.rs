//! What is stored of a destination: what its owner said, and how far each log has come.

use bytes::Bytes;
use geodynamo_table::{
    TableError,
    kinesis::{DestinationStatus, Precision},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A destination, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// The table's id.
    #[serde(rename = "i")]
    pub(crate) table: u64,
    /// The stream's ARN.
    #[serde(rename = "s")]
    pub(crate) stream: String,
    /// Its status: only those that last.
    #[serde(rename = "t")]
    pub(crate) status: StoredStatus,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) microseconds: Option<bool>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum StoredStatus {
    #[serde(rename = "e")]
    Enabling,
    #[serde(rename = "a")]
    Active,
    #[serde(rename = "d")]
    Disabled,
    #[serde(rename = "f")]
    Failed,
}

impl StoredStatus {
    pub(crate) fn shown(self) -> DestinationStatus {
        match self {
            Self::Enabling => DestinationStatus::Enabling,
            Self::Active => DestinationStatus::Active,
            Self::Disabled => DestinationStatus::Disabled,
            Self::Failed => DestinationStatus::EnableFailed,
        }
    }

    /// Whether the table's changes are for it.
    pub(crate) fn is_fed(self) -> bool {
        matches!(self, Self::Enabling | Self::Active)
    }
}

impl Stored {
    pub(crate) fn precision(&self) -> Option<Precision> {
        self.microseconds.map(|microseconds| match microseconds {
            true => Precision::Microsecond,
            false => Precision::Millisecond,
        })
    }

    pub(crate) fn set_precision(&mut self, precision: Option<Precision>) {
        self.microseconds = precision.map(|precision| precision == Precision::Microsecond);
    }
}

/// A row, read.
pub(crate) enum Row {
    Destination(Stored),
    /// Of a stream and a partition: the last position that the stream has.
    At(String, u16, u64),
}

pub(crate) fn destination_row(stream: &str) -> Bytes {
    format!("to/{stream}").into()
}

pub(crate) fn position_row(stream: &str, partition: u16) -> Bytes {
    format!("at/{partition:04x}/{stream}").into()
}

pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Bytes, TableError> {
    let packed = rmp_serde::to_vec_named(value);
    let packed =
        packed.map_err(|error| TableError::Corrupt(format!("a destination's row cannot be written: {error}")))?;
    Ok(packed.into())
}

/// Reads a row; `None` for a kind that a newer release has.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Option<Row>, TableError> {
    let corrupt = |reason: &str| TableError::Corrupt(format!("a destination's row cannot be read: {reason}"));
    let name = std::str::from_utf8(key).map_err(|_| corrupt("its name"))?;
    match name.split_once('/') {
        Some(("to", _)) => Ok(Some(Row::Destination(unpack(value)?))),
        Some(("at", rest)) => {
            let (partition, stream) = rest.split_once('/').ok_or_else(|| corrupt(name))?;
            let partition = u16::from_str_radix(partition, 16).map_err(|_| corrupt(name))?;
            Ok(Some(Row::At(stream.to_owned(), partition, unpack(value)?)))
        }
        _ => Ok(None),
    }
}

fn unpack<T: DeserializeOwned>(value: &[u8]) -> Result<T, TableError> {
    rmp_serde::from_slice(value)
        .map_err(|error| TableError::Corrupt(format!("a destination's row cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows outlive releases: what was written once is read for ever.
    #[test]
    fn golden_rows() {
        let stored = Stored {
            table: 17,
            stream: "arn:aws:kinesis:us-east-1:000000000000:stream/changes".into(),
            status: StoredStatus::Active,
            microseconds: Some(true),
            reason: None,
        };
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        for (name, packed) in [
            ("destination", pack(&stored).unwrap()),
            ("position", pack(&7_u64).unwrap()),
        ] {
            let path = folder.join(format!("{name}.msgpack"));
            if std::env::var_os("WRITE_GOLDEN").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &packed).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), packed, "{name}");
        }
        let kept = std::fs::read(folder.join("destination.msgpack")).unwrap();
        let found = read(&destination_row(&stored.stream), &kept);
        assert!(matches!(found, Ok(Some(Row::Destination(found))) if found == stored));
        let kept = std::fs::read(folder.join("position.msgpack")).unwrap();
        let found = read(&position_row(&stored.stream, 0x1f), &kept);
        assert!(matches!(found, Ok(Some(Row::At(stream, 0x1f, 7))) if stream == stored.stream));
        assert!(matches!(read(b"newer/x", b""), Ok(None)));
        assert!(read(b"at/x", &[7]).is_err() && read(b"to/x", b"x").is_err() && read(b"\xff", b"").is_err());
    }
}
