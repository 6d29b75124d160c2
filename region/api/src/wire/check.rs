//! The service model's constraints, and the errors that tell which are broken.

use std::fmt;

use super::{JavaText, Pattern, Structure, Value, java::SHOWN_BYTES_MAX};

/// The most violations that one error tells.
pub(crate) const VIOLATIONS_MAX: usize = 10;

/// Requests that are told first, and alone, that their table's name is missing.
///
/// [Seen in](https://github.com/aws/aws-sdk-java/issues/977) and in
/// [another report](https://github.com/aws/aws-sdk-java/pull/344).
const NAME_FIRST: [&str; 4] = [
    "CreateTableInput",
    "DeleteTableInput",
    "DescribeTableInput",
    "UpdateTableInput",
];

/// A shape's own constraints.
#[derive(Debug)]
pub(crate) enum Rule {
    /// A text's length in UTF-16 units, and its form.
    Text {
        min: Option<usize>,
        max: Option<usize>,
        pattern: Option<Pattern>,
    },
    /// One of these texts.
    Enum(&'static [&'static str]),
    /// A table's name, or its ARN. The model allows any text of 1 to 1,024 characters; DynamoDB itself still holds what is
    /// not an ARN, if it is something, to the rules of names, with the texts of the time before ARNs were accepted.
    TableArn,
    /// A number's range.
    Number { min: Option<i64>, max: Option<i64> },
    /// A list's length, and what every element keeps to.
    List {
        min: Option<usize>,
        max: Option<usize>,
        element: Option<&'static Rule>,
    },
    /// A map's size, and what every key and every value keeps to.
    Map {
        min: Option<usize>,
        max: Option<usize>,
        key: Option<&'static Rule>,
        value: Option<&'static Rule>,
    },
}

/// A table's name.
static TABLE_NAME: Rule = Rule::Text {
    min: Some(3),
    max: Some(255),
    pattern: Some(Pattern::Name),
};
/// A table's ARN.
static TABLE_ARN: Rule = Rule::Text {
    min: Some(1),
    max: Some(1024),
    pattern: None,
};

/// Requests of which DynamoDB tells lengths and numbers that break a constraint in a newer form: without the value, and with
/// names as they are in requests. Whether it also says how many violations there are.
const NEWER: [(&str, bool); 2] = [("BatchGetItemInput", false), ("QueryInput", true)];

/// Checks a whole request; gives the message of the `ValidationException`, if any.
pub(crate) fn check_request<T: Structure>(request: &T) -> Option<String> {
    let mut violations = Violations::of(T::NAME);
    request.check_members(&mut Checker {
        path: &Path::Root,
        violations: &mut violations,
    });
    violations.into_message()
}

/// Checks a structure's members, and knows where in the request it is.
pub(crate) struct Checker<'a> {
    path: &'a Path<'a>,
    violations: &'a mut Violations,
}

impl Checker<'_> {
    /// Checks a member that must be there.
    pub(crate) fn required<T: Value>(&mut self, name: &str, member: &Option<T>, rule: Option<&Rule>) {
        if member.is_none() {
            self.violations.missing(&Path::Member(self.path, name));
        }
        self.optional(name, member, rule);
    }

    /// Checks a member that may be there.
    pub(crate) fn optional<T: Value>(&mut self, name: &str, member: &Option<T>, rule: Option<&Rule>) {
        let Some(value) = member else { return };
        let path = Path::Member(self.path, name);
        if let Some(rule) = rule {
            let violations = &mut *self.violations;
            value.broken(rule, &mut |constraint| {
                if !violations.is_full() {
                    violations.broken(value, &path, rule, &constraint);
                }
            });
        }
        value.check_inside(&mut Checker {
            path: &path,
            violations: self.violations,
        });
    }

    /// Goes on inside a list's element; the index begins at 0.
    pub(crate) fn element<T: Value>(&mut self, index: usize, element: &T) {
        if !self.violations.is_full() {
            let path = Path::Element(self.path, index + 1);
            element.check_inside(&mut Checker {
                path: &path,
                violations: self.violations,
            });
        }
    }

    /// Goes on inside a map's value.
    pub(crate) fn entry<T: Value>(&mut self, key: &str, value: &T) {
        if !self.violations.is_full() {
            let path = Path::Entry(self.path, key);
            value.check_inside(&mut Checker {
                path: &path,
                violations: self.violations,
            });
        }
    }
}

