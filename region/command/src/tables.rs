//! `geodynamo tables`: this region's tables, a line each.

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    Done,
    client::{Client, Failure, take},
    connection::Connection,
    output::{Cell, OutputForm, Table, Tone, bytes, count, print, print_json, time},
};

/// How many tables are asked about at once.
const AT_ONCE: usize = 8;

/// Arguments of `tables`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct TablesArguments {
    /// Only these
    #[arg(value_name = "TABLE")]
    pub names: Vec<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

pub(crate) async fn run(arguments: &TablesArguments) -> Done {
    let client = Client::new(&arguments.connection)?;
    let names = if arguments.names.is_empty() {
        let ends = ("ExclusiveStartTableName", "LastEvaluatedTableName");
        let names = client
            .list("ListTables", json!({}), "TableNames", ends, usize::MAX)
            .await?;
        names
            .iter()
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect()
    } else {
        arguments.names.clone()
    };
    let is_named = !arguments.names.is_empty();
    let tables: Vec<Option<Value>> = stream::iter(names)
        .map(|name| describe(&client, name, is_named))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let tables: Vec<Value> = tables.into_iter().flatten().collect();
    match arguments.output {
        OutputForm::Json => print_json(&tables),
        OutputForm::Table if tables.is_empty() => print("there are no tables here\n"),
        OutputForm::Table => print(&render(&tables)),
    }
}

/// A table with its recovery and its time to live, as the API has them; nothing if it went meanwhile.
async fn describe(client: &Client, name: String, is_named: bool) -> Result<Option<Value>, Failure> {
    let input = json!({ "TableName": name });
    let mut table = match client.call("DescribeTable", &input).await {
        Ok(mut answer) => take(&mut answer, "Table"),
        Err(error) if !is_named && error.code.as_deref() == Some("ResourceNotFoundException") => return Ok(None),
        Err(error) => return Err(error),
    };
    // Not everybody may ask, and a table that is being made has neither yet.
    if let Ok(mut answer) = client.call("DescribeContinuousBackups", &input).await {
        add(
            &mut table,
            "ContinuousBackups",
            take(&mut answer, "ContinuousBackupsDescription"),
        );
    }
    if let Ok(mut answer) = client.call("DescribeTimeToLive", &input).await {
        add(&mut table, "TimeToLive", take(&mut answer, "TimeToLiveDescription"));
    }
    Ok(Some(table))
}

fn add(table: &mut Value, member: &str, value: Value) {
    if let Some(members) = table.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
}

fn render(tables: &[Value]) -> String {
    let mut shown = Table::new(&[
        "TABLE",
        "STATUS",
        "KEYS",
        ">ITEMS",
        ">SIZE",
        "MODE",
        ">INDEXES",
        "REPLICAS",
        "STREAM",
        "TTL",
        "RESTORABLE SINCE",
        "PROTECTED",
    ]);
    for table in tables {
        shown.rows.push(row(table));
    }
    shown.render()
}

fn row(table: &Value) -> Vec<Cell> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let list = |value: &Value| value.as_array().map_or(0, Vec::len);
    let keys = table["KeySchema"].as_array().into_iter().flatten();
    let keys: Vec<_> = keys.map(|key| text(&key["AttributeName"])).collect();
    let mode = table["BillingModeSummary"]["BillingMode"].as_str();
    let mode = match mode {
        Some("PAY_PER_REQUEST") => "on demand".to_owned(),
        _ => {
            let throughput = &table["ProvisionedThroughput"];
            format!(
                "{} r, {} w",
                number(&throughput["ReadCapacityUnits"]),
                number(&throughput["WriteCapacityUnits"])
            )
        }
    };
    let stream = match table["StreamSpecification"]["StreamEnabled"].as_bool() {
        Some(true) => text(&table["StreamSpecification"]["StreamViewType"])
            .to_lowercase()
            .replace('_', " "),
        _ => "-".to_owned(),
    };
    let ttl = match table["TimeToLive"]["TimeToLiveStatus"].as_str() {
        Some("ENABLED" | "ENABLING") => text(&table["TimeToLive"]["AttributeName"]),
        _ => "-".to_owned(),
    };
    let protected = table["DeletionProtectionEnabled"].as_bool() == Some(true);
    let status = text(&table["TableStatus"]);
    vec![
        text(&table["TableName"]).into(),
        Cell::toned(status.clone(), tone(&status)),
        keys.join(", ").into(),
        count(number(&table["ItemCount"])).into(),
        bytes(number(&table["TableSizeBytes"])).into(),
        mode.into(),
        (list(&table["GlobalSecondaryIndexes"]) + list(&table["LocalSecondaryIndexes"]))
            .to_string()
            .into(),
        replicas(table),
        stream.into(),
        ttl.into(),
        time(&table["ContinuousBackups"]["PointInTimeRecoveryDescription"]["EarliestRestorableDateTime"]).into(),
        (if protected { "yes" } else { "no" }).into(),
    ]
}

/// The other regions that have it; with their state where that is not ACTIVE.
fn replicas(table: &Value) -> Cell {
    let own = table["TableArn"]
        .as_str()
        .and_then(|arn| arn.split(':').nth(3))
        .unwrap_or_default();
    let mut all = Vec::new();
    let mut worst = Tone::Plain;
    for replica in table["Replicas"].as_array().into_iter().flatten() {
        let region = replica["RegionName"].as_str().unwrap_or_default();
        if region == own {
            continue;
        }
        match replica["ReplicaStatus"].as_str().unwrap_or("ACTIVE") {
            "ACTIVE" => all.push(region.to_owned()),
            status => {
                worst = tone(status);
                all.push(format!("{region} ({status})"));
            }
        }
    }
    if all.is_empty() {
        "-".into()
    } else {
        Cell::toned(all.join(", "), worst)
    }
}

fn tone(status: &str) -> Tone {
    match status {
        "ACTIVE" => Tone::Good,
        status if status.contains("FAILED") || status.contains("INACCESSIBLE") => Tone::Bad,
        _ => Tone::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each() {
        console::set_colors_enabled(false);
        let table = json!({
            "TableName": "music", "TableStatus": "ACTIVE", "ItemCount": 12345, "TableSizeBytes": 2048,
            "TableArn": "arn:aws:dynamodb:eu:000000000000:table/music",
            "KeySchema": [{ "AttributeName": "artist" }, { "AttributeName": "song" }],
            "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" },
            "Replicas": [{ "RegionName": "eu", "ReplicaStatus": "ACTIVE" }, { "RegionName": "us", "ReplicaStatus": "CREATING" }],
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" },
            "ContinuousBackups": { "PointInTimeRecoveryDescription": { "EarliestRestorableDateTime": 0.0 } },
        });
        let text = render(&[table]);
        let line = text.lines().nth(1).unwrap();
        let words: Vec<_> = line
            .split("  ")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(
            words,
            [
                "music",
                "ACTIVE",
                "artist, song",
                "12,345",
                "2.0 KiB",
                "on demand",
                "0",
                "us (CREATING)",
                "new and old images",
                "-",
                "1970-01-01T00:00:00Z",
                "no"
            ]
        );
        // What lacks everything is a line, too.
        assert_eq!(render(&[Value::Null]).lines().count(), 2);
    }
}
