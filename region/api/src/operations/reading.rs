//! What Query and Scan have in common.

use compact_str::CompactString;
use geodynamo_expression::{Condition, Projection};
use geodynamo_item::Name;
use geodynamo_json::Writer;
use geodynamo_table::{
    ReadPage, StoredItem, Table, given_name,
    schema::{IndexDefinition, Projection as Projected},
    usage::DataOperation,
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

/// `Select`, and what else of the request it must go together with.
#[derive(Clone, Copy, Debug)]
pub(super) struct SelectRequest<'a> {
    /// `Select`
    pub(super) select: Option<&'a str>,
    /// Whether there is a `ProjectionExpression`.
    pub(super) expression: bool,
    /// Whether there is an `AttributesToGet`.
    pub(super) attributes: bool,
    /// Whether there is an `IndexName`.
    pub(super) index: bool,
}

impl SelectRequest<'_> {
    /// Refuses what is wrong whatever the table is.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let projects = self.expression || self.attributes;
        let parameter = if self.expression {
            "ProjectionExpression"
        } else {
            "AttributesToGet"
        };
        match self.select {
            Some("COUNT") if projects => Err(ApiError::projection_with_select(parameter, "only the Count")),
            Some(select @ ("ALL_ATTRIBUTES" | "ALL_PROJECTED_ATTRIBUTES")) if projects => {
                Err(ApiError::projection_with_select(parameter, select))
            }
            Some("SPECIFIC_ATTRIBUTES") if !projects => Err(ApiError::no_specific_attributes()),
            Some("ALL_PROJECTED_ATTRIBUTES") if !self.index => Err(ApiError::projected_without_index()),
            _ => Ok(()),
        }
    }

    /// Decides what a page shows, and whether it takes whole items from the table where a local index does not have them.
    pub(super) fn shown(
        &self,
        table: &Table,
        index: Option<&IndexDefinition>,
        projection: Option<Projection>,
    ) -> Result<(Shown, bool), ApiError> {
        let partial = index.filter(|index| index.projection != Projected::All);
        if let Some(projection) = projection {
            let lacks = partial.map_or(Vec::new(), |index| lacking(table, index, projection.top_level_names()));
            let fetches = !lacks.is_empty();
            if let Some(index) = partial.filter(|index| fetches && index.is_global()) {
                return Err(ApiError::not_projected(&index.name, &lacks));
            }
            return Ok((Shown::Parts(projection), fetches));
        }
        match (self.select, partial) {
            (Some("COUNT"), _) => Ok((Shown::Count, false)),
            (Some("ALL_ATTRIBUTES"), Some(index)) if index.is_global() => {
                Err(ApiError::select_all_of_global_index(&index.name))
            }
            (Some("ALL_ATTRIBUTES"), partial) => Ok((Shown::Whole, partial.is_some())),
            _ => Ok((Shown::Whole, false)),
        }
    }
}

/// Refuses a filter of a query on attributes that the index does not have: it is held against what the index has. In a scan
/// they count as missing.
pub(super) fn filters_projected(
    table: &Table,
    index: Option<&IndexDefinition>,
    filter: &Condition,
) -> Result<(), ApiError> {
    let Some(index) = index else { return Ok(()) };
    let mut names = Vec::new();
    filter.for_each_path(&mut |path| names.push(&path.root));
    names.sort_unstable();
    names.dedup();
    let lacks = lacking(table, index, names.into_iter());
    if lacks.is_empty() {
        return Ok(());
    }
    Err(ApiError::filter_not_projected(&index.name, &lacks))
}

/// The attributes of these that an index does not have. It always has its own keys and the table's.
fn lacking<'n>(table: &Table, index: &IndexDefinition, names: impl Iterator<Item = &'n Name>) -> Vec<&'n str> {
    let listed: &[String] = match &index.projection {
        Projected::All => return Vec::new(),
        Projected::KeysOnly => &[],
        Projected::Include(names) => names,
    };
    names
        .map(|name| name.as_str())
        .filter(|name| !table.keys().contains(name) && !index.keys.contains(name))
        .filter(|name| !listed.iter().any(|listed| listed == name))
        .collect()
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
pub(super) fn page_reply(
    operation: DataOperation,
    table: &Table,
    page: &ReadPage,
    shown: &Shown,
    asked: &Option<CompactString>,
) -> Answer {
    table.count_returned(operation, page.items.len());
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
        &consumed(given_name(table.name()), asked, &page.capacity),
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
