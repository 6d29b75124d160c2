//! Attribute maps: an item, and the value of an `M` attribute.

use compact_str::CompactString;

use crate::AttributeValue;

/// An attribute's name.
pub type Name = CompactString;

/// A map of attribute names to values: an item, or the value of an `M` attribute. Sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item(Vec<(Name, AttributeValue)>);

impl Item {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.find(name).ok().map(|at| &self.0[at].1)
    }

    /// The value of an attribute, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut AttributeValue> {
        self.find(name).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether there is such an attribute.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Sets an attribute; gives the value it had.
    pub fn insert(&mut self, name: Name, value: AttributeValue) -> Option<AttributeValue> {
        match self.find(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    /// Removes an attribute; gives the value it had.
    pub fn remove(&mut self, name: &str) -> Option<AttributeValue> {
        self.find(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Attributes in the order of their names (by UTF-8 bytes).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &AttributeValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many attributes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the attributes that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&Name, &AttributeValue) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Attributes that are in the order of their names already, each name once; `None` if they are not.
    pub(crate) fn from_sorted(attributes: Vec<(Name, AttributeValue)>) -> Option<Self> {
        attributes
            .is_sorted_by(|(one, _), (next, _)| one < next)
            .then_some(Self(attributes))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Attributes often come in order: then there is nothing to search.
        match self.0.last() {
            Some((last, _)) if last.as_str() >= name => (),
            _ => return Err(self.0.len()),
        }
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}

impl IntoIterator for Item {
    type Item = (Name, AttributeValue);
    type IntoIter = std::vec::IntoIter<(Name, AttributeValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Item {
    type Item = (&'a Name, &'a AttributeValue);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (Name, AttributeValue)>,
        fn(&'a (Name, AttributeValue)) -> (&'a Name, &'a AttributeValue),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl FromIterator<(Name, AttributeValue)> for Item {
    /// The last of several values of one name stays.
    fn from_iter<I: IntoIterator<Item = (Name, AttributeValue)>>(attributes: I) -> Self {
        let mut attributes: Vec<_> = attributes.into_iter().collect();
        if !attributes.is_sorted_by(|(one, _), (next, _)| one < next) {
            // Stable, so that of equal names the last comes last; its value then takes the place of the ones before it.
            attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
            attributes.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Self(attributes)
    }
}

impl Extend<(Name, AttributeValue)> for Item {
    /// The last of several values of one name stays.
    fn extend<I: IntoIterator<Item = (Name, AttributeValue)>>(&mut self, attributes: I) {
        for (name, value) in attributes {
            self.insert(name, value);
        }
    }
}
