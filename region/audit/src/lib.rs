//! The audit trail: one JSON record for each call, a line each, in files that follow one another.
//!
//! Records have the form of AWS CloudTrail's
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>), so that
//! what reads those reads these.
//!
//! [`Trail::record`] never waits: records go through a bounded queue to a thread that writes them. What does not fit into the
//! queue, or cannot be written, is counted ([`Trail::counts`]) and lost; requests go on.

mod record;
mod rotation;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

pub use crate::record::{Event, Resource};
use crate::rotation::Files;

/// The most records that wait to be written.
pub const RECORDS_QUEUED_MAX: usize = 16_384;
/// The longest record, in bytes: what is longer loses what was asked and answered.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// Where records go, and how much is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The file that is written to. Older ones have `.1`, `.2` and so on behind their names.
    pub path: PathBuf,
    /// How long a file becomes, in bytes.
    pub file_bytes_max: u64,
    /// How many files there are, this one included.
    pub files: usize,
    /// The region, as records tell it.
    pub region: String,
}

/// What became of records since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Written.
    pub written: u64,
    /// Lost: the queue was full, or the file could not be written.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    lost: AtomicU64,
}

/// A running trail.
#[derive(Debug)]
pub struct Trail {
    queue: Option<Sender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    region: String,
}

impl Trail {
    /// Opens the file, to go on where it ends, and starts the thread that writes to it.
    ///
    /// # Errors
    /// If the file cannot be opened, or a thread not started.
    pub fn open(options: Options) -> std::io::Result<Self> {
        let files = Files::open(options.path, options.file_bytes_max, options.files)?;
        let (queue, records) = bounded(RECORDS_QUEUED_MAX);
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let writer = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || write(files, &records, &counted))?;
        Ok(Self {
            queue: Some(queue),
            writer: Some(writer),
            counters,
            region: options.region,
        })
    }

    /// Records a call. Never waits.
    pub fn record(&self, event: &Event<'_>) {
        let Some(line) = record::line(event, &self.region) else {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let sent = self.queue.as_ref().map(|queue| queue.try_send(line));
        if matches!(sent, Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))) {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What became of records so far.
    pub fn counts(&self) -> Counts {
        Counts {
            written: self.counters.written.load(Ordering::Relaxed),
            lost: self.counters.lost.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Trail {
    /// Writes what waits.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has told so.
            let _ = writer.join();
        }
    }
}

/// Writes records until there are none and nobody is left to make one.
fn write(mut files: Files, records: &Receiver<Vec<u8>>, counters: &Counters) {
    let mut is_failing = false;
    while let Ok(first) = records.recv() {
        // What has come meanwhile goes with it.
        let batch = std::iter::once(first).chain(records.try_iter().take(RECORDS_QUEUED_MAX));
        let (mut written, mut failed) = (0, None);
        for line in batch {
            let outcome = files.write(&line);
            written += outcome.written;
            counters.lost.fetch_add(outcome.lost, Ordering::Relaxed);
            failed = outcome.error.or(failed);
        }
        let outcome = files.flush();
        written += outcome.written;
        counters.lost.fetch_add(outcome.lost, Ordering::Relaxed);
        let failed = outcome.error.or(failed);
        counters.written.fetch_add(written, Ordering::Relaxed);
        // Once for each time that it begins.
        if let Some(error) = &failed
            && !is_failing
        {
            tracing::error!(%error, "the audit trail cannot be written: records are lost");
        }
        is_failing = failed.is_some();
    }
}

#[cfg(test)]
mod tests;
