//! Contributor insights as metrics: the heaviest keys of the last minutes. Their number is bounded, so that keys make no more series
//! than a dashboard can show.

use std::{fmt, sync::Arc};

use geodynamo_engine::RegionEngine;
use geodynamo_metrics::{catalogue, describe, gauge};
use geodynamo_table::{StoredItem, TableStatus, Tables};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use crate::conflicts::item_json;

/// Of how many tables and indexes keys are shown.
const RESOURCES_MAX: usize = 20;
/// How many keys of each kind are.
const KEYS_MAX: usize = 10;
/// Over how many minutes weights are summed: a scrape soon after a minute begins should not find nothing.
const MINUTES: u64 = 5;

/// Shows the keys that are accessed, and throttled, most; and how many tables have no key.
pub(crate) struct InsightsCollector(pub(crate) Arc<Tables<RegionEngine>>);

impl Collector for InsightsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tables = &self.0;
        let (names, _) = tables.local().list(None, usize::MAX);
        let is_away = |name: &&String| {
            let table = tables.table_named(name);
            table.is_ok_and(|table| table.status() == TableStatus::Inaccessible)
        };
        let away = names.iter().filter(is_away).count();
        gauge(&mut encoder, &catalogue::TABLE_KEYS_AWAY, away as u64)?;
        let mut weights = describe(&mut encoder, &catalogue::TABLE_KEY_WEIGHT)?;
        let on = tables.catalog().all_insights(None).into_iter();
        for (table, index, _) in on.filter(|(.., setting)| setting.enabled).take(RESOURCES_MAX) {
            // It may have gone meanwhile.
            let reports = tables
                .catalog()
                .insights_report(&table, index.as_deref(), MINUTES)
                .unwrap_or_default();
            for report in reports {
                for (key, weight) in report.keys.iter().take(KEYS_MAX) {
                    let key = item_json(&StoredItem::encode(key)).unwrap_or_default().to_string();
                    let labels = [
                        ("table", table.as_str()),
                        ("index", index.as_deref().unwrap_or_default()),
                        ("rule", report.kind.code()),
                        ("key", &key),
                    ];
                    weights.encode_family(&labels)?.encode_gauge(weight)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for InsightsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InsightsCollector")
    }
}
