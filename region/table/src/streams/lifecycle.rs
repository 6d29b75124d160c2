//! Streams begin, go on in new shards, and end.

use geodynamo_replicator_core::{LogId, Millis, Position, TableId};
use geodynamo_storage::{Commit, Engine, Write};

use super::{
    GENERATIONS_MAX, STREAMS_PER_TABLE_MAX,
    rows::{self, Closed, Generation, Header},
    state::{Horizon, State, Stream},
};
use crate::{
    Result, Table,
    layout::keys,
    schema::{Stream as Setting, StreamView},
    streams::{Streams, state::StreamStates},
    table::{Live, TableStatus},
};

/// What is added to a new stream's sequence numbers for each millisecond since the Unix epoch: more than a log can grow
/// in that time. So the numbers of a later stream, or of a later incarnation of the replica, are greater.
const SEQUENCES_PER_MS: u64 = 1_000_000;

/// A generation that is due.
struct Due {
    table: u64,
    label: Millis,
    number: u32,
    generation: Generation,
}

impl<E: Engine> Streams<E> {
    /// Makes the streams of a table what its settings say. A table's stream is on while the table serves and the setting
    /// is on. `table` is none once the table is gone.
    ///
    /// No write of the table is under way while that changes: so every record of a stream was written with its view.
    pub(crate) async fn follow_stream_setting(
        &self,
        id: u64,
        table: Option<&Table>,
        live: Option<&Live>,
    ) -> Result<()> {
        let serving = table.filter(|table| {
            matches!(
                table.status(),
                TableStatus::Active | TableStatus::Updating | TableStatus::Inaccessible
            )
        });
        let wanted = serving.and_then(|table| {
            let stream = table.registers.stream.as_ref().filter(|stream| stream.enabled)?;
            Some((table, stream))
        });
        let open = self
            .states()
            .state
            .lock()
            .open(id)
            .map(|(label, stream)| (label, stream.header.follows.unwrap_or(label), stream.header.view));
        if wanted.map(|(_, setting)| setting.label_ms) == open.map(|(_, follows, _)| follows) {
            if let Some(live) = live {
                *live.view.write() = open.map(|(.., view)| view);
            }
            return Ok(());
        }
        let _no_writes = match live {
            Some(live) => live.gate.close().await,
            None => None,
        };
        let show = |view: Option<StreamView>| {
            if let Some(live) = live {
                *live.view.write() = view;
            }
        };
        show(None);
        if let Some((label, ..)) = open {
            self.close_stream(id, label).await?;
        }
        if let Some((table, setting)) = wanted {
            self.open_stream(table, setting).await?;
            show(Some(setting.view));
        }
        Ok(())
    }

    /// Gives streams whose shards are old enough new ones. What is read of a log meanwhile ends where they begin.
    pub async fn roll_streams(&self) -> Result<()> {
        let now = self.local.orderer().time.now_ms();
        let due = self.due(now);
        for Due {
            table,
            label,
            number,
            generation,
        } in due
        {
            let row = rows::put_generation(table, label, number, &generation);
            let written = match row {
                Ok(row) => self.write_rows(vec![row]).await,
                Err(error) => Err(error),
            };
            let mut state = self.states().state.lock();
            if let Some(stream) = state.stream_mut(table, label) {
                stream.rolling = None;
                if written.is_ok() {
                    stream.generations.insert(number, generation);
                }
            }
            drop(state);
            written?;
        }
        Ok(())
    }

    /// Ends the streams of tables that are gone, and learns where the logs of all begin. Called once, when the tables
    /// have been opened.
    pub(crate) async fn settle_streams(&self) -> Result<()> {
        let known: Vec<(u64, usize)> = {
            let state = self.states().state.lock();
            state
                .tables
                .iter()
                .map(|(id, kept)| (*id, kept.horizons.len()))
                .collect()
        };
        for (id, partitions) in known {
            for partition in 0..partitions {
                let log = self.stream_log(id, partition);
                let first = self
                    .local
                    .store()
                    .log_read(log, geodynamo_storage::Position::START, 1, 1)
                    .await?;
                let before = match first.first() {
                    Some(first) => first.position.0.saturating_sub(1),
                    None => self.local.store().log_end(log).await?.0,
                };
                let mut state = self.states().state.lock();
                if let Some(horizon) = state
                    .tables
                    .get_mut(&id)
                    .and_then(|kept| kept.horizons.get_mut(partition))
                {
                    horizon.position = horizon.position.max(Position(before));
                }
            }
            if !self.local.directory().by_id.contains_key(&id) {
                self.follow_stream_setting(id, None, None).await?;
            }
        }
        Ok(())
    }

