//! Reads a shard, and hands its records to lanes: one for each invocation that there may be at once. Records of one item go
//! to one lane, so their order is kept.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use geodynamo_item::wire;
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{RECORDS_MAX, RecordForm, ShardPlace, StreamError, StreamRecord};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    AGAIN_AFTER, Run, Stop,
    batch::Lane,
    queue::{Progress, Queued, Room},
};
use crate::{
    entry::Counts,
    mapping::{Checkpoint, Window},
};

/// How often a shard is looked at that nobody tells of: what came from another region.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long writes gather before they are read.
const GATHER: Duration = Duration::from_millis(2);
/// How often a checkpoint is stored at most. What is done with in between is delivered again after a crash.
const STORE_EVERY: Duration = Duration::from_millis(100);
/// No record has less in memory.
const RECORD_BYTES_MIN: usize = 256;
/// What a record is taken to have before any was read.
const RECORD_BYTES_GUESSED: usize = 2 << 10;

/// What a shard's tasks have in common.
pub(super) struct Reading<E: Engine> {
    pub(super) run: Arc<Run<E>>,
    pub(super) shard: String,
    pub(super) progress: Progress,
    pub(super) room: Arc<Room>,
    /// Whether there is no room to read more, so that waiting for larger batches is of no use.
    pub(super) crowded: watch::Sender<bool>,
    pub(super) window: Mutex<Option<Window>>,
}

/// Counts a shard that is read.
struct Counted<'a>(&'a std::sync::atomic::AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Reads a shard to its end, or until the runner stops.
pub(super) async fn read<E: Engine>(run: Arc<Run<E>>, shard: String) {
    let shared = Arc::clone(&run.shared);
    shared.readers.fetch_add(1, Relaxed);
    let _counted = Counted(&shared.readers);
    let checkpoint = run.entry.checkpoint(&shard);
    let is_windowed = run.mapping.settings.tumbling_window_s > 0;
    let reading = Arc::new(Reading {
        progress: Progress::new(checkpoint.after.as_deref()),
        room: Arc::default(),
        crowded: watch::Sender::new(false),
        window: Mutex::new(checkpoint.window.clone().filter(|_| is_windowed)),
        run,
        shard,
    });
    let mut lanes = JoinSet::new();
    let mut senders = Vec::new();
    for _ in 0..reading.run.mapping.settings.parallelization.max(1) {
        let (sender, records) = mpsc::unbounded_channel();
        let lane = Lane::new(Arc::clone(&reading), records);
        if is_windowed {
            lanes.spawn(lane.run_windows());
        } else {
            lanes.spawn(lane.run());
        }
        senders.push(sender);
    }
    let mut storing = JoinSet::new();
    if !is_windowed {
        storing.spawn(store_often(Arc::clone(&reading)));
    }
    let at_end = read_all(&reading, checkpoint.after, &senders).await;
    drop(senders);
    let mut whole = true;
    while let Some(ended) = lanes.join_next().await {
        match ended {
            Ok(ended) => whole &= ended,
            Err(error) => {
                tracing::error!(%error, mapping = reading.run.mapping.uuid, "a lane of a shard broke off");
                whole = false;
            }
        }
    }
    storing.shutdown().await;
    reading.store(at_end && whole).await;
    reading.run.entry.set_oldest(&reading.shard, None);
}

/// Hands all records over; `true` once a closed shard has no more.
async fn read_all<E: Engine>(
    reading: &Reading<E>,
    after: Option<String>,
    lanes: &[mpsc::UnboundedSender<Vec<Queued>>],
) -> bool {
    let run = &reading.run;
    let tables = &run.shared.tables;
    let mut writes = tables.logs().growth();
    let mut after = after;
    let mut iterator: Option<String> = None;
    let mut record_bytes = RECORD_BYTES_GUESSED;
    while run.stop() == Stop::No {
        if lanes.iter().any(mpsc::UnboundedSender::is_closed) {
            // It broke off; whoever reads the shard next begins at the checkpoint.
            return false;
        }
        let Some(room) = reading.wait_for_room().await else {
            return false;
        };
        writes.mark_unchanged();
        let at = match iterator.take() {
            Some(iterator) => iterator,
            None => {
                let place = after.as_deref().map_or(ShardPlace::TrimHorizon, ShardPlace::After);
                match tables
                    .streams()
                    .shard_iterator(&run.stream, &reading.shard, place)
                    .await
                {
                    Ok(iterator) => iterator,
                    Err(StreamError::Trimmed) => {
                        tracing::warn!(
                            mapping = run.mapping.uuid,
                            shard = reading.shard,
                            "records were trimmed before the function had them"
                        );
                        after = None;
                        continue;
                    }
                    Err(error) => {
                        if !reading.again(&error).await {
                            return false;
                        }
                        continue;
                    }
                }
            }
        };
        let limit = (room / record_bytes).clamp(1, RECORDS_MAX);
        let page = match tables.streams().stream_records(&run.stream, &at, limit).await {
            Ok(page) => page,
            // It has waited for too long for room; or they are gone, which is told when it begins anew.
            Err(StreamError::Expired | StreamError::Trimmed) => continue,
            Err(error) => {
                iterator = Some(at);
                if !reading.again(&error).await {
                    return false;
                }
                continue;
            }
        };
        let is_empty = page.records.is_empty();
        let (count, mut bytes) = (page.records.len(), 0);
        let mut read: Vec<Vec<Queued>> = lanes.iter().map(|_| Vec::new()).collect();
        for record in page.records {
            after = Some(record.sequence.clone());
            match reading.queue(record, &mut read) {
                Ok(queued) => bytes += queued,
                Err(error) => {
                    // Nothing can be done with an item that cannot be read but to go on without it.
                    tracing::error!(error, mapping = run.mapping.uuid, "a record cannot be delivered");
                }
            }
        }
        for (lane, read) in lanes.iter().zip(read) {
            if !read.is_empty() {
                // A lane that is gone has stopped, or is told of as broken: then reading ends.
                let _ = lane.send(read);
            }
        }
        if let Some(mean) = bytes.checked_div(count) {
            record_bytes = mean.max(RECORD_BYTES_MIN);
        }
        reading.tell_age();
        match page.next {
            None => return true,
            next => iterator = next,
        }
        if is_empty {
            let told = tokio::select! {
                changed = writes.changed() => changed.is_ok(),
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = run.stopped(Stop::AfterInvocation) => return false,
            };
            if told {
                tokio::time::sleep(GATHER).await;
            }
        }
    }
    false
}

