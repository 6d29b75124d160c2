//! Values of single fields, checked when they are read.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Why a text is not what a field wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(&'static str);

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
            /// Checks a text.
            pub fn new(text: &str) -> Result<Self, FieldError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(FieldError($rule)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
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

impl Account {
    /// The account that nobody has.
    pub const DEFAULT: &str = "000000000000";
}

impl Default for Account {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

text! {
    /// The base address of another program's HTTP interface: an OTLP collector's, the WAN emulator's.
    Endpoint,
    |text| {
        text.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme() == Some(&http::uri::Scheme::HTTP) && uri.host().is_some_and(|host| !host.is_empty())
        })
    },
    "an endpoint is an http:// address"
}

text! {
    /// The URL of a web identity provider.
    ProviderUrl,
    |text| {
        text.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme() == Some(&http::uri::Scheme::HTTPS) && uri.host().is_some_and(|host| !host.is_empty())
        })
    },
    "an identity provider's url begins with https://"
}

text! {
    /// An address that is fetched from.
    Address,
    |text| {
        text.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty())
        }) && (text.starts_with("http://") || text.starts_with("https://"))
    },
    "an address begins with http:// or https://"
}

/// A secret, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of at least one character.
    pub fn new(text: &str) -> Result<Self, FieldError> {
        if text.is_empty() {
            Err(FieldError("a secret cannot be empty"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }

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
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
