//! Why nothing can be sealed or opened.

use std::{io, path::PathBuf};

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A file of keys cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A region key's file can be read by others.
    #[error("{}: others may read this key (mode {mode:04o}); make it its owner's alone: chmod 600", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// There is no region key where it was to be found.
    #[error("no region key: {0}")]
    NoKey(String),
    /// Another region key sealed the data keys.
    #[error("{}: sealed under the region key {sealed}, and {source_name} has {had}", path.display())]
    WrongKey {
        /// The keyring.
        path: PathBuf,
        /// Under which one.
        sealed: String,
        /// Where the region key came from.
        source_name: String,
        /// Which it was.
        had: String,
    },
    /// A keyring, a header or an object is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// A data key is not in the keyring.
    #[error("sealed under the data key {0}, which is not in the keyring")]
    UnknownKey(String),
    /// A key service cannot be reached, or does not answer as it should.
    #[error("{service}: {reason}")]
    Service {
        /// Which.
        service: String,
        /// What it says.
        reason: String,
    },
    /// A key service refuses a key: it is disabled, or gone, or not this region's to use.
    #[error("{service}: {reason}")]
    Refused {
        /// Which.
        service: String,
        /// What it says.
        reason: String,
    },
    /// The machine's source of randomness, or its cipher, fails.
    #[error("the system gives no randomness")]
    System,
}

/// The result of sealing and opening.
pub type Result<T> = std::result::Result<T, SealError>;

impl From<aws_lc_rs::error::Unspecified> for SealError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::System
    }
}
