//! The streams of a region, as they are in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use geodynamo_replicator_core::{Millis, Position};
use parking_lot::Mutex;

use super::{
    ids::ShardKey,
    rows::{Generation, Header, Row},
};
use crate::{Result, StreamKind};

/// All streams that there are rows of. Bounded: by the tables, by [`super::STREAMS_PER_TABLE_MAX`], and by
/// [`super::GENERATIONS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct StreamStates {
    pub(super) state: Mutex<State>,
    pub(super) calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tables: BTreeMap<u64, TableStreams>,
    /// Which table a stream is of, by the table's name and the stream's label: what an ARN says.
    pub(super) names: BTreeMap<(String, Millis), u64>,
}

/// The streams of a table, which may be gone.
#[derive(Debug, Default)]
pub(super) struct TableStreams {
    /// By label.
    pub(super) streams: BTreeMap<Millis, Stream>,
    /// Of each partition's log.
    pub(super) horizons: Vec<Horizon>,
}

/// Up to where a log's records are too old for a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Horizon {
    pub(super) position: Position,
    /// When the first record behind it was committed, if that was looked up.
    pub(super) next: Option<Millis>,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) header: Header,
    pub(super) generations: BTreeMap<u32, Generation>,
    /// The starts of the generation whose row is being written. Nobody reads past them in the one before.
    pub(super) rolling: Option<Vec<Position>>,
}

/// Calls that read a shard in the current second.
#[derive(Debug, Default)]
pub(super) struct Calls {
    second: u64,
    by_shard: HashMap<(u64, (Millis, StreamKind), ShardKey), u32>,
}

impl StreamStates {
    /// The streams that rows tell of. Their horizons are not known yet.
    pub(crate) fn load(rows: Vec<(Bytes, Bytes)>) -> Result<Self> {
        let mut state = State::default();
        let mut generations = Vec::new();
        for (key, value) in rows {
            match Row::read(&key, &value)? {
                (table, label, Row::Header(header)) => state.insert(
                    table,
                    label,
                    Stream {
                        header,
                        generations: BTreeMap::new(),
                        rolling: None,
                    },
                ),
                (table, label, Row::Generation(number, generation)) => {
                    generations.push((table, label, number, generation));
                }
            }
        }
        for (table, label, number, generation) in generations {
            if let Some(stream) = state.stream_mut(table, label) {
                stream.generations.insert(number, generation);
            }
        }
        for kept in state.tables.values_mut() {
            let partitions = kept.streams.values().map(Stream::partitions).max();
            kept.horizons = vec![Horizon::default(); partitions.unwrap_or(0)];
        }
        Ok(Self {
            state: Mutex::new(state),
            calls: Mutex::default(),
        })
    }

    /// The label of a new stream: the time, or just behind every other label of the table's name.
    pub(crate) fn next_label(&self, table: &str, now: Millis) -> Millis {
        let state = self.state.lock();
        let last = state
            .names
            .range((table.into(), 0)..=(table.into(), Millis::MAX))
            .next_back();
        last.map_or(now, |((_, label), _)| now.max(label.saturating_add(1)))
    }

    /// The label here of the stream that follows a table's setting with this label.
    pub(crate) fn label_of(&self, table: u64, setting: Millis) -> Option<Millis> {
        self.state.lock().following(table, setting)
    }

    /// Whether a table has streams that can still be read.
    pub(crate) fn keeps(&self, table: u64) -> bool {
        self.state.lock().tables.contains_key(&table)
    }

    /// Counts a call that reads a shard; whether it is within the limit.
    pub(super) fn admit(
        &self,
        table: u64,
        label: (Millis, StreamKind),
        shard: ShardKey,
        now: Millis,
        per_second: u32,
    ) -> bool {
        if per_second == 0 {
            return true;
        }
        let mut calls = self.calls.lock();
        let second = now / 1000;
        if calls.second != second {
            calls.second = second;
            calls.by_shard.clear();
        }
        let count = calls.by_shard.entry((table, label, shard)).or_default();
        *count = count.saturating_add(1);
        *count <= per_second
    }
}

impl State {
    pub(super) fn stream(&self, table: u64, label: Millis) -> Option<&Stream> {
        self.tables.get(&table)?.streams.get(&label)
    }

    pub(super) fn stream_mut(&mut self, table: u64, label: Millis) -> Option<&mut Stream> {
        self.tables.get_mut(&table)?.streams.get_mut(&label)
    }

    pub(super) fn insert(&mut self, table: u64, label: Millis, stream: Stream) {
        self.names.insert((stream.header.table.clone(), label), table);
        self.tables.entry(table).or_default().streams.insert(label, stream);
    }

    pub(super) fn remove(&mut self, table: u64, label: Millis) {
        let Some(kept) = self.tables.get_mut(&table) else {
            return;
        };
        if let Some(stream) = kept.streams.remove(&label) {
            self.names.remove(&(stream.header.table, label));
        }
        if kept.streams.is_empty() {
            self.tables.remove(&table);
        }
    }

    /// The label of the stream that follows a table's setting with this label.
    pub(super) fn following(&self, table: u64, setting: Millis) -> Option<Millis> {
        let streams = &self.tables.get(&table)?.streams;
        let follows = |(label, stream): &(&Millis, &Stream)| stream.header.follows.unwrap_or(**label) == setting;
        streams.iter().find(follows).map(|(label, _)| *label)
    }

    /// The stream of a table that is switched on.
    pub(super) fn open(&self, table: u64) -> Option<(Millis, &Stream)> {
        let streams = &self.tables.get(&table)?.streams;
        let open = streams.iter().find(|(_, stream)| stream.header.closed.is_none());
        open.map(|(label, stream)| (*label, stream))
    }
}

impl Stream {
    pub(super) fn partitions(&self) -> usize {
        let closed = self.header.closed.as_ref().map(|closed| closed.ends.len());
        let first = self.generations.values().next();
        first.map(|generation| generation.starts.len()).or(closed).unwrap_or(0)
    }

    /// Where a generation's shards end and when, if they have: at the next one's starts, or at the stream's end.
    pub(super) fn end_of(&self, number: u32) -> Option<(&[Position], Millis)> {
        let next = self.generations.range(number.saturating_add(1)..).next();
        match (next, &self.header.closed) {
            (Some((_, next)), _) => Some((&next.starts, next.started_ms)),
            (None, Some(closed)) => Some((&closed.ends, closed.ms)),
            (None, None) => None,
        }
    }

    /// A generation to go on with: its number and what it is, its starts given.
    pub(super) fn next_generation(&self, starts: Vec<Position>, now: Millis) -> (u32, Generation) {
        let last = self.generations.iter().next_back();
        let id_ms = last.map_or(now, |(_, last)| now.max(last.id_ms.saturating_add(1)));
        let generation = Generation {
            id_ms,
            started_ms: now,
            parent: last.map(|(_, last)| last.id_ms),
            starts,
        };
        (last.map_or(0, |(number, _)| number.saturating_add(1)), generation)
    }
}
