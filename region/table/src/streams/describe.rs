//! What streams there are, and what their shards are.

use std::ops::Bound;

use geodynamo_replicator_core::{LogId, Position};
use geodynamo_storage::Engine;

use super::{
    StreamError,
    ids::{Sequences, ShardKey},
    state::Stream,
};
use crate::{
    StreamKind, StreamName,
    schema::{KeySchema, StreamView},
    streams::Streams,
};

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

impl<E: Engine> Streams<E> {
    /// The streams of an account in the region, or of one table's name, behind one of them; at most `limit`. A table that has replicas in
    /// other regions has two: of its changes, and of its conflicts.
    pub fn list_streams_of(
        &self,
        account: &str,
        table: Option<&str>,
        after: Option<StreamName>,
        limit: usize,
    ) -> StreamPage {
        let first = (table.unwrap_or_default().to_owned(), 0);
        let from = after.as_ref().map(|after| (after.table.clone(), after.label_ms));
        let from = from.filter(|from| *from >= first).unwrap_or(first);
        // One of these may have both its streams behind it.
        let found: Vec<_> = {
            let state = self.states().state.lock();
            let names = state.names.range((Bound::Included(from), Bound::Unbounded));
            names
                .take_while(|((name, _), _)| table.is_none_or(|table| table == *name))
                .filter(|((name, _), _)| self.local.owner(name) == account)
                .take(limit.saturating_add(2))
                .map(|(name, id)| (name.clone(), *id))
                .collect()
        };
        let named = found.into_iter().flat_map(|((name, label_ms), id)| {
            let kinds: &[_] = match self.local.replicated(id) {
                Some(table) if table.other_replicas(self.local.region()).next().is_some() => {
                    &[StreamKind::Changes, StreamKind::Conflicts]
                }
                _ => &[StreamKind::Changes],
            };
            kinds.iter().map(move |kind| StreamName {
                table: name.clone(),
                label_ms,
                kind: *kind,
            })
        });
        let mut streams = named.filter(|name| after.as_ref().is_none_or(|after| name > after));
        StreamPage {
            streams: streams.by_ref().take(limit).collect(),
            more: streams.next().is_some(),
        }
    }

    /// The streams of the cluster's own account; see [`crate::Streams::list_streams_of`].
    pub fn list_streams(&self, table: Option<&str>, after: Option<StreamName>, limit: usize) -> StreamPage {
        self.list_streams_of(self.local.account(), table, after, limit)
    }

    /// Describes a stream, with its shards behind one of them, or the children of one of them; at most `limit`.
    pub fn describe_stream(
        &self,
        name: &StreamName,
        after: Option<&str>,
        parent: Option<&str>,
        limit: usize,
    ) -> Result<StreamDescription, StreamError> {
        let state = self.states().state.lock();
        let key = (name.table.clone(), name.label_ms);
        let table = *state.names.get(&key).ok_or(StreamError::NoStream)?;
        let stream = state.stream(table, name.label_ms).ok_or(StreamError::NoStream)?;
        let mut shards = stream
            .shard_keys()
            .map(|(number, shard)| self.shard(table, stream, number, shard))
            .filter(|shard| after.is_none_or(|after| shard.id.as_str() > after))
            .filter(|shard| parent.is_none() || shard.parent.as_deref() == parent);
        Ok(StreamDescription {
            view: match name.kind {
                StreamKind::Changes => stream.header.view,
                StreamKind::Conflicts => StreamView::NewAndOldImages,
            },
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
