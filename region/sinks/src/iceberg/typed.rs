//! Columns of attributes: which an item's have, and what is in them.
//!
//! Types are those of "Schema unnesting" in AWS Glue's guide (zero-ETL), with two differences: a number that a double does not have
//! is a decimal, and maps and lists of unlike elements are JSON. An attribute has a column for each kind of value that it was seen
//! to have; a kind is never changed, so files stay readable, and a column is never taken away.

use std::collections::{HashMap, HashSet};

use geodynamo_item::{AttributeValue, Item, Number};
use geodynamo_json::Writer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::schema::{Cell, Columns};
use crate::{
    document,
    names::{ITEM, KEY, fitting},
};

/// The most columns of attributes. What has none is in the document only.
const COLUMNS_MAX: usize = 500;
/// The longest name of an attribute that gets a column, in bytes.
const NAME_LEN_MAX: usize = 255;
/// Digits of a decimal, and those behind its point: what Spark and Hive have for numbers of which nothing is known. All integers of
/// 64 bits fit, and what a double has behind the point.
pub(super) const PRECISION: u32 = 38;
pub(super) const SCALE: u32 = 18;

/// A value that is not made of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Scalar {
    #[serde(rename = "s")]
    Text,
    #[serde(rename = "n")]
    Double,
    #[serde(rename = "d")]
    Decimal,
    #[serde(rename = "b")]
    Binary,
    #[serde(rename = "t")]
    Bool,
}

/// What a column has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "1")]
    One(Scalar),
    /// A set, or a list of like elements.
    #[serde(rename = "l")]
    Many(Scalar),
    /// A map, another list, a number that is too large or too fine for a decimal.
    #[serde(rename = "j")]
    Json,
}

/// A column of an attribute. A row that has no such value has null.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Column {
    #[serde(rename = "a")]
    pub(super) attribute: String,
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "k")]
    pub(super) kind: Kind,
    /// Its field's id.
    #[serde(rename = "f")]
    pub(super) field: i32,
    /// Of a list: its elements' id.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(super) element: Option<i32>,
}

impl Scalar {
    fn iceberg(self) -> String {
        match self {
            Self::Text => "string".into(),
            Self::Double => "double".into(),
            Self::Decimal => format!("decimal({PRECISION}, {SCALE})"),
            Self::Binary => "binary".into(),
            Self::Bool => "boolean".into(),
        }
    }

    /// As Parquet's text has it, with a name between both.
    pub(super) fn parquet(self) -> (&'static str, String) {
        match self {
            Self::Text => ("binary", " (STRING)".into()),
            Self::Double => ("double", String::new()),
            Self::Decimal => ("fixed_len_byte_array(16)", format!(" (DECIMAL({PRECISION},{SCALE}))")),
            Self::Binary => ("binary", String::new()),
            Self::Bool => ("boolean", String::new()),
        }
    }

    /// What names of second columns end in.
    fn suffix(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Double => "double",
            Self::Decimal => "decimal",
            Self::Binary => "binary",
            Self::Bool => "boolean",
        }
    }

    /// DynamoDB's type.
    fn code(self) -> &'static str {
        match self {
            Self::Text => "S",
            Self::Double | Self::Decimal => "N",
            Self::Binary => "B",
            Self::Bool => "BOOL",
        }
    }
}

impl Kind {
    fn suffix(self) -> String {
        match self {
            Self::One(scalar) => scalar.suffix().into(),
            Self::Many(scalar) => format!("{}_list", scalar.suffix()),
            Self::Json => "json".into(),
        }
    }
}

