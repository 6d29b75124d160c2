//! Values as Java's `toString` prints them: DynamoDB's validation errors show them so.

use super::Value;

/// The most bytes of one value that an error shows. DynamoDB shows the whole of a list that is too long; so does this, but of
/// a request that is mostly one list of small things, whose text would be many times as large.
pub(crate) const SHOWN_BYTES_MAX: usize = 1024 * 1024;

/// A value's text, cut at [`SHOWN_BYTES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct JavaText {
    text: String,
    cut: bool,
}

/// A member that can be shown.
pub(crate) trait Show {
    fn show(&self, text: &mut JavaText);
}

impl<T: Value> Show for Option<T> {
    fn show(&self, text: &mut JavaText) {
        match self {
            Some(value) => value.show(text),
            None => text.push("null"),
        }
    }
}

impl JavaText {
    /// Shows a value.
    pub(crate) fn of<T: Value>(value: &T) -> String {
        let mut text = Self::default();
        value.show(&mut text);
        text.text
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Appends a text.
    pub(crate) fn push(&mut self, piece: &str) {
        if self.cut {
            return;
        }
        let room = SHOWN_BYTES_MAX - self.text.len();
        if piece.len() <= room {
            self.text.push_str(piece);
            return;
        }
        self.text.push_str(&piece[..piece.floor_char_boundary(room)]);
        self.text.push_str("...");
        self.cut = true;
    }

    /// Whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.cut
    }

    /// Appends `opening`, then what `each` shows of every element with `, ` between, then `closing`.
    pub(crate) fn sequence<T>(
        &mut self,
        opening: &str,
        elements: impl Iterator<Item = T>,
        closing: &str,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.push(opening);
        for (index, element) in elements.enumerate() {
            if self.is_full() {
                return;
            }
            if index > 0 {
                self.push(", ");
            }
            each(self, element);
        }
        self.push(closing);
    }

    /// Appends a structure's members: `name=value, name=null`.
    pub(crate) fn members(&mut self, members: &[(&str, &dyn Show)]) {
        self.sequence("", members.iter(), "", |text, (name, value)| {
            text.push(name);
            text.push("=");
            value.show(text);
        });
    }
}
