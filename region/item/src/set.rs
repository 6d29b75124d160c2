//! Sets: never empty, no value twice, sorted.

use bytes::Bytes;
use compact_str::CompactString;

use crate::Number;

/// A set of one type's values, sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T>(Vec<T>);

/// `SS`
pub type StringSet = Set<CompactString>;
/// `NS`
pub type NumberSet = Set<Number>;
/// `BS`
pub type BinarySet = Set<Bytes>;

impl<T: Ord> Set<T> {
    /// A set of these values; `None` if there are none, or one of them twice.
    pub fn new(mut values: Vec<T>) -> Option<Self> {
        values.sort_unstable();
        let twice = values.windows(2).any(|pair| pair[0] == pair[1]);
        (!values.is_empty() && !twice).then_some(Self(values))
    }

    /// Whether the value is in it.
    pub fn contains(&self, value: &T) -> bool {
        self.0.binary_search(value).is_ok()
    }

    /// Its values, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Its values, in their order.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Values that are in order already, each once; `None` if they are not, or if there are none.
    pub(crate) fn from_sorted(values: Vec<T>) -> Option<Self> {
        (!values.is_empty() && values.is_sorted_by(|one, next| one < next)).then_some(Self(values))
    }

    /// How many values; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the other set's values.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self.0.sort_unstable();
        self.0.dedup();
        self
    }

    /// Takes the other set's values away; `None` if none is left.
    pub fn difference(mut self, other: &Self) -> Option<Self> {
        self.0.retain(|value| !other.contains(value));
        (!self.0.is_empty()).then_some(self)
    }
}

impl<T> IntoIterator for Set<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
