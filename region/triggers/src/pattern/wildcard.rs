//! Texts with `*`, which stands for any characters, none too. `\*` and `\\` are the characters themselves.

/// A compiled wildcard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wildcard {
    /// What stands between the stars: there is one star fewer than parts.
    parts: Vec<String>,
}

impl Wildcard {
    /// `None` if it is no wildcard: two stars beside each other, or a backslash before something else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        let mut after_star = false;
        while let Some(character) = characters.next() {
            if character == '*' {
                if after_star {
                    return None;
                }
                parts.push(String::new());
                after_star = true;
                continue;
            }
            after_star = false;
            let character = match character {
                '\\' => characters.next().filter(|next| matches!(next, '*' | '\\'))?,
                character => character,
            };
            if let Some(part) = parts.last_mut() {
                part.push(character);
            }
        }
        Some(Self { parts })
    }

    /// Whether all of a text matches. The first place where a part fits is always good enough, so it takes time by the lengths
    /// of both, not by their powers.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else {
            return false;
        };
        if self.parts.len() == 1 {
            return text == first;
        }
        let Some(rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else {
            return false;
        };
        for part in &self.parts[1..self.parts.len() - 1] {
            let Some(place) = rest.find(part.as_str()) else {
                return false;
            };
            rest = &rest[place + part.len()..];
        }
        true
    }
}
