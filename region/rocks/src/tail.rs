//! The newest records of the change logs, kept in memory.
//!
//! Links and streams that are up to date read what was written a moment ago, a few records at a time and very often. From
//! RocksDB each such read is an iterator over memtables and files; from here it is a look into a queue.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use geodynamo_storage::{LogId, LogRecord, Position};
use parking_lot::Mutex;

/// The most bytes of records that are kept, of all logs together; one record may pass it.
pub const TAIL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a record takes besides its bytes, about.
const RECORD_BYTES: usize = 96;

/// The newest durable records of all logs. Of each log that it knows it has every record from some position to the end.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logs: HashMap<LogId, VecDeque<LogRecord>>,
    /// All records in the order in which they came, the oldest first; those trimmed are still listed.
    order: VecDeque<(LogId, Position)>,
    bytes: usize,
    /// Whether records are being written that are not here yet, but may be visible in the store.
    writing: bool,
}

impl Tail {
    /// Records are about to be written: until they are here, the ends of the logs are not known here.
    pub(crate) fn begin(&self) {
        self.0.lock().writing = true;
    }

    /// What was about to be written was not.
    pub(crate) fn abandon(&self) {
        self.0.lock().writing = false;
    }

    /// Takes in records that have become durable. Those of a log come in their order, and none is left out.
    pub(crate) fn push<'a>(&self, records: impl IntoIterator<Item = (LogId, Position, &'a Bytes)>) {
        let mut state = self.0.lock();
        state.writing = false;
        for (log, position, record) in records {
            state.push(log, position, record.clone());
        }
        while state.bytes > TAIL_BYTES_MAX && state.order.len() > 1 {
            state.drop_oldest();
        }
    }

    /// Records of a log after a position, as [`geodynamo_storage::Engine::log_read`] gives them; `None` if the first of
    /// them, or whether there is one, is not known here.
    pub(crate) fn read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<LogRecord>> {
        let state = self.0.lock();
        let records = state.logs.get(&log)?;
        // Positions have no gaps, so the distance to the first is the place.
        let place = after.0.checked_add(1)?.checked_sub(records.front()?.position.0)?;
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        for record in records.iter().skip(usize::try_from(place).ok()?).take(rows_max.max(1)) {
            bytes = bytes.saturating_add(record.record.len());
            found.push(record.clone());
            if bytes >= bytes_max {
                break;
            }
        }
        (!found.is_empty() || !state.writing).then_some(found)
    }

    /// Drops a log's records up to a position: they were trimmed.
    pub(crate) fn trim(&self, log: LogId, up_to: Position) {
        let mut state = self.0.lock();
        while state.front(log).is_some_and(|first| first <= up_to) {
            state.pop(log);
        }
    }
}

impl State {
    fn push(&mut self, log: LogId, position: Position, record: Bytes) {
        self.bytes += record.len() + RECORD_BYTES;
        self.order.push_back((log, position));
        self.logs
            .entry(log)
            .or_default()
            .push_back(LogRecord { position, record });
    }

    fn drop_oldest(&mut self) {
        // Its log has lost it already if it was trimmed.
        if let Some((log, position)) = self.order.pop_front()
            && self.front(log) == Some(position)
        {
            self.pop(log);
        }
    }

    fn front(&self, log: LogId) -> Option<Position> {
        Some(self.logs.get(&log)?.front()?.position)
    }

    fn pop(&mut self, log: LogId) {
        let Some(records) = self.logs.get_mut(&log) else { return };
        if let Some(record) = records.pop_front() {
            self.bytes -= record.record.len() + RECORD_BYTES;
        }
        if records.is_empty() {
            self.logs.remove(&log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LogId = LogId(1);
    const B: LogId = LogId(2);

    fn push(tail: &Tail, log: LogId, positions: std::ops::RangeInclusive<u64>, bytes: usize) {
        let record = Bytes::from(vec![7; bytes]);
        tail.push(positions.map(|position| (log, Position(position), &record)));
    }

    fn read(tail: &Tail, log: LogId, after: u64, rows_max: usize, bytes_max: usize) -> Option<Vec<u64>> {
        let records = tail.read(log, Position(after), rows_max, bytes_max)?;
        Some(records.iter().map(|record| record.position.0).collect())
    }

    #[test]
    fn what_is_here_is_read_and_what_is_not_is_not_guessed() {
        let tail = Tail::default();
        assert_eq!(
            read(&tail, A, 0, 9, 9),
            None,
            "an unknown log may have records in the store"
        );
        push(&tail, A, 5..=8, 10);
        push(&tail, B, 1..=1, 10);
        assert_eq!(read(&tail, A, 3, 9, 99), None, "4 is in the store");
        assert_eq!(read(&tail, A, 4, 9, 99), Some(vec![5, 6, 7, 8]));
        assert_eq!(read(&tail, A, 6, 1, 99), Some(vec![7]));
        assert_eq!(read(&tail, A, 4, 9, 20), Some(vec![5, 6]));
        assert_eq!(read(&tail, A, 4, 9, 1), Some(vec![5]), "at least one");
        assert_eq!(read(&tail, A, 8, 9, 99), Some(vec![]), "the end is known");
        assert_eq!(read(&tail, B, 0, 9, 99), Some(vec![1]));
        assert_eq!(read(&tail, A, u64::MAX, 9, 99), None);
        tail.begin();
        assert_eq!(read(&tail, A, 8, 9, 99), None, "9 may be visible in the store");
        assert_eq!(read(&tail, A, 7, 9, 99), Some(vec![8]));
        push(&tail, A, 9..=9, 10);
        assert_eq!(read(&tail, A, 8, 9, 99), Some(vec![9]));
    }

    #[test]
    fn trimmed_records_are_gone() {
        let tail = Tail::default();
        push(&tail, A, 1..=4, 10);
        tail.trim(A, Position(2));
        assert_eq!(read(&tail, A, 0, 9, 99), None, "the store knows what was trimmed");
        assert_eq!(read(&tail, A, 2, 9, 99), Some(vec![3, 4]));
        tail.trim(A, Position(9));
        tail.trim(B, Position(9));
        assert_eq!(read(&tail, A, 4, 9, 99), None);
        assert_eq!(tail.0.lock().bytes, 0);
    }

    #[test]
    fn it_is_bounded() {
        let tail = Tail::default();
        let each = 1024 * 1024;
        push(&tail, A, 1..=3, each);
        tail.trim(A, Position(1));
        push(&tail, B, 1..=6, each);
        assert!(tail.0.lock().bytes <= TAIL_BYTES_MAX);
        assert_eq!(read(&tail, A, 2, 9, usize::MAX), Some(vec![3]), "the oldest went first");
        assert_eq!(read(&tail, B, 0, 9, usize::MAX), Some(vec![1, 2, 3, 4, 5, 6]));
        push(&tail, A, 4..=4, 2 * TAIL_BYTES_MAX);
        assert_eq!(read(&tail, A, 3, 9, 9), Some(vec![4]), "one record may pass the limit");
        assert_eq!(tail.0.lock().order.len(), 1);
    }
}
