//! The commits of a batch that is being built, as preconditions of the next one see them.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use geodynamo_storage::Write;

/// What the batch so far has done to keys.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Keys put or deleted, after the ranges below.
    keys: BTreeMap<Bytes, Option<Bytes>>,
    /// Ranges deleted.
    ranges: Vec<(Bytes, Bytes)>,
}

impl Overlay {
    pub(crate) fn apply(&mut self, write: &Write) {
        match write {
            Write::Put(key, value) => {
                self.keys.insert(key.clone(), Some(value.clone()));
            }
            Write::Delete(key) => {
                self.keys.insert(key.clone(), None);
            }
            Write::DeleteRange(from, to) if from < to => {
                let range = (Bound::Included(from), Bound::Excluded(to));
                let hidden: Vec<Bytes> = self.keys.range::<Bytes, _>(range).map(|(key, _)| key.clone()).collect();
                for key in hidden {
                    self.keys.remove(&key);
                }
                self.ranges.push((from.clone(), to.clone()));
            }
            Write::DeleteRange(..) => {}
        }
    }

    /// What the batch has made of a key; `None` if it has not touched it.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&Bytes>> {
        if let Some(value) = self.keys.get(key) {
            return Some(value.as_ref());
        }
        let deleted = self.ranges.iter().any(|(from, to)| **from <= *key && *key < **to);
        deleted.then_some(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_writes_hide_earlier_ones() {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut overlay = Overlay::default();
        assert_eq!(overlay.get(b"a"), None);
        overlay.apply(&Write::Put(bytes("a"), bytes("1")));
        overlay.apply(&Write::Delete(bytes("b")));
        assert_eq!(overlay.get(b"a"), Some(Some(&bytes("1"))));
        assert_eq!(overlay.get(b"b"), Some(None));
        overlay.apply(&Write::DeleteRange(bytes("a"), bytes("c")));
        assert_eq!(overlay.get(b"a"), Some(None));
        assert_eq!(overlay.get(b"bb"), Some(None));
        assert_eq!(overlay.get(b"c"), None);
        overlay.apply(&Write::Put(bytes("b"), bytes("2")));
        assert_eq!(overlay.get(b"b"), Some(Some(&bytes("2"))));
        overlay.apply(&Write::DeleteRange(bytes("z"), bytes("a")));
        assert_eq!(overlay.get(b"m"), None);
    }
}
