//! Names of clusters, regions and nodes.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: a name can be a DNS label and a certificate's subject.
pub const NAME_LEN_MAX: usize = 63;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// It is longer than [`NAME_LEN_MAX`].
    #[error("a name has at most {NAME_LEN_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// It holds a character that names do not have.
    #[error("'{name}' is not a name: it may hold lowercase letters, digits and hyphens, not {found:?}")]
    Character {
        /// The text.
        name: String,
        /// The first character that does not belong.
        found: char,
    },
    /// It does not begin with a letter, or it ends with a hyphen.
    #[error("'{0}' is not a name: it must begin with a letter and end with a letter or a digit")]
    Ends(String),
}

/// Defines a name: a cheaply cloned text that has been checked once, when it was made.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to [`NAME_LEN_MAX`] lowercase letters, digits and hyphens; a letter first, no hyphen last.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and makes it a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A cluster's name. Peers of another cluster are refused.
    ClusterName
}

name! {
    /// A region's name: one of AWS's (`eu-west-1`), or any other name (`basement`).
    RegionName
}

name! {
    /// A node's name, unique in its cluster.
    NodeName
}

name! {
    /// A zone's name, the same for all nodes that fail together.
    ZoneName
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_LEN_MAX {
        return Err(NameError::TooLong(text.chars().count()));
    }
    if let Some(found) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(NameError::Character {
            name: text.to_owned(),
            found,
        });
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
        return Err(NameError::Ends(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in [
            "us-east-1",
            "ap-northeast-1",
            "us-gov-west-1",
            "basement",
            "a",
            "x9",
            &"a".repeat(63),
        ] {
            assert_eq!(RegionName::new(good).map(String::from), Ok(good.to_owned()));
        }
        let check = |text: &str, expect: &str| {
            assert_eq!(RegionName::new(text).map_err(|e| e.to_string()), Err(expect.to_owned()));
        };
        check("", "a name cannot be empty");
        check(&"a".repeat(64), "a name has at most 63 characters, this one has 64");
        check(
            "US-east-1",
            "'US-east-1' is not a name: it may hold lowercase letters, digits and hyphens, not 'U'",
        );
        check(
            "mars_1",
            "'mars_1' is not a name: it may hold lowercase letters, digits and hyphens, not '_'",
        );
        check(
            "zürich",
            "'zürich' is not a name: it may hold lowercase letters, digits and hyphens, not 'ü'",
        );
        check(
            "1st",
            "'1st' is not a name: it must begin with a letter and end with a letter or a digit",
        );
        check(
            "eu-",
            "'eu-' is not a name: it must begin with a letter and end with a letter or a digit",
        );
    }
}
