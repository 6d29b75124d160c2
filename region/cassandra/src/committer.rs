//! Carries commits out: one entry of the log for all that wait.
//!
//! One entry is on its way at a time, so places have no gaps, and whoever takes over sees at the end of the log all that
//! there is. What became of an entry whose answer did not come is found out before anything else is done.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use geodynamo_storage::{Commit, LogId, Position, Precondition, StorageError};

use crate::{
    entry::{Op, encode, encode_records},
    logs::End,
    overlay::{Overlay, Value},
    pages::GETS_AT_ONCE,
    queue::{Answer, Job, Waiting},
    shared::{Counters, Ending, Pending, Shared},
    store::{Entry, Records},
};

/// A stretch of the log ends with the entry that reaches one of these.
pub(crate) const STRETCH_BYTES: usize = 32 << 20;
pub(crate) const STRETCH_ENTRIES: usize = 4096;
/// How long an entry is tried before writes are said to fail.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between tries.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Another node has taken over.
#[derive(Debug)]
pub(crate) struct Fenced;

/// Where the log is written next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) stretch: i64,
    /// The last entry.
    pub(crate) place: i64,
    /// What the stretch has so far.
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

pub(crate) struct Committer {
    shared: Arc<Shared>,
    head: Head,
}

/// An entry that is being made.
#[derive(Default)]
struct Draft {
    ops: Vec<Op>,
    records: BTreeMap<LogId, Vec<Bytes>>,
    ends: HashMap<LogId, End>,
    /// What it does to keys, for preconditions of the commits behind.
    overlay: Overlay,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, head: Head) -> Self {
        Self { shared, head }
    }

    /// Until the queue is closed and empty, or another node has taken over.
    pub(crate) async fn run(mut self) {
        while let Some(jobs) = self.shared.queue.take().await {
            self.wait_for_room().await;
            if let Err(Fenced) = self.carry_out(jobs).await {
                tracing::error!(epoch = self.shared.epoch, "another node has taken over the log");
                self.shared.lose();
                break;
            }
        }
        self.shared.ending.send_replace(Ending::Committed);
        self.shared.to_follow.notify_one();
    }

    /// Waits until rows have followed far enough.
    async fn wait_for_room(&self) {
        while !self.shared.tenure.is_lost()
            && self.shared.state.lock().pending_bytes >= self.shared.options.overlay_bytes_max
        {
            self.shared.followed.notified().await;
        }
    }

    /// On an error, the callers are told that the engine is closed: nothing of their commits is, or will be, in the log.
    async fn carry_out(&mut self, jobs: Vec<Waiting>) -> Result<(), Fenced> {
        let known = self.known(&jobs).await;
        let mut draft = Draft::default();
        let mut answers: Vec<Answer> = Vec::with_capacity(jobs.len());
        for waiting in &jobs {
            answers.push(match &waiting.job {
                Job::Commit(commit) => self.add(&mut draft, commit, &known),
                Job::Trim(log, up_to) => {
                    self.trim(&mut draft, *log, *up_to);
                    Ok(Vec::new())
                }
            });
        }
        let appended = !draft.records.is_empty();
        if draft.ops.is_empty() && !appended {
            // Nothing is written, so nothing else says that what was read is still so.
            if let Err(error) = self.shared.tenure.check().await {
                answers.fill(Err(error));
            }
        } else {
            self.write(draft).await?;
            Counters::add(&self.shared.counters.commits, answers.len());
        }
        for (waiting, answer) in jobs.into_iter().zip(answers) {
            // A caller that dropped its future no longer wants the answer.
            let _ = waiting.done.send(answer);
        }
        if appended {
            self.shared.activity.send_modify(|count| *count = count.wrapping_add(1));
        }
        if self.head.entries >= STRETCH_ENTRIES || self.head.bytes >= STRETCH_BYTES {
            self.next_stretch().await?;
        }
        Ok(())
    }

    /// The values that preconditions ask for.
    async fn known(&self, jobs: &[Waiting]) -> HashMap<Bytes, Result<Value, StorageError>> {
        let mut keys = HashSet::new();
        for waiting in jobs {
            if let Job::Commit(commit) = &waiting.job {
                keys.extend(commit.preconditions.iter().map(|precondition| match precondition {
                    Precondition::Absent(key) | Precondition::Equals(key, _) => key.clone(),
                }));
            }
        }
        stream::iter(keys)
            .map(async |key: Bytes| {
                let value = self.shared.value(&key).await;
                (key, value)
            })
            .buffer_unordered(GETS_AT_ONCE)
            .collect()
            .await
    }

    /// Adds a commit to the entry, or nothing of it.
    fn add(&self, draft: &mut Draft, commit: &Commit, known: &HashMap<Bytes, Result<Value, StorageError>>) -> Answer {
        for (index, precondition) in commit.preconditions.iter().enumerate() {
            let (key, expect) = match precondition {
                Precondition::Absent(key) => (key, None),
                Precondition::Equals(key, value) => (key, Some(value)),
            };
            let now = match (draft.overlay.get(key), known.get(key)) {
                (Some(value), _) => value,
                (None, Some(value)) => value.clone()?,
                (None, None) => None,
            };
            if now.as_ref() != expect {
                return Err(StorageError::Precondition(index));
            }
        }
        for write in &commit.writes {
            if !known.is_empty() {
                draft.overlay.apply(0, write);
            }
            draft.ops.push(Op::Write(write.clone()));
        }
        let mut positions = Vec::with_capacity(commit.appends.len());
        for append in &commit.appends {
            let end = self.end(draft, append.log);
            end.last.0 += 1;
            positions.push(end.last);
            draft.records.entry(append.log).or_default().push(append.record.clone());
        }
        Ok(positions)
    }

    fn trim(&self, draft: &mut Draft, log: LogId, up_to: Position) {
        let end = self.end(draft, log);
        let up_to = up_to.min(end.last);
        if up_to > end.trimmed {
            end.trimmed = up_to;
            draft.ops.push(Op::Trim(log, up_to));
        }
    }

    fn end<'d>(&self, draft: &'d mut Draft, log: LogId) -> &'d mut End {
        draft
            .ends
            .entry(log)
            .or_insert_with(|| self.shared.state.lock().end(log))
    }

    /// Writes the entry, and makes it visible.
    async fn write(&mut self, draft: Draft) -> Result<(), Fenced> {
        let Draft {
            mut ops,
            records: appended,
            ends,
            ..
        } = draft;
        let mut records = Vec::with_capacity(appended.len());
        for (log, list) in &appended {
            let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
            let last = ends.get(log).map_or(Position::START, |end| end.last);
            ops.push(Op::Append(*log, last, count));
            records.push(Records {
                log: *log,
                last,
                count,
                payload: encode_records(list),
            });
        }
        let payload = encode(&ops);
        self.head.entries += 1;
        self.head.bytes += payload.len() + records.iter().map(|records| records.payload.len()).sum::<usize>();
        let entry = Entry {
            place: self.head.place + 1,
            ends: self.head.entries >= STRETCH_ENTRIES || self.head.bytes >= STRETCH_BYTES,
            payload,
        };
        self.decide(&entry, &records).await?;
        self.head.place = entry.place;
        Counters::add(&self.shared.counters.entries, 1);
        let mut state = self.shared.state.lock();
        for op in &ops {
            if let Op::Write(write) = op {
                self.shared.cache.write(write);
            }
        }
        state.publish(Pending {
            place: entry.place,
            stretch: self.head.stretch,
            ends: entry.ends,
            ops: ops.into(),
        });
        for (log, list) in appended {
            let last = ends.get(&log).map_or(Position::START, |end| end.last);
            let first = last.0 + 1 - list.len() as u64;
            for (position, record) in (first..).zip(list) {
                state.tail.push(log, Position(position), record);
            }
        }
        drop(state);
        self.shared.to_follow.notify_one();
        Ok(())
    }

    /// Writes the entry; comes back once it is certain that it is there, or never will be.
    async fn decide(&self, entry: &Entry, records: &[Records]) -> Result<(), Fenced> {
        let (shared, stretch) = (&self.shared, self.head.stretch);
        let begun = Instant::now();
        let mut pause = PAUSE_FIRST;
        loop {
            let mut tried = shared.store.append(stretch, shared.epoch, entry, records).await;
            if let Err(error) = &tried {
                tracing::warn!(%error, place = entry.place, "what became of an entry of the log is not known yet");
                shared.counters.unknown.fetch_add(1, Ordering::Relaxed);
                if shared.tenure.is_lost() {
                    // No need to try again: whoever took over has seen what is there.
                    tried = Ok(false);
                }
            }
            let error = match tried {
                Ok(true) => break,
                // Either an earlier try was carried out, or another node has taken over.
                Ok(false) => match shared.store.entry(stretch, entry.place).await {
                    Ok((_, Some(writer))) if writer == shared.epoch => break,
                    // Not written, and not refused: what was read is older than the answer. Asked again, it is clear.
                    Ok((Some(epoch), None)) if epoch == shared.epoch => StorageError::Closed,
                    Ok(_) => return Err(Fenced),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if begun.elapsed() > PATIENCE {
                shared.is_writable(Some(&error));
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
        shared.is_writable(None);
        Ok(())
    }

    /// Begins the next stretch; the one before ended with its last entry.
    async fn next_stretch(&mut self) -> Result<(), Fenced> {
        let (shared, stretch) = (&self.shared, self.head.stretch + 1);
        let mut pause = PAUSE_FIRST;
        loop {
            match shared.store.raise(stretch, None, shared.epoch).await {
                Ok(true) => break,
                Ok(false) => match shared.store.fence(stretch).await {
                    Ok(Some(epoch)) if epoch == shared.epoch => break,
                    Ok(Some(_)) => return Err(Fenced),
                    Ok(None) | Err(_) => {}
                },
                Err(error) => tracing::warn!(%error, stretch, "a stretch of the log was not begun"),
            }
            if shared.tenure.is_lost() {
                return Err(Fenced);
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
        self.head = Head {
            stretch,
            place: self.head.place,
            entries: 0,
            bytes: 0,
        };
        Ok(())
    }
}
