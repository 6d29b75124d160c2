//! Conditions.

use std::net::IpAddr;

use geodynamo_json::decode_base64;

use crate::{
    evaluate::Asked,
    keys::Key,
    template::{Template, Wildcards},
    value::{Network, parse_date, parse_number},
};

/// One key under one operator.
#[derive(Debug)]
pub(crate) struct Condition {
    quantifier: Option<Quantifier>,
    negated: bool,
    if_exists: bool,
    key: Key,
    test: Test,
}

/// `ForAllValues:` or `ForAnyValue:`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quantifier {
    All,
    Any,
}

/// A condition operator, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Operator {
    quantifier: Option<Quantifier>,
    if_exists: bool,
    negated: bool,
    family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Order),
    Date(Order),
    Bool,
    BinaryEquals,
    IpAddress,
    Arn,
    Null,
}

/// How the request's value stands to the policy's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What the values of a request are held against: one of the policy's is enough.
#[derive(Debug)]
enum Test {
    String(Box<[Template]>),
    StringIgnoringCase(Box<[Template]>),
    Arn(Box<[Template]>),
    Number(Order, Box<[f64]>),
    Date(Order, Box<[i64]>),
    Bool(Box<[bool]>),
    Binary(Box<[Vec<u8>]>),
    Network(Box<[Network]>),
    /// Whether the key may be missing, and whether it may be there.
    Null {
        missing: bool,
        present: bool,
    },
}

impl Operator {
    /// Reads an operator's name; `None` if there is none of it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (quantifier, name) = match text.split_once(':') {
            Some(("ForAllValues", name)) => (Some(Quantifier::All), name),
            Some(("ForAnyValue", name)) => (Some(Quantifier::Any), name),
            Some(_) => return None,
            None => (None, text),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (family, negated) = match name {
            "StringEquals" => (Family::StringEquals, false),
            "StringNotEquals" => (Family::StringEquals, true),
            "StringEqualsIgnoreCase" => (Family::StringEqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Family::StringEqualsIgnoreCase, true),
            "StringLike" => (Family::StringLike, false),
            "StringNotLike" => (Family::StringLike, true),
            "NumericEquals" => (Family::Numeric(Order::Equal), false),
            "NumericNotEquals" => (Family::Numeric(Order::Equal), true),
            "NumericLessThan" => (Family::Numeric(Order::Less), false),
            "NumericLessThanEquals" => (Family::Numeric(Order::LessOrEqual), false),
            "NumericGreaterThan" => (Family::Numeric(Order::Greater), false),
            "NumericGreaterThanEquals" => (Family::Numeric(Order::GreaterOrEqual), false),
            "DateEquals" => (Family::Date(Order::Equal), false),
            "DateNotEquals" => (Family::Date(Order::Equal), true),
            "DateLessThan" => (Family::Date(Order::Less), false),
            "DateLessThanEquals" => (Family::Date(Order::LessOrEqual), false),
            "DateGreaterThan" => (Family::Date(Order::Greater), false),
            "DateGreaterThanEquals" => (Family::Date(Order::GreaterOrEqual), false),
            "Bool" => (Family::Bool, false),
            "BinaryEquals" => (Family::BinaryEquals, false),
            "IpAddress" => (Family::IpAddress, false),
            "NotIpAddress" => (Family::IpAddress, true),
            "ArnEquals" | "ArnLike" => (Family::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Family::Arn, true),
            "Null" if !if_exists => (Family::Null, false),
            _ => return None,
        };
        Some(Self {
            quantifier,
            if_exists,
            negated,
            family,
        })
    }

    /// The condition of these values; the first value that is none for this operator otherwise.
    pub(crate) fn condition(self, key: &str, values: &[String], variables: bool) -> Result<Condition, String> {
        fn each<T>(values: &[String], read: impl Fn(&str) -> Option<T>) -> Result<Box<[T]>, String> {
            let read = |value: &String| read(value).ok_or_else(|| value.clone());
            values.iter().map(read).collect()
        }
        let templates = |wildcards| each(values, |value| Some(Template::new(value, wildcards, variables)));
        let test = match self.family {
            Family::StringEquals => Test::String(templates(Wildcards::None)?),
            Family::StringLike => Test::String(templates(Wildcards::Any)?),
            Family::StringEqualsIgnoreCase => Test::StringIgnoringCase(templates(Wildcards::None)?),
            Family::Arn => Test::Arn(templates(Wildcards::Arn)?),
            Family::Numeric(order) => Test::Number(order, each(values, parse_number)?),
            Family::Date(order) => Test::Date(order, each(values, parse_date)?),
            Family::Bool => Test::Bool(each(values, parse_bool)?),
            Family::BinaryEquals => Test::Binary(each(values, |value| decode_base64(value).ok())?),
            Family::IpAddress => Test::Network(each(values, Network::parse)?),
            Family::Null => {
                let values = each(values, parse_bool)?;
                Test::Null {
                    missing: values.contains(&true),
                    present: values.contains(&false),
                }
            }
        };
        Ok(Condition {
            quantifier: self.quantifier,
            negated: self.negated,
            if_exists: self.if_exists,
            key: Key::new(key),
            test,
        })
    }
}

