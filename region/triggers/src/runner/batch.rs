//! A lane: gathers records into batches, and delivers one after the other.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use geodynamo_storage::Engine;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Stop,
    deliver::deliver,
    event::{EVENT_BYTES_MAX, bytes_of},
    queue::Queued,
    shard::Reading,
};

/// A lane.
pub(super) struct Lane<E: Engine> {
    pub(super) reading: Arc<Reading<E>>,
    /// What was read together comes together, so that batches are as large as they can be.
    read: mpsc::UnboundedReceiver<Vec<Queued>>,
    records: VecDeque<Queued>,
}

/// What comes next.
pub(super) enum Next {
    Record(Queued),
    /// The time that was told has come.
    Time,
    /// There is nothing more.
    End,
    /// The runner stops.
    Stopped,
}

impl<E: Engine> Lane<E> {
    pub(super) fn new(reading: Arc<Reading<E>>, read: mpsc::UnboundedReceiver<Vec<Queued>>) -> Self {
        Self {
            reading,
            read,
            records: VecDeque::new(),
        }
    }

    /// Delivers all there is; `false` if the runner stopped before.
    pub(super) async fn run(mut self) -> bool {
        let mut failures = 0;
        loop {
            let first = match self.next(None).await {
                Next::Record(first) => first,
                Next::End => return true,
                Next::Time | Next::Stopped => return false,
            };
            let batch = self.gather(first, |_| true).await;
            if deliver(&self.reading, batch, &mut None, &mut failures).await.is_err() {
                return false;
            }
        }
    }

    /// Waits for a record, or until a time.
    pub(super) async fn next(&mut self, until: Option<Instant>) -> Next {
        if self.reading.run.stop() > Stop::No {
            return Next::Stopped;
        }
        let time = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time);
        loop {
            if let Some(record) = self.records.pop_front() {
                return Next::Record(record);
            }
            tokio::select! {
                biased;
                () = self.reading.run.stopped(Stop::AfterInvocation) => return Next::Stopped,
                read = self.read.recv() => match read {
                    Some(read) => self.records.extend(read),
                    None => return Next::End,
                },
                () = &mut time => return Next::Time,
            }
        }
    }

    /// For whoever looked at a record and does not want it yet.
    pub(super) fn put_back(&mut self, record: Queued) {
        self.records.push_front(record);
    }

    /// The batch that begins with a record: as many as the mapping wants, and an event can have, of those that are there or come
    /// within the batching window. `fits` says which records can go with the first.
    pub(super) async fn gather(&mut self, first: Queued, fits: impl Fn(&Queued) -> bool) -> Vec<Queued> {
        let settings = &self.reading.run.mapping.settings;
        let (count_max, window) = (settings.batch_size, Duration::from_secs(settings.batching_window_s));
        let until = Instant::now() + window;
        let mut crowded = self.reading.crowded.subscribe();
        let mut bytes = bytes_of(&first);
        let mut batch = vec![first];
        while batch.len() < count_max {
            if let Some(record) = self.records.pop_front() {
                bytes += bytes_of(&record);
                if bytes > EVENT_BYTES_MAX || !fits(&record) {
                    self.records.push_front(record);
                    break;
                }
                batch.push(record);
                continue;
            }
            let read = match self.read.try_recv() {
                Ok(read) => read,
                Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) if window.is_zero() => break,
                Err(mpsc::error::TryRecvError::Empty) => tokio::select! {
                    read = self.read.recv() => match read {
                        Some(read) => read,
                        None => break,
                    },
                    _ = crowded.wait_for(|crowded| *crowded) => break,
                    () = tokio::time::sleep_until(until) => break,
                    () = self.reading.run.stopped(Stop::AfterInvocation) => break,
                },
            };
            self.records.extend(read);
        }
        batch
    }
}