/// Where a value is in a request. Built on the way down, without allocating; written out only for an error.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
    Entry(&'a Path<'a>, &'a str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Member(Path::Root, name) => f.write_str(name),
            Path::Member(parent, name) => write!(f, "{parent}.{name}"),
            Path::Element(parent, index) => write!(f, "{parent}.{index}.member"),
            Path::Entry(parent, key) => write!(f, "{parent}.{key}.member"),
        }
    }
}

impl Path<'_> {
    /// The name of the member that it leads to; none for an element or a map's value.
    fn member(&self) -> Option<&str> {
        match self {
            Path::Member(_, name) => Some(name),
            Path::Root | Path::Element(..) | Path::Entry(..) => None,
        }
    }
}

/// A path with its members named as in requests: `RequestItems.T.member.Keys`.
struct InRequest<'a>(&'a Path<'a>);

impl fmt::Display for InRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parent, name) = match self.0 {
            Path::Root => return Ok(()),
            Path::Member(parent, name) => (parent, name),
            Path::Element(parent, index) => return write!(f, "{}.{index}.member", InRequest(parent)),
            Path::Entry(parent, key) => return write!(f, "{}.{key}.member", InRequest(parent)),
        };
        if !matches!(parent, Path::Root) {
            write!(f, "{}.", InRequest(parent))?;
        }
        // Requests' members differ from the model's in Java in their first letter.
        let first = name.get(..1).unwrap_or_default();
        write!(f, "{}{}", first.to_ascii_uppercase(), name.get(1..).unwrap_or_default())
    }
}

/// The violations found so far, at most [`VIOLATIONS_MAX`].
#[derive(Debug)]
struct Violations {
    /// The request's shape.
    request: &'static str,
    texts: Vec<String>,
    /// Bytes of values that may still be shown.
    room: usize,
    nameless: bool,
    /// Whether the first does not say how many there are, if it is the only one.
    uncounted: bool,
}

impl Violations {
    fn of(request: &'static str) -> Self {
        Self {
            request,
            texts: Vec::new(),
            room: SHOWN_BYTES_MAX,
            nameless: false,
            uncounted: false,
        }
    }

    /// A member that must be there is not.
    #[cold]
    fn missing(&mut self, path: &Path<'_>) {
        self.nameless |= path.member() == Some("tableName") && NAME_FIRST.contains(&self.request);
        self.add(format!(
            "Value null at '{path}' failed to satisfy constraint: Member must not be null"
        ));
    }

    /// A member breaks a constraint.
    #[cold]
    fn broken<T: Value>(&mut self, value: &T, path: &Path<'_>, rule: &Rule, constraint: &str) {
        let newer = NEWER.iter().find(|(request, _)| *request == self.request);
        let newer = newer.filter(|_| rule.is_bound(constraint));
        let text = if let Some((_, counted)) = newer {
            self.uncounted |= !counted;
            let path = InRequest(path);
            format!("Value at '{path}' failed to satisfy constraint: {constraint}")
        } else {
            let shown = JavaText::of(value, self.room);
            self.room = self.room.saturating_sub(shown.len());
            format!("Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}")
        };
        self.add(text);
    }

    fn add(&mut self, text: String) {
        if !self.is_full() {
            self.texts.push(text);
        }
    }

    fn is_full(&self) -> bool {
        self.texts.len() == VIOLATIONS_MAX
    }

    fn into_message(self) -> Option<String> {
        if self.nameless {
            return Some("The parameter 'TableName' is required but was not present in the request".into());
        }
        let count = self.texts.len();
        if count == 1 && self.uncounted {
            return self.texts.into_iter().next();
        }
        let errors = if count == 1 { "error" } else { "errors" };
        (count > 0).then(|| format!("{count} validation {errors} detected: {}", self.texts.join("; ")))
    }
}