    /// Where the logs of a table end now.
    async fn log_ends(&self, table: u64, partitions: usize) -> Result<Vec<Position>> {
        let mut ends = Vec::with_capacity(partitions);
        for partition in 0..partitions {
            let log = self.stream_log(table, partition);
            let known = self.local.ends.get(LogId(log.0));
            ends.push(match known {
                Some(known) => known,
                None => Position(self.local.store().log_end(log).await?.0),
            });
        }
        Ok(ends)
    }

    /// The label of a stream that begins here: the setting's in the region that made it, and one of its own elsewhere. A
    /// setting that comes back has the stream that it had.
    fn label_here(&self, table: &Table, setting: &Setting, now: Millis) -> Millis {
        if let Some(known) = self.states().label_of(table.id(), setting.label_ms) {
            return known;
        }
        if setting
            .region
            .as_deref()
            .is_none_or(|region| region == self.local.region())
        {
            return setting.label_ms;
        }
        let label = self.states().next_label(table.name(), now);
        if label == setting.label_ms {
            label.saturating_add(1)
        } else {
            label
        }
    }

    async fn open_stream(&self, table: &Table, setting: &Setting) -> Result<()> {
        let id = table.id();
        let now = self.local.orderer().time.now_ms();
        let label = self.label_here(table, setting, now);
        let ends = self.log_ends(id, usize::from(table.partitions().partitions())).await?;
        let forgotten = self.forget_oldest(id).await?;
        debug_assert!(forgotten <= 1, "streams are forgotten one by one");
        let mut stream = {
            let state = self.states().state.lock();
            let before = state.tables.get(&id).into_iter().flat_map(|kept| kept.streams.values());
            let base = before
                .map(|stream| stream.header.base.saturating_add(SEQUENCES_PER_MS))
                .max();
            let base = base.unwrap_or(0).max(now.saturating_mul(SEQUENCES_PER_MS));
            let header = Header {
                table: table.name().into(),
                keys: table.keys().clone(),
                view: setting.view,
                opened_ms: now,
                base,
                follows: Some(setting.label_ms).filter(|follows| *follows != label),
                closed: None,
            };
            // A label that was there before can only come back if a setting is taken back; then its shards go on.
            let known = state.stream(id, label);
            Stream {
                header: known.map_or(header, |known| Header {
                    closed: None,
                    ..known.header.clone()
                }),
                generations: known.map(|known| known.generations.clone()).unwrap_or_default(),
                rolling: None,
            }
        };
        let (number, generation) = stream.next_generation(ends.clone(), now);
        let rows = vec![
            rows::put_header(id, label, &stream.header)?,
            rows::put_generation(id, label, number, &generation)?,
        ];
        self.write_rows(rows).await?;
        stream.generations.insert(number, generation);
        let mut state = self.states().state.lock();
        state.insert(id, label, stream);
        if let Some(kept) = state.tables.get_mut(&id) {
            // Horizons of an older stream stay: its records are before this one's.
            for end in ends.iter().skip(kept.horizons.len()) {
                kept.horizons.push(Horizon {
                    position: *end,
                    next: None,
                });
            }
        }
        Ok(())
    }

