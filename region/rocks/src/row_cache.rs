//! Rows that were read lately, kept in memory.
//!
//! From RocksDB a row that was just written is a search of a skip list, a cache miss at each of its levels, and a copy; from
//! here it is one look at a hash bucket, and a reference. Reads bring rows in, writes renew those that are in: what is never
//! read by its key, as index entries are not, takes no room.
//!
//! # Never older than the store
//! The committer marks the rows of a batch before it writes the batch ([`RowCache::begin`]), so readers look into the store
//! meanwhile, and puts the new values in once they are durable and visible there ([`RowCache::end`]). A reader that found
//! nothing here gets a [`Ticket`] along with that; what it then read in the store it may leave here with the ticket
//! ([`RowCache::keep`]), which is refused if a write to the bucket has begun since.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use geodynamo_storage::Write;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

/// Rows that a bucket can hold.
const WAYS: usize = 4;
/// Bytes of rows that a bucket can hold. A row of more is not kept: finding it is a small part of what it costs.
const BUCKET_BYTES: usize = 2048;
/// What a row takes besides its bytes, about: its place, and what counts the references to its key and value.
const ROW_BYTES: usize = 128;

/// A bounded hash table of rows.
#[derive(Debug)]
pub(crate) struct RowCache {
    /// As many as a power of two; none if nothing is kept.
    buckets: Box<[Mutex<Bucket>]>,
    /// Whether a range of keys is being deleted: until it is, nothing is known here.
    ranges: AtomicBool,
}

#[derive(Debug, Default)]
struct Bucket {
    rows: [Option<Row>; WAYS],
    /// The place whose row goes first when there is no room: all take their turns.
    next: usize,
    /// Writes to keys of this bucket that have begun and not ended.
    writing: u32,
    /// Counts the writes that have begun.
    version: u64,
    hits: u64,
    misses: u64,
}

#[derive(Debug)]
struct Row {
    hash: u64,
    key: Bytes,
    /// None while it is being written.
    value: Option<Bytes>,
}

/// Where a row that was not found would be kept, and as of which write.
#[derive(Debug)]
pub(crate) struct Ticket {
    hash: u64,
    version: u64,
}

/// What a look-up comes to.
#[derive(Debug)]
pub(crate) enum Found {
    /// The row, as it is in the store.
    Row(Bytes),
    /// It is not here. What the store has may be kept.
    Missing(Ticket),
    /// It is not here, and is being written, or nothing is kept at all.
    Unknown,
}

/// What the cache has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) bytes: usize,
}

impl RowCache {
    /// A cache of so many bytes at most, rounded down to a power of two.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let buckets = bytes_max / BUCKET_BYTES;
        let buckets = buckets.checked_ilog2().map_or(0, |power| 1_usize << power);
        Self {
            buckets: (0..buckets).map(|_| Mutex::default()).collect(),
            ranges: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Found {
        let hash = xxh3_64(key);
        let Some(bucket) = self.bucket(hash) else {
            return Found::Unknown;
        };
        let mut bucket = bucket.lock();
        // Under the bucket's lock: who takes rows out of it has set this before.
        if self.ranges.load(Ordering::Acquire) {
            return Found::Unknown;
        }
        if let Some(value) = bucket.row(hash, key).and_then(|row| row.value.clone()) {
            bucket.hits += 1;
            return Found::Row(value);
        }
        bucket.misses += 1;
        if bucket.writing > 0 {
            return Found::Unknown;
        }
        Found::Missing(Ticket {
            hash,
            version: bucket.version,
        })
    }

    /// Keeps what a reader found in the store after it got the ticket, unless that may be old by now. If other rows must make
    /// room for it, only a lucky one is kept: see [`crate::admission`].
    pub(crate) fn keep(&self, ticket: &Ticket, key: &[u8], value: &Bytes, lucky: bool) {
        if !fits(key, value) {
            return;
        }
        let Some(bucket) = self.bucket(ticket.hash) else { return };
        let mut bucket = bucket.lock();
        let wanted = lucky || bucket.has_room(charge(key, value));
        if wanted && bucket.version == ticket.version && bucket.row(ticket.hash, key).is_none() {
            bucket.put(ticket.hash, Bytes::copy_from_slice(key), value.clone());
        }
    }

    /// Marks what is about to be written. [`RowCache::end`] is to follow with the same writes, or [`RowCache::abandon`]
    /// if they failed.
    pub(crate) fn begin<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) {
        for write in writes {
            match write {
                Write::Put(key, _) | Write::Delete(key) => {
                    let hash = xxh3_64(key);
                    let Some(bucket) = self.bucket(hash) else { return };
                    let mut bucket = bucket.lock();
                    bucket.version += 1;
                    bucket.writing += 1;
                    if let Some(row) = bucket.row_mut(hash, key) {
                        row.value = None;
                    }
                }
                Write::DeleteRange(from, to) if from < to => {
                    self.ranges.store(true, Ordering::Release);
                    for bucket in &self.buckets {
                        let mut bucket = bucket.lock();
                        bucket.version += 1;
                        bucket.remove(|row| *from <= row.key && row.key < *to);
                    }
                }
                Write::DeleteRange(..) => {}
            }
        }
    }

