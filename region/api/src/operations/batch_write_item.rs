use std::{collections::BTreeMap, sync::Arc};

use compact_str::CompactString;
use geodynamo_item::{AttributeValue, Item, size};
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, ITEM_BYTES_MAX, Table, TableError, WriteOptions, Written, given_name};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{
    Answer,
    consumed::{collection_key, collection_metrics, consumed},
};
use crate::{
    Api,
    errors::ApiError,
    generated::{BatchWriteItemInput, BatchWriteItemOutput, DeleteRequest, PutRequest, WriteRequest},
    wire::{Request, encode},
};

/// The most writes in one request.
const WRITES_MAX: usize = 25;

impl Request for BatchWriteItemInput {
    fn check_together(&self) -> Result<(), ApiError> {
        let mut writes = self
            .request_items
            .iter()
            .flatten()
            .flat_map(|(_, requests)| requests)
            .peekable();
        if writes.peek().is_none() {
            return Err(ApiError::request_items_missing("BatchWriteItem"));
        }
        writes.try_for_each(check_write)
    }
}

/// One write of the batch.
#[derive(Clone)]
enum Put {
    Item(Item),
    Delete(Item),
}

/// The writes of one table.
struct Writes {
    /// As the request names it first.
    name: CompactString,
    table: Arc<Table>,
    writes: Vec<Put>,
    /// The partition keys that metrics were asked for.
    collections: Vec<AttributeValue>,
}

/// Puts and deletes items. Each write is atomic for itself; they are carried out at once, and share the disk's syncs.
pub(super) async fn batch_write_item<E: Engine>(api: &Api<E>, input: BatchWriteItemInput) -> Answer {
    let asked_metrics = input.return_item_collection_metrics;
    let planned = plan(api, input.request_items.unwrap_or_default(), &asked_metrics)?;
    let mut running = JoinSet::new();
    let mut capacities = vec![Capacity::default(); planned.len()];
    let mut tables = Vec::with_capacity(planned.len());
    for (
        at,
        Writes {
            name,
            table,
            writes,
            collections,
        },
    ) in planned.into_iter().enumerate()
    {
        for write in writes {
            let (tables, table) = (Arc::clone(&api.tables), Arc::clone(&table));
            let writing = async move {
                // DynamoDB rejects no write of a batch for a transaction that has its item.
                let options = WriteOptions {
                    waits: true,
                    ..WriteOptions::default()
                };
                let left = table.is_throttled().then(|| write.clone());
                let written = match write {
                    Put::Item(item) => tables.writes().put(&table, item, options).await,
                    Put::Delete(key) => tables.writes().delete(&table, &key, options).await,
                };
                (at, left, written)
            };
            running.spawn(writing.in_current_span());
        }
        tables.push((name, table, collections));
    }
    let mut failed = None;
    let (mut processed, mut throttled) = (0, None);
    let mut unprocessed: BTreeMap<CompactString, Vec<WriteRequest>> = BTreeMap::new();
    while let Some(joined) = running.join_next().await {
        match joined {
            Ok((at, _, Ok::<Written, TableError>(written))) => {
                capacities[at].add(&written.capacity);
                processed += 1;
            }
            // Writes without capacity are left for another request; only if there was none for any, that is an error.
            Ok((at, Some(left), Err(error @ TableError::Throttled(_)))) => {
                throttled = Some(ApiError::from(error));
                unprocessed
                    .entry(tables[at].0.clone())
                    .or_default()
                    .push(left.into_request());
            }
            Ok((_, _, Err(error))) => failed = Some(ApiError::from(error)),
            // A write panicked: the request fails, the others go on.
            Err(panic) => failed = Some(ApiError::internal(panic)),
        }
    }
    if let Some(error) = failed.or(throttled.filter(|_| processed == 0)) {
        return Err(error);
    }
    let mut metrics = BTreeMap::new();
    let mut consumptions = Vec::new();
    for ((_, table, collections), capacity) in tables.into_iter().zip(capacities) {
        consumptions.extend(consumed(
            given_name(table.name()),
            &input.return_consumed_capacity,
            &capacity,
        ));
        let mut of_table = Vec::new();
        for partition in collections {
            of_table.extend(collection_metrics(api, &table, Some(partition)).await?);
        }
        if !of_table.is_empty() {
            metrics.insert(given_name(table.name()).into(), of_table);
        }
    }
    Ok(encode(&BatchWriteItemOutput {
        unprocessed_items: Some(unprocessed),
        item_collection_metrics: Some(metrics).filter(|metrics| !metrics.is_empty()),
        consumed_capacity: Some(consumptions).filter(|list| !list.is_empty()),
    }))
}

