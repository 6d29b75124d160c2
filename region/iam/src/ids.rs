//! Unique ids, access keys and secrets: random, in IAM's forms.
//!
//! Prefixes: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>.

use crate::query::error::{IamError, Result};

/// A prefix and what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prefix {
    User,
    Group,
    Role,
    Policy,
    AccessKey,
    TemporaryAccessKey,
}

impl Prefix {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Group => "AGPA",
            Self::Role => "AROA",
            Self::Policy => "ANPA",
            Self::AccessKey => "AKIA",
            Self::TemporaryAccessKey => "ASIA",
        }
    }

    const fn random_characters(self) -> usize {
        match self {
            Self::AccessKey | Self::TemporaryAccessKey => 16,
            _ => 17,
        }
    }
}

/// A new id.
pub(crate) fn unique(prefix: Prefix) -> Result<String> {
    const CHARACTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    random(prefix.text(), prefix.random_characters(), CHARACTERS)
}

/// A new generation of an account: 26 characters, 130 bits.
pub(crate) fn generation() -> Result<String> {
    const CHARACTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    random("", 26, CHARACTERS)
}

/// A new secret access key: 40 characters, 237 bits.
pub(crate) fn secret() -> Result<String> {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    random("", 40, CHARACTERS)
}

/// A new account's id: twelve digits, the first of them not 0.
pub(crate) fn account() -> Result<String> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IamError::internal("the system gives no randomness"))?;
    Ok((100_000_000_000 + u64::from_ne_bytes(bytes) % 900_000_000_000).to_string())
}

/// Characters are 32 or 64, so that each byte gives one with the same chance.
fn random(prefix: &str, count: usize, characters: &[u8]) -> Result<String> {
    let mut bytes = [0; 40];
    let bytes = &mut bytes[..count.min(40)];
    aws_lc_rs::rand::fill(bytes).map_err(|_| IamError::internal("the system gives no randomness"))?;
    let mut id = prefix.to_owned();
    id.extend(
        bytes
            .iter()
            .map(|byte| char::from(characters[usize::from(*byte) % characters.len()])),
    );
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let user = unique(Prefix::User).unwrap();
        assert!(user.starts_with("AIDA") && user.len() == 21, "{user}");
        let key = unique(Prefix::AccessKey).unwrap();
        assert!(key.starts_with("AKIA") && key.len() == 20, "{key}");
        assert_ne!(unique(Prefix::AccessKey).unwrap(), key);
        assert_eq!(secret().unwrap().len(), 40);
        assert!(crate::accounts::is_id(&account().unwrap()));
    }
}
