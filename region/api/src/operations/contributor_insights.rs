//! Contributor insights: which keys of a table or a global index are accessed, and throttled, most.

use compact_str::{CompactString, format_compact};
use geodynamo_storage::Engine;
use geodynamo_table::{InsightsMode, InsightsSetting, given_name};

use super::{Answer, transfers::page};
use crate::{
    Api,
    generated::{
        ContributorInsightsSummary, DescribeContributorInsightsInput, DescribeContributorInsightsOutput,
        ListContributorInsightsInput, ListContributorInsightsOutput, UpdateContributorInsightsInput,
        UpdateContributorInsightsOutput,
    },
    wire::encode,
};

/// Settings in a page, unless told; the model allows no more.
const PAGE: usize = 100;

/// Switches them on or off.
pub(super) async fn update<E: Engine>(api: &Api<E>, input: &UpdateContributorInsightsInput) -> Answer {
    let name = &*api.table_name(&input.table_name)?;
    let index = input.index_name.as_deref();
    // The model allows no others.
    let enables = input.contributor_insights_action.as_deref() == Some("ENABLE");
    let told = input
        .contributor_insights_mode
        .as_deref()
        .and_then(InsightsMode::from_code);
    let mode = match api.tables.catalog().insights(name, index)? {
        Some(before) => told.unwrap_or(before.mode),
        None => told.unwrap_or(InsightsMode::AccessedAndThrottledKeys),
    };
    let setting = api
        .tables
        .catalog()
        .set_insights(name, index, enables.then_some(mode))
        .await?;
    Ok(encode(&UpdateContributorInsightsOutput {
        table_name: Some(given_name(name).into()),
        index_name: input.index_name.clone(),
        // It is done when this is read, but clients expect to wait for it.
        contributor_insights_status: Some(if enables { "ENABLING".into() } else { "DISABLING".into() }),
        contributor_insights_mode: Some(setting.mode.code().into()),
    }))
}

/// How they are set.
pub(super) fn describe<E: Engine>(api: &Api<E>, input: &DescribeContributorInsightsInput) -> Answer {
    let name = &*api.table_name(&input.table_name)?;
    let index = input.index_name.as_deref();
    let setting = api.tables.catalog().insights(name, index)?;
    let on = setting.filter(|setting| setting.enabled);
    let rules = match on {
        Some(setting) => Some(rules(
            name,
            index,
            &setting,
            api.tables.catalog().has_sort_key(name, index)?,
        )),
        None => None,
    };
    Ok(encode(&DescribeContributorInsightsOutput {
        table_name: Some(given_name(name).into()),
        index_name: input.index_name.clone(),
        contributor_insights_rule_list: rules,
        contributor_insights_status: Some(status(setting.as_ref())),
        last_update_date_time: setting.map(|setting| setting.updated_ms as f64 / 1000.0),
        failure_exception: None,
        contributor_insights_mode: on.map(|setting| setting.mode.code().into()),
    }))
}

/// Where they are, or were, on.
pub(super) fn list<E: Engine>(api: &Api<E>, input: &ListContributorInsightsInput) -> Answer {
    let name = match &input.table_name {
        None => None,
        Some(_) => {
            let name = api.table_name(&input.table_name)?;
            api.tables.describe(&name)?;
            Some(name)
        }
    };
    let found = api.tables.catalog().all_insights(name.as_deref()).into_iter();
    let found = found.filter(|(table, ..)| api.tables.local().owner(table) == &*api.account || name.is_some());
    let found = found.map(|(table, index, setting)| {
        // A name has no slash, so no two are the same.
        (
            format!("{table}/{}", index.as_deref().unwrap_or_default()),
            table,
            index,
            setting,
        )
    });
    let (found, next_token) = page(
        found.collect(),
        |(token, ..)| token,
        input.next_token.as_deref(),
        input.max_results.filter(|most| *most > 0),
        PAGE,
    )?;
    let summary =
        |(_, table, index, setting): (String, String, Option<String>, InsightsSetting)| ContributorInsightsSummary {
            table_name: Some(given_name(&table).into()),
            index_name: index.map(Into::into),
            contributor_insights_status: Some(status(Some(&setting))),
            contributor_insights_mode: Some(setting.mode.code().into()),
        };
    Ok(encode(&ListContributorInsightsOutput {
        contributor_insights_summaries: Some(found.into_iter().map(summary).collect()),
        next_token,
    }))
}

fn status(setting: Option<&InsightsSetting>) -> CompactString {
    match setting {
        Some(setting) if setting.enabled => "ENABLED".into(),
        _ => "DISABLED".into(),
    }
}

/// The names of the rules, as CloudWatch would have them.
fn rules(table: &str, index: Option<&str>, setting: &InsightsSetting, has_sort_key: bool) -> Vec<CompactString> {
    let resource = match index {
        None => given_name(table).to_owned(),
        Some(index) => format!("{}-{index}", given_name(table)),
    };
    let kinds = setting.kinds(has_sort_key).into_iter();
    kinds
        .map(|kind| {
            format_compact!(
                "DynamoDBContributorInsights-{}-{resource}-{}",
                kind.code(),
                setting.since_ms
            )
        })
        .collect()
}
