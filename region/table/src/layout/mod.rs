//! Keys and values as bytes: where items, index entries and expiry entries stand, and what their rows hold. No I/O.

pub(crate) mod expiry;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod range;
pub(crate) mod record;
pub(crate) mod stored;
pub(crate) mod update_size;
