//! Reading a shard.

use std::time::Duration;

use geodynamo_item::{Item, size};
use geodynamo_replicator_core::{Body, Change, LogId, Millis, Origin, Position, Stamp};
use geodynamo_storage::Engine;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    ITERATOR_MS, StreamError,
    ids::{ReadFrom, Sequences, ShardIterator, ShardKey},
};
use crate::{
    StoredItem, StreamKind, StreamName, TableError,
    layout::{index::ItemKey, keys, record::Record},
    read::conflicts::region_of,
    schema::{KeySchema, StreamView},
    streams::Streams,
};

/// The most records that one call gives.
pub const RECORDS_MAX: usize = 1000;
/// The most bytes of records that one call gives, by their [`StreamRecord::size_bytes`]; at least one record, if there is
/// one.
pub const RECORDS_BYTES_MAX: usize = 1024 * 1024;
/// The most changes that one call looks at. Some make no record.
const CHANGES_MAX: usize = 10_000;
/// The fewest changes read at a time, however few records are wanted: some make none.
const ROWS_MIN: usize = 64;
/// Bytes of a log read at a time.
const READ_BYTES: usize = 1024 * 1024;

/// Where an iterator is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardPlace<'a> {
    /// At the oldest record.
    TrimHorizon,
    /// Behind the newest record.
    Latest,
    /// At the record with a sequence number, or the next one.
    At(&'a str),
    /// Behind the record with a sequence number.
    After(&'a str),
    /// At the first record that was made at a time or later, in milliseconds since the Unix epoch.
    Time(Millis),
}

/// What was done to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// There was none.
    Insert,
    /// It was changed.
    Modify,
    /// It was deleted.
    Remove,
}

/// A record of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRecord {
    /// Unique in all regions and for all time: the log and the position in it, in 32 hex digits.
    pub event_id: String,
    /// What was done.
    pub kind: EventKind,
    /// When it was committed here, in milliseconds since the Unix epoch. Clients are told whole seconds.
    pub created_ms: Millis,
    /// The item's key.
    pub keys: Item,
    /// The item as it was, where the stream shows it.
    pub old: Option<StoredItem>,
    /// The item as it became, where the stream shows it.
    pub new: Option<StoredItem>,
    /// Its place in the shard.
    pub sequence: String,
    /// Bytes of its key and images, by DynamoDB's formula.
    pub size_bytes: usize,
    /// What the stream shows.
    pub view: StreamView,
    /// Whether the service deleted the item, in this region, because it had expired.
    pub expired: bool,
    /// Of a conflict: which version lost, and to which. `old` is the loser's image then, and `new` the winner's.
    pub conflict: Option<ConflictVersions>,
}

/// The versions of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictVersions {
    /// The one that lost.
    pub loser: ConflictVersion,
    /// The one that won where the conflict was found.
    pub winner: ConflictVersion,
}

/// Whose a version is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictVersion {
    /// The region that wrote it, or the replica's id if no region has that now.
    pub by: String,
    /// When, by its stamp: in milliseconds since the Unix epoch.
    pub time_ms: Millis,
}

/// Some records of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordPage {
    /// The records, oldest first.
    pub records: Vec<StreamRecord>,
    /// The iterator to go on with; none at the end of a closed shard.
    pub next: Option<String>,
}

/// A shard at one moment, as a reader needs it.
struct Reading {
    table: u64,
    kind: StreamKind,
    shard: ShardKey,
    log: LogId,
    keys: KeySchema,
    view: StreamView,
    sequences: Sequences,
    /// The last position that is not the shard's yet.
    start: Position,
    /// The last position that can be read now.
    readable: Position,
    /// Whether that is the shard's end.
    closed: bool,
    /// What is too old.
    horizon: Position,
}

