//! Values of single fields, checked when they are read.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    /// The value, moved into the range if it is outside.
    pub const fn new(value: u64) -> Self {
        if value < MIN {
            Self(MIN)
        } else if value > MAX {
            Self(MAX)
        } else {
            Self(value)
        }
    }

    /// The value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The value, for sizes in memory.
    pub fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Default for Within<MIN, MAX> {
    /// The greatest value.
    fn default() -> Self {
        Self(MAX)
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Debug for Within<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = i64::deserialize(deserializer)?;
        u64::try_from(value)
            .ok()
            .filter(|value| (MIN..=MAX).contains(value))
            .map(Self)
            .ok_or_else(|| de::Error::custom(format_args!("must be from {MIN} to {MAX}, not {value}")))
    }
}

/// Defines a text that is checked when it is read.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(de::Error::custom($rule)) }
            }
        }
    };
}

text! {
    /// An access key's public name: 1 to 128 letters, digits and underscores, as in IAM.
    AccessKeyId,
    |text| {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    },
    "an access_key_id has 1 to 128 letters, digits and underscores"
}

text! {
    /// An account: 12 digits.
    Account,
    |text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()),
    "an account has 12 digits"
}

impl Default for Account {
    fn default() -> Self {
        Self("000000000000".into())
    }
}

text! {
    /// The base address of an OTLP collector.
    Endpoint,
    |text| {
        text.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme() == Some(&http::uri::Scheme::HTTP) && uri.host().is_some_and(|host| !host.is_empty())
        })
    },
    "an OTLP endpoint is an http:// address"
}

/// A secret, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            Err(de::Error::custom("a secret cannot be empty"))
        } else {
            Ok(Self(text))
        }
    }
}