impl Condition {
    /// Whether a request meets it.
    pub(crate) fn holds(&self, asked: &Asked<'_>) -> bool {
        let found = asked.get(&self.key);
        let values = found.as_ref().map_or(&[][..], |found| found.values());
        if let Test::Null { missing, present } = self.test {
            return if values.is_empty() { missing } else { present };
        }
        let holds = |value: &str| self.test.holds(value, asked) != self.negated;
        match self.quantifier {
            Some(Quantifier::All) => values.iter().all(|value| holds(value)),
            Some(Quantifier::Any) if values.is_empty() => self.if_exists,
            Some(Quantifier::Any) => values.iter().any(|value| holds(value)),
            None if values.is_empty() => self.if_exists || self.negated,
            // A key of several values, which wants a quantifier: one of them is enough, and of a negated operator all are meant.
            None if self.negated => values.iter().all(|value| holds(value)),
            None => values.iter().any(|value| holds(value)),
        }
    }
}

impl Test {
    /// Whether one of the policy's values fits. A value of the request's that is of another kind fits none.
    fn holds(&self, value: &str, asked: &Asked<'_>) -> bool {
        let fits = |templates: &[Template], fits: &dyn Fn(&Template, &[std::borrow::Cow<'_, str>]) -> bool| {
            templates
                .iter()
                .any(|template| template.values(asked).is_some_and(|values| fits(template, &values)))
        };
        match self {
            Self::String(templates) => fits(templates, &|template, values| template.is_like(value, values)),
            Self::StringIgnoringCase(templates) => fits(templates, &|template, values| {
                template.is_like_ignoring_case(value, values)
            }),
            Self::Arn(templates) => {
                let is_arn = value.starts_with("arn:") && value.splitn(6, ':').count() == 6;
                is_arn && fits(templates, &|template, values| template.is_like(value, values))
            }
            Self::Number(order, numbers) => {
                let value = parse_number(value);
                value.is_some_and(|value| numbers.iter().any(|number| order.holds(&value, number)))
            }
            Self::Date(order, dates) => {
                let value = parse_date(value);
                value.is_some_and(|value| dates.iter().any(|date| order.holds(&value, date)))
            }
            Self::Bool(bools) => parse_bool(value).is_some_and(|value| bools.contains(&value)),
            Self::Binary(binaries) => {
                let value = decode_base64(value).ok();
                value.is_some_and(|value| binaries.contains(&value))
            }
            Self::Network(networks) => {
                let address: Option<IpAddr> = value.parse().ok();
                address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            Self::Null { .. } => false,
        }
    }
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, than: &T) -> bool {
        match self {
            Self::Equal => value == than,
            Self::Less => value < than,
            Self::LessOrEqual => value <= than,
            Self::Greater => value > than,
            Self::GreaterOrEqual => value >= than,
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
