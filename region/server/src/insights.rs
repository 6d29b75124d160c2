//! Contributor insights, as the admin port has them.

use geodynamo_storage::Engine;
use geodynamo_table::{InsightsReport, InsightsSetting, StoredItem, TableError, Tables};
use serde_json::{Value, json};

use crate::conflicts::item_json;

/// How many minutes a report is of, unless told.
pub(crate) const MINUTES: u64 = 5;

/// Where contributor insights are on.
pub(crate) fn settings_json<E: Engine>(tables: &Tables<E>) -> Value {
    let on = tables.catalog().all_insights(None).into_iter();
    let on = on.filter(|(.., setting)| setting.enabled);
    let shown = |(table, index, setting): (String, Option<String>, InsightsSetting)| json!({ "table": table, "index": index, "mode": setting.mode.code() });
    json!({ "insights": on.map(shown).collect::<Vec<_>>() })
}

/// What was counted of a table, or a global index, in the last minutes. Keys are in DynamoDB JSON.
///
/// # Errors
/// If there is no such table or index.
pub(crate) fn report_json<E: Engine>(
    tables: &Tables<E>,
    table: &str,
    index: Option<&str>,
    minutes: u64,
) -> Result<Value, TableError> {
    let reports = tables.catalog().insights_report(table, index, minutes)?;
    let reports: Result<Vec<Value>, TableError> = reports.iter().map(rule_json).collect();
    Ok(json!({ "table": table, "index": index, "minutes": minutes, "rules": reports? }))
}

fn rule_json(report: &InsightsReport) -> Result<Value, TableError> {
    let keys = report.keys.iter().map(|(key, weight)| {
        let key = item_json(&StoredItem::encode(key))?;
        Ok(json!({ "key": key, "weight": weight }))
    });
    Ok(json!({
        "rule": report.kind.code(),
        "counts": if report.kind.is_of_throttled() { "throttled requests" } else { "capacity units" },
        "keys": keys.collect::<Result<Vec<_>, TableError>>()?,
        "total": report.total,
        "error": report.error,
    }))
}
