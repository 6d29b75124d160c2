use std::{collections::BTreeMap, sync::Arc};

use compact_str::CompactString;
use geodynamo_expression::Projection;
use geodynamo_item::Item;
use geodynamo_json::Writer;
use geodynamo_storage::Engine;
use geodynamo_table::{Capacity, Table, capacity::read_units, given_name};

use super::{
    Answer,
    consumed::consumed,
    parameters::{context, projection, together},
    reading::write_shown,
};
use crate::{
    Api,
    errors::ApiError,
    generated::{BatchGetItemInput, KeysAndAttributes},
    wire::{Request, write_member},
};

/// The most keys in one request.
const KEYS_MAX: usize = 100;
/// The most bytes of items in one reply; what is left is told as unprocessed. Of 100 items of 300 KB each "the system returns
/// 52 items (so as not to exceed the 16 MB limit)", the API reference says: these are decimal megabytes.
const REPLY_BYTES_MAX: usize = 16_000_000;
/// Keys read at a time, so that little more is held than is sent.
const CHUNK: usize = 16;

impl Request for BatchGetItemInput {
    fn check_together(&self) -> Result<(), ApiError> {
        let items = self.request_items.iter().flatten();
        if items.clone().next().is_none() {
            return Err(ApiError::request_items_missing("BatchGetItem"));
        }
        for (_, request) in items {
            together(
                &[("AttributesToGet", request.attributes_to_get.is_some())],
                &[("ProjectionExpression", request.projection_expression.is_some())],
                request.expression_attribute_names.is_some(),
                None,
            )?;
        }
        Ok(())
    }
}

/// What is wanted of one table.
struct Wanted {
    /// As the request names it.
    name: CompactString,
    table: Arc<Table>,
    projection: Option<Projection>,
    request: KeysAndAttributes,
}

/// Gives items by their keys.
pub(super) async fn batch_get_item<E: Engine>(api: &Api<E>, input: BatchGetItemInput) -> Answer {
    let wanted = plan(api, input.request_items.unwrap_or_default())?;
    let mut writer = Writer::with_capacity(4096);
    let mut left = BTreeMap::new();
    // By table: one may be there twice, by its name and by its ARN.
    let mut capacities: Vec<(Arc<Table>, Capacity)> = Vec::new();
    let mut bytes = 0;
    let (mut processed, mut throttled) = (0, None);
    writer.begin_object();
    writer.plain_key("Responses");
    writer.begin_object();
    for Wanted {
        name,
        table,
        projection,
        request,
    } in wanted
    {
        let keys = request.keys.as_deref().unwrap_or_default();
        let consistent = request.consistent_read.unwrap_or(false);
        let mut done = 0;
        let mut units = 0.0;
        writer.key(&name);
        writer.begin_array();
        'table: for chunk in keys.chunks(CHUNK) {
            let read = api.tables.reads().get_items(&table, chunk, consistent).await?;
            for found in read.found {
                let size = found.as_ref().map(|item| item.size()).transpose()?.unwrap_or(0);
                if bytes + size > REPLY_BYTES_MAX {
                    break 'table;
                }
                bytes += size;
                units += read_units(size, consistent);
                done += 1;
                if let Some(item) = found {
                    write_shown(&item, projection.as_ref(), &mut writer)?;
                }
            }
            if let Some(error) = read.throttled {
                throttled = Some(error);
                break;
            }
        }
        processed += done;
        writer.end_array();
        let capacity = Capacity {
            table: units,
            ..Capacity::default()
        };
        match capacities.iter_mut().find(|(of, _)| of.id() == table.id()) {
            Some((_, sum)) => sum.add(&capacity),
            None => capacities.push((table, capacity)),
        }
        let rest = keys[done..].to_vec();
        if !rest.is_empty() {
            left.insert(
                name,
                KeysAndAttributes {
                    keys: Some(rest),
                    ..request
                },
            );
        }
    }
    // Keys without capacity are left for another request; only if there was none for any key, that is an error.
    if let Some(error) = throttled.filter(|_| processed == 0) {
        return Err(error.into());
    }
    writer.end_object();
    write_member("UnprocessedKeys", &Some(left), &mut writer);
    let consumed = capacities
        .iter()
        .filter_map(|(table, capacity)| consumed(given_name(table.name()), &input.return_consumed_capacity, capacity));
    let capacities: Vec<_> = consumed.collect();
    write_member(
        "ConsumedCapacity",
        &Some(capacities).filter(|list| !list.is_empty()),
        &mut writer,
    );
    writer.end_object();
    Ok(writer.into_bytes())
}

/// Checks the whole request before anything is read.
fn plan<E: Engine>(api: &Api<E>, items: BTreeMap<CompactString, KeysAndAttributes>) -> Result<Vec<Wanted>, ApiError> {
    let keys_of = |request: &KeysAndAttributes| request.keys.as_ref().map_or(0, Vec::len);
    if items.values().map(keys_of).sum::<usize>() > KEYS_MAX {
        return Err(ApiError::validation(
            "Too many items requested for the BatchGetItem call",
        ));
    }
    let mut wanted = Vec::with_capacity(items.len());
    for (name, request) in items {
        let mut context = context(&request.expression_attribute_names, None)?;
        let projection = projection(&request.projection_expression, &request.attributes_to_get, &mut context)?;
        context.finish()?;
        drop(context);
        let table = api.tables.table(&api.table_of(&name)?)?;
        let keys: &[Item] = request.keys.as_deref().unwrap_or_default();
        keys.iter().try_for_each(|key| table.key_of(key).map(drop))?;
        // A table may be there twice, by its name and by its ARN.
        let same_table = wanted.iter().filter(|other: &&Wanted| other.table.id() == table.id());
        let others = same_table.flat_map(|other| other.request.keys.iter().flatten());
        let met = |at: usize, key: &Item| keys[..at].contains(key) || others.clone().any(|other| other == key);
        if keys.iter().enumerate().any(|(at, key)| met(at, key)) {
            return Err(ApiError::duplicate_keys());
        }
        wanted.push(Wanted {
            name,
            table,
            projection,
            request,
        });
    }
    Ok(wanted)
}
