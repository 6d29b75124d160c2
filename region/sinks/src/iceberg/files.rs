//! Parquet files: of rows, and of places of rows that are deleted.

use std::sync::Arc;

use bytes::Bytes;
use parquet::{
    basic::Compression,
    column::{
        reader::{ColumnReader, ColumnReaderImpl},
        writer::{ColumnWriter, ColumnWriterImpl},
    },
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    schema::{
        parser::parse_message_type,
        types::{Type, TypePtr},
    },
};

use super::{
    schema::{Cell, Columns, DIGEST_BYTES, Digest, Kind, Row},
    typed,
};
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
    let schema = schema(columns)?;
    // Leaves are in the order of the columns, with one for each.
    let (keys, item) = (columns.keys.len(), columns.keys.len() + 1);
    write(&schema, |place, writer| match place {
        0 => binaries(
            writer,
            rows.iter().map(|row| ByteArray::from(row.digest.to_vec())),
            None,
        ),
        _ if place <= keys => key(writer, rows, place - 1),
        _ if place == item => binaries(writer, rows.iter().map(|row| ByteArray::from(row.item.as_str())), None),
        _ => {
            let place = place - item - 1;
            let kind = columns.attributes.get(place).map(|column| column.kind);
            attribute(writer, rows, place, matches!(kind, Some(typed::Kind::Many(_))))
        }
    })
}

/// The schema of files of rows.
fn schema(columns: &Columns) -> Result<TypePtr> {
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
    text.push_str(&format!("required binary i (STRING) = {}; ", columns.item_field()));
    for (place, column) in columns.attributes.iter().enumerate() {
        let field = column.field;
        text.push_str(&match column.kind {
            typed::Kind::One(scalar) => {
                let (kind, logical) = scalar.parquet();
                format!("optional {kind} a{place}{logical} = {field}; ")
            }
            typed::Kind::Json => format!("optional binary a{place} (STRING) = {field}; "),
            typed::Kind::Many(scalar) => {
                let (kind, logical) = scalar.parquet();
                let element = column.element.unwrap_or(field);
                format!(
                    "optional group a{place} (LIST) = {field} {{ repeated group list {{ required {kind} \
                     element{logical} = {element}; }} }} "
                )
            }
        });
    }
    text.push('}');
    let names = std::iter::once(KEY)
        .chain(columns.keys.iter().map(|column| column.name.as_str()))
        .chain([ITEM])
        .chain(columns.attributes.iter().map(|column| column.name.as_str()));
    renamed(&text, names)
}

/// Levels of a column: which values are there, and where lists begin.
type Levels<'a> = Option<(&'a [i16], Option<&'a [i16]>)>;

fn binaries(
    writer: &mut ColumnWriter<'_>,
    values: impl Iterator<Item = ByteArray>,
    levels: Levels<'_>,
) -> std::result::Result<usize, ParquetError> {
    let ColumnWriter::ByteArrayColumnWriter(writer) = writer else {
        return Err(not_of_the_kind());
    };
    write_values::<ByteArrayType>(writer, &values.collect::<Vec<_>>(), levels)
}

fn write_values<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    values: &[T::T],
    levels: Levels<'_>,
) -> std::result::Result<usize, ParquetError> {
    match levels {
        None => writer.write_batch(values, None, None),
        Some((there, begins)) => writer.write_batch(values, Some(there), begins),
    }
}

fn not_of_the_kind() -> ParquetError {
    ParquetError::General("a column is not of the kind of its values".into())
}

/// Writes the column of a key attribute.
fn key(writer: &mut ColumnWriter<'_>, rows: &[Row], place: usize) -> std::result::Result<usize, ParquetError> {
    let cells: Vec<&Cell> = rows.iter().filter_map(|row| row.keys.get(place)).collect();
    cells_of(writer, &cells, None)
}

