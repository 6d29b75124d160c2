//! Parquet files: of rows, and of places of rows that are deleted.

use std::sync::Arc;

use bytes::Bytes;
use parquet::{
    basic::Compression,
    column::{reader::ColumnReader, writer::ColumnWriter},
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    schema::{parser::parse_message_type, types::TypePtr},
};

use super::schema::{Cell, Columns, DIGEST_BYTES, Digest, Kind, Row};
use crate::{
    names::{ITEM, KEY},
    target::TargetError,
};

type Result<T> = std::result::Result<T, TargetError>;

/// Iceberg's ids of the fields of files of deleted rows' places.
const PATH_FIELD: i32 = 2_147_483_546;
const PLACE_FIELD: i32 = 2_147_483_545;
/// Values read at a time.
const READ_VALUES: usize = 8192;

impl From<ParquetError> for TargetError {
    fn from(error: ParquetError) -> Self {
        Self(format!("Parquet: {error}"))
    }
}

/// A file of rows, which are sorted by their digests.
pub(super) fn rows(columns: &Columns, rows: &[Row]) -> Result<Bytes> {
    let mut text = format!("message item {{ required binary k = {}; ", columns.first_field);
    for (place, column) in columns.keys.iter().enumerate() {
        let id = columns.first_field + 1 + i32::try_from(place).unwrap_or(0);
        let kind = match column.kind {
            Kind::Text => "binary",
            Kind::Double => "double",
            Kind::Binary => "binary",
        };
        let logical = if column.kind == Kind::Text { " (STRING)" } else { "" };
        text.push_str(&format!("required {kind} c{place}{logical} = {id}; "));
    }
    text.push_str(&format!("required binary i (STRING) = {}; }}", columns.last_field()));
    let names = std::iter::once(KEY)
        .chain(columns.keys.iter().map(|column| column.name.as_str()))
        .chain([ITEM]);
    write(&renamed(&text, names)?, |place, writer| match writer {
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let value = |row: &Row| match (place, row.keys.get(place.wrapping_sub(1))) {
                (0, _) => ByteArray::from(row.digest.to_vec()),
                (_, Some(Cell::Text(text))) => ByteArray::from(text.as_str()),
                (_, Some(Cell::Binary(binary))) => ByteArray::from(binary.clone()),
                _ => ByteArray::from(row.item.as_str()),
            };
            let values: Vec<ByteArray> = rows.iter().map(value).collect();
            writer.write_batch(&values, None, None)
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            let value = |row: &Row| match row.keys.get(place.wrapping_sub(1)) {
                Some(Cell::Double(number)) => *number,
                _ => f64::NAN,
            };
            let values: Vec<f64> = rows.iter().map(value).collect();
            writer.write_batch(&values, None, None)
        }
        _ => Ok(0),
    })
}

/// A file of places of deleted rows of one file.
pub(super) fn places(path: &str, places: &[u32]) -> Result<Bytes> {
    let text = format!(
        "message delete {{ required binary file_path (STRING) = {PATH_FIELD}; required int64 pos = {PLACE_FIELD}; }}"
    );
    let schema = Arc::new(parse_message_type(&text)?);
    write(&schema, |_, writer| match writer {
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            writer.write_batch(&vec![ByteArray::from(path); places.len()], None, None)
        }
        ColumnWriter::Int64ColumnWriter(writer) => {
            let values: Vec<i64> = places.iter().map(|place| i64::from(*place)).collect();
            writer.write_batch(&values, None, None)
        }
        _ => Ok(0),
    })
}

/// The schema of a text with other names: those of attributes can be such as no text has.
fn renamed<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Result<TypePtr> {
    use parquet::schema::types::Type;
    let parsed = parse_message_type(text)?;
    let mut fields = Vec::new();
    for (field, name) in parsed.get_fields().iter().zip(names) {
        let info = field.get_basic_info();
        let built = Type::primitive_type_builder(name, field.get_physical_type())
            .with_repetition(info.repetition())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_converted_type(info.converted_type())
            .with_id(Some(info.id()))
            .build()?;
        fields.push(Arc::new(built));
    }
    Ok(Arc::new(Type::group_type_builder("item").with_fields(fields).build()?))
}

