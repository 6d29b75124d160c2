//! From a form to an operation's input, held to the model's constraints.

use std::{fmt::Write, ops::Bound};

use super::{
    error::{IamError, Result},
    form::{Form, quoted},
    shape::{Integer, List, Operation, Shape, Text},
    value::{Structure, Value},
};

/// The most constraints that one refusal tells of.
const FAULTS_MAX: usize = 20;

/// Reads an operation's input.
///
/// # Errors
/// `ValidationError` that tells each member that fails a constraint of the model, `MalformedInput` for a value that is no
/// number, boolean or time.
pub(crate) fn input(operation: &Operation, form: &Form) -> Result<Structure> {
    let Some(Shape::Structure(members)) = operation.input else {
        return Ok(Structure::new());
    };
    let mut reader = Reader {
        form,
        faults: Vec::new(),
        count: 0,
    };
    let mut input = Structure::new();
    for member in *members {
        if let Some(value) = reader.member(member.name, &lower_camel(member.name), member.required, member.shape)? {
            input.0.push((member.name, value));
        }
    }
    reader.finish()?;
    Ok(input)
}

struct Reader<'a> {
    form: &'a Form,
    faults: Vec<String>,
    /// Of all faults, those that are not told too.
    count: usize,
}

impl Reader<'_> {
    /// A member of a structure: `name` is its parameter, `path` how errors call it.
    fn member(&mut self, name: &str, path: &str, required: bool, shape: &'static Shape) -> Result<Option<Value>> {
        let value = self.value(name, path, shape)?;
        if value.is_none() && required {
            self.fault("null", path, "Member must not be null");
        }
        Ok(value)
    }

    fn value(&mut self, name: &str, path: &str, shape: &'static Shape) -> Result<Option<Value>> {
        match shape {
            Shape::Text(text) => Ok(self.form.get(name).map(|given| {
                self.check_text(given, path, text);
                Value::Text(given.to_owned())
            })),
            Shape::Integer(integer) => self
                .given(name, |given| given.parse().ok())?
                .map_or(Ok(None), |number| {
                    self.check_integer(number, path, integer);
                    Ok(Some(Value::Integer(number)))
                }),
            Shape::Boolean => {
                let read = |given: &str| match given {
                    "true" | "True" => Some(true),
                    "false" | "False" => Some(false),
                    _ => None,
                };
                Ok(self.given(name, read)?.map(Value::Boolean))
            }
            Shape::Time => Ok(self.given(name, geodynamo_access::parse_iso8601)?.map(Value::Time)),
            Shape::List(list) => self.list(name, path, list),
            Shape::Structure(members) => {
                let prefix = format!("{name}.");
                if !self.has(&prefix) {
                    return Ok(None);
                }
                let mut structure = Structure::new();
                for member in *members {
                    let (name, path) = (
                        format!("{prefix}{}", member.name),
                        format!("{path}.{}", lower_camel(member.name)),
                    );
                    if let Some(value) = self.member(&name, &path, member.required, member.shape)? {
                        structure.0.push((member.name, value));
                    }
                }
                Ok(Some(Value::Structure(structure)))
            }
            // No input of these services has one.
            Shape::Map(_) => Ok(None),
        }
    }

    /// A list's members, in the order of their numbers. A parameter of the list's own name is an empty list.
    fn list(&mut self, name: &str, path: &str, list: &'static List) -> Result<Option<Value>> {
        let prefix = format!("{name}.member.");
        let mut numbers: Vec<u32> = Vec::new();
        for parameter in starting_with(self.form, &prefix) {
            let number = parameter[prefix.len()..].split('.').next().unwrap_or_default();
            let Ok(number) = number.parse() else {
                return Err(malformed(parameter));
            };
            if !numbers.contains(&number) {
                numbers.push(number);
            }
            // More is refused below, whatever else there is.
            if numbers.len() > list.max.min(super::form::PARAMETERS_MAX) {
                break;
            }
        }
        if numbers.is_empty() && self.form.get(name).is_none() {
            return Ok(None);
        }
        numbers.sort_unstable();
        let told = || format!("[{} members]", numbers.len());
        if numbers.len() < list.min {
            let constraint = format!("Member must have length greater than or equal to {}", list.min);
            self.fault(&quoted_value(&told()), path, &constraint);
        } else if numbers.len() > list.max {
            let constraint = format!("Member must have length less than or equal to {}", list.max);
            self.fault(&quoted_value(&told()), path, &constraint);
        }
        let mut members = Vec::with_capacity(numbers.len());
        for (place, number) in numbers.iter().enumerate() {
            let (name, path) = (format!("{prefix}{number}"), format!("{path}.{}.member", place + 1));
            members.extend(self.value(&name, &path, list.member)?);
        }
        Ok(Some(Value::List(members)))
    }

    fn given<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        match self.form.get(name) {
            None => Ok(None),
            Some(given) => read(given).map(Some).ok_or_else(|| malformed(name)),
        }
    }

    fn has(&self, prefix: &str) -> bool {
        starting_with(self.form, prefix).next().is_some()
    }

    fn check_text(&mut self, given: &str, path: &str, text: &Text) {
        let length = given.chars().count();
        if length < text.min {
            let constraint = format!("Member must have length greater than or equal to {}", text.min);
            self.fault(&quoted_value(given), path, &constraint);
        }
        if length > text.max {
            let constraint = format!("Member must have length less than or equal to {}", text.max);
            self.fault(&quoted_value(given), path, &constraint);
        }
        if let Some(pattern) = text.pattern.filter(|pattern| !pattern.matches(given)) {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.told);
            self.fault(&quoted_value(given), path, &constraint);
        }
        if !text.values.is_empty() && !text.values.contains(&given) {
            let constraint = format!("Member must satisfy enum value set: [{}]", text.values.join(", "));
            self.fault(&quoted_value(given), path, &constraint);
        }
    }

    fn check_integer(&mut self, number: i64, path: &str, integer: &Integer) {
        let told = quoted_value(&number.to_string());
        if number < integer.min {
            let constraint = format!("Member must have value greater than or equal to {}", integer.min);
            self.fault(&told, path, &constraint);
        } else if number > integer.max {
            let constraint = format!("Member must have value less than or equal to {}", integer.max);
            self.fault(&told, path, &constraint);
        }
    }

    fn fault(&mut self, value: &str, path: &str, constraint: &str) {
        self.count += 1;
        if self.faults.len() < FAULTS_MAX {
            let fault = format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}");
            self.faults.push(fault);
        }
    }

    fn finish(self) -> Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let mut message = format!(
            "{} validation error{} detected: ",
            self.count,
            if self.count == 1 { "" } else { "s" }
        );
        // Writing to a String cannot fail.
        let _ = write!(message, "{}", self.faults.join("; "));
        Err(IamError::validation(message))
    }
}

/// The names of the parameters that start so.
fn starting_with<'f>(form: &'f Form, prefix: &str) -> impl Iterator<Item = &'f str> + use<'f> {
    let range = (Bound::Included(prefix), Bound::Unbounded);
    let names = form.parameters.range::<str, _>(range).map(|(name, _)| name.as_str());
    let prefix = prefix.to_owned();
    names.take_while(move |name| name.starts_with(&*prefix))
}

fn quoted_value(text: &str) -> String {
    format!("'{}'", quoted(text))
}

fn malformed(parameter: &str) -> IamError {
    IamError::new(
        "MalformedInput",
        format!("The value of the parameter {} cannot be read", quoted(parameter)),
    )
}

/// `UserName` as errors have it: `userName`.
fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    match characters.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + characters.as_str(),
        None => String::new(),
    }
}
