//! `geodynamo backup`: backups of tables, by the API.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    Done,
    client::{Client, Failure, now_unix_s, take},
    connection::Connection,
    copy::{self, CopyBackup},
    output::{Cell, OutputForm, Table, Tone, bytes, moment, print, print_json, print_object, time},
    wait::{Look, Progress, until},
};

/// Arguments of `backup`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct BackupArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: BackupCommand,
}

/// What to do with backups.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum BackupCommand {
    /// Makes a backup of a table, consistent at one moment
    #[command(
        after_help = "Examples:\n  geodynamo backup create orders\n  geodynamo backup create orders --name before-migration \
                            --wait --output json"
    )]
    Create(CreateBackup),
    /// Lists backups, also of tables that are gone
    #[command(
        after_help = "Examples:\n  geodynamo backup list\n  geodynamo backup list --table orders --since 7d --output json"
    )]
    List(ListBackups),
    /// Shows a backup and the table that it is of
    #[command(after_help = "Examples:\n  geodynamo backup describe \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/backup/01700000000000-abcdef01")]
    Describe(NamedBackup),
    /// Deletes backups, for good
    #[command(after_help = "Examples:\n  geodynamo backup delete \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/backup/01700000000000-abcdef01")]
    Delete(DeleteBackups),
    /// Copies a backup into another region's archive; restoring it there needs nothing of this one
    #[command(after_help = "Examples:\n  geodynamo backup copy \
                            arn:aws:dynamodb:eu-west-1:000000000000:table/orders/backup/01700000000000-abcdef01 --to us-east-1\n  \
                            geodynamo backup copy ARN --to us-east-1 --vault yearly --keep-days 365 --wait")]
    Copy(CopyBackup),
}

/// Arguments of `backup create`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct CreateBackup {
    /// The table
    pub table: String,
    /// The backup's name; the table's and the time if it is not told
    #[arg(long)]
    pub name: Option<String>,
    /// Wait until it is AVAILABLE
    #[arg(long)]
    pub wait: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// Arguments of `backup list`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ListBackups {
    /// Only those of this table
    #[arg(long)]
    pub table: Option<String>,
    /// Only those of this kind
    #[arg(long = "type", value_enum, default_value_t = BackupKind::All)]
    pub kind: BackupKind,
    /// Only those made since: 2026-11-30T06:12:00Z, seconds since 1970, or how long ago (90s, 15m, 6h, 2d)
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub since: Option<i64>,
    /// Only those made before
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub before: Option<i64>,
    /// The most backups
    #[arg(long, default_value_t = 1000)]
    pub limit: usize,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// Kinds of backups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum BackupKind {
    /// Made by somebody
    User,
    /// What is left of deleted tables that had point-in-time recovery
    System,
    /// Made by AWS Backup's API
    AwsBackup,
    /// All
    All,
}

impl BackupKind {
    fn name(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::System => "SYSTEM",
            Self::AwsBackup => "AWS_BACKUP",
            Self::All => "ALL",
        }
    }
}

/// Arguments of `backup describe`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct NamedBackup {
    /// The backup's ARN, as `backup list` shows it
    pub arn: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

/// Arguments of `backup delete`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct DeleteBackups {
    /// The backups' ARNs
    #[arg(required = true, value_name = "ARN")]
    pub arns: Vec<String>,
    /// How to print what was deleted
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

pub(crate) async fn run(arguments: &BackupArguments) -> Done {
    match &arguments.command {
        BackupCommand::Create(create) => create_backup(create).await,
        BackupCommand::List(list) => list_backups(list).await,
        BackupCommand::Describe(describe) => {
            let client = Client::new(&describe.connection)?;
            print_object(&described(&client, &describe.arn).await?, describe.output)
        }
        BackupCommand::Delete(delete) => delete_backups(delete).await,
        BackupCommand::Copy(copy) => copy::run(copy).await,
    }
}

/// A backup's name, its size, and the table that it is of.
pub(crate) async fn described(client: &Client, arn: &str) -> Result<Value, Failure> {
    let mut answer = client.call("DescribeBackup", &json!({ "BackupArn": arn })).await?;
    Ok(take(&mut answer, "BackupDescription"))
}

async fn create_backup(create: &CreateBackup) -> Done {
    let client = Client::new(&create.connection)?;
    let name = create
        .name
        .clone()
        .unwrap_or_else(|| format!("{}-{}", create.table, now_unix_s()));
    let input = json!({ "TableName": create.table, "BackupName": name });
    let mut answer = client.call("CreateBackup", &input).await?;
    let mut made = take(&mut answer, "BackupDetails");
    if create.wait
        && let Some(arn) = made["BackupArn"].as_str().map(str::to_owned)
    {
        made = until(&name, || async {
            let mut found = described(&client, &arn).await?;
            let details = take(&mut found, "BackupDetails");
            Ok(match details["BackupStatus"].as_str() {
                Some("CREATING") => Look::Under(Progress {
                    done: 0,
                    of: None,
                    state: "CREATING".to_owned(),
                }),
                _ => Look::Done(details),
            })
        })
        .await?;
    }
    print_object(&made, create.output)
}

async fn list_backups(list: &ListBackups) -> Done {
    let client = Client::new(&list.connection)?;
    let mut input = json!({ "BackupType": list.kind.name() });
    for (member, value) in [
        ("TimeRangeLowerBound", list.since),
        ("TimeRangeUpperBound", list.before),
    ] {
        if let Some(seconds) = value {
            input[member] = seconds.into();
        }
    }
    if let Some(table) = &list.table {
        input["TableName"] = table.as_str().into();
    }
    let ends = ("ExclusiveStartBackupArn", "LastEvaluatedBackupArn");
    let backups = client
        .list("ListBackups", input, "BackupSummaries", ends, list.limit)
        .await?;
    match list.output {
        OutputForm::Json => print_json(&backups),
        OutputForm::Table if backups.is_empty() => print("there are no such backups\n"),
        OutputForm::Table => print(&render(&backups)),
    }
}

fn render(backups: &[Value]) -> String {
    let mut table = Table::new(&["TABLE", "NAME", "STATUS", "TYPE", "MADE", ">SIZE", "EXPIRES", "ARN"]);
    for backup in backups {
        let text = |member: &str| Cell::from(backup[member].as_str().unwrap_or("-"));
        let status = backup["BackupStatus"].as_str().unwrap_or("-");
        table.rows.push(vec![
            text("TableName"),
            text("BackupName"),
            Cell::toned(
                status,
                if status == "AVAILABLE" {
                    Tone::Good
                } else {
                    Tone::Warning
                },
            ),
            text("BackupType"),
            time(&backup["BackupCreationDateTime"]).into(),
            backup["BackupSizeBytes"]
                .as_u64()
                .map_or_else(|| "-".to_owned(), bytes)
                .into(),
            time(&backup["BackupExpiryDateTime"]).into(),
            text("BackupArn"),
        ]);
    }
    table.render()
}

async fn delete_backups(delete: &DeleteBackups) -> Done {
    let client = Client::new(&delete.connection)?;
    let mut deleted = Vec::new();
    for arn in &delete.arns {
        let mut answer = client.call("DeleteBackup", &json!({ "BackupArn": arn })).await?;
        deleted.push(take(&mut take(&mut answer, "BackupDescription"), "BackupDetails"));
    }
    match delete.output {
        OutputForm::Json => print_json(&deleted),
        OutputForm::Table => {
            let lines = delete.arns.iter().map(|arn| format!("deleted {arn}\n"));
            print(&lines.collect::<String>())
        }
    }
}
