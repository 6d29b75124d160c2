//! What Query and Scan have in common.

use compact_str::CompactString;
use geodynamo_expression::Projection;
use geodynamo_json::Writer;
use geodynamo_table::{
    ReadPage, StoredItem, Table,
    schema::{IndexDefinition, Projection as Projected},
};

use super::{Answer, consumed::consumed};
use crate::{
    errors::ApiError,
    wire::{Value as _, write_member},
};

/// Bytes of a page's reply to begin with.
const REPLY_BYTES: usize = 4096;

/// What a page shows of its items.
#[derive(Debug)]
pub(super) enum Shown {
    /// How many there are.
    Count,
    /// All that the table or the index has of them.
    Whole,
    /// Parts of them.
    Parts(Projection),
}

/// Decides what a page shows, and whether it takes whole items from the table where a local index does not have them.
pub(super) fn shown(
    select: &Option<CompactString>,
    projection: Option<Projection>,
    parameter: &str,
    index: Option<&IndexDefinition>,
    operation: &str,
) -> Result<(Shown, bool), ApiError> {
    let projects_all = index.is_none_or(|index| index.projection == Projected::All);
    match (select.as_deref(), projection) {
        (Some(select @ ("ALL_ATTRIBUTES" | "ALL_PROJECTED_ATTRIBUTES" | "COUNT")), Some(_)) => {
            Err(ApiError::projection_with_select(parameter, select))
        }
        (Some("SPECIFIC_ATTRIBUTES"), None) => Err(ApiError::no_specific_attributes()),
        (Some("ALL_PROJECTED_ATTRIBUTES"), None) if index.is_none() => {
            Err(ApiError::projected_without_index(operation))
        }
        (Some("COUNT"), None) => Ok((Shown::Count, false)),
        (Some("ALL_ATTRIBUTES"), None) => match index {
            Some(index) if !projects_all && index.is_global() => Err(ApiError::select_all_of_global_index(&index.name)),
            _ => Ok((Shown::Whole, !projects_all)),
        },
        (_, Some(projection)) => {
            let fetch = match index {
                Some(index) if !projects_all => !has_all(index, &projection)?,
                _ => false,
            };
            Ok((Shown::Parts(projection), fetch))
        }
        (_, None) => Ok((Shown::Whole, false)),
    }
}

/// Whether an index may have every attribute that a projection names. The table's keys are always there, so only what an
/// index of listed attributes does not list matters; a global index must list it.
fn has_all(index: &IndexDefinition, projection: &Projection) -> Result<bool, ApiError> {
    let listed: &[String] = match &index.projection {
        Projected::All => return Ok(true),
        Projected::KeysOnly => &[],
        Projected::Include(names) => names,
    };
    let lacks = projection
        .top_level_names()
        .find(|name| !index.keys.contains(name) && !listed.iter().any(|listed| listed == name.as_str()));
    // A global index has nothing more to give: attributes that it lacks are simply not there.
    Ok(lacks.is_none() || index.is_global())
}

/// Refuses strongly consistent reads of global indexes.
pub(super) fn consistent(asked: Option<bool>, index: Option<&IndexDefinition>) -> Result<bool, ApiError> {
    let consistent = asked.unwrap_or(false);
    if consistent && index.is_some_and(IndexDefinition::is_global) {
        return Err(ApiError::validation(
            "Consistent reads are not supported on global secondary indexes",
        ));
    }
    Ok(consistent)
}

/// `Limit`, which the model keeps above zero.
pub(super) fn limit(limit: Option<i32>) -> Option<usize> {
    limit.and_then(|limit| usize::try_from(limit).ok())
}

/// The reply of a page.
pub(super) fn page_reply(table: &Table, page: &ReadPage, shown: &Shown, asked: &Option<CompactString>) -> Answer {
    let mut writer = Writer::with_capacity(REPLY_BYTES);
    writer.begin_object();
    if !matches!(shown, Shown::Count) {
        let projection = if let Shown::Parts(projection) = shown {
            Some(projection)
        } else {
            None
        };
        writer.plain_key("Items");
        writer.begin_array();
        for item in &page.items {
            write_shown(item, projection, &mut writer)?;
        }
        writer.end_array();
    }
    write_member("Count", &i64::try_from(page.items.len()).ok(), &mut writer);
    write_member("ScannedCount", &i64::try_from(page.scanned).ok(), &mut writer);
    write_member("LastEvaluatedKey", &page.last_key, &mut writer);
    write_member(
        "ConsumedCapacity",
        &consumed(table.name(), asked, &page.capacity),
        &mut writer,
    );
    writer.end_object();
    Ok(writer.into_bytes())
}

/// Writes what a reader wants of an item.
pub(super) fn write_shown(
    item: &StoredItem,
    projection: Option<&Projection>,
    writer: &mut Writer,
) -> Result<(), ApiError> {
    match projection {
        None => item.write_json(writer)?,
        Some(projection) => projection.apply(&item.decode()?).encode(writer),
    }
    Ok(())
}