impl<E: Engine> Streams<E> {
    /// An iterator of a shard, by the shard's id.
    pub async fn shard_iterator(
        &self,
        name: &StreamName,
        shard: &str,
        place: ShardPlace<'_>,
    ) -> Result<String, StreamError> {
        let key = ShardKey::parse(shard).ok_or(StreamError::NoShard);
        let reading = self.reading(name, key)?;
        if reading.shard.id(reading.log) != shard {
            return Err(StreamError::NoShard);
        }
        let from = match place {
            ShardPlace::TrimHorizon => ReadFrom::TrimHorizon,
            ShardPlace::Latest => ReadFrom::After(reading.readable),
            ShardPlace::At(number) => {
                let at = reading.position(number)?;
                ReadFrom::After(reading.untrimmed(Position(at.0.saturating_sub(1)))?)
            }
            ShardPlace::After(number) => {
                let at = reading.position(number)?;
                ReadFrom::After(reading.untrimmed(at)?)
            }
            ShardPlace::Time(time) => ReadFrom::After(self.before(&reading, time).await?),
        };
        Ok(self.iterator(name, &reading, from))
    }

    /// Records of a shard, from an iterator on; at most `limit`, at most [`RECORDS_MAX`].
    pub async fn stream_records(
        &self,
        name: &StreamName,
        iterator: &str,
        limit: usize,
    ) -> Result<RecordPage, StreamError> {
        let table = self.stream_table(name)?;
        let iterator = ShardIterator::read(iterator, self.iterator_key(table, name)).ok_or(StreamError::Iterator)?;
        let now = self.local.orderer().time.now_ms();
        if now > iterator.issued_ms.saturating_add(ITERATOR_MS) {
            return Err(StreamError::Expired);
        }
        let reading = self.reading(name, Ok(iterator.shard))?;
        let per_second = self.local.options().streams.reads_per_second;
        if !self
            .states()
            .admit(table, (name.label_ms, name.kind), reading.shard, now, per_second)
        {
            return Err(StreamError::TooOften);
        }
        let after = match iterator.from {
            ReadFrom::TrimHorizon => reading.start.max(reading.horizon),
            ReadFrom::After(after) => reading.untrimmed(after)?,
        };
        let (records, at) = self.read_shard(&reading, after, limit.min(RECORDS_MAX)).await?;
        // What was trimmed while it was read may be missing.
        if self.reading(name, Ok(iterator.shard))?.horizon > after && matches!(iterator.from, ReadFrom::After(_)) {
            return Err(StreamError::Trimmed);
        }
        self.count_read(&reading, &records, now);
        let more = !reading.closed || at < reading.readable;
        Ok(RecordPage {
            records,
            next: more.then(|| self.iterator(name, &reading, ReadFrom::After(at))),
        })
    }

    /// Counts what a reader was given, and how far behind it is: the age of the last record; nothing if there was none.
    fn count_read(&self, reading: &Reading, records: &[StreamRecord], now: Millis) {
        let table = self.local.replicated(reading.table);
        let usage = table.as_ref().map(|table| &table.live.usage);
        let last = records.last().map_or(now, |record| record.created_ms);
        let bytes = records.iter().map(|record| record.size_bytes as u64).sum();
        usage.unwrap_or_else(|| self.local.usages().other()).read_stream(
            records.len() as u64,
            bytes,
            Duration::from_millis(now.saturating_sub(last)),
        );
    }

    /// The number behind which a shard's next record will stand: one who reads on from there misses nothing that is written
    /// from now on.
    pub fn shard_end(&self, name: &StreamName, shard: &str) -> Result<String, StreamError> {
        let reading = self.reading(name, ShardKey::parse(shard).ok_or(StreamError::NoShard))?;
        Ok(reading.sequences.at(reading.readable))
    }

    /// Records behind a position, and the last position looked at.
    async fn read_shard(
        &self,
        reading: &Reading,
        after: Position,
        limit: usize,
    ) -> Result<(Vec<StreamRecord>, Position), StreamError> {
        let (mut at, mut looked_at, mut bytes) = (after, 0, 0);
        let mut records = Vec::new();
        while at < reading.readable && records.len() < limit && looked_at < CHANGES_MAX {
            let rows = (limit - records.len()).max(ROWS_MIN);
            let changes = self.logs.read_log(reading.log, at, rows, READ_BYTES).await;
            let changes = changes.map_err(|error| TableError::Corrupt(error.to_string()))?;
            if changes.is_empty() {
                // All of it was trimmed since.
                return Ok((records, reading.readable));
            }
            for (position, change) in changes {
                if position > reading.readable {
                    return Ok((records, reading.readable));
                }
                if records.len() == limit {
                    break;
                }
                looked_at += 1;
                let record = match reading.kind {
                    StreamKind::Changes => {
                        let sequence = reading.sequences.at(position);
                        public_record(&reading.source(), position, sequence, change)?
                    }
                    StreamKind::Conflicts => self.conflict_record(reading, position, change).await?,
                };
                if let Some(record) = record {
                    bytes += record.size_bytes;
                    if bytes > RECORDS_BYTES_MAX && !records.is_empty() {
                        return Ok((records, at));
                    }
                    records.push(record);
                }
                at = position;
            }
        }
        Ok((records, at))
    }