/// Writes the column of an attribute, which rows may have or not.
fn attribute(
    writer: &mut ColumnWriter<'_>,
    rows: &[Row],
    place: usize,
    is_list: bool,
) -> std::result::Result<usize, ParquetError> {
    let found = rows.iter().map(|row| {
        let cells = &row.attributes;
        let found = cells.binary_search_by_key(&place, |(place, _)| *place).ok();
        found.and_then(|found| cells.get(found)).map(|(_, cell)| cell)
    });
    let found: Vec<Option<&Cell>> = found.collect();
    let (mut cells, mut there, mut begins) = (Vec::new(), Vec::new(), Vec::new());
    for cell in found {
        match cell {
            None => there.push(0),
            Some(Cell::List(elements)) => {
                if elements.is_empty() {
                    there.push(1);
                }
                there.extend(elements.iter().map(|_| 2));
                begins.extend((1..elements.len()).map(|_| 1).chain([0]).rev());
                cells.extend(elements);
                continue;
            }
            Some(cell) => {
                there.push(1);
                cells.push(cell);
            }
        }
        begins.push(0);
    }
    cells_of(writer, &cells, Some((&there, is_list.then_some(&begins))))
}

/// Writes cells, which are all of the column's kind.
fn cells_of(
    writer: &mut ColumnWriter<'_>,
    cells: &[&Cell],
    levels: Levels<'_>,
) -> std::result::Result<usize, ParquetError> {
    fn all<V>(cells: &[&Cell], value: impl Fn(&Cell) -> Option<V>) -> std::result::Result<Vec<V>, ParquetError> {
        cells
            .iter()
            .map(|cell| value(cell).ok_or_else(not_of_the_kind))
            .collect()
    }
    match writer {
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let values = all(cells, |cell| match cell {
                Cell::Text(text) => Some(ByteArray::from(text.as_str())),
                Cell::Binary(binary) => Some(ByteArray::from(binary.clone())),
                _ => None,
            })?;
            write_values::<ByteArrayType>(writer, &values, levels)
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            let values = all(cells, |cell| match cell {
                Cell::Double(number) => Some(*number),
                _ => None,
            })?;
            write_values::<DoubleType>(writer, &values, levels)
        }
        ColumnWriter::BoolColumnWriter(writer) => {
            let values = all(cells, |cell| match cell {
                Cell::Bool(value) => Some(*value),
                _ => None,
            })?;
            write_values::<BoolType>(writer, &values, levels)
        }
        ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
            let values = all(cells, |cell| match cell {
                Cell::Decimal(number) => Some(number.to_be_bytes().to_vec().into()),
                _ => None,
            })?;
            write_values::<FixedLenByteArrayType>(writer, &values, levels)
        }
        _ => Err(not_of_the_kind()),
    }
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
    let parsed = parse_message_type(text)?;
    let mut fields = Vec::new();
    for (field, name) in parsed.get_fields().iter().zip(names) {
        let info = field.get_basic_info();
        let built = if field.is_group() {
            Type::group_type_builder(name)
                .with_repetition(info.repetition())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_converted_type(info.converted_type())
                .with_id(Some(info.id()))
                .with_fields(field.get_fields().to_vec())
                .build()?
        } else {
            let (length, scale, precision) = match &**field {
                Type::PrimitiveType {
                    type_length,
                    scale,
                    precision,
                    ..
                } => (*type_length, *scale, *precision),
                Type::GroupType { .. } => (-1, -1, -1),
            };
            Type::primitive_type_builder(name, field.get_physical_type())
                .with_repetition(info.repetition())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_converted_type(info.converted_type())
                .with_length(length)
                .with_scale(scale)
                .with_precision(precision)
                .with_id(Some(info.id()))
                .build()?
        };
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

/// What is in a file of rows, whichever of the columns there were when it was written.
pub(super) fn read_rows(columns: &Columns, file: Bytes) -> Result<Vec<Row>> {
    let reader = SerializedFileReader::new(file)?;
    let described = reader.metadata().file_metadata().schema_descr_ptr();
    let mut rows: Vec<Row> = Vec::new();
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number)?;
        let first = rows.len();
        let count = usize::try_from(group.metadata().num_rows()).map_err(|_| uneven())?;
        rows.resize_with(first + count, || Row {
            digest: [0; DIGEST_BYTES],
            keys: Vec::with_capacity(columns.keys.len()),
            item: String::new(),
            attributes: Vec::new(),
        });
        let rows = rows.get_mut(first..).unwrap_or_default();
        for place in 0..described.num_columns() {
            let root = described.get_column_root(place).get_basic_info();
            let column = root.has_id().then(|| Part::of(columns, root.id())).flatten();
            let column = column.ok_or_else(uneven)?;
            let leaf = described.column(place);
            let levels = (leaf.max_def_level(), leaf.max_rep_level());
            let cells = values(group.get_column_reader(place)?, levels, column.is_text(columns))?;
            if cells.len() != rows.len() {
                return Err(uneven());
            }
            for (row, cell) in rows.iter_mut().zip(cells) {
                match (column, cell) {
                    (Part::Digest, Some(Cell::Binary(bytes))) => {
                        row.digest = bytes.first_chunk().copied().ok_or_else(uneven)?;
                    }
                    (Part::Item, Some(Cell::Text(text))) => row.item = text,
                    (Part::Key(_), Some(cell)) => row.keys.push(cell),
                    (Part::Attribute(place), Some(cell)) => row.attributes.push((place, cell)),
                    (Part::Attribute(_), None) => {}
                    _ => return Err(uneven()),
                }
            }
        }
    }
    Ok(rows)
}

