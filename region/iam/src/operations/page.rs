//! Lists in pages: `MaxItems`, `Marker`, `IsTruncated`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::query::{
    error::{IamError, Result},
    value::{Structure, Value},
};

/// How many a page has, unless the call tells.
const ITEMS: usize = 100;

/// A page of a list.
pub(super) struct Page {
    pub(super) members: Vec<Value>,
    marker: Option<String>,
}

impl Page {
    /// The page that a call asks for, of things with their keys in ascending order. What is between pages changed does not
    /// shift them: the marker is the last key.
    pub(super) fn of<T, V: Into<Value>>(
        input: &Structure,
        all: impl IntoIterator<Item = (String, T)>,
        show: impl Fn(T) -> V,
    ) -> Result<Self> {
        let max = input.integer("MaxItems").and_then(|max| usize::try_from(max).ok());
        let max = max.unwrap_or(ITEMS).max(1);
        let after = input.text("Marker").map(read_marker).transpose()?;
        let mut rest = all
            .into_iter()
            .skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after))
            .peekable();
        let (mut members, mut marker) = (Vec::new(), None);
        while let Some((key, item)) = rest.next() {
            members.push(show(item).into());
            if members.len() >= max {
                marker = rest.peek().map(|_| URL_SAFE_NO_PAD.encode(key));
                break;
            }
        }
        Ok(Self { members, marker })
    }

    /// Whether there is more behind it.
    pub(super) fn is_truncated(&self) -> bool {
        self.marker.is_some()
    }

    /// An answer that has the page as one of its members.
    pub(super) fn answer(self, name: &'static str) -> Structure {
        let (truncated, marker) = (self.is_truncated(), self.marker);
        Structure::new()
            .with(name, self.members)
            .with("IsTruncated", truncated)
            .with("Marker", marker)
    }
}

fn read_marker(marker: &str) -> Result<String> {
    let decoded = URL_SAFE_NO_PAD.decode(marker).ok();
    decoded
        .and_then(|key| String::from_utf8(key).ok())
        .ok_or_else(|| IamError::validation("Invalid Marker."))
}
