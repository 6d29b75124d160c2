//! `[encryption]`: what the data directory and the archive are encrypted under.

use std::path::PathBuf;

use serde::Deserialize;

/// Whether what is written is encrypted, and where the region's key is. At most one of the places is told; without any it
/// is a file beside the data directory, of its name and `.key`, which is made at the first start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Encryption {
    /// Whether a new data directory is encrypted. True unless told. A directory that is there stays as it is.
    pub enabled: Option<bool>,
    /// A file that its owner alone may read: a key on each line, 32 bytes in base64 or in hexadecimal digits. The first one is
    /// in use; the others still open what was sealed under them.
    pub key_file: Option<PathBuf>,
    /// An environment variable with the same text.
    pub key_variable: Option<String>,
    /// A command, and its arguments, that writes the same text to its standard output.
    pub key_command: Option<Vec<String>>,
}

impl Encryption {
    /// As `geodynamo dev` has it: only if that is wanted.
    pub fn wanted(enabled: bool) -> Self {
        Self {
            enabled: Some(enabled),
            ..Self::default()
        }
    }

    /// What does not go together.
    pub(super) fn contradiction(&self) -> Option<String> {
        let places = [
            self.key_file.is_some(),
            self.key_variable.is_some(),
            self.key_command.is_some(),
        ];
        let told = places.into_iter().filter(|told| *told).count();
        (told > 1).then(|| "[encryption] has one of key_file, key_variable and key_command".into())
    }
}
