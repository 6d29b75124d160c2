//! Where change logs end, which stretches of the log have their records, and the newest records in memory.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use geodynamo_storage::{LogId, LogRecord, Position};
use imbl::OrdMap;

/// Bytes of the newest records that stay in memory for those who follow the logs.
pub(crate) const TAIL_BYTES_MAX: usize = 32 << 20;
/// Bytes that a record takes besides its own, about.
const FRAME_BYTES: usize = 64;

/// How far a log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) last: Position,
    pub(crate) trimmed: Position,
}

/// The ends of all logs; a clone never changes.
pub(crate) type Ends = OrdMap<LogId, End>;

/// For each stretch the first and the last position of each log in it.
#[derive(Debug, Default)]
pub(crate) struct Stretches(pub(crate) BTreeMap<i64, BTreeMap<LogId, (Position, Position)>>);

impl Stretches {
    /// A stretch has records of a log up to a position.
    pub(crate) fn add(&mut self, stretch: i64, log: LogId, last: Position, count: u32) {
        let first = Position(last.0.saturating_sub(u64::from(count).saturating_sub(1)));
        let span = self.0.entry(stretch).or_default().entry(log).or_insert((first, last));
        span.0 = span.0.min(first);
        span.1 = span.1.max(last);
    }

    /// The stretches that have records of a log behind a position, oldest first.
    pub(crate) fn behind(&self, log: LogId, after: Position) -> Vec<i64> {
        let has = |logs: &BTreeMap<LogId, (Position, Position)>| logs.get(&log).is_some_and(|span| span.1 > after);
        let stretches = self.0.iter().filter(|(_, logs)| has(logs));
        stretches.map(|(stretch, _)| *stretch).collect()
    }

    /// The stretches before one that have no record which is not trimmed.
    pub(crate) fn dead(&self, before: i64, ends: &Ends) -> Vec<i64> {
        let trimmed = |log: &LogId| ends.get(log).map_or(Position::START, |end| end.trimmed);
        let stretches = self.0.range(..before);
        let dead = stretches.filter(|(_, logs)| logs.iter().all(|(log, span)| span.1 <= trimmed(log)));
        dead.map(|(stretch, _)| *stretch).collect()
    }
}

/// The newest records of the logs.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    logs: HashMap<LogId, VecDeque<(Position, Bytes)>>,
    order: VecDeque<LogId>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn push(&mut self, log: LogId, position: Position, record: Bytes) {
        self.bytes += FRAME_BYTES + record.len();
        self.logs.entry(log).or_default().push_back((position, record));
        self.order.push_back(log);
        while self.bytes > TAIL_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            let Some(records) = self.logs.get_mut(&oldest) else {
                continue;
            };
            if let Some((_, record)) = records.pop_front() {
                self.bytes -= FRAME_BYTES + record.len();
            }
            if records.is_empty() {
                self.logs.remove(&oldest);
            }
        }
    }

    /// The records behind a position, if the next one is here.
    pub(crate) fn read(
        &self,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<LogRecord>> {
        let records = self.logs.get(&log)?;
        let skip = after.0.checked_add(1)?.checked_sub(records.front()?.0.0)?;
        let mut page = Paged::new(rows_max, bytes_max);
        for (position, record) in records.iter().skip(usize::try_from(skip).ok()?) {
            if !page.push(*position, record.clone()) {
                break;
            }
        }
        Some(page.records)
    }
}

/// Records up to a limit.
#[derive(Debug)]
pub(crate) struct Paged {
    pub(crate) records: Vec<LogRecord>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

impl Paged {
    pub(crate) fn new(rows_max: usize, bytes_max: usize) -> Self {
        Self {
            records: Vec::new(),
            bytes: 0,
            rows_max,
            bytes_max,
        }
    }

    /// Adds a record; whether there is room for another.
    pub(crate) fn push(&mut self, position: Position, record: Bytes) -> bool {
        self.bytes = self.bytes.saturating_add(record.len());
        self.records.push(LogRecord { position, record });
        self.has_room()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.records.is_empty() || (self.records.len() < self.rows_max && self.bytes < self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_answers_only_what_it_has_without_a_gap() {
        let mut tail = Tail::default();
        let log = LogId(1);
        for position in 5..8 {
            tail.push(log, Position(position), Bytes::from("x"));
        }
        let read = |tail: &Tail, after: u64| tail.read(log, Position(after), 9, 99).map(|records| records.len());
        assert_eq!(read(&tail, 3), None);
        assert_eq!(
            (read(&tail, 4), read(&tail, 6), read(&tail, 7)),
            (Some(3), Some(1), Some(0))
        );
        assert_eq!(tail.read(LogId(2), Position(0), 9, 99), None);
        let big = Bytes::from(vec![0; TAIL_BYTES_MAX / 2]);
        tail.push(LogId(2), Position(1), big.clone());
        tail.push(LogId(2), Position(2), big);
        assert_eq!(read(&tail, 6), None, "forgotten");
        assert!(tail.bytes <= TAIL_BYTES_MAX);
    }

    #[test]
    fn a_stretch_is_dead_once_all_its_logs_are_trimmed() {
        let mut stretches = Stretches::default();
        stretches.add(0, LogId(1), Position(3), 3);
        stretches.add(0, LogId(2), Position(1), 1);
        stretches.add(1, LogId(1), Position(5), 2);
        assert_eq!(stretches.0[&0][&LogId(1)], (Position(1), Position(3)));
        assert_eq!(stretches.behind(LogId(1), Position(3)), [1]);
        let end = |trimmed| End {
            last: Position(9),
            trimmed: Position(trimmed),
        };
        let mut ends = Ends::default();
        ends.insert(LogId(1), end(5));
        assert!(stretches.dead(1, &ends).is_empty());
        ends.insert(LogId(2), end(1));
        assert_eq!(stretches.dead(1, &ends), [0], "the last one is still written");
        assert_eq!(stretches.dead(2, &ends), [0, 1]);
    }
}
