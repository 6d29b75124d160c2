//! Engine keys: where records, index entries and the replica's own state stand.

use bytes::Bytes;
use geodynamo_replicator_core::Stamp;
use geodynamo_storage::{KEY_HEAD, key_head};

/// What kind of thing a key holds: the first byte of every engine key.
pub(crate) mod space {
    /// The replica's own state: its id, its clock's ceiling.
    pub(crate) const SYSTEM: u8 = 0;
    /// Items' records.
    pub(crate) const ITEM: u8 = 1;
    /// Global index entries.
    pub(crate) const GLOBAL: u8 = 2;
    /// Conflicts' losers.
    pub(crate) const CONFLICT: u8 = 3;
    /// Deltas from too far ahead.
    pub(crate) const PARKED: u8 = 4;
    /// Cursors of other replicas' change logs.
    pub(crate) const CURSOR: u8 = 5;
    /// Used client tokens of transactions.
    pub(crate) const TOKEN: u8 = 6;
    /// Sizes of item collections.
    pub(crate) const COLLECTION: u8 = 7;
    /// When items expire: the route is the time (see `expiry.rs`).
    pub(crate) const EXPIRY: u8 = 9;
    /// Streams and their shards: see `streams/rows.rs`.
    pub(crate) const STREAM: u8 = 8;
    /// What parts of the service above this crate keep of their own: see `kept.rs`.
    pub(crate) const KEPT: u8 = 10;
    /// The first local index's entries; the others follow.
    pub(crate) const LOCAL: u8 = 16;
}

/// A key of the replica's own state.
pub(crate) fn system(name: &str) -> Bytes {
    with(space::SYSTEM, 0, 0, name.as_bytes())
}

/// An item's record.
pub(crate) fn item(table: u64, route: u64, item_key: &[u8]) -> Bytes {
    with(space::ITEM, table, route, item_key)
}

/// A conflict's loser.
pub(crate) fn conflict(table: u64, route: u64, item_key: &[u8], loser: Stamp) -> Bytes {
    let mut key = key_head(space::CONFLICT, table, route, item_key.len() + Stamp::LEN);
    key.extend_from_slice(item_key);
    key.extend_from_slice(&loser.to_bytes());
    key.into()
}

/// A parked delta: in the order of its stamp within its group.
pub(crate) fn parked(table: u64, route: u64, stamp: Stamp, item_key: &[u8]) -> Bytes {
    let mut key = key_head(space::PARKED, table, route, item_key.len() + Stamp::LEN);
    key.extend_from_slice(&stamp.to_bytes());
    key.extend_from_slice(item_key);
    key.into()
}

/// The size of an item collection.
pub(crate) fn collection(table: u64, route: u64, partition: &[u8]) -> Bytes {
    with(space::COLLECTION, table, route, partition)
}

/// All keys of a terminated partition key: `[from, to)`.
pub(crate) fn partition_range(space: u8, owner: u64, route: u64, partition: &[u8]) -> (Bytes, Bytes) {
    let from = with(space, owner, route, partition);
    // A terminated key ends in 0x01, so there is a next one of its length.
    let mut to = from.to_vec();
    if let Some(last) = to.last_mut() {
        *last = last.saturating_add(1);
    }
    (from, to.into())
}

/// That an item is due to expire at a time, in milliseconds since the Unix epoch.
pub(crate) fn expiry(table: u64, due: u64, item_key: &[u8]) -> Bytes {
    with(space::EXPIRY, table, due, item_key)
}

/// The cursor of a change log of another replica, kept under the table it is a log of.
pub(crate) fn cursor(table: u64, log: u64) -> Bytes {
    with(space::CURSOR, table, 0, &log.to_be_bytes())
}

/// A used client token, kept under the stretch of time in which it was used.
pub(crate) fn token(stretch: u64, hash: u64, token: &[u8]) -> Bytes {
    with(space::TOKEN, stretch, hash, token)
}

/// A stream, by its label.
pub(crate) fn stream(table: u64, label: u64) -> Bytes {
    with(space::STREAM, table, 0, &label.to_be_bytes())
}

/// A generation of a stream's shards.
pub(crate) fn stream_generation(table: u64, label: u64, number: u32) -> Bytes {
    let mut rest = [0; 12];
    rest[..8].copy_from_slice(&label.to_be_bytes());
    rest[8..].copy_from_slice(&number.to_be_bytes());
    with(space::STREAM, table, 0, &rest)
}

/// A row that a part of the service above this crate keeps.
pub(crate) fn kept(owner: u64, group: u64, row: &[u8]) -> Bytes {
    with(space::KEPT, owner, group, row)
}

/// The owner in a key's head.
pub(crate) fn owner_of(key: &[u8]) -> u64 {
    let mut owner = [0; 8];
    for (to, from) in owner.iter_mut().zip(key.iter().skip(1)) {
        *to = *from;
    }
    u64::from_be_bytes(owner)
}

/// An item's key within an item's engine key.
pub(crate) fn rest(key: &Bytes) -> Bytes {
    key.slice(KEY_HEAD.min(key.len())..)
}

/// Like [`rest`], without a reference to the key's buffer.
pub(crate) fn rest_of(key: &[u8]) -> &[u8] {
    key.get(KEY_HEAD..).unwrap_or_default()
}

/// Whether a key is an entry of a global index: of the one with this id.
pub(crate) fn is_entry_of(key: &[u8], index: u64) -> bool {
    key.first() == Some(&space::GLOBAL) && key.get(1..9) == Some(&index.to_be_bytes())
}

/// The route in a key's head.
pub(crate) fn route_of(key: &[u8]) -> u64 {
    let mut route = [0; 8];
    for (to, from) in route.iter_mut().zip(key.iter().skip(9)) {
        *to = *from;
    }
    u64::from_be_bytes(route)
}

/// All keys of an owner in a space, between two routes: `[from, to)`.
pub(crate) fn owner_range(space: u8, owner: u64, first: u64, last: u64) -> (Bytes, Bytes) {
    (with(space, owner, first, &[]), after_route(space, owner, last))
}

/// The first key behind all keys of a route.
pub(crate) fn after_route(space: u8, owner: u64, route: u64) -> Bytes {
    match (route.checked_add(1), owner.checked_add(1)) {
        (Some(next), _) => with(space, owner, next, &[]),
        (None, Some(next)) => with(space, next, 0, &[]),
        (None, None) => with(space.saturating_add(1), 0, 0, &[]),
    }
}

/// The first key behind a key.
pub(crate) fn just_after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

pub(crate) fn with(space: u8, owner: u64, route: u64, rest: &[u8]) -> Bytes {
    let mut key = key_head(space, owner, route, rest.len());
    key.extend_from_slice(rest);
    key.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_keys_and_no_others() {
        for (owner, route) in [(7, 0), (7, 41), (7, u64::MAX), (u64::MAX, u64::MAX)] {
            let (from, to) = owner_range(space::ITEM, owner, route, route);
            let key = item(owner, route, b"\xff\xff\xff");
            assert!(from <= key && key < to, "{owner} {route}");
            assert_eq!(route_of(&key), route);
            assert_eq!(rest(&key), Bytes::from_static(b"\xff\xff\xff"));
            if route > 0 {
                assert!(item(owner, route - 1, b"\xff") < from);
            }
        }
    }
}
