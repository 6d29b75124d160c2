//! Values of calls and answers, between the wire and the operations.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// Seconds since 1970.
    Time(i64),
    List(Vec<Value>),
    Structure(Structure),
    /// Only in answers.
    Map(Vec<(String, Value)>),
}

/// A structure: its members that are there, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure(pub(crate) Vec<(&'static str, Value)>);

impl Structure {
    /// A structure with no member yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The same with one more member, unless that is none.
    pub(crate) fn with(mut self, name: &'static str, value: impl IntoMember) -> Self {
        if let Some(value) = value.into_member() {
            self.0.push((name, value));
        }
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let member = self.0.iter().find(|(known, _)| *known == name);
        member.map(|(_, value)| value)
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text that the model requires: the reader has seen to it that it is there.
    pub(crate) fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Value::Boolean(is)) => Some(*is),
            _ => None,
        }
    }

    /// A list's members; none if there is no list.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::List(members)) => members,
            _ => &[],
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.list(name).iter().filter_map(|member| match member {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A list of structures.
    pub(crate) fn structures(&self, name: &str) -> impl Iterator<Item = &Structure> {
        self.list(name).iter().filter_map(|member| match member {
            Value::Structure(structure) => Some(structure),
            _ => None,
        })
    }
}

/// What can stand for a member: a value, or none.
pub(crate) trait IntoMember {
    fn into_member(self) -> Option<Value>;
}

macro_rules! into_member {
    ($($from:ty),*) => {
        $(impl IntoMember for $from {
            fn into_member(self) -> Option<Value> {
                Some(self.into())
            }
        })*
    };
}

into_member!(&str, String, &String, bool, i64, usize, Value, Structure);

impl<T: Into<Value>> IntoMember for Vec<T> {
    fn into_member(self) -> Option<Value> {
        Some(self.into())
    }
}

impl<T: Into<Value>> IntoMember for Option<T> {
    fn into_member(self) -> Option<Value> {
        self.map(Into::into)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Boolean(is)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Structure> for Value {
    fn from(structure: Structure) -> Self {
        Self::Structure(structure)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(members: Vec<T>) -> Self {
        Self::List(members.into_iter().map(Into::into).collect())
    }
}
