//! Keys and logs as one persistent value: cloning it is cheap, and a clone never changes.

use std::ops::Bound;

use bytes::Bytes;
use imbl::OrdMap;

use crate::{Commit, Direction, LogId, LogRecord, Page, Position, Precondition, Scan, StorageError, Write};

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    rows: OrdMap<Bytes, Bytes>,
    logs: OrdMap<LogId, Log>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    end: Position,
    records: OrdMap<Position, Bytes>,
}

impl State {
    /// Carries a commit out, or changes nothing.
    pub(super) fn commit(&mut self, commit: Commit) -> Result<Vec<Position>, StorageError> {
        for (index, precondition) in commit.preconditions.iter().enumerate() {
            let holds = match precondition {
                Precondition::Absent(key) => !self.rows.contains_key(key),
                Precondition::Equals(key, value) => self.rows.get(key) == Some(value),
            };
            if !holds {
                return Err(StorageError::Precondition(index));
            }
        }
        for write in commit.writes {
            match write {
                Write::Put(key, value) => {
                    self.rows.insert(key, value);
                }
                Write::Delete(key) => {
                    self.rows.remove(&key);
                }
                Write::DeleteRange(from, to) if from < to => {
                    let doomed: Vec<Bytes> = self.rows.range(from..to).map(|(key, _)| key.clone()).collect();
                    for key in doomed {
                        self.rows.remove(&key);
                    }
                }
                Write::DeleteRange(..) => {}
            }
        }
        let append = |append: crate::Append| {
            let log = self.logs.entry(append.log).or_default();
            log.end = Position(log.end.0 + 1);
            log.records.insert(log.end, append.record);
            log.end
        };
        Ok(commit.appends.into_iter().map(append).collect())
    }

    pub(super) fn trim(&mut self, log: LogId, up_to: Position) {
        let Some(log) = self.logs.get_mut(&log) else { return };
        while let Some(first) = log
            .records
            .get_min()
            .map(|(first, _)| *first)
            .filter(|first| *first <= up_to)
        {
            log.records.remove(&first);
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.rows.get(key).cloned()
    }

    pub(super) fn scan(&self, scan: &Scan) -> Page {
        if scan.is_empty() {
            return Page::default();
        }
        let range = self.rows.range((scan.from.clone(), scan.to.clone()));
        match scan.direction {
            Direction::Forward => page(range, scan),
            Direction::Reverse => page(range.rev(), scan),
        }
    }

    pub(super) fn log_read(&self, log: LogId, after: Position, rows_max: usize, bytes_max: usize) -> Vec<LogRecord> {
        let mut records = Vec::new();
        let mut bytes = 0usize;
        let Some(log) = self.logs.get(&log) else { return records };
        for (position, record) in log.records.range((Bound::Excluded(after), Bound::Unbounded)) {
            bytes = bytes.saturating_add(record.len());
            records.push(LogRecord {
                position: *position,
                record: record.clone(),
            });
            if records.len() >= rows_max || bytes >= bytes_max {
                break;
            }
        }
        records
    }

    pub(super) fn log_end(&self, log: LogId) -> Position {
        self.logs.get(&log).map_or(Position::START, |log| log.end)
    }
}

fn page<'a>(rows: impl Iterator<Item = (&'a Bytes, &'a Bytes)>, scan: &Scan) -> Page {
    let mut page = Page::default();
    let mut bytes = 0usize;
    for (key, value) in rows {
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        page.rows.push((key.clone(), value.clone()));
        if page.rows.len() >= scan.rows_max || bytes >= scan.bytes_max {
            page.more = true;
            break;
        }
    }
    page
}