fn write(
    schema: &TypePtr,
    mut column: impl FnMut(usize, &mut ColumnWriter<'_>) -> std::result::Result<usize, ParquetError>,
) -> Result<Bytes> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, Arc::clone(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let mut place = 0;
    while let Some(mut next) = group.next_column()? {
        column(place, next.untyped())?;
        next.close()?;
        place += 1;
    }
    group.close()?;
    writer.close()?;
    Ok(out.into())
}

/// What is in a file of rows.
pub(super) fn read_rows(columns: &Columns, file: Bytes) -> Result<Vec<Row>> {
    let reader = SerializedFileReader::new(file)?;
    let mut rows: Vec<Row> = Vec::new();
    let last = columns.keys.len() + 1;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let first = rows.len();
        for place in 0..=last {
            let found = values(group.get_column_reader(place)?)?;
            for (number, cell) in found.into_iter().enumerate() {
                match (place, cell) {
                    (0, Cell::Binary(bytes)) => rows.push(Row {
                        digest: bytes.first_chunk().copied().unwrap_or([0; DIGEST_BYTES]),
                        keys: Vec::with_capacity(columns.keys.len()),
                        item: String::new(),
                    }),
                    (_, cell) => {
                        let row = rows.get_mut(first + number).ok_or_else(uneven)?;
                        let kind = columns.keys.get(place.wrapping_sub(1)).map(|column| column.kind);
                        match (kind, cell) {
                            (Some(Kind::Text), Cell::Binary(bytes)) => row.keys.push(Cell::Text(text(bytes)?)),
                            (Some(_), cell) => row.keys.push(cell),
                            (None, Cell::Binary(bytes)) => row.item = text(bytes)?,
                            (None, _) => return Err(uneven()),
                        }
                    }
                }
            }
        }
    }
    Ok(rows)
}

/// The places in a file of places.
pub(super) fn read_places(file: Bytes) -> Result<Vec<u32>> {
    let reader = SerializedFileReader::new(file)?;
    let mut places = Vec::new();
    for group in 0..reader.num_row_groups() {
        let ColumnReader::Int64ColumnReader(mut column) = reader.get_row_group(group)?.get_column_reader(1)? else {
            return Err(uneven());
        };
        let mut values: Vec<i64> = Vec::new();
        loop {
            let (read, _, _) = column.read_records(READ_VALUES, None, None, &mut values)?;
            if read == 0 {
                break;
            }
        }
        places.extend(values.into_iter().map(|place| u32::try_from(place).unwrap_or(u32::MAX)));
    }
    Ok(places)
}

fn values(column: ColumnReader) -> Result<Vec<Cell>> {
    match column {
        ColumnReader::ByteArrayColumnReader(mut column) => {
            let mut values: Vec<ByteArray> = Vec::new();
            while column.read_records(READ_VALUES, None, None, &mut values)?.0 > 0 {}
            Ok(values
                .into_iter()
                .map(|value| Cell::Binary(value.data().to_vec()))
                .collect())
        }
        ColumnReader::DoubleColumnReader(mut column) => {
            let mut values: Vec<f64> = Vec::new();
            while column.read_records(READ_VALUES, None, None, &mut values)?.0 > 0 {}
            Ok(values.into_iter().map(Cell::Double).collect())
        }
        _ => Err(uneven()),
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| uneven())
}

fn uneven() -> TargetError {
    TargetError("a file of the copy's is not as it was written".into())
}

/// The digests of sorted rows, one after the other: what is looked through for a row, and no part of what Iceberg knows.
pub(super) fn digests(rows: &[Row]) -> Bytes {
    rows.iter().flat_map(|row| row.digest).collect::<Vec<u8>>().into()
}

/// The place of a digest among sorted ones.
pub(super) fn find(digests: &[u8], wanted: &Digest) -> Option<u32> {
    let (all, _) = digests.as_chunks::<DIGEST_BYTES>();
    let place = all.binary_search(wanted).ok()?;
    u32::try_from(place).ok()
}
