//! Frames on their way out of a link.

use geodynamo_replicator_core::Frame;

use crate::wire::{self, WireError};

/// Written bytes that are kept before the rest is moved to the front.
const WRITTEN_BYTES_MAX: usize = 64 * 1024;
/// Room that is kept when nothing is left to write.
const ROOM_BYTES_MAX: usize = 1024 * 1024;

/// What a stream has not taken yet. The peer's credit bounds it.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    bytes: Vec<u8>,
    written: usize,
}

impl Unsent {
    /// Puts a frame behind the others.
    pub(crate) fn append(&mut self, frame: &Frame) -> Result<(), WireError> {
        wire::append(&mut self.bytes, frame)
    }

    /// Whether the stream has taken everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// What to write next.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// The stream has taken this many bytes of the rest.
    ///
    /// Under load the stream never catches up, so what it has taken is not kept until it does: once there is enough of it,
    /// and no less than what is left, the rest is moved to the front. Each byte is moved once at most for one that leaves.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(ROOM_BYTES_MAX);
            self.written = 0;
        } else if self.written >= WRITTEN_BYTES_MAX && self.written >= self.rest().len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that always has something left holds little more than that, however much has gone through.
    #[test]
    fn what_was_taken_is_not_kept() {
        let ping = Frame::Ping { sent_ms: 1 };
        let mut unsent = Unsent::default();
        let mut expect: Vec<u8> = Vec::new();
        unsent.append(&ping).unwrap();
        let frame = unsent.rest().len();
        expect.extend_from_slice(unsent.rest());
        for _ in 0..50_000 {
            unsent.append(&ping).unwrap();
            let taken = expect.len();
            assert_eq!(&unsent.rest()[..taken], expect);
            unsent.took(taken);
            assert_eq!(unsent.rest().len(), frame);
            assert!(unsent.bytes.len() <= 2 * WRITTEN_BYTES_MAX, "{}", unsent.bytes.len());
        }
        unsent.took(frame);
        assert!(unsent.is_empty() && unsent.rest().is_empty());
        unsent.took(1);
        assert!(unsent.is_empty());
    }
}