/// What a column of a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Digest,
    Key(usize),
    Item,
    Attribute(usize),
}

impl Part {
    /// The column with a field's id.
    fn of(columns: &Columns, field: i32) -> Option<Self> {
        let place = usize::try_from(field.checked_sub(columns.first_field)?).ok()?;
        Some(match place {
            0 => Self::Digest,
            _ if place <= columns.keys.len() => Self::Key(place - 1),
            _ if field == columns.item_field() => Self::Item,
            _ => {
                let found = columns.attributes.binary_search_by_key(&field, |column| column.field);
                Self::Attribute(found.ok()?)
            }
        })
    }

    /// Whether its binary values are text.
    fn is_text(self, columns: &Columns) -> bool {
        match self {
            Self::Digest => false,
            Self::Item => true,
            Self::Key(place) => columns.keys.get(place).is_some_and(|column| column.kind == Kind::Text),
            Self::Attribute(place) => {
                let kind = columns.attributes.get(place).map(|column| column.kind);
                use typed::{Kind, Scalar::Text};
                matches!(kind, Some(Kind::One(Text) | Kind::Many(Text) | Kind::Json))
            }
        }
    }
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

/// The cells of a column, one for each row; none where it has null.
fn values(column: ColumnReader, levels: (i16, i16), is_text: bool) -> Result<Vec<Option<Cell>>> {
    match column {
        ColumnReader::ByteArrayColumnReader(column) => cells(column, levels, |value| {
            let bytes = value.data().to_vec();
            Ok(match is_text {
                true => Cell::Text(text(bytes)?),
                false => Cell::Binary(bytes),
            })
        }),
        ColumnReader::DoubleColumnReader(column) => cells(column, levels, |value| Ok(Cell::Double(value))),
        ColumnReader::BoolColumnReader(column) => cells(column, levels, |value| Ok(Cell::Bool(value))),
        ColumnReader::FixedLenByteArrayColumnReader(column) => cells(column, levels, |value| {
            let bytes = value.data().try_into().map_err(|_| uneven())?;
            Ok(Cell::Decimal(i128::from_be_bytes(bytes)))
        }),
        _ => Err(uneven()),
    }
}

/// `levels` are the greatest that the column has: of what is there, and of where lists begin.
fn cells<T: DataType>(
    mut column: ColumnReaderImpl<T>,
    (most_there, most_begins): (i16, i16),
    cell: impl Fn(T::T) -> Result<Cell>,
) -> Result<Vec<Option<Cell>>> {
    let (mut values, mut there, mut begins) = (Vec::new(), Vec::new(), Vec::new());
    while column
        .read_records(READ_VALUES, Some(&mut there), Some(&mut begins), &mut values)?
        .0
        > 0
    {}
    let mut values = values.into_iter().map(cell);
    if most_there == 0 {
        return values.map(|cell| cell.map(Some)).collect();
    }
    let mut cells: Vec<Option<Cell>> = Vec::new();
    for (place, level) in there.iter().enumerate() {
        let value = match *level == most_there {
            true => Some(values.next().ok_or_else(uneven)??),
            false => None,
        };
        if most_begins == 0 {
            cells.push(value);
        } else if begins.get(place) == Some(&0) {
            cells.push((*level > 0).then(|| Cell::List(value.into_iter().collect())));
        } else if let (Some(Some(Cell::List(list))), Some(value)) = (cells.last_mut(), value) {
            list.push(value);
        }
    }
    Ok(cells)
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
