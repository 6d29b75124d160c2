//! What is stored of a stream: a row that says what it is, and a row for each generation of its shards.
//!
//! All rows of a table are in one group, so that they can be written together on any engine. They outlive the table: a
//! deleted table's stream can be read until its records are too old.

use bytes::Bytes;
use geodynamo_replicator_core::{Millis, Position};
use geodynamo_storage::Write;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Result, TableError,
    layout::keys,
    schema::{KeySchema, StreamView},
    table::registers::pack,
};

/// What a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The table's name.
    #[serde(rename = "n")]
    pub(crate) table: String,
    /// The table's keys.
    #[serde(rename = "k")]
    pub(crate) keys: KeySchema,
    /// What its records show.
    #[serde(rename = "v")]
    pub(crate) view: StreamView,
    /// When it was switched on here, in milliseconds since the Unix epoch.
    #[serde(rename = "o")]
    pub(crate) opened_ms: Millis,
    /// What is added to positions to make sequence numbers.
    #[serde(rename = "b")]
    pub(crate) base: u64,
    /// The label that the table's setting gives it, if that is another region's.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) follows: Option<Millis>,
    /// Once it is switched off.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed: Option<Closed>,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    /// When, in milliseconds since the Unix epoch.
    #[serde(rename = "t")]
    pub(crate) ms: Millis,
    /// The last position of each partition's log that is the stream's.
    #[serde(rename = "e")]
    pub(crate) ends: Vec<Position>,
}

/// The shards of one time: one for each partition. The next generation's starts are their ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    /// The time in the shards' ids. It grows from generation to generation, whatever the clock does.
    #[serde(rename = "i")]
    pub(crate) id_ms: Millis,
    /// When it began by the clock, in milliseconds since the Unix epoch.
    #[serde(rename = "s")]
    pub(crate) started_ms: Millis,
    /// The time in the parents' ids; none for the stream's first shards.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Millis>,
    /// Of each partition's log, the last position that is not the shard's yet.
    #[serde(rename = "a")]
    pub(crate) starts: Vec<Position>,
}

/// A row, read.
#[derive(Debug)]
pub(crate) enum Row {
    Header(Header),
    Generation(u32, Generation),
}

impl Row {
    /// Reads a row: its table, its stream's label, and what it says.
    pub(crate) fn read(key: &Bytes, value: &[u8]) -> Result<(u64, Millis, Self)> {
        let corrupt = || TableError::Corrupt("a stream's row cannot be read".into());
        let rest = keys::rest(key);
        let (label, number) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
        let row = match number {
            [] => Self::Header(unpack(value)?),
            number => {
                let number = number.try_into().map_err(|_| corrupt())?;
                Self::Generation(u32::from_be_bytes(number), unpack(value)?)
            }
        };
        Ok((keys::owner_of(key), u64::from_be_bytes(*label), row))
    }
}

/// Writes a stream's header.
pub(crate) fn put_header(table: u64, label: Millis, header: &Header) -> Result<Write> {
    Ok(Write::Put(keys::stream(table, label), pack(header)?))
}

/// Writes a generation.
pub(crate) fn put_generation(table: u64, label: Millis, number: u32, generation: &Generation) -> Result<Write> {
    Ok(Write::Put(
        keys::stream_generation(table, label, number),
        pack(generation)?,
    ))
}

fn unpack<T: DeserializeOwned>(value: &[u8]) -> Result<T> {
    rmp_serde::from_slice(value).map_err(|error| TableError::Corrupt(format!("a stream's row cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{KeyAttribute, KeyType};

    fn samples() -> Vec<(&'static str, Bytes)> {
        let partition = KeyAttribute {
            name: "p".into(),
            kind: KeyType::S,
        };
        let keys = KeySchema::new(partition, None);
        let open = Header {
            table: "t".into(),
            keys,
            view: StreamView::NewAndOldImages,
            opened_ms: 1_763_890_000_000,
            base: 7,
            follows: None,
            closed: None,
        };
        let replicas = Header {
            follows: Some(1_763_890_000_000),
            ..open.clone()
        };
        let closed = Header {
            closed: Some(Closed {
                ms: 1_763_890_000_001,
                ends: vec![Position(3), Position(300)],
            }),
            ..open.clone()
        };
        let first = Generation {
            id_ms: 1_763_890_000_000,
            started_ms: 1_763_890_000_000,
            parent: None,
            starts: vec![Position(0), Position(2)],
        };
        let second = Generation {
            id_ms: 1_763_890_000_001,
            parent: Some(first.id_ms),
            ..first.clone()
        };
        let put = |write: Result<Write>| match write.unwrap() {
            Write::Put(key, value) => [key, value].concat().into(),
            other => panic!("{other:?}"),
        };
        vec![
            ("open", put(put_header(5, 9, &open))),
            ("closed", put(put_header(5, 9, &closed))),
            ("replicas", put(put_header(5, 9, &replicas))),
            ("first", put(put_generation(5, 9, 0, &first))),
            ("second", put(put_generation(5, 9, 1, &second))),
        ]
    }

    #[test]
    fn the_rows_are_the_golden_files() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/stream-rows-1.hex");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let written: Vec<_> = samples()
            .iter()
            .map(|(name, row)| format!("{name} {}", hex(row)))
            .collect();
        let golden = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = golden.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, written);
        for (name, bytes) in samples() {
            let at = if name == "first" || name == "second" { 29 } else { 25 };
            let (table, label, row) = Row::read(&bytes.slice(..at), &bytes[at..]).unwrap();
            assert_eq!((table, label), (5, 9));
            let again = match row {
                Row::Header(header) => put_header(5, 9, &header),
                Row::Generation(number, generation) => put_generation(5, 9, number, &generation),
            };
            assert!(matches!(again.unwrap(), Write::Put(_, value) if value == bytes.slice(at..)));
        }
    }

    #[test]
    fn damaged_rows_are_refused() {
        let key = keys::stream(5, 9);
        assert!(Row::read(&key, b"").is_err());
        assert!(Row::read(&key.slice(..20), b"").is_err());
        assert!(Row::read(&keys::stream_generation(5, 9, 1).slice(..27), b"").is_err());
    }
}
