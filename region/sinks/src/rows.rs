//! What a replica keeps of its sinks: those that an operator added, and which copies are theirs.

use bytes::Bytes;
use geodynamo_table::TableError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::SinkSpec;

/// The group of all rows.
pub(crate) const GROUP: u64 = 0;

/// Which copy is a sink's. A copy that says something else of itself is not it, and is begun anew. There is a new one whenever
/// changes may be missing behind the copy: the table is another, its logs are, the target is, they were not held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Copy {
    /// The table's id.
    #[serde(rename = "t")]
    pub(crate) table: u64,
    /// What tells it from all others.
    #[serde(rename = "e")]
    pub(crate) epoch: String,
    /// A digest of where the copy is.
    #[serde(rename = "p")]
    pub(crate) place: u64,
}

/// A row, read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Row {
    /// A sink that an operator added.
    Sink(Box<SinkSpec>),
    /// The copy of the sink with this name.
    Copy(String, Copy),
}

pub(crate) fn sink_row(name: &str) -> Bytes {
    format!("sink/{name}").into()
}

pub(crate) fn copy_row(name: &str) -> Bytes {
    format!("copy/{name}").into()
}

pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Bytes, TableError> {
    let packed = rmp_serde::to_vec_named(value);
    let packed = packed.map_err(|error| TableError::Corrupt(format!("a sink's row cannot be written: {error}")))?;
    Ok(packed.into())
}

/// Reads a row; `None` for a kind that a newer release has.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Option<Row>, TableError> {
    let corrupt = || TableError::Corrupt("a sink's row cannot be read: its name".into());
    let name = std::str::from_utf8(key).map_err(|_| corrupt())?;
    match name.split_once('/') {
        Some(("sink", _)) => Ok(Some(Row::Sink(Box::new(unpack(value)?)))),
        Some(("copy", name)) => Ok(Some(Row::Copy(name.to_owned(), unpack(value)?))),
        _ => Ok(None),
    }
}

fn unpack<T: DeserializeOwned>(value: &[u8]) -> Result<T, TableError> {
    rmp_serde::from_slice(value).map_err(|error| TableError::Corrupt(format!("a sink's row cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Columns, Document, IcebergSpec, PostgresSpec};

    /// Rows outlive releases: what was written once is read for ever.
    #[test]
    fn golden_rows() {
        let spec = SinkSpec {
            name: "warehouse".into(),
            table: "orders".into(),
            postgres: Some(PostgresSpec {
                address: "postgres://reader@db.example/analytics".into(),
                password_file: Some("/etc/geodynamo/password".into()),
                ca_file: None,
                schema: "public".into(),
                into: None,
                document: Document::Dynamodb,
            }),
            iceberg: None,
        };
        let lake = SinkSpec {
            name: "lake".into(),
            postgres: None,
            iceberg: Some(IcebergSpec::at("s3://bucket/prefix".into())),
            ..spec.clone()
        };
        let mut iceberg = IcebergSpec::at("s3://bucket/prefix".into());
        iceberg.columns = Columns::Typed;
        iceberg.catalog = Some("https://catalog.example/api/catalog".into());
        iceberg.catalog_ca_file = Some("/etc/geodynamo/ca.pem".into());
        iceberg.warehouse = Some("lake".into());
        iceberg.namespace = Some("shop.sales".into());
        iceberg.client_id = Some("geodynamo".into());
        iceberg.client_secret_file = Some("/etc/geodynamo/catalog-secret".into());
        iceberg.oauth2_server = Some("https://login.example/oauth2/token".into());
        iceberg.scope = Some("PRINCIPAL_ROLE:ALL".into());
        let catalogued = SinkSpec {
            name: "catalogued".into(),
            iceberg: Some(iceberg),
            ..lake.clone()
        };
        let copy = Copy {
            table: 17,
            epoch: "00000000000000070000000000000009".into(),
            place: 3,
        };
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let cases = [
            (sink_row("warehouse"), pack(&spec).unwrap(), Row::Sink(Box::new(spec))),
            (sink_row("lake"), pack(&lake).unwrap(), Row::Sink(Box::new(lake))),
            (
                sink_row("catalogued"),
                pack(&catalogued).unwrap(),
                Row::Sink(Box::new(catalogued)),
            ),
            (
                copy_row("warehouse"),
                pack(&copy).unwrap(),
                Row::Copy("warehouse".into(), copy),
            ),
        ];
        for (key, packed, row) in cases {
            let name = String::from_utf8_lossy(&key).replace('/', "-");
            let path = folder.join(format!("{name}.msgpack"));
            if std::env::var_os("WRITE_GOLDEN").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &packed).unwrap();
            }
            let kept = std::fs::read(&path).unwrap();
            assert_eq!(kept, packed, "{name}");
            assert_eq!(read(&key, &kept).unwrap(), Some(row));
        }
        assert!(matches!(read(b"newer/x", b""), Ok(None)));
        assert!(read(b"copy/x", b"x").is_err() && read(b"\xff", b"").is_err());
    }
}
