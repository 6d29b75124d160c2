//! Contributor insights: their settings, and what was counted.

use geodynamo_storage::Engine;

use crate::{
    InsightsMode, InsightsReport, InsightsSetting, Result,
    catalog::Catalog,
    table::registers::{Setting, pack},
};

impl<E: Engine> Catalog<E> {
    /// Switches contributor insights of a table, or of a global index, in this region on (with a mode) or off. Gives the setting.
    ///
    /// # Errors
    /// If there is no such table or index.
    pub async fn set_insights(
        &self,
        name: &str,
        index: Option<&str>,
        mode: Option<InsightsMode>,
    ) -> Result<InsightsSetting> {
        let _changing = self.catalog_lock.lock().await;
        let table = self.local.table_named(name)?;
        if let Some(index) = index {
            table.global_index(index)?;
        }
        let mut settings = table
            .registers
            .insights
            .get(self.local.region())
            .cloned()
            .unwrap_or_default();
        let before = settings.get(index.unwrap_or_default()).copied();
        let now = self.local.now_ms();
        let went_on = before.filter(|before| before.enabled && mode == Some(before.mode));
        let setting = went_on.unwrap_or(InsightsSetting {
            enabled: mode.is_some(),
            mode: mode
                .or(before.map(|before| before.mode))
                .unwrap_or(InsightsMode::AccessedAndThrottledKeys),
            since_ms: before
                .filter(|before| before.enabled)
                .map_or(now, |before| before.since_ms),
            updated_ms: now,
        });
        // An index of that name that is made later is another one.
        settings.retain(|name, _| name.is_empty() || table.global_index(name).is_ok());
        settings.insert(index.unwrap_or_default().to_owned(), setting);
        let change = (Setting::Insights(self.local.region().into()), Some(pack(&settings)?));
        self.set_locked(table.id(), vec![change]).await?;
        Ok(setting)
    }

    /// How contributor insights of a table, or of a global index, are set in this region; `None` if they were never on.
    ///
    /// # Errors
    /// If there is no such table or index.
    pub fn insights(&self, name: &str, index: Option<&str>) -> Result<Option<InsightsSetting>> {
        let table = self.local.table_named(name)?;
        if let Some(index) = index {
            table.global_index(index)?;
        }
        let settings = table.registers.insights.get(self.local.region());
        Ok(settings.and_then(|settings| settings.get(index.unwrap_or_default()).copied()))
    }

    /// The tables and global indexes whose insights were ever switched on in this region, in the order of their names: of all
    /// tables, or of one.
    pub fn all_insights(&self, of: Option<&str>) -> Vec<(String, Option<String>, InsightsSetting)> {
        let mut found = Vec::new();
        for table in self.local.all() {
            if of.is_some_and(|of| of != table.name()) {
                continue;
            }
            for (index, setting) in table.registers.insights.get(self.local.region()).into_iter().flatten() {
                let index = Some(index).filter(|index| !index.is_empty());
                if index.is_none_or(|index| table.global_index(index).is_ok()) {
                    found.push((table.name().to_owned(), index.cloned(), *setting));
                }
            }
        }
        found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        found
    }

    /// What was counted of a table, or of a global index, in the last minutes: [`INSIGHTS_MINUTES_MAX`](crate::table::insights::INSIGHTS_MINUTES_MAX) at most, the current one
    /// among them. It is empty where insights are off.
    ///
    /// # Errors
    /// If there is no such table or index.
    pub fn insights_report(&self, name: &str, index: Option<&str>, minutes: u64) -> Result<Vec<InsightsReport>> {
        let table = self.local.table_named(name)?;
        let (Some(insights), index) = table.insights_of(index)? else {
            return Ok(Vec::new());
        };
        let index = table.indexes().iter().find(|other| other.name == index);
        insights.report(table.keys(), index, minutes)
    }

    /// Whether the keys of a table, or of a global index, have a sort key.
    ///
    /// # Errors
    /// If there is no such table or index.
    pub fn has_sort_key(&self, name: &str, index: Option<&str>) -> Result<bool> {
        let table = self.local.table_named(name)?;
        Ok(match index {
            None => table.keys().sort.is_some(),
            Some(index) => table.indexes()[table.global_index(index)?]
                .keys
                .sort_attributes()
                .next()
                .is_some(),
        })
    }
}
