//! `geodynamo export`.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{ListJobs, NamedJob, Place, place, state_cell, table_arn, wait};
use crate::{
    Done,
    client::{Client, take},
    connection::Connection,
    output::{OutputForm, Table, moment, print, print_json, print_object, time},
};

/// Arguments of `export`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ExportArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ExportCommand,
}

/// What to do with exports.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum ExportCommand {
    /// Exports a table as it was at a moment, or what changed in a window of time, to S3. The table needs point-in-time recovery
    #[command(
        after_help = "Examples:\n  geodynamo export start orders --to s3://lake/orders --wait\n  geodynamo export start orders \
                            --to s3://lake/orders --at 2026-11-30T06:12:00Z --format ion\n  geodynamo export start orders --to \
                            s3://lake/changes --from 1d --until 1h"
    )]
    Start(StartExport),
    /// Lists exports
    #[command(after_help = "Examples:\n  geodynamo export list\n  geodynamo export list --table orders --output json")]
    List(ListJobs),
    /// Shows an export
    #[command(after_help = "Examples:\n  geodynamo export describe \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/export/01700000000000-abcdef01")]
    Describe(NamedJob),
    /// Waits until an export has ended
    #[command(after_help = "Examples:\n  geodynamo export wait \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/export/01700000000000-abcdef01")]
    Wait(NamedJob),
}

/// Arguments of `export start`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct StartExport {
    /// The table: a name or an ARN
    pub table: String,
    /// Where to: s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub to: Place,
    /// The moment: 2026-11-30T06:12:00Z, seconds since 1970, or how long ago (90s, 15m, 6h, 2d). Now if it is not told
    #[arg(long, value_name = "MOMENT", value_parser = moment, conflicts_with_all = ["from", "until"])]
    pub at: Option<i64>,
    /// Only what changed since then
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub from: Option<i64>,
    /// The end of the window of changes; now if it is not told
    #[arg(long, value_name = "MOMENT", value_parser = moment, requires = "from")]
    pub until: Option<i64>,
    /// Of what changed, leave out how items were before
    #[arg(long, requires = "from")]
    pub new_images_only: bool,
    /// How items are written
    #[arg(long, value_enum, default_value_t = ExportFormat::Json)]
    pub format: ExportFormat,
    /// Wait until it has ended
    #[arg(long)]
    pub wait: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// How items are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ExportFormat {
    /// DynamoDB JSON
    Json,
    /// Ion
    Ion,
}

pub(crate) async fn run(arguments: &ExportArguments) -> Done {
    match &arguments.command {
        ExportCommand::Start(arguments) => start(arguments).await,
        ExportCommand::List(arguments) => list(arguments).await,
        ExportCommand::Describe(named) => {
            let client = Client::new(&named.connection)?;
            let mut answer = client
                .call("DescribeExport", &json!({ "ExportArn": named.arn }))
                .await?;
            print_object(&take(&mut answer, "ExportDescription"), named.output)
        }
        ExportCommand::Wait(named) => {
            let client = Client::new(&named.connection)?;
            print_object(&ended(&client, &named.arn).await?, named.output)
        }
    }
}

async fn ended(client: &Client, arn: &str) -> Result<Value, crate::Failure> {
    let what = (json!({ "ExportArn": arn }), "ExportDescription");
    wait(client, "DescribeExport", what, "export").await
}

async fn start(arguments: &StartExport) -> Done {
    let client = Client::new(&arguments.connection)?;
    let mut input = json!({
        "TableArn": table_arn(&client, &arguments.table).await?,
        "S3Bucket": arguments.to.bucket,
        "ExportFormat": match arguments.format {
            ExportFormat::Json => "DYNAMODB_JSON",
            ExportFormat::Ion => "ION",
        },
    });
    if let Some(prefix) = &arguments.to.prefix {
        input["S3Prefix"] = prefix.as_str().into();
    }
    if let Some(seconds) = arguments.at {
        input["ExportTime"] = seconds.into();
    }
    if let Some(from) = arguments.from {
        input["ExportType"] = "INCREMENTAL_EXPORT".into();
        let view = if arguments.new_images_only {
            "NEW_IMAGE"
        } else {
            "NEW_AND_OLD_IMAGES"
        };
        input["IncrementalExportSpecification"] = json!({ "ExportFromTime": from, "ExportViewType": view });
        if let Some(until) = arguments.until {
            input["IncrementalExportSpecification"]["ExportToTime"] = until.into();
        }
    }
    let mut answer = client.call("ExportTableToPointInTime", &input).await?;
    let mut export = take(&mut answer, "ExportDescription");
    if arguments.wait
        && let Some(arn) = export["ExportArn"].as_str().map(str::to_owned)
    {
        export = ended(&client, &arn).await?;
    }
    print_object(&export, arguments.output)
}

async fn list(arguments: &ListJobs) -> Done {
    let client = Client::new(&arguments.connection)?;
    let mut input = json!({});
    if let Some(table) = &arguments.table {
        input["TableArn"] = table_arn(&client, table).await?.into();
    }
    let ends = ("NextToken", "NextToken");
    let exports = client
        .list("ListExports", input, "ExportSummaries", ends, arguments.limit)
        .await?;
    match arguments.output {
        OutputForm::Json => print_json(&exports),
        OutputForm::Table if exports.is_empty() => print("there are no exports\n"),
        OutputForm::Table => {
            // A summary does not tell where to, or how much.
            let mut table = Table::new(&["STATUS", "TYPE", "STARTED", ">ITEMS", "TO", "ARN"]);
            for export in &exports {
                let mut whole = client
                    .call("DescribeExport", &json!({ "ExportArn": export["ExportArn"] }))
                    .await?;
                let whole = take(&mut whole, "ExportDescription");
                let text = |member: &str| whole[member].as_str().unwrap_or_default();
                table.rows.push(vec![
                    state_cell(&whole, "ExportStatus"),
                    text("ExportType").into(),
                    time(&whole["StartTime"]).into(),
                    whole["ItemCount"]
                        .as_u64()
                        .map_or_else(|| "-".to_owned(), crate::output::count)
                        .into(),
                    format!("s3://{}/{}", text("S3Bucket"), text("S3Prefix")).into(),
                    text("ExportArn").into(),
                ]);
            }
            print(&table.render())
        }
    }
}