    /// Takes in what has been written, durable and visible in the store by now. The last write to a key counts, so they are
    /// gone through backwards.
    pub(crate) fn end<'a>(&self, writes: impl DoubleEndedIterator<Item = &'a Write>) {
        for write in writes.rev() {
            let (key, value) = match write {
                Write::Put(key, value) => (key, Some(value)),
                Write::Delete(key) => (key, None),
                Write::DeleteRange(..) => continue,
            };
            let hash = xxh3_64(key);
            let Some(bucket) = self.bucket(hash) else { return };
            let mut bucket = bucket.lock();
            bucket.writing = bucket.writing.saturating_sub(1);
            bucket.renew(hash, key, value);
        }
        self.ranges.store(false, Ordering::Release);
    }

    /// Forgets what has begun and will not end, since writing it failed: the store has what it had before.
    pub(crate) fn abandon<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) {
        for write in writes {
            let (Write::Put(key, _) | Write::Delete(key)) = write else {
                continue;
            };
            let hash = xxh3_64(key);
            let Some(bucket) = self.bucket(hash) else { return };
            let mut bucket = bucket.lock();
            bucket.writing = bucket.writing.saturating_sub(1);
            bucket.renew(hash, key, None);
        }
        self.ranges.store(false, Ordering::Release);
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for bucket in &self.buckets {
            let bucket = bucket.lock();
            usage.hits += bucket.hits;
            usage.misses += bucket.misses;
            usage.bytes += bucket.bytes();
        }
        usage
    }

    fn bucket(&self, hash: u64) -> Option<&Mutex<Bucket>> {
        let mask = self.buckets.len().checked_sub(1)?;
        self.buckets.get(hash as usize & mask)
    }
}

impl Bucket {
    fn row(&self, hash: u64, key: &[u8]) -> Option<&Row> {
        self.rows.iter().flatten().find(|row| row.is_of(hash, key))
    }

    fn row_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Row> {
        self.rows.iter_mut().flatten().find(|row| row.is_of(hash, key))
    }

    fn remove(&mut self, out: impl Fn(&Row) -> bool) {
        for place in &mut self.rows {
            if place.as_ref().is_some_and(&out) {
                *place = None;
            }
        }
    }

    /// Gives a row that is marked as being written its new value, or takes it out if it has none or one too large.
    fn renew(&mut self, hash: u64, key: &Bytes, value: Option<&Bytes>) {
        let marked = |row: &Row| row.is_of(hash, key) && row.value.is_none();
        if !self.rows.iter().flatten().any(marked) {
            return;
        }
        // Put in anew, since it may be larger now.
        self.remove(marked);
        if let Some(value) = value.filter(|value| fits(key, value)) {
            self.put(hash, key.clone(), value.clone());
        }
    }

    /// Puts a row whose key is not here into a free place, or into that of the one whose turn it is, and makes room for its
    /// bytes, which must fit.
    fn put(&mut self, hash: u64, key: Bytes, value: Bytes) {
        let row = Row {
            hash,
            key,
            value: Some(value),
        };
        let mut place = self.rows.iter().position(Option::is_none);
        let room = BUCKET_BYTES - row.bytes().min(BUCKET_BYTES);
        while place.is_none() || self.bytes() > room {
            if self.rows[self.next].take().is_some() {
                place.get_or_insert(self.next);
            }
            self.next = (self.next + 1) % WAYS;
        }
        if let Some(place) = place {
            self.rows[place] = Some(row);
        }
    }