    /// The record of a conflict; none of any other change. The winner's image is that of the item if it still is the winner's
    /// version, or that of the conflict in which that version lost later; otherwise it is not kept any more.
    async fn conflict_record(
        &self,
        reading: &Reading,
        position: Position,
        change: Change,
    ) -> Result<Option<StreamRecord>, TableError> {
        let Some((loser, winner)) = change.loser() else {
            return Ok(None);
        };
        let at = ItemKey::from_bytes(change.key.clone())?;
        let engine_keys = [
            keys::item(reading.table, at.route, &at.bytes),
            keys::conflict(reading.table, at.route, &at.bytes, winner),
        ];
        let found = self.local.store().get_each(&engine_keys).await?;
        let mut won = None;
        for bytes in found.into_iter().flatten() {
            let record = Record::read(&bytes)?;
            if record.stamp == winner {
                won = Some(record);
                break;
            }
        }
        let keys = ItemKey::decode(&reading.keys, &change.key)?;
        let old = loser.value.map(StoredItem::new);
        let is_deleted = won.as_ref().is_some_and(|won| won.item.is_none());
        let new = won.and_then(|won| won.item).map(StoredItem::new);
        Ok(Some(StreamRecord {
            event_id: event_id(reading.log, position),
            kind: if is_deleted {
                EventKind::Remove
            } else {
                EventKind::Modify
            },
            created_ms: change.commit_time,
            size_bytes: record_size(&keys, &old, &new)?,
            keys,
            old,
            new,
            sequence: reading.sequences.at(position),
            view: StreamView::NewAndOldImages,
            expired: false,
            conflict: Some(ConflictVersions {
                loser: self.conflict_version(reading.table, loser.stamp),
                winner: self.conflict_version(reading.table, winner),
            }),
        }))
    }

    fn conflict_version(&self, table: u64, stamp: Stamp) -> ConflictVersion {
        let table = self.local.replicated(table);
        let region = table.and_then(|table| region_of(&table, stamp.replica));
        ConflictVersion {
            by: region.unwrap_or_else(|| stamp.replica.to_string()),
            time_ms: stamp.time.millis(),
        }
    }

