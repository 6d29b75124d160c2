//! Why the archive fails.

/// Why an object cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The place is none, or what was told of it does not go together.
    #[error("the archive {place} cannot be used: {reason}")]
    Place {
        /// The place.
        place: String,
        /// Why not.
        reason: String,
    },
    /// There is no such object.
    #[error("{0} is not in the archive")]
    Missing(String),
    /// There is another object of that name: objects are never changed.
    #[error("{0} is in the archive already, and is another one")]
    Exists(String),
    /// The object is not what was put there.
    #[error("{name} is damaged: {reason}")]
    Damaged {
        /// The object.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The object is whole, as its checksum says, and encrypted, and there is no key for it; the second text is what more is known.
    #[error("{0} is encrypted, and there is no key for it{1}")]
    Sealed(String, String),
    /// The object is too large.
    #[error("{name} has {bytes} bytes, which is more than an object may have")]
    TooLarge {
        /// The object.
        name: String,
        /// Its bytes.
        bytes: usize,
    },
    /// The store cannot be reached, or refuses. It may be different later.
    #[error("the archive's store: {0}")]
    Store(#[from] object_store::Error),
    /// The folder cannot be used.
    #[error("the archive's folder: {0}")]
    Folder(#[from] std::io::Error),
}

impl ArchiveError {
    /// Whether it may go by itself: a store that cannot be reached, but not an object that is damaged or missing.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Folder(_))
    }
}

/// The archive's result.
pub type Result<T> = std::result::Result<T, ArchiveError>;
