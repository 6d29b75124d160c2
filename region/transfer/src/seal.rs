//! What is written in the data directory of jobs, sealed where data is encrypted.

use std::{borrow::Cow, io};

use geodynamo_seal::{Keyring, is_object};

/// The keys that files of jobs are sealed under; none where data is not encrypted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seal(Option<Keyring>);

impl Seal {
    pub(crate) fn new(keyring: Option<Keyring>) -> Self {
        Self(keyring)
    }

    /// The stored form of what a file, or a piece of one, has; it is bound to that name.
    pub(crate) fn seal(&self, name: &str, content: Vec<u8>) -> io::Result<Vec<u8>> {
        match &self.0 {
            Some(keyring) => keyring.seal(name, content).map_err(io::Error::other),
            None => Ok(content),
        }
    }

    /// The content of a stored form. What is not sealed is read as it is: a directory may be older than its encryption.
    pub(crate) fn open<'a>(&self, name: &str, stored: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
        match &self.0 {
            _ if !is_object(stored) => Ok(Cow::Borrowed(stored)),
            Some(keyring) => keyring
                .open_sealed(name, stored)
                .map(Cow::Owned)
                .map_err(io::Error::other),
            None => Err(io::Error::other("it is encrypted, and there is no key")),
        }
    }

    /// Whether something is stored as it would be now.
    pub(crate) fn is_as_wanted(&self, stored: &[u8]) -> bool {
        self.0.is_none() || is_object(stored)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }
}