    /// Whether a row of so many bytes displaces no other.
    fn has_room(&self, bytes: usize) -> bool {
        self.rows.iter().any(Option::is_none) && self.bytes() + bytes <= BUCKET_BYTES
    }

    fn bytes(&self) -> usize {
        self.rows.iter().flatten().map(Row::bytes).sum()
    }
}

impl Row {
    fn is_of(&self, hash: u64, key: &[u8]) -> bool {
        self.hash == hash && self.key == *key
    }

    fn bytes(&self) -> usize {
        charge(&self.key, self.value.as_deref().unwrap_or_default())
    }
}

fn charge(key: &[u8], value: &[u8]) -> usize {
    ROW_BYTES + key.len() + value.len()
}

fn fits(key: &[u8], value: &[u8]) -> bool {
    charge(key, value) <= BUCKET_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn put(key: &str, value: &str) -> Write {
        Write::Put(bytes(key), bytes(value))
    }

    /// One bucket: everything collides.
    fn one() -> RowCache {
        RowCache::new(BUCKET_BYTES)
    }

    fn write(cache: &RowCache, writes: &[Write]) {
        cache.begin(writes);
        cache.end(writes.iter());
    }

    fn get(cache: &RowCache, key: &str) -> Option<String> {
        match cache.get(key.as_bytes()) {
            Found::Row(value) => Some(String::from_utf8_lossy(&value).into_owned()),
            Found::Missing(_) | Found::Unknown => None,
        }
    }

    fn ticket(cache: &RowCache, key: &str) -> Ticket {
        match cache.get(key.as_bytes()) {
            Found::Missing(ticket) => ticket,
            other => panic!("no ticket but {other:?}"),
        }
    }

    /// As a reader does that finds this in the store.
    fn read(cache: &RowCache, key: &str, value: &str) {
        let ticket = ticket(cache, key);
        cache.keep(&ticket, key.as_bytes(), &bytes(value), true);
    }

    #[test]
    fn what_was_read_is_found_and_renewed() {
        let cache = one();
        write(&cache, &[put("a", "1"), put("b", "1")]);
        assert_eq!(
            (get(&cache, "a"), get(&cache, "b")),
            (None, None),
            "nobody has read them"
        );
        read(&cache, "a", "1");
        read(&cache, "b", "1");
        assert_eq!(get(&cache, "a").as_deref(), Some("1"));
        write(&cache, &[put("a", "2"), put("b", "2"), put("c", "2"), put("b", "3")]);
        assert_eq!(get(&cache, "a").as_deref(), Some("2"));
        assert_eq!(get(&cache, "b").as_deref(), Some("3"), "the last one counts");
        assert_eq!(get(&cache, "c"), None);
        write(&cache, &[put("a", "4"), Write::Delete(bytes("a"))]);
        write(&cache, &[Write::Delete(bytes("b")), put("b", "5")]);
        assert_eq!(get(&cache, "a"), None);
        assert_eq!(get(&cache, "b").as_deref(), Some("5"));
        let usage = cache.usage();
        assert_eq!((usage.hits, usage.misses), (4, 6));
        assert_eq!(usage.bytes, ROW_BYTES + 2);
    }

    #[test]
    fn what_is_being_written_is_not_known() {
        let cache = one();
        read(&cache, "a", "1");
        read(&cache, "b", "2");
        let before = ticket(&cache, "c");
        let writes = [put("a", "3"), put("c", "4")];
        cache.begin(&writes);
        assert!(matches!(cache.get(b"a"), Found::Unknown));
        assert_eq!(get(&cache, "b").as_deref(), Some("2"), "nobody writes to it");
        cache.keep(&before, b"c", &bytes("old"), true);
        assert!(matches!(cache.get(b"c"), Found::Unknown), "a write has begun since");
        cache.end(writes.iter());
        assert_eq!(get(&cache, "a").as_deref(), Some("3"));
        cache.keep(&before, b"c", &bytes("old"), true);
        assert_eq!(get(&cache, "c"), None, "a write has ended since");
    }

    #[test]
    fn what_was_read_is_kept_once() {
        let cache = one();
        let (first, second) = (ticket(&cache, "a"), ticket(&cache, "a"));
        cache.keep(&first, b"a", &bytes("1"), true);
        cache.keep(&second, b"a", &bytes("1"), true);
        assert_eq!(get(&cache, "a").as_deref(), Some("1"));
        assert_eq!(cache.usage().bytes, ROW_BYTES + 2);
    }

    #[test]
    fn a_deleted_range_is_not_known_until_it_is_gone() {
        let cache = RowCache::new(8 * BUCKET_BYTES);
        for key in ["a", "b", "d"] {
            read(&cache, key, "1");
        }
        let before = ticket(&cache, "c");
        let range = Write::DeleteRange(bytes("a"), bytes("d"));
        let writes = [put("a", "2"), range, put("b", "2")];
        cache.begin(&writes);
        for key in ["a", "b", "c", "d"] {
            assert!(matches!(cache.get(key.as_bytes()), Found::Unknown), "{key}");
        }
        cache.end(writes.iter());
        assert_eq!((get(&cache, "a"), get(&cache, "b")), (None, None));
        assert_eq!(get(&cache, "d").as_deref(), Some("1"), "it is not of the range");
        cache.keep(&before, b"c", &bytes("old"), true);
        assert_eq!(get(&cache, "c"), None);
        read(&cache, "c", "2");
        write(&cache, &[Write::DeleteRange(bytes("c"), bytes("c"))]);
        assert_eq!(get(&cache, "c").as_deref(), Some("2"), "the range was empty");
    }

    #[test]
    fn rows_make_room_for_lucky_ones_only() {
        let cache = one();
        let places = ["a", "b", "c", "d"];
        assert_eq!(places.len(), WAYS);
        for key in places {
            let ticket = ticket(&cache, key);
            cache.keep(&ticket, key.as_bytes(), &bytes("1"), false);
        }
        assert!(places.iter().all(|key| get(&cache, key).is_some()), "there was room");
        let unlucky = ticket(&cache, "e");
        cache.keep(&unlucky, b"e", &bytes("1"), false);
        assert_eq!(get(&cache, "e"), None);
        assert!(places.iter().all(|key| get(&cache, key).is_some()));
        read(&cache, "e", "1");
        assert!(get(&cache, "e").is_some() && get(&cache, "a").is_none());
        // A free place is not enough for a row of too many bytes.
        write(&cache, &[Write::Delete(bytes("e"))]);
        let large = "x".repeat(BUCKET_BYTES / 2);
        let wide = ticket(&cache, "f");
        cache.keep(&wide, b"f", &bytes(&large), false);
        assert!(get(&cache, "f").is_some(), "they are small");
        write(&cache, &[Write::Delete(bytes("b"))]);
        let wide = ticket(&cache, "g");
        cache.keep(&wide, b"g", &bytes(&large), false);
        assert_eq!(get(&cache, "g"), None);
    }

    #[test]
    fn it_is_bounded() {
        let cache = one();
        let each = "x".repeat(BUCKET_BYTES / 2 - ROW_BYTES - 1);
        for key in ["a", "b", "c"] {
            read(&cache, key, &each);
            assert!(cache.usage().bytes <= BUCKET_BYTES);
        }
        assert_eq!(get(&cache, "a"), None, "its turn came first");
        let there = Some(each.clone());
        assert_eq!((get(&cache, "b"), get(&cache, "c")), (there.clone(), there));
        write(&cache, &[put("b", &"x".repeat(BUCKET_BYTES / 2))]);
        assert!(
            cache.usage().bytes <= BUCKET_BYTES,
            "a row that has grown drives others out"
        );
        assert!(get(&cache, "b").is_some() && get(&cache, "c").is_none());
        let large = "x".repeat(BUCKET_BYTES);
        write(&cache, &[put("b", &large)]);
        assert_eq!(get(&cache, "b"), None);
        read(&cache, "b", &large);
        assert_eq!(cache.usage().bytes, 0);
        for key in 0..100 {
            read(&cache, &format!("{key:03}"), "1");
        }
        assert_eq!(cache.usage().bytes, WAYS * (ROW_BYTES + 4));
        for key in 96..100 {
            assert_eq!(get(&cache, &format!("{key:03}")).as_deref(), Some("1"));
        }
        let none = RowCache::new(BUCKET_BYTES - 1);
        write(&none, &[put("a", "1"), Write::DeleteRange(bytes("a"), bytes("b"))]);
        assert!(matches!(none.get(b"a"), Found::Unknown));
    }
}