/// Stores the checkpoint whenever it has moved, but not too often.
async fn store_often<E: Engine>(reading: Arc<Reading<E>>) {
    loop {
        reading.progress.moved.notified().await;
        reading.tell_age();
        reading.store(false).await;
        tokio::time::sleep(STORE_EVERY).await;
    }
}

impl<E: Engine> Reading<E> {
    /// Waits until more may be read, and tells how much; `None` if the runner stops.
    async fn wait_for_room(&self) -> Option<usize> {
        loop {
            let (share, used) = (self.run.shared.share(), self.room.used());
            // What is not in memory fits, however large it is.
            if used == 0 || used < share {
                self.crowded.send_if_modified(std::mem::take);
                return Some(share.saturating_sub(used));
            }
            self.crowded.send_replace(true);
            tokio::select! {
                () = self.room.freed.notified() => {}
                // Others may have ended, so that there is more.
                () = tokio::time::sleep(LOOK_EVERY) => self.tell_age(),
                () = self.run.stopped(Stop::AfterInvocation) => return None,
            }
        }
    }

    /// Puts a record with those of its lane, if it is for the function; gives its size.
    fn queue(&self, record: StreamRecord, lanes: &mut [Vec<Queued>]) -> Result<usize, String> {
        let run = &self.run;
        let sequence: Arc<str> = record.sequence.as_str().into();
        self.progress.begin(&sequence, record.created_ms / 1000);
        let written = self.write(&record).inspect_err(|_| self.progress.finish([&sequence]))?;
        let is_wanted = run.patterns.is_empty() || {
            let event: Value = serde_json::from_slice(&written).unwrap_or_default();
            run.patterns.iter().any(|pattern| pattern.matches(&event))
        };
        if !is_wanted {
            Counts::add(&run.entry.counts.filtered, 1);
            self.progress.finish([&sequence]);
            return Ok(written.len());
        }
        if run.shared.checkpoint_first {
            self.progress.finish([&sequence]);
        }
        let lane = if lanes.len() > 1 {
            let mut key = Writer::new();
            wire::write_item(&record.keys, &mut key);
            let count = lanes.len() as u64;
            usize::try_from(xxh3_64(key.as_bytes()) % count).unwrap_or_default()
        } else {
            0
        };
        let bytes = written.len();
        let queued = Queued {
            sequence,
            created_s: record.created_ms / 1000,
            json: written,
            _share: Some(self.room.take(bytes + size_of::<Queued>())),
        };
        if let Some(lane) = lanes.get_mut(lane) {
            lane.push(queued);
        }
        Ok(bytes)
    }

    fn write(&self, record: &StreamRecord) -> Result<Bytes, String> {
        let run = &self.run;
        let mut writer = Writer::with_capacity(512 + 2 * record.size_bytes);
        let form = RecordForm::Event(&run.mapping.stream);
        let written = record.write_json(run.shared.tables.region(), form, &mut writer);
        written.map_err(|error| error.to_string())?;
        Ok(writer.into_bytes().into())
    }

    /// Stores how far the shard has come. Failures of the store pass, or the region has others to tell of.
    pub(super) async fn store(&self, done: bool) {
        let run = &self.run;
        loop {
            let checkpoint = Checkpoint {
                after: self.progress.checkpoint().map(|after| (*after).to_owned()),
                done,
                window: self.window.lock().clone(),
            };
            if run.entry.checkpoint(&self.shard) == checkpoint {
                return;
            }
            match run
                .shared
                .store(&run.mapping.uuid, &self.shard, Some(&checkpoint))
                .await
            {
                Ok(()) => return run.entry.set_checkpoint(&self.shard, checkpoint),
                Err(error) => {
                    tracing::debug!(error, mapping = run.mapping.uuid, "a checkpoint was not stored");
                    if !run.pause(AGAIN_AFTER).await {
                        return;
                    }
                }
            }
        }
    }

    pub(super) fn tell_age(&self) {
        let oldest_s = self.progress.oldest_s();
        self.run.entry.set_oldest(&self.shard, oldest_s);
    }

    /// After an error of the stream: waits; `false` if reading is to end.
    async fn again(&self, error: &StreamError) -> bool {
        if matches!(error, StreamError::NoStream | StreamError::NoShard) {
            return false;
        }
        tracing::debug!(%error, mapping = self.run.mapping.uuid, shard = self.shard, "a shard cannot be read");
        let time = match error {
            StreamError::TooOften => LOOK_EVERY,
            _ => AGAIN_AFTER,
        };
        self.run.pause(time).await
    }
}
