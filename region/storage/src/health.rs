//! Whether an engine takes writes.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

/// Why an engine takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The disk, or the quota, is full. Passes when there is room. Meanwhile commits that make room
    /// ([`crate::Commit::makes_room`]) and trims may still be taken.
    NoRoom,
    /// The file system is mounted read-only. Passes when somebody mounts it for writing.
    ReadOnly,
    /// A write or a sync failed. Passes when the disk takes writes again.
    WritesFail,
    /// What is stored is damaged, or writes have failed too often. Does not pass: somebody has to look at it.
    Broken,
}

impl Trouble {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::NoRoom, Self::ReadOnly, Self::WritesFail, Self::Broken];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "no_room",
            Self::ReadOnly => "read_only",
            Self::WritesFail => "writes_fail",
            Self::Broken => "broken",
        }
    }

    /// Whether the engine recovers from it without a restart, once its cause is gone.
    pub fn passes(self) -> bool {
        self != Self::Broken
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "there is no room on the disk",
            Self::ReadOnly => "the file system is read-only",
            Self::WritesFail => "the disk fails to write",
            Self::Broken => "what is stored is damaged, or the disk has failed too often",
        })
    }
}

/// What an engine can do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Everything.
    #[default]
    Open,
    /// Reads only. The text names the disk and its error.
    Unwritable(Trouble, Arc<str>),
    /// Neither reads nor writes: what is stored cannot be opened. The text says why.
    Unreadable(Trouble, Arc<str>),
}

impl Health {
    /// Why no writes are taken, if they are not.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Open => None,
            Self::Unwritable(trouble, _) | Self::Unreadable(trouble, _) => Some(*trouble),
        }
    }

    /// Waits until writes are taken. At once if the engine is gone: whoever asks it then is told so.
    pub async fn wait_writable(mut health: watch::Receiver<Self>) {
        let _ = health.wait_for(|health| *health == Self::Open).await;
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("the store takes reads and writes"),
            Self::Unwritable(trouble, text) => write!(f, "the store takes reads only: {trouble}: {text}"),
            Self::Unreadable(trouble, text) => write!(f, "the store cannot be opened: {trouble}: {text}"),
        }
    }
}