impl Rule {
    /// What a text breaks.
    pub(crate) fn text(&self, text: &str, add: &mut dyn FnMut(String)) {
        match self {
            Rule::Text { min, max, pattern } => {
                if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
                    add(must_match(*pattern));
                }
                let length = if text.is_ascii() {
                    text.len()
                } else {
                    text.encode_utf16().count()
                };
                length_within(length, *min, *max, add);
            }
            Rule::Enum(values) if !values.contains(&text) => add(must_be_one_of(values)),
            Rule::TableArn if text.is_empty() || text.starts_with("arn:") => TABLE_ARN.text(text, add),
            Rule::TableArn => TABLE_NAME.text(text, add),
            _ => (),
        }
    }

    /// What a number breaks.
    pub(crate) fn number(&self, number: i64, add: &mut dyn FnMut(String)) {
        if let Rule::Number { min, max } = self {
            if let Some(max) = max.filter(|max| number > *max) {
                add(value_at_most(max));
            }
            if let Some(min) = min.filter(|min| number < *min) {
                add(value_at_least(min));
            }
        }
    }

    /// What a list breaks.
    pub(crate) fn list<T: Value>(&self, list: &[T], add: &mut dyn FnMut(String)) {
        if let Rule::List { min, max, element } = self {
            length_within(list.len(), *min, *max, add);
            if let Some(rule) = element.filter(|rule| list.iter().any(|element| breaks(element, rule))) {
                add(format!("Member must satisfy constraint: [{}]", rule.describe()));
            }
        }
    }

    /// What a map breaks.
    pub(crate) fn map<'a, T: Value + 'a>(
        &self,
        length: usize,
        mut keys: impl Iterator<Item = &'a str>,
        mut values: impl Iterator<Item = &'a T>,
        add: &mut dyn FnMut(String),
    ) {
        if let Rule::Map { min, max, key, value } = self {
            length_within(length, *min, *max, add);
            if let Some(rule) = key.filter(|rule| keys.any(|key| found(|add| rule.text(key, add)))) {
                add(format!("Map keys must satisfy constraint: [{}]", rule.describe()));
            }
            if let Some(rule) = value.filter(|rule| values.any(|value| breaks(value, rule))) {
                add(format!("Map value must satisfy constraint: [{}]", rule.describe()));
            }
        }
    }

    /// Whether this constraint of it is a bound of a number, or of the length of a list or a map.
    fn is_bound(&self, constraint: &str) -> bool {
        let bounded = matches!(self, Rule::Number { .. } | Rule::List { .. } | Rule::Map { .. });
        bounded && constraint.starts_with("Member must have ")
    }

    /// The constraints, as the error of a container tells what its elements must keep to.
    fn describe(&self) -> String {
        let mut texts = Vec::new();
        match self {
            Rule::TableArn => return TABLE_NAME.describe(),
            Rule::Enum(values) => texts.push(must_be_one_of(values)),
            Rule::Number { min, max } => {
                texts.extend(max.map(value_at_most));
                texts.extend(min.map(value_at_least));
            }
            Rule::Text { min, max, .. } | Rule::List { min, max, .. } | Rule::Map { min, max, .. } => {
                texts.extend(max.map(length_at_most));
                texts.extend(min.map(length_at_least));
            }
        }
        match self {
            Rule::Text {
                pattern: Some(pattern), ..
            } => texts.push(must_match(*pattern)),
            Rule::List {
                element: Some(rule), ..
            } => {
                texts.push(format!("Member must satisfy constraint: [{}]", rule.describe()));
            }
            _ => (),
        }
        texts.join(", ")
    }
}

fn breaks<T: Value>(value: &T, rule: &Rule) -> bool {
    found(|add| value.broken(rule, add))
}

fn found(check: impl FnOnce(&mut dyn FnMut(String))) -> bool {
    let mut any = false;
    check(&mut |_| any = true);
    any
}

fn length_within(length: usize, min: Option<usize>, max: Option<usize>, add: &mut dyn FnMut(String)) {
    if let Some(max) = max.filter(|max| length > *max) {
        add(length_at_most(max));
    }
    if let Some(min) = min.filter(|min| length < *min) {
        add(length_at_least(min));
    }
}

fn length_at_most(max: usize) -> String {
    format!("Member must have length less than or equal to {max}")
}

fn length_at_least(min: usize) -> String {
    format!("Member must have length greater than or equal to {min}")
}

fn value_at_most(max: i64) -> String {
    format!("Member must have value less than or equal to {max}")
}

fn value_at_least(min: i64) -> String {
    format!("Member must have value greater than or equal to {min}")
}

fn must_match(pattern: Pattern) -> String {
    format!("Member must satisfy regular expression pattern: {}", pattern.text())
}

fn must_be_one_of(values: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", values.join(", "))
}