impl Column {
    /// Iceberg's field.
    pub(super) fn json(&self) -> Value {
        let (kind, told) = match self.kind {
            Kind::One(scalar) => (json!(scalar.iceberg()), scalar.code().to_owned()),
            Kind::Json => (json!("string"), "JSON".to_owned()),
            Kind::Many(scalar) => {
                let list = json!({
                    "type": "list",
                    "element-id": self.element,
                    "element": scalar.iceberg(),
                    "element-required": true,
                });
                (list, format!("a list of {}", scalar.code()))
            }
        };
        let doc = format!("{} as {told}", self.attribute);
        json!({"id": self.field, "name": self.name, "required": false, "type": kind, "doc": doc})
    }
}

/// Makes cells of items, and columns where there are none for them.
pub(super) struct Typer<'a> {
    columns: &'a mut Columns,
    /// Places of attributes' columns.
    places: HashMap<String, Vec<usize>>,
    /// Names that are taken, as engines compare them: without regard to case.
    taken: HashSet<String>,
}

impl<'a> Typer<'a> {
    pub(super) fn new(columns: &'a mut Columns) -> Self {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, column) in columns.attributes.iter().enumerate() {
            places.entry(column.attribute.clone()).or_default().push(place);
        }
        let keys = columns.keys.iter().map(|column| column.name.as_str());
        let all = keys.chain(columns.attributes.iter().map(|column| column.name.as_str()));
        let taken = all.chain([KEY, ITEM]).map(str::to_lowercase).collect();
        Self { columns, places, taken }
    }

    /// The columns.
    pub(super) fn columns(&self) -> &Columns {
        self.columns
    }

    /// The cells of an item's attributes, by the places of their columns, in their order.
    pub(super) fn cells(&mut self, item: &Item) -> Vec<(usize, Cell)> {
        let mut cells = Vec::with_capacity(item.len());
        for (name, value) in item.iter() {
            if self.columns.keys.iter().any(|key| key.attribute == **name) {
                continue;
            }
            if matches!(value, AttributeValue::L(list) if list.is_empty()) {
                self.empty(name, &mut cells);
            } else if let Some((kind, cell)) = self.typed(name, value)
                && let Some(place) = self.place(name, kind)
            {
                cells.push((place, cell));
            }
        }
        cells.sort_unstable_by_key(|(place, _)| *place);
        cells
    }

    /// An empty list is of any kind: it is in each column that there is for lists, and makes none.
    fn empty(&self, attribute: &str, cells: &mut Vec<(usize, Cell)>) {
        for place in self.places.get(attribute).map_or(&[][..], Vec::as_slice) {
            match self.columns.attributes.get(*place).map(|column| column.kind) {
                Some(Kind::Many(_)) => cells.push((*place, Cell::List(Vec::new()))),
                Some(Kind::Json) => cells.push((*place, Cell::Text("[]".into()))),
                _ => {}
            }
        }
    }

    fn has(&self, attribute: &str, kind: Kind) -> bool {
        let places = self.places.get(attribute).map_or(&[][..], Vec::as_slice);
        let mut columns = places.iter().filter_map(|place| self.columns.attributes.get(*place));
        columns.any(|column| column.kind == kind)
    }

    /// The place of the column for an attribute's values of a kind; none if there cannot be one.
    fn place(&mut self, attribute: &str, kind: Kind) -> Option<usize> {
        let places = self.places.get(attribute).map_or(&[][..], Vec::as_slice);
        let is_it = |place: &&usize| {
            let column = self.columns.attributes.get(**place);
            column.is_some_and(|column| column.kind == kind)
        };
        if let Some(place) = places.iter().find(is_it) {
            return Some(*place);
        }
        let place = self.columns.attributes.len();
        if place >= COLUMNS_MAX || attribute.len() > NAME_LEN_MAX {
            return None;
        }
        if place + 1 == COLUMNS_MAX {
            tracing::warn!(
                "a copy has {COLUMNS_MAX} columns of attributes: other attributes are in its documents only"
            );
        }
        let name = self.free(attribute, (!places.is_empty()).then_some(kind));
        let field = self.columns.last_field() + 1;
        self.taken.insert(name.to_lowercase());
        self.places.entry(attribute.to_owned()).or_default().push(place);
        self.columns.attributes.push(Column {
            attribute: attribute.to_owned(),
            name,
            kind,
            field,
            element: matches!(kind, Kind::Many(_)).then_some(field + 1),
        });
        Some(place)
    }

    /// A name that no column has: the attribute's own, with the kind behind it for a second column.
    fn free(&self, attribute: &str, second: Option<Kind>) -> String {
        // A point in a name is taken for a way into a structure.
        let clean = attribute.replace(|sign: char| sign == '.' || sign.is_control(), "_");
        let mut name = match second {
            Some(kind) => fitting(&format!("{clean}_{}", kind.suffix())),
            None => fitting(&clean),
        };
        let is_taken = |name: &str| {
            let name = name.to_lowercase();
            self.taken.contains(&format!("{name}.element")) || self.taken.contains(&name)
        };
        while is_taken(&name) {
            name = fitting(&format!("{name}_"));
        }
        name
    }

    /// What a value is as a cell. Null has none.
    fn typed(&self, attribute: &str, value: &AttributeValue) -> Option<(Kind, Cell)> {
        let json = || (Kind::Json, Cell::Text(json_of(value)));
        let many = |scalar, cells: Vec<Cell>| (Kind::Many(scalar), Cell::List(cells));
        Some(match value {
            AttributeValue::Null => return None,
            AttributeValue::M(_) => json(),
            AttributeValue::N(number) => match self.numbers(attribute, std::slice::from_ref(number), Kind::One) {
                Some((scalar, cells)) => (Kind::One(scalar), cells.into_iter().next()?),
                None => json(),
            },
            AttributeValue::Ns(set) => match self.numbers(attribute, set.as_slice(), Kind::Many) {
                Some((scalar, cells)) => many(scalar, cells),
                None => json(),
            },
            AttributeValue::Ss(set) => many(
                Scalar::Text,
                set.iter().map(|text| Cell::Text(text.to_string())).collect(),
            ),
            AttributeValue::Bs(set) => many(
                Scalar::Binary,
                set.iter().map(|binary| Cell::Binary(binary.to_vec())).collect(),
            ),
            AttributeValue::L(list) => match self.elements(attribute, list) {
                Some((scalar, cells)) => many(scalar, cells),
                None => json(),
            },
            AttributeValue::S(_) | AttributeValue::B(_) | AttributeValue::Bool(_) => {
                let (scalar, cell) = simple(value)?;
                (Kind::One(scalar), cell)
            }
        })
    }

    /// The elements of a list, if they are alike.
    fn elements(&self, attribute: &str, list: &[AttributeValue]) -> Option<(Scalar, Vec<Cell>)> {
        if let Some(AttributeValue::N(_)) = list.first() {
            let number = |value: &AttributeValue| match value {
                AttributeValue::N(number) => Some(*number),
                _ => None,
            };
            let numbers: Vec<Number> = list.iter().map(number).collect::<Option<_>>()?;
            return self.numbers(attribute, &numbers, Kind::Many);
        }
        let (scalar, _) = simple(list.first()?)?;
        let cell = |value: &AttributeValue| {
            simple(value)
                .filter(|(other, _)| *other == scalar)
                .map(|(_, cell)| cell)
        };
        Some((scalar, list.iter().map(cell).collect::<Option<_>>()?))
    }

    /// Numbers as doubles, if those have them all, or as decimals; as decimals as soon as the attribute has had some. `None` if
    /// they are neither.
    fn numbers(&self, attribute: &str, numbers: &[Number], kind: fn(Scalar) -> Kind) -> Option<(Scalar, Vec<Cell>)> {
        let decimals = || {
            let cells: Option<Vec<Cell>> = numbers
                .iter()
                .map(|number| decimal(number).map(Cell::Decimal))
                .collect();
            Some((Scalar::Decimal, cells?))
        };
        let doubles = || {
            let cells: Option<Vec<Cell>> = numbers.iter().map(|number| double(number).map(Cell::Double)).collect();
            Some((Scalar::Double, cells?))
        };
        if self.has(attribute, kind(Scalar::Decimal)) {
            decimals().or_else(doubles)
        } else {
            doubles().or_else(decimals)
        }
    }
}

