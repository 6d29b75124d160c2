//! How each of Rust's types stands for the model's.

use std::collections::BTreeMap;

use compact_str::CompactString;
use geodynamo_json::{JsonError, Kind, Reader, Writer};

use super::{
    Checker, DecodeContext, Decoded, JavaText, Rule, Structure, Value,
    decode::{SerializationError, element, elements, not_scalar},
};

impl Value for CompactString {
    fn decode(reader: &mut Reader<'_>, _: &mut DecodeContext) -> Decoded<Self> {
        match reader.string() {
            Ok(text) => Ok(Self::from(text)),
            Err(JsonError::Unexpected { .. }) => Err(not_scalar::<Self>(reader)),
            Err(error) => Err(error.into()),
        }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.string(self);
    }

    fn show(&self, text: &mut JavaText) {
        text.push(self);
    }

    fn java_type() -> String {
        "java.lang.String".into()
    }

    fn broken(&self, rule: &Rule, add: &mut dyn FnMut(String)) {
        rule.text(self, add);
    }
}

impl Value for bool {
    fn decode(reader: &mut Reader<'_>, _: &mut DecodeContext) -> Decoded<Self> {
        match reader.bool() {
            Ok(value) => Ok(value),
            Err(JsonError::Unexpected {
                found: Kind::String, ..
            }) => Err(SerializationError::TOKEN),
            Err(JsonError::Unexpected { .. }) => Err(not_scalar::<Self>(reader)),
            Err(error) => Err(error.into()),
        }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.bool(*self);
    }

    fn show(&self, text: &mut JavaText) {
        text.push(if *self { "true" } else { "false" });
    }

    fn java_type() -> String {
        "java.lang.Boolean".into()
    }
}

impl Value for i32 {
    fn decode(reader: &mut Reader<'_>, _: &mut DecodeContext) -> Decoded<Self> {
        whole_number::<Self>(reader)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.integer((*self).into());
    }

    fn show(&self, text: &mut JavaText) {
        text.push(&self.to_string());
    }

    fn java_type() -> String {
        "java.lang.Integer".into()
    }

    fn broken(&self, rule: &Rule, add: &mut dyn FnMut(String)) {
        rule.number((*self).into(), add);
    }
}

impl Value for i64 {
    fn decode(reader: &mut Reader<'_>, _: &mut DecodeContext) -> Decoded<Self> {
        whole_number::<Self>(reader)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.integer(*self);
    }

    fn show(&self, text: &mut JavaText) {
        text.push(&self.to_string());
    }

    fn java_type() -> String {
        "java.lang.Long".into()
    }

    fn broken(&self, rule: &Rule, add: &mut dyn FnMut(String)) {
        rule.number(*self, add);
    }
}

impl Value for f64 {
    fn decode(reader: &mut Reader<'_>, _: &mut DecodeContext) -> Decoded<Self> {
        let number = scalar_number::<Self>(reader)?
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        number.ok_or_else(out_of_range::<Self>)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.float(*self);
    }

    fn show(&self, text: &mut JavaText) {
        text.push(&format!("{self:?}"));
    }

    fn java_type() -> String {
        "java.lang.Double".into()
    }
}

