//! Values as Java's `toString` prints them: DynamoDB's validation errors show them so.

use super::Value;

/// The most bytes of a request's values that its error shows. DynamoDB shows them whole, a list of a hundred transaction's
/// actions, too; only what would make the error longer than many an answer is cut.
pub(crate) const SHOWN_BYTES_MAX: usize = 1 << 20;

/// A value's text, cut at [`SHOWN_BYTES_MAX`] or sooner.
#[derive(Debug)]
pub(crate) struct JavaText {
    text: String,
    bytes_max: usize,
    cut: bool,
}

impl Default for JavaText {
    fn default() -> Self {
        Self::within(SHOWN_BYTES_MAX)
    }
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
    /// An empty text for at most so many bytes.
    fn within(bytes_max: usize) -> Self {
        Self {
            text: String::new(),
            bytes_max,
            cut: false,
        }
    }

    /// Shows a value in at most so many bytes, and three dots if that was too little.
    pub(crate) fn of<T: Value>(value: &T, bytes_max: usize) -> String {
        let mut text = Self::within(bytes_max);
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
        let room = self.bytes_max - self.text.len();
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
