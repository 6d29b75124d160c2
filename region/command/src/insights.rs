//! `geodynamo insights`: the keys of a table that are accessed, and throttled, most.

use clap::Args;
use geodynamo_outgoing::encode_segment;
use serde_json::Value;

use crate::{
    Done,
    admin::{Admin, AdminPort},
    client::Failure,
    output::{OutputForm, Table, print, print_json},
};

/// Arguments of `insights`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct InsightsArguments {
    /// The table; where insights are on, if it is not told
    pub table: Option<String>,
    /// A global index of it
    #[arg(long, value_name = "INDEX", requires = "table")]
    pub index: Option<String>,
    /// How many minutes are summed, up to 60
    #[arg(long, value_name = "MINUTES", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub minutes: u64,
    /// Which region is asked.
    #[command(flatten)]
    pub port: AdminPort,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
}

pub(crate) async fn run(arguments: &InsightsArguments) -> Done {
    let admin = Admin::new(&arguments.port.admin)?;
    let path = match &arguments.table {
        None => "/insights".to_owned(),
        Some(table) => {
            let index = arguments
                .index
                .as_deref()
                .map(|index| format!("&index={}", encode_segment(index)));
            let (table, index) = (encode_segment(table), index.unwrap_or_default());
            format!("/insights?table={table}&minutes={}{index}", arguments.minutes)
        }
    };
    let (status, text) = admin.get(&path).await?;
    let document: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status != 200 {
        let told = document["error"].as_str().unwrap_or(text.trim()).to_owned();
        return Err(Failure::told(told, "`geodynamo tables` lists the tables").into());
    }
    match arguments.output {
        OutputForm::Json => print_json(&document),
        OutputForm::Table if arguments.table.is_none() => print(&render_settings(&document)),
        OutputForm::Table => print(&render_report(&document)),
    }
}

fn render_settings(document: &Value) -> String {
    let on = document["insights"].as_array().map(Vec::as_slice).unwrap_or_default();
    if on.is_empty() {
        return "contributor insights are on nowhere; `aws dynamodb update-contributor-insights --table-name TABLE \
                --contributor-insights-action ENABLE` switches them on\n"
            .to_owned();
    }
    let mut shown = Table::new(&["TABLE", "INDEX", "MODE"]);
    for setting in on {
        let text = |member: &str| setting[member].as_str().unwrap_or("-").to_owned();
        shown
            .rows
            .push(vec![text("table").into(), text("index").into(), text("mode").into()]);
    }
    shown.render()
}

fn render_report(document: &Value) -> String {
    let rules = document["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return "contributor insights are off here; `aws dynamodb update-contributor-insights` switches them on\n"
            .to_owned();
    }
    let mut text = String::new();
    for rule in rules {
        let what = match rule["rule"].as_str() {
            Some("PKC") => "Most accessed partition keys",
            Some("PKT") => "Most throttled partition keys",
            Some("SKC") => "Most accessed items",
            _ => "Most throttled items",
        };
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        let unit = rule["counts"].as_str().unwrap_or_default();
        let total = number(&rule["total"]);
        text.push_str(&format!(
            "{what}: {total:.1} {unit} in {} minutes\n",
            document["minutes"]
        ));
        let keys = rule["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !keys.is_empty() {
            let mut shown = Table::new(&["KEY", ">WEIGHT", ">PART"]);
            for key in keys {
                let weight = number(&key["weight"]);
                let part = format!("{:.1} %", 100.0 * weight / total);
                shown.rows.push(vec![
                    key["key"].to_string().into(),
                    format!("{weight:.1}").into(),
                    part.into(),
                ]);
            }
            text.push_str(&shown.render());
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_are_printed() {
        console::set_colors_enabled(false);
        let rule = json!({
            "rule": "PKC", "counts": "capacity units", "total": 8.0, "error": 0.0,
            "keys": [{ "key": { "pk": { "S": "hot\u{1b}" } }, "weight": 6.0 }],
        });
        let text = render_report(&json!({ "minutes": 5, "rules": [rule] }));
        assert!(
            text.starts_with("Most accessed partition keys: 8.0 capacity units in 5 minutes\n"),
            "{text}"
        );
        assert!(text.contains("75.0 %") && !text.contains('\u{1b}'), "{text}");
        assert!(render_report(&json!({ "rules": [] })).contains("are off here"));
        assert!(render_settings(&json!({ "insights": [] })).contains("on nowhere"));
        let on = json!({ "insights": [{ "table": "t", "index": null, "mode": "THROTTLED_KEYS" }] });
        assert!(render_settings(&on).contains("THROTTLED_KEYS"));
    }
}