    /// The position before the first record that was made at a time or later. Where clocks have stepped back, one such
    /// place.
    async fn before(&self, reading: &Reading, time: Millis) -> Result<Position, StreamError> {
        let (mut low, mut high) = (reading.start.max(reading.horizon), reading.readable);
        while low < high {
            let middle = Position(low.0 + (high.0 - low.0) / 2);
            let changes = self.logs.read_log(reading.log, middle, 1, 1).await;
            let changes = changes.map_err(|error| TableError::Corrupt(error.to_string()))?;
            match changes.first() {
                Some((position, change)) if *position <= high && change.commit_time / 1000 * 1000 < time => {
                    low = *position;
                }
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn reading(&self, name: &StreamName, shard: Result<ShardKey, StreamError>) -> Result<Reading, StreamError> {
        let table = self.stream_table(name)?;
        let state = self.states().state.lock();
        let kept = state.tables.get(&table).ok_or(StreamError::NoStream)?;
        let stream = kept.streams.get(&name.label_ms).ok_or(StreamError::NoStream)?;
        let shard = shard?;
        let at = usize::from(shard.partition);
        let generation = stream
            .generations
            .iter()
            .find(|(_, generation)| generation.id_ms == shard.id_ms);
        let (number, generation) = generation.ok_or(StreamError::NoShard)?;
        let start = *generation.starts.get(at).ok_or(StreamError::NoShard)?;
        let log = LogId(self.stream_log(table, at).0);
        let position = |positions: &[Position]| positions.get(at).copied();
        let end = stream.end_of(*number).and_then(|(ends, _)| position(ends));
        // Where the next generation is about to begin, this one ends; that is not told before it is durable.
        let readable = end
            .or_else(|| stream.rolling.as_deref().and_then(position))
            .unwrap_or_else(|| self.local.log_end(log));
        Ok(Reading {
            table,
            kind: name.kind,
            shard,
            log,
            keys: stream.header.keys.clone(),
            view: stream.header.view,
            sequences: Sequences {
                base: stream.header.base,
                generation: *number,
            },
            start,
            readable: readable.max(start),
            closed: end.is_some(),
            horizon: kept
                .horizons
                .get(at)
                .map(|horizon| horizon.position)
                .unwrap_or_default(),
        })
    }

    fn iterator(&self, name: &StreamName, reading: &Reading, from: ReadFrom) -> String {
        let iterator = ShardIterator {
            shard: reading.shard,
            from,
            issued_ms: self.local.orderer().time.now_ms(),
        };
        iterator.write(self.iterator_key(reading.table, name))
    }

    fn iterator_key(&self, table: u64, name: &StreamName) -> u64 {
        let parts = [self.local.replica().0, table, name.label_ms, name.kind as u64].map(u64::to_be_bytes);
        xxh3_64(parts.as_flattened())
    }

    fn stream_table(&self, name: &StreamName) -> Result<u64, StreamError> {
        let state = self.states().state.lock();
        let key = (name.table.clone(), name.label_ms);
        state.names.get(&key).copied().ok_or(StreamError::NoStream)
    }
}

fn event_id(log: LogId, position: Position) -> String {
    format!("{:016x}{:016x}", log.0, position.0)
}

/// Bytes of a record's key and images, by DynamoDB's formula.
fn record_size(keys: &Item, old: &Option<StoredItem>, new: &Option<StoredItem>) -> Result<usize, TableError> {
    let mut bytes = size::item(keys);
    for image in [old, new].into_iter().flatten() {
        bytes += image.size()?;
    }
    Ok(bytes)
}

/// Where records come from.
pub(crate) struct Source<'a> {
    pub(crate) log: LogId,
    pub(crate) keys: &'a KeySchema,
    pub(crate) view: StreamView,
}

/// The public record of a change; none of one that left the item as it was, and none of a conflict.
pub(crate) fn public_record(
    source: &Source<'_>,
    position: Position,
    sequence: String,
    change: Change,
) -> Result<Option<StreamRecord>, TableError> {
    let Body::Item {
        deleted,
        effect,
        images,
    } = change.body
    else {
        return Ok(None);
    };
    if effect.unchanged {
        return Ok(None);
    }
    let kind = match (deleted, effect.existed) {
        (true, _) => EventKind::Remove,
        (false, true) => EventKind::Modify,
        (false, false) => EventKind::Insert,
    };
    let keys = ItemKey::decode(source.keys, &change.key)?;
    let old = images.old.map(StoredItem::new).filter(|_| source.view.old_image());
    let new = images.new.map(StoredItem::new).filter(|_| source.view.new_image());
    Ok(Some(StreamRecord {
        event_id: event_id(source.log, position),
        kind,
        created_ms: change.commit_time,
        size_bytes: record_size(&keys, &old, &new)?,
        keys,
        old,
        new,
        sequence,
        view: source.view,
        expired: deleted && change.stamp.expiry && change.origin == Origin::Local,
        conflict: None,
    }))
}

impl Reading {
    fn source(&self) -> Source<'_> {
        Source {
            log: self.log,
            keys: &self.keys,
            view: self.view,
        }
    }

    /// The position that a sequence number of the shard stands for: its starting and ending numbers are some, too.
    fn position(&self, number: &str) -> Result<Position, StreamError> {
        let position = self.sequences.position(number).ok_or(StreamError::Sequence)?;
        let last = self.readable.next();
        if position < self.start || position > last {
            return Err(StreamError::Sequence);
        }
        Ok(position)
    }

    /// A position within the shard that nothing is missing behind.
    fn untrimmed(&self, after: Position) -> Result<Position, StreamError> {
        let after = after.clamp(self.start, self.readable);
        // A shard that has been read to its end has nothing behind it that could be missing.
        if after < self.horizon && after < self.readable {
            return Err(StreamError::Trimmed);
        }
        Ok(after)
    }
}
