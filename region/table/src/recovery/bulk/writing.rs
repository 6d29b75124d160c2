//! Rows that are written into files while others are being made.

use std::{sync::Arc, vec};

use geodynamo_storage::{Row, SortedFiles, StorageError};
use tokio::{
    sync::{OwnedMutexGuard, mpsc},
    task::JoinHandle,
};

use super::{blocking, lost};
use crate::{Result, TableError};

/// Batches that wait to be written. As many more are in memory: one is being made, one is being written.
const WAITING: usize = 2;
/// About how many bytes of rows a batch has that [`Writing::put_all`] makes.
const BATCH_BYTES: usize = 1 << 20;

/// Whoever holds it is alone with what lies there of a load. A writer holds it, too, so a load that was broken off is not taken
/// up again while one of its writers goes on.
pub(super) type Turn = Arc<OwnedMutexGuard<()>>;

/// What a writer is told.
enum Told {
    Rows(Vec<Row>),
    /// There are no more. Without it the writer was deserted, and its file is not to be finished.
    End,
}

/// A writer of files, on a thread of its own.
pub(super) struct Writing {
    told: mpsc::Sender<Told>,
    written: JoinHandle<Result<(Box<dyn SortedFiles>, u64)>>,
}

impl Writing {
    pub(super) fn begin(mut files: Box<dyn SortedFiles>, turn: Turn) -> Self {
        let (told, hears) = mpsc::channel(WAITING);
        let write = move || {
            let count = files.write(&mut Heard {
                hears,
                rows: Vec::new().into_iter(),
            })?;
            drop(turn);
            Ok((files, count))
        };
        Self {
            told,
            written: tokio::task::spawn_blocking(write),
        }
    }

    /// Hands over rows. They come in order.
    ///
    /// # Errors
    /// Why the writer ended.
    pub(super) async fn put(self, rows: Vec<Row>) -> Result<Self> {
        match self.told.send(Told::Rows(rows)).await {
            Ok(()) => Ok(self),
            Err(_) => Err(self.failed(lost()).await),
        }
    }

    /// Hands over all rows of an iterator that `make` makes, and then [ends](Self::end); also gives what else `make` counts.
    pub(super) async fn put_all<T: Send + 'static>(
        self,
        make: impl FnOnce(&mut dyn FnMut(Row) -> Result<()>) -> Result<T> + Send + 'static,
    ) -> Result<(Box<dyn SortedFiles>, T)> {
        let told = self.told.clone();
        let made = blocking(move || {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            let made = make(&mut |row| {
                bytes += row.0.len() + row.1.len();
                batch.push(row);
                if bytes < BATCH_BYTES {
                    return Ok(());
                }
                bytes = 0;
                told.blocking_send(Told::Rows(std::mem::take(&mut batch)))
                    .map_err(|_| lost())
            })?;
            told.blocking_send(Told::Rows(batch)).map_err(|_| lost())?;
            Ok(made)
        });
        match made.await {
            Ok(made) => Ok((self.end().await?.0, made)),
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// All rows have been handed over: gives the files once they are durable, and their number.
    pub(super) async fn end(self) -> Result<(Box<dyn SortedFiles>, u64)> {
        let Self { told, written } = self;
        // If it hears no more it says why.
        let _ = told.send(Told::End).await;
        joined(written).await
    }

    /// Why the writer ended, or else the error that its caller met.
    async fn failed(self, met: TableError) -> TableError {
        drop(self.told);
        match joined(self.written).await {
            Ok(_) | Err(TableError::Storage(StorageError::Closed)) => met,
            Err(error) => error,
        }
    }
}

async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    // An error means that it panicked, or that the process ends.
    task.await.unwrap_or(Err(TableError::Storage(StorageError::Closed)))
}

/// The rows that a writer hears of.
struct Heard {
    hears: mpsc::Receiver<Told>,
    rows: vec::IntoIter<Row>,
}

impl Iterator for Heard {
    type Item = std::result::Result<Row, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.hears.blocking_recv() {
                Some(Told::Rows(rows)) => self.rows = rows.into_iter(),
                Some(Told::End) => return None,
                None => return Some(Err(StorageError::Closed)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use geodynamo_storage::{Engine, Ingest, MemoryEngine, Spanning};
    use tokio::sync::Mutex;

    use super::*;

    const LOAD: u64 = 7;

    fn row(number: u8) -> Row {
        let mut key = vec![1; 17];
        key.push(number);
        (key.into(), Bytes::from_static(b"value"))
    }

    async fn begin(door: &Arc<dyn Ingest>, turn: &Arc<Mutex<()>>) -> Writing {
        let held = Arc::new(Arc::clone(turn).lock_owned().await);
        Writing::begin(door.files(LOAD, 0, false).unwrap(), held)
    }

    #[tokio::test]
    async fn rows_are_written_until_the_end_is_told() {
        let (door, turn) = (
            MemoryEngine::new(Spanning::Yes).ingest().unwrap(),
            Arc::new(Mutex::new(())),
        );
        let writing = begin(&door, &turn).await.put(vec![row(1), row(2)]).await.unwrap();
        assert!(turn.try_lock().is_err(), "nobody else has its turn");
        let writing = writing.put(vec![row(3)]).await.unwrap();
        let (_, count) = writing.end().await.unwrap();
        assert_eq!(count, 1);
        assert!(turn.try_lock().is_ok());
        let make = |put: &mut dyn FnMut(Row) -> Result<()>| {
            (1..200).try_for_each(|number| put(row(number)))?;
            Ok(199)
        };
        let (files, made) = begin(&door, &turn).await.put_all(make).await.unwrap();
        files.take_in().unwrap();
        assert_eq!(made, 199);
    }

    /// What a writer wrote that was deserted does not count, and nobody takes the load up before it has ended.
    #[tokio::test]
    async fn a_deserted_writer_finishes_nothing() {
        let (door, turn) = (
            MemoryEngine::new(Spanning::Yes).ingest().unwrap(),
            Arc::new(Mutex::new(())),
        );
        let writing = begin(&door, &turn).await.put(vec![row(1)]).await.unwrap();
        drop(writing);
        let freed = tokio::time::timeout(Duration::from_secs(20), Arc::clone(&turn).lock_owned());
        freed.await.expect("it ends");
        assert!(door.files(LOAD, 1, false).is_err(), "no file was finished");
    }

    #[tokio::test]
    async fn the_writers_own_error_is_told() {
        let (door, turn) = (
            MemoryEngine::new(Spanning::Yes).ingest().unwrap(),
            Arc::new(Mutex::new(())),
        );
        let disorder = begin(&door, &turn).await.put(vec![row(2), row(1)]).await.unwrap();
        let error = disorder.end().await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("order"), "{error}");
        let make = |put: &mut dyn FnMut(Row) -> Result<()>| {
            put(row(1))?;
            Err::<(), _>(TableError::Corrupt("a row".into()))
        };
        let error = begin(&door, &turn).await.put_all(make).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, TableError::Corrupt(_)), "{error}");
    }
}