    async fn close_stream(&self, id: u64, label: Millis) -> Result<()> {
        let (mut header, partitions) = {
            let state = self.states().state.lock();
            let Some(stream) = state.stream(id, label) else {
                return Ok(());
            };
            (stream.header.clone(), stream.partitions())
        };
        header.closed = Some(Closed {
            ms: self.local.orderer().time.now_ms(),
            ends: self.log_ends(id, partitions).await?,
        });
        self.write_rows(vec![rows::put_header(id, label, &header)?]).await?;
        if let Some(stream) = self.states().state.lock().stream_mut(id, label) {
            stream.header = header;
        }
        Ok(())
    }

    /// Makes room for a stream more of a table; gives how many were forgotten.
    async fn forget_oldest(&self, id: u64) -> Result<usize> {
        let oldest = {
            let state = self.states().state.lock();
            let streams = state.tables.get(&id).map(|kept| &kept.streams);
            let full = streams.filter(|streams| streams.len() >= STREAMS_PER_TABLE_MAX);
            full.and_then(|streams| {
                let closed = streams.iter().find(|(_, stream)| stream.header.closed.is_some());
                closed.map(|(label, _)| *label)
            })
        };
        match oldest {
            Some(label) => self.forget_stream(id, label).await.map(|()| 1),
            None => Ok(0),
        }
    }

    /// Takes a stream and its rows away. Its part of the logs goes with the next trimming.
    pub(crate) async fn forget_stream(&self, id: u64, label: Millis) -> Result<()> {
        let numbers: Vec<u32> = {
            let state = self.states().state.lock();
            let stream = state.stream(id, label);
            stream
                .map(|stream| stream.generations.keys().copied().collect())
                .unwrap_or_default()
        };
        let generations = numbers
            .into_iter()
            .map(|number| keys::stream_generation(id, label, number));
        // The header last: without it, a generation's row says nothing.
        let rows = generations
            .chain([keys::stream(id, label)])
            .map(Write::Delete)
            .collect();
        self.write_rows(rows).await?;
        self.states().state.lock().remove(id, label);
        Ok(())
    }

    /// Takes the open streams whose shards are old enough, and where the next ones begin: nobody reads past that in the
    /// old ones from here on.
    fn due(&self, now: Millis) -> Vec<Due> {
        let mut due = Vec::new();
        let mut state = self.states().state.lock();
        let ends = self.local.ends.now();
        for (table, label, stream) in open_streams(&mut state) {
            let Some((_, last)) = stream.generations.iter().next_back() else {
                continue;
            };
            // A clock that has stepped back far is no reason to keep a shard for ever.
            let old = last.started_ms.abs_diff(now) >= self.local.options().streams.shard_ms;
            if !old || stream.rolling.is_some() || stream.generations.len() >= GENERATIONS_MAX {
                continue;
            }
            let end = |(partition, start): (usize, &Position)| {
                let log = LogId(self.stream_log(table, partition).0);
                ends.get(log).map_or(*start, |end| end.max(*start))
            };
            let starts: Vec<_> = last.starts.iter().enumerate().map(end).collect();
            stream.rolling = Some(starts.clone());
            let (number, generation) = stream.next_generation(starts, now);
            due.push(Due {
                table,
                label,
                number,
                generation,
            });
        }
        due
    }

    /// This replica's log of a partition. There are no more partitions than a `u16` has numbers.
    pub(crate) fn stream_log(&self, table: u64, partition: usize) -> geodynamo_storage::LogId {
        let partition = u16::try_from(partition).unwrap_or(u16::MAX);
        geodynamo_storage::LogId(LogId::of(self.local.replica(), TableId(table), partition).0)
    }

    pub(crate) async fn write_rows(&self, writes: Vec<Write>) -> Result<()> {
        self.local
            .store()
            .commit(Commit {
                writes,
                ..Commit::default()
            })
            .await?;
        Ok(())
    }

    pub(crate) fn states(&self) -> &StreamStates {
        &self.states
    }
}

fn open_streams(state: &mut State) -> impl Iterator<Item = (u64, Millis, &mut Stream)> {
    state.tables.iter_mut().flat_map(|(table, kept)| {
        let open = kept
            .streams
            .iter_mut()
            .filter(|(_, stream)| stream.header.closed.is_none());
        open.map(|(label, stream)| (*table, *label, stream))
    })
}
