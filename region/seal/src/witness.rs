//! Who is told of every use of a key stream, so that tests can look for one that was used twice.

use std::fmt;

/// A use of a key stream: these bytes of it were laid over something that is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// Which one: a hash of the file's key.
    pub stream: u64,
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// Is told of every use before anything of it is written.
pub trait Witness: Send + Sync + fmt::Debug {
    /// Notes a use.
    fn note(&self, of: Use);
}
