//! `geodynamo restore table` and `geodynamo restore backup`: a new table with what another one had.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    Done,
    backup::described,
    client::{Client, Failure, take},
    connection::Connection,
    output::{OutputForm, moment, print_object},
    wait::{Look, Progress, until},
};

/// What to restore, while the region runs.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum RestoreCommand {
    /// Makes a new table as another one was at a moment: by point-in-time recovery, in a region that runs
    #[command(
        after_help = "Examples:\n  geodynamo restore table orders --to orders-before --at 2026-11-30T06:12:00Z --wait\n  \
                            geodynamo restore table orders --to orders-latest\n  geodynamo restore table \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders --to orders-again --at 15m"
    )]
    Table(RestoreTable),
    /// Makes a new table of a backup, in a region that runs
    #[command(after_help = "Examples:\n  geodynamo restore backup \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/backup/01700000000000-abcdef01 --to orders-again \
                            --wait")]
    Backup(RestoreBackup),
}

/// Arguments of `restore table`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RestoreTable {
    /// The table's name, or the ARN of one that was deleted
    #[arg(value_name = "TABLE")]
    pub source: String,
    /// The moment: 2026-11-30T06:12:00Z, seconds since 1970, or how long ago (90s, 15m, 6h, 2d). The latest that can be restored
    /// if it is not told
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub at: Option<i64>,
    /// What becomes of it.
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `restore backup`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct RestoreBackup {
    /// The backup's ARN, as `backup list` shows it
    pub arn: String,
    /// What becomes of it.
    #[command(flatten)]
    pub target: Target,
}

/// The new table.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct Target {
    /// The new table's name
    #[arg(long, value_name = "NAME")]
    pub to: String,
    /// The new table's billing mode; as it was if it is not told
    #[arg(long, value_enum, value_name = "MODE")]
    pub billing: Option<Billing>,
    /// Leave all indexes out, which makes the restore shorter
    #[arg(long)]
    pub without_indexes: bool,
    /// Wait until the table is ACTIVE
    #[arg(long)]
    pub wait: bool,
    /// How to print the table
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// Billing modes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Billing {
    /// By request
    OnDemand,
    /// By throughput
    Provisioned,
}

impl Billing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "PAY_PER_REQUEST",
            Self::Provisioned => "PROVISIONED",
        }
    }
}

pub(crate) async fn run(command: &RestoreCommand) -> Done {
    match command {
        RestoreCommand::Table(restore) => {
            let client = Client::new(&restore.target.connection)?;
            let mut input = match restore.source.starts_with("arn:") {
                true => json!({ "SourceTableArn": restore.source }),
                false => json!({ "SourceTableName": restore.source }),
            };
            match restore.at {
                Some(seconds) => input["RestoreDateTime"] = seconds.into(),
                None => input["UseLatestRestorableTime"] = true.into(),
            }
            // How many items there will be, about: a deleted table is not there to be asked.
            let source = client
                .call("DescribeTable", &json!({ "TableName": restore.source }))
                .await;
            let items = source.ok().and_then(|answer| answer["Table"]["ItemCount"].as_u64());
            begin(&client, "RestoreTableToPointInTime", input, &restore.target, items).await
        }
        RestoreCommand::Backup(restore) => {
            let client = Client::new(&restore.target.connection)?;
            let backup = described(&client, &restore.arn).await?;
            let items = backup["SourceTableDetails"]["ItemCount"].as_u64();
            let input = json!({ "BackupArn": restore.arn });
            begin(&client, "RestoreTableFromBackup", input, &restore.target, items).await
        }
    }
}

async fn begin(client: &Client, operation: &str, mut input: Value, target: &Target, items: Option<u64>) -> Done {
    input["TargetTableName"] = target.to.as_str().into();
    if let Some(billing) = target.billing {
        input["BillingModeOverride"] = billing.name().into();
    }
    if target.without_indexes {
        input["GlobalSecondaryIndexOverride"] = json!([]);
        input["LocalSecondaryIndexOverride"] = json!([]);
    }
    let mut answer = client.call(operation, &input).await?;
    let mut table = take(&mut answer, "TableDescription");
    if target.wait {
        table = until_active(client, &target.to, items).await?;
    }
    print_object(&table, target.output)
}

/// Waits for a table that is being filled. It goes if that fails.
pub(crate) async fn until_active(client: &Client, name: &str, items: Option<u64>) -> Result<Value, Failure> {
    until(name, || async {
        let found = client.call("DescribeTable", &json!({ "TableName": name })).await;
        let mut answer = found.map_err(|error| match error.code.as_deref() {
            Some("ResourceNotFoundException") => Failure::told(
                format!("{name} could not be restored, and was removed"),
                "the region's log has the reason",
            ),
            _ => error,
        })?;
        let table = take(&mut answer, "Table");
        Ok(match table["TableStatus"].as_str() {
            Some("ACTIVE") => Look::Done(table),
            status => Look::Under(Progress {
                done: table["ItemCount"].as_u64().unwrap_or(0),
                of: items,
                state: status.unwrap_or("unknown").to_owned(),
            }),
        })
    })
    .await
}