impl Put {
    /// As the request had it.
    fn into_request(self) -> WriteRequest {
        match self {
            Self::Item(item) => WriteRequest {
                put_request: Some(PutRequest { item: Some(item) }),
                delete_request: None,
            },
            Self::Delete(key) => WriteRequest {
                put_request: None,
                delete_request: Some(DeleteRequest { key: Some(key) }),
            },
        }
    }
}

/// Checks the whole request before anything is written.
fn plan<E: Engine>(
    api: &Api<E>,
    items: BTreeMap<CompactString, Vec<WriteRequest>>,
    asked_metrics: &Option<CompactString>,
) -> Result<Vec<Writes>, ApiError> {
    if items.values().map(Vec::len).sum::<usize>() > WRITES_MAX {
        return Err(ApiError::validation(
            "Too many items requested for the BatchWriteItem call",
        ));
    }
    let mut planned: Vec<Writes> = Vec::with_capacity(items.len());
    // By table: one may be there twice, by its name and by its ARN.
    let mut all_keys: BTreeMap<u64, Vec<Item>> = BTreeMap::new();
    for (name, requests) in items {
        let table = api.tables.table(&api.table_of(&name)?)?;
        let keys = all_keys.entry(table.id()).or_default();
        let mut writes = Vec::with_capacity(requests.len());
        let mut collections = Vec::new();
        for request in requests {
            let (key, write) = match (request.put_request, request.delete_request) {
                (Some(put), _) => {
                    let item = put.item.unwrap_or_default();
                    let key = key_of(&table, &item);
                    table.key_of(&key)?;
                    table.check_item(&item)?;
                    if table.is_too_large(&item, size::item(&item)) {
                        return Err(ApiError::item_too_large());
                    }
                    (key, Put::Item(item))
                }
                (None, delete) => {
                    let key = delete.and_then(|delete| delete.key).unwrap_or_default();
                    table.key_of(&key)?;
                    (key.clone(), Put::Delete(key))
                }
            };
            if keys.contains(&key) {
                return Err(ApiError::duplicate_keys());
            }
            collections.extend(collection_key(&table, asked_metrics, &key));
            keys.push(key);
            writes.push(write);
        }
        match planned.iter_mut().find(|of| of.table.id() == table.id()) {
            Some(of) => of.add(writes, collections),
            None => {
                let mut of = Writes {
                    name,
                    table,
                    writes: Vec::new(),
                    collections: Vec::new(),
                };
                of.add(writes, collections);
                planned.push(of);
            }
        }
    }
    Ok(planned)
}

impl Writes {
    fn add(&mut self, writes: Vec<Put>, collections: Vec<AttributeValue>) {
        self.writes.extend(writes);
        for partition in collections {
            if !self.collections.contains(&partition) {
                self.collections.push(partition);
            }
        }
    }
}

/// Refuses what is wrong with a write whatever its table is.
fn check_write(request: &WriteRequest) -> Result<(), ApiError> {
    match (&request.put_request, &request.delete_request) {
        (Some(put), None) if put.item.as_ref().is_some_and(|item| size::item(item) > ITEM_BYTES_MAX) => {
            Err(ApiError::item_too_large())
        }
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) | (Some(_), Some(_)) => Err(ApiError::write_request_of_neither_kind()),
    }
}

/// The key attributes of an item.
fn key_of(table: &Table, item: &Item) -> Item {
    let attribute = |name: &str| item.get(name).map(|value| (name.into(), value.clone()));
    table
        .keys()
        .attributes()
        .filter_map(|key| attribute(&key.name))
        .collect()
}