fn simple(value: &AttributeValue) -> Option<(Scalar, Cell)> {
    match value {
        AttributeValue::S(text) => Some((Scalar::Text, Cell::Text(text.to_string()))),
        AttributeValue::B(binary) => Some((Scalar::Binary, Cell::Binary(binary.to_vec()))),
        AttributeValue::Bool(value) => Some((Scalar::Bool, Cell::Bool(*value))),
        _ => None,
    }
}

/// The double that is written as the number is.
fn double(number: &Number) -> Option<f64> {
    let text = number.text();
    let double: f64 = text.parse().ok()?;
    (double.is_finite() && double.to_string() == *text).then_some(double)
}

/// The number, times ten to the scale, if that is whole and short enough.
fn decimal(number: &Number) -> Option<i128> {
    let text = number.text();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, &*text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let (scale, precision) = (SCALE as usize, PRECISION as usize);
    if part.len() > scale || whole.len() > precision - scale {
        return None;
    }
    let shifted: i128 = format!("{whole}{part:0<scale$}").parse().ok()?;
    Some(sign * shifted)
}

fn json_of(value: &AttributeValue) -> String {
    let mut writer = Writer::with_capacity(64);
    document::write_value(value, &mut writer);
    // A writer writes what it is given, which is text.
    String::from_utf8(writer.into_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use geodynamo_item::{AttributeType, StringSet};

    use super::*;
    use crate::target::Shape;

    fn number(text: &str) -> AttributeValue {
        AttributeValue::N(Number::parse(text).unwrap())
    }

    fn columns() -> Columns {
        let shape = Shape {
            table: "t".into(),
            keys: vec![("pk".into(), AttributeType::S), ("sk".into(), AttributeType::N)],
        };
        Columns::of(&shape, 0, 1, true)
    }

    fn cells(columns: &mut Columns, attributes: &[(&str, AttributeValue)]) -> Vec<(String, Cell)> {
        let mut item = Item::new();
        for (name, value) in attributes {
            item.insert((*name).into(), value.clone());
        }
        let cells = Typer::new(columns).cells(&item);
        let named = |(place, cell): (usize, Cell)| (columns.attributes[place].name.clone(), cell);
        cells.into_iter().map(named).collect()
    }

    #[test]
    fn numbers_are_doubles_while_those_have_them() {
        let double = |text: &str| super::double(&Number::parse(text).unwrap());
        assert_eq!(double("19.99"), Some(19.99));
        assert_eq!(double("-0"), Some(0.0));
        assert_eq!(double("1E+30"), Some(1e30));
        assert_eq!(double("9007199254740993"), None);
        assert_eq!(double("0.30000000000000004"), Some(0.300_000_000_000_000_04));
        assert_eq!(double("0.3000000000000000400"), Some(0.300_000_000_000_000_04));
        assert_eq!(double("12345678901234567890123456789012345678"), None);
        let decimal = |text: &str| super::decimal(&Number::parse(text).unwrap());
        assert_eq!(decimal("-1.5"), Some(-15 * 10_i128.pow(17)));
        assert_eq!(
            decimal("18446744073709551615"),
            Some(i128::from(u64::MAX) * 10_i128.pow(18))
        );
        assert_eq!(decimal("100000000000000000000"), None);
        assert_eq!(decimal("1E-18"), Some(1));
        assert_eq!(decimal("1E-19"), None);
        let mut columns = columns();
        let id = |columns: &mut Columns, text: &str| cells(columns, &[("id", number(text))]).remove(0);
        assert_eq!(id(&mut columns, "7"), ("id".into(), Cell::Double(7.0)));
        let large = 9_007_199_254_740_993_i128 * 10_i128.pow(18);
        assert_eq!(
            id(&mut columns, "9007199254740993"),
            ("id_decimal".into(), Cell::Decimal(large))
        );
        // From then on all of them.
        assert_eq!(
            id(&mut columns, "7"),
            ("id_decimal".into(), Cell::Decimal(7 * 10_i128.pow(18)))
        );
        assert_eq!(id(&mut columns, "1E+40"), ("id".into(), Cell::Double(1e40)));
        let odd = format!("1{}1", "0".repeat(30));
        assert_eq!(id(&mut columns, &odd), ("id_json".into(), Cell::Text(odd)));
    }

    #[test]
    fn columns_are_added_and_never_changed() {
        let mut columns = columns();
        // The sort key is a number, of which a double has not all: it has columns as attributes have.
        assert_eq!(columns.keys.len(), 1);
        let first = cells(
            &mut columns,
            &[
                ("pk", AttributeValue::S("p".into())),
                ("sk", number("1")),
                ("a.b", AttributeValue::Bool(true)),
                ("Item", AttributeValue::S("x".into())),
                ("nothing", AttributeValue::Null),
                (
                    "set",
                    AttributeValue::Ss(StringSet::new(vec!["b".into(), "a".into()]).unwrap()),
                ),
                ("list", AttributeValue::L(Vec::new())),
            ],
        );
        let texts = |texts: &[&str]| Cell::List(texts.iter().map(|text| Cell::Text((*text).into())).collect());
        let expected = [
            ("Item_", Cell::Text("x".into())),
            ("a_b", Cell::Bool(true)),
            ("set", texts(&["a", "b"])),
            ("sk", Cell::Double(1.0)),
        ];
        let mut found = first.clone();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(found, expected.map(|(name, cell)| (name.to_owned(), cell)));
        let before = columns.attributes.clone();
        let mixed = AttributeValue::L(vec![number("1"), AttributeValue::S("x".into())]);
        let alike = AttributeValue::L(vec![AttributeValue::S("x".into())]);
        assert_eq!(
            cells(&mut columns, &[("list", mixed)]),
            [("list".into(), Cell::Text("[1,\"x\"]".into()))]
        );
        assert_eq!(
            cells(&mut columns, &[("list", alike)]),
            [("list_string_list".into(), texts(&["x"]))]
        );
        assert_eq!(
            cells(&mut columns, &[("list", AttributeValue::L(Vec::new()))]),
            [
                ("list".into(), Cell::Text("[]".into())),
                ("list_string_list".into(), Cell::List(Vec::new()))
            ]
        );
        assert_eq!(
            cells(&mut columns, &[("set", number("1"))]),
            [("set_double".into(), Cell::Double(1.0))]
        );
        assert!(columns.attributes.starts_with(&before));
        let mut ids: Vec<i32> = columns
            .attributes
            .iter()
            .flat_map(|column| [Some(column.field), column.element])
            .flatten()
            .collect();
        let count = ids.len();
        ids.dedup();
        assert!(ids.is_sorted() && ids.len() == count && columns.last_field() == *ids.last().unwrap());
    }

    #[test]
    fn columns_have_a_limit() {
        let mut columns = columns();
        let all: Vec<(String, AttributeValue)> = (0..COLUMNS_MAX + 9)
            .map(|place| (format!("a{place}"), number("1")))
            .collect();
        let attributes: Vec<(&str, AttributeValue)> =
            all.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        assert_eq!(cells(&mut columns, &attributes).len(), COLUMNS_MAX);
        assert_eq!(cells(&mut columns, &[("another", number("1"))]), []);
        let long = "x".repeat(NAME_LEN_MAX + 1);
        assert_eq!(cells(&mut super::tests::columns(), &[(&long, number("1"))]), []);
    }
}