impl<T: Value> Value for Vec<T> {
    fn decode(reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<Self> {
        match reader.peek()? {
            Kind::Array => (),
            Kind::Object => return Err(SerializationError::START_OF_STRUCTURE),
            _ => return Err(SerializationError::FIELD_TYPE),
        }
        let mut list = Self::new();
        elements(reader, context, |element| list.push(element))?;
        Ok(list)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.begin_array();
        for element in self {
            element.encode(writer);
        }
        writer.end_array();
    }

    fn show(&self, text: &mut JavaText) {
        text.sequence("[", self.iter(), "]", |text, element| element.show(text));
    }

    fn java_type() -> String {
        format!("java.util.List<{}>", T::java_type())
    }

    fn broken(&self, rule: &Rule, add: &mut dyn FnMut(String)) {
        rule.list(self, add);
    }

    fn check_inside(&self, checker: &mut Checker<'_>) {
        for (index, element) in self.iter().enumerate() {
            checker.element(index, element);
        }
    }
}

impl<T: Value> Value for BTreeMap<CompactString, T> {
    fn decode(reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<Self> {
        match reader.peek()? {
            Kind::Object => (),
            Kind::Array => return Err(not_map::<Self>()),
            _ => return Err(SerializationError::FIELD_TYPE),
        }
        let mut map = Self::new();
        reader.begin_object()?;
        while let Some(key) = reader.next_key()? {
            if let Some(value) = element(reader, context)? {
                map.insert(key.into(), value);
            }
        }
        Ok(map)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.begin_object();
        for (key, value) in self {
            writer.key(key);
            value.encode(writer);
        }
        writer.end_object();
    }

    fn show(&self, text: &mut JavaText) {
        text.sequence("{", self.iter(), "}", |text, (key, value)| {
            text.push(key);
            text.push("=");
            value.show(text);
        });
    }

    fn java_type() -> String {
        format!("java.util.Map<java.lang.String, {}>", T::java_type())
    }

    fn broken(&self, rule: &Rule, add: &mut dyn FnMut(String)) {
        rule.map(self.len(), self.keys().map(CompactString::as_str), self.values(), add);
    }

    fn check_inside(&self, checker: &mut Checker<'_>) {
        for (key, value) in self {
            checker.entry(key, value);
        }
    }
}

impl<T: Structure> Value for T {
    fn decode(reader: &mut Reader<'_>, context: &mut DecodeContext) -> Decoded<Self> {
        match reader.peek()? {
            Kind::Object => (),
            Kind::Array => {
                let text = format!("Unrecognized collection type class {}", Self::java_type());
                return Err(SerializationError(text.into()));
            }
            _ => return Err(SerializationError::VALUE_TYPE),
        }
        let mut structure = T::default();
        reader.begin_object()?;
        while let Some(name) = reader.next_key()? {
            structure.decode_member(&name, reader, context)?;
        }
        Ok(structure)
    }

    fn from_null(_: &mut DecodeContext) -> Option<Self> {
        Some(T::default())
    }

    fn encode(&self, writer: &mut Writer) {
        writer.begin_object();
        self.encode_members(writer);
        writer.end_object();
    }

    fn show(&self, text: &mut JavaText) {
        text.push(T::NAME);
        text.push("(");
        self.show_members(text);
        text.push(")");
    }

    fn java_type() -> String {
        format!("com.amazonaws.dynamodb.v20120810.{}", T::NAME)
    }

    fn check_inside(&self, checker: &mut Checker<'_>) {
        self.check_members(checker);
    }
}

/// The error of an array that stands where a map was expected.
#[cold]
pub(super) fn not_map<T: Value>() -> SerializationError {
    SerializationError(format!("Unrecognized collection type {}", T::java_type()).into())
}

fn scalar_number<'a, T: Value>(reader: &mut Reader<'a>) -> Decoded<&'a str> {
    match reader.number() {
        Ok(text) => Ok(text),
        Err(JsonError::Unexpected { .. }) => Err(not_scalar::<T>(reader)),
        Err(error) => Err(error.into()),
    }
}

/// A whole number; a fraction is cut off, as DynamoDB does.
fn whole_number<T: Value + TryFrom<i64>>(reader: &mut Reader<'_>) -> Decoded<T> {
    let text = scalar_number::<T>(reader)?;
    let number = match text.parse::<i64>() {
        Ok(number) => Some(number),
        Err(_) => text
            .parse::<f64>()
            .ok()
            .map(f64::trunc)
            .filter(|number| number.abs() < 1e18)
            .map(|n| n as i64),
    };
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(out_of_range::<T>)
}

fn out_of_range<T: Value>() -> SerializationError {
    let java_type = T::java_type();
    let name = java_type.rsplit('.').next().unwrap_or_default();
    SerializationError(format!("NUMBER_VALUE cannot be converted to {name}").into())
}
