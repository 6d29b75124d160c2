//! The records of a batch, written by several writers at once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures_util::future::join_all;
use geodynamo_exchange::{Put, PutCondition};
use geodynamo_expression::{Condition, Context, ExpressionError, Parameter};
use geodynamo_item::Item;
use geodynamo_storage::Engine;
use geodynamo_table::{TableError, WriteOptions, Written};

use super::{
    report::{Kind, Line, Report},
    run::{Run, THROTTLED},
};
use crate::{Error, Result, objects::Record};

/// Writers of an operation.
const WRITERS: usize = 8;
/// Those of an accelerated one.
const WRITERS_ACCELERATED: usize = 32;

/// A record that can be written.
struct Ready {
    place: u64,
    line: u64,
    item: Item,
    condition: Option<Condition>,
}

impl Ready {
    fn told<'a>(&'a self, object: &'a str, kind: Kind, reason: &'a str, existing: Option<&'a Item>) -> Line<'a> {
        Line {
            kind,
            object,
            at: Some((self.place, self.line)),
            reason,
            item: Some(&self.item),
            existing,
        }
    }
}

impl<E: Engine> Run<'_, E> {
    /// Writes a batch. With `repeats` some of it may have been written before.
    pub(super) async fn write(&self, object: &str, records: Vec<Record<Put>>, repeats: bool) -> Result<()> {
        let writers = if self.job.wanted.accelerated {
            WRITERS_ACCELERATED
        } else {
            WRITERS
        };
        let mut queues: Vec<Vec<Ready>> = (0..writers).map(|_| Vec::new()).collect();
        for record in records {
            let at = Some((record.place, record.line));
            let ready = match record.says {
                Ok(put) => self.ready(record.place, record.line, put),
                Err(error) => Err((error.0, None)),
            };
            match ready {
                Ok((ready, hash)) => queues[(hash % writers as u64) as usize].push(ready),
                Err((reason, item)) => {
                    self.failed(&Line {
                        kind: Kind::Error,
                        object,
                        at,
                        reason: &reason,
                        item: item.as_ref(),
                        existing: None,
                    })
                    .await?;
                }
            }
        }
        let lanes = queues.into_iter().filter(|queue| !queue.is_empty());
        // All of them come to their end, so that what is written is counted.
        let ended = join_all(lanes.map(|queue| self.lane(object, queue, repeats))).await;
        ended.into_iter().collect()
    }

    /// What is to be written of a record, and the hash of its key; or why nothing is, and its item.
    fn ready(&self, place: u64, line: u64, put: Put) -> std::result::Result<(Ready, u64), (String, Option<Item>)> {
        let Put { item, condition } = put;
        let checked = self.bulks.tables.loads().check_imported(&self.table, &item);
        let hash = checked
            .and_then(|()| self.hash(&item))
            .map_err(|error| error.to_string());
        let parsed = hash.and_then(|hash| Ok((hash, parse(&condition).map_err(|error| error.to_string())?)));
        match parsed {
            Ok((hash, condition)) => {
                let ready = Ready {
                    place,
                    line,
                    item,
                    condition,
                };
                Ok((ready, hash))
            }
            Err(reason) => Err((reason, Some(item))),
        }
    }

    fn hash(&self, item: &Item) -> std::result::Result<u64, TableError> {
        let attributes = self.table.keys().attributes();
        let attribute = |name: &str| item.get(name).map(|value| (name.into(), value.clone()));
        let key: Item = attributes.filter_map(|key| attribute(&key.name)).collect();
        let mut hasher = DefaultHasher::new();
        self.table.key_of(&key)?.bytes().hash(&mut hasher);
        Ok(hasher.finish())
    }

    async fn lane(&self, object: &str, queue: Vec<Ready>, repeats: bool) -> Result<()> {
        for ready in queue {
            self.halt.check()?;
            self.put(object, &ready, repeats).await?;
        }
        Ok(())
    }

    /// Puts an item. While the table is throttled, it waits.
    async fn put(&self, object: &str, ready: &Ready, repeats: bool) -> Result<()> {
        let options = WriteOptions {
            condition: ready.condition.as_ref(),
            old_on_failure: repeats || Report::wants(&self.job.wanted.output, Kind::FailedCondition),
            waits: true,
            ..WriteOptions::default()
        };
        let mut pause = THROTTLED.0;
        loop {
            self.pace.wait(self.halt).await?;
            let writes = self.bulks.tables.writes();
            match writes.put(&self.table, ready.item.clone(), options).await {
                Ok(written) => {
                    self.wrote(&written);
                    return Ok(());
                }
                Err(TableError::Throttled(_)) => {
                    self.halt.pause(pause).await?;
                    pause = (pause * 2).min(THROTTLED.1);
                }
                Err(TableError::ConditionFailed(failed)) => {
                    self.pace.wrote(failed.units);
                    if repeats && failed.item.as_ref() == Some(&ready.item) {
                        // It was this operation that wrote it, before it was broken off.
                        self.wrote(&Written::default());
                        return Ok(());
                    }
                    let reason = TableError::ConditionFailed(Default::default()).to_string();
                    let existing = failed.item.as_ref();
                    return self
                        .failed(&ready.told(object, Kind::FailedCondition, &reason, existing))
                        .await;
                }
                Err(error @ (TableError::Validation(_) | TableError::ItemCollectionSize)) => {
                    let reason = error.to_string();
                    return self.failed(&ready.told(object, Kind::Error, &reason, None)).await;
                }
                Err(TableError::ResourceNotFound(_)) => return Err(Error::Gone),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wrote(&self, written: &Written) {
        let capacity = &written.capacity;
        self.pace.wrote(capacity.total());
        self.bulks.counted_put();
        self.count(|counts| {
            counts.processed_items += 1;
            counts.table_units += units(capacity.table);
            for (name, local) in &capacity.local {
                *counts.local_units.entry(name.clone()).or_default() += units(*local);
            }
            for (name, global) in &capacity.global {
                *counts.global_units.entry(name.clone()).or_default() += units(*global);
            }
        });
    }
}

/// Whole units; nothing is written for less than one.
fn units(units: f64) -> u64 {
    units.ceil() as u64
}

/// A record's condition, which is refused for what PutItem refuses it for.
fn parse(condition: &PutCondition) -> std::result::Result<Option<Condition>, ExpressionError> {
    if condition.is_none() {
        return Ok(None);
    }
    let mut context = Context::of(condition.names.as_ref(), condition.values.as_ref())?;
    let given = condition.expression.is_some();
    context.check_given(given, given, "ConditionExpression is null")?;
    let text = condition.expression.as_deref();
    let parsed = text.map(|text| Condition::parse(Parameter::Condition, text, &mut context));
    let parsed = parsed.transpose()?;
    context.finish()?;
    Ok(parsed)
}
