//! What streams there are, and what their shards are.

use std::ops::Bound;

use geodynamo_replicator_core::{LogId, Millis, Position};
use geodynamo_storage::Engine;

use super::{
    StreamError,
    ids::{Sequences, ShardKey},
    state::Stream,
};
use crate::{
    Tables,
    schema::{KeySchema, StreamView},
};

/// A stream as ARNs name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamName {
    /// The table's name; the table may be gone.
    pub table: String,
    /// The stream's label, as milliseconds since the Unix epoch.
    pub label_ms: Millis,
}

/// Some streams of the region, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPage {
    /// The streams.
    pub streams: Vec<StreamName>,
    /// Whether there are more.
    pub more: bool,
}

/// What a stream is, with some of its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// What its records show.
    pub view: StreamView,
    /// Whether it is switched on.
    pub enabled: bool,
    /// The table's keys.
    pub keys: KeySchema,
    /// Shards in the order of their ids: the older ones first.
    pub shards: Vec<Shard>,
    /// Whether there are more.
    pub more: bool,
}

/// A part of a stream: one partition's changes of one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: String,
    /// The shard before it, which may be gone.
    pub parent: Option<String>,
    /// A sequence number below those of its records.
    pub start: String,
    /// A sequence number above those of its records, once it is closed.
    pub end: Option<String>,
}

impl<E: Engine> Tables<E> {
    /// The streams of the region, or of one table's name, behind one of them; at most `limit`.
    pub fn list_streams(&self, table: Option<&str>, after: Option<StreamName>, limit: usize) -> StreamPage {
        let state = self.streams().state.lock();
        let first = (table.unwrap_or_default().to_owned(), 0);
        let from = match after.map(|after| (after.table, after.label_ms)) {
            Some(after) if after >= first => Bound::Excluded(after),
            _ => Bound::Included(first),
        };
        let mut names = state
            .names
            .range((from, Bound::Unbounded))
            .map(|((name, label), _)| (name, *label))
            .take_while(|(name, _)| table.is_none_or(|table| table == *name));
        let streams = names.by_ref().take(limit).map(|(name, label_ms)| StreamName {
            table: name.clone(),
            label_ms,
        });
        StreamPage {
            streams: streams.collect(),
            more: names.next().is_some(),
        }
    }

    /// Describes a stream, with its shards behind one of them, or the children of one of them; at most `limit`.
    pub fn describe_stream(
        &self,
        name: &StreamName,
        after: Option<&str>,
        parent: Option<&str>,
        limit: usize,
    ) -> Result<StreamDescription, StreamError> {
        let state = self.streams().state.lock();
        let key = (name.table.clone(), name.label_ms);
        let table = *state.names.get(&key).ok_or(StreamError::NoStream)?;
        let stream = state.stream(table, name.label_ms).ok_or(StreamError::NoStream)?;
        let mut shards = stream
            .shard_keys()
            .map(|(number, shard)| self.shard(table, stream, number, shard))
            .filter(|shard| after.is_none_or(|after| shard.id.as_str() > after))
            .filter(|shard| parent.is_none() || shard.parent.as_deref() == parent);
        Ok(StreamDescription {
            view: stream.header.view,
            enabled: stream.header.closed.is_none(),
            keys: stream.header.keys.clone(),
            shards: shards.by_ref().take(limit).collect(),
            more: shards.next().is_some(),
        })
    }

    fn shard(&self, table: u64, stream: &Stream, number: u32, shard: ShardKey) -> Shard {
        let at = usize::from(shard.partition);
        let log = LogId(self.stream_log(table, at).0);
        let generation = stream.generations.get(&number);
        let parent = generation.and_then(|generation| generation.parent);
        let position = |positions: &[Position]| positions.get(at).copied().unwrap_or_default();
        let sequences = Sequences {
            base: stream.header.base,
            generation: number,
        };
        Shard {
            id: shard.id(log),
            parent: parent.map(|id_ms| ShardKey { id_ms, ..shard }.id(log)),
            start: sequences.at(generation.map_or_else(Position::default, |generation| position(&generation.starts))),
            end: stream.end_of(number).map(|(ends, _)| sequences.end(position(ends))),
        }
    }
}

impl Stream {
    /// Its shards in the order of their ids, each with its generation's number.
    fn shard_keys(&self) -> impl Iterator<Item = (u32, ShardKey)> {
        self.generations.iter().flat_map(|(number, generation)| {
            let partitions = 0..u16::try_from(generation.starts.len()).unwrap_or(u16::MAX);
            partitions.map(|partition| {
                let id_ms = generation.id_ms;
                (*number, ShardKey { id_ms, partition })
            })
        })
    }
}
