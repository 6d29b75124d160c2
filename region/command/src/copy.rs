//! `geodynamo backup copy`: a backup in another region, by AWS Backup's API.

use clap::Args;
use geodynamo_outgoing::encode_segment;
use serde_json::{Value, json};

use crate::{
    Done,
    client::{Client, Failure, take},
    connection::Connection,
    output::{OutputForm, print_object},
    wait::{Look, Progress, until},
};

/// The vault that every region has, and that backups of DynamoDB's own API count as being in.
const DEFAULT: &str = "Default";
/// The role that AWS makes for backups. Nothing is done as it here, but the API wants one.
const ROLE: &str = "service-role/AWSBackupDefaultServiceRole";

/// Arguments of `backup copy`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct CopyBackup {
    /// The backup's ARN, as `backup list` shows it
    pub arn: String,
    /// The region that it is copied to
    #[arg(long, value_name = "REGION")]
    pub to: String,
    /// The vault there; it must exist, unless it is the default one
    #[arg(long, default_value = DEFAULT)]
    pub vault: String,
    /// How many days the copy is kept, counted from when the backup was made; for ever if it is not told
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub keep_days: Option<u32>,
    /// Wait until the copy is there
    #[arg(long)]
    pub wait: bool,
    /// How to print the copy job
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputForm,
    /// Which region is asked.
    #[command(flatten)]
    pub connection: Connection,
}

pub(crate) async fn run(copy: &CopyBackup) -> Done {
    let client = Client::new(&copy.connection)?;
    let Some((table, account)) = table_of(&copy.arn) else {
        return Err(Failure::told(
            format!("'{}' is no backup's ARN", copy.arn),
            "`geodynamo backup list` shows them",
        )
        .into());
    };
    let mut input = json!({
        "RecoveryPointArn": copy.arn,
        "SourceBackupVaultName": vault_of(&client, table, &copy.arn).await?,
        "DestinationBackupVaultArn": format!("arn:aws:backup:{}:{account}:backup-vault:{}", copy.to, copy.vault),
        "IamRoleArn": format!("arn:aws:iam::{account}:role/{ROLE}"),
    });
    if let Some(days) = copy.keep_days {
        input["Lifecycle"] = json!({ "DeleteAfterDays": days });
    }
    let started = client
        .backup("StartCopyJob", ("PUT", "/copy-jobs"), Some(&input))
        .await?;
    let id = started["CopyJobId"].as_str().unwrap_or_default().to_owned();
    let path = format!("/copy-jobs/{id}");
    let describe = async || {
        let mut found = client.backup("DescribeCopyJob", ("GET", &path), None).await?;
        Ok::<Value, Failure>(take(&mut found, "CopyJob"))
    };
    let mut job = describe().await?;
    if copy.wait {
        job = until(&copy.to, || async {
            let job = describe().await?;
            Ok(match job["State"].as_str() {
                Some("COMPLETED" | "FAILED") => Look::Done(job),
                state => Look::Under(Progress {
                    done: 0,
                    of: None,
                    state: state.unwrap_or_default().to_owned(),
                }),
            })
        })
        .await?;
    }
    print_object(&job, copy.output)?;
    match job["State"].as_str() {
        Some("FAILED") => Err(Failure::told(
            format!(
                "the backup was not copied: {}",
                job["StatusMessage"].as_str().unwrap_or_default()
            ),
            format!(
                "the vault and the archive of {} must be there, and its link up",
                copy.to
            ),
        )
        .into()),
        _ => Ok(()),
    }
}

/// The vault that a backup is in.
async fn vault_of(client: &Client, table: &str, arn: &str) -> Result<String, Failure> {
    let path = format!("/resources/{}/recovery-points", encode_segment(table));
    let found = client
        .backup("ListRecoveryPointsByResource", ("GET", &path), None)
        .await?;
    let points = found["RecoveryPoints"].as_array().into_iter().flatten();
    let mut vaults = points.filter(|point| point["RecoveryPointArn"] == arn);
    let vault = vaults.find_map(|point| point["BackupVaultName"].as_str());
    Ok(vault.unwrap_or(DEFAULT).to_owned())
}

/// The table's ARN in a backup's, and the account.
fn table_of(arn: &str) -> Option<(&str, &str)> {
    let (table, _) = arn.split_once("/backup/")?;
    let account = table.split(':').nth(4)?;
    (arn.starts_with("arn:") && table.contains(":table/")).then_some((table, account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns() {
        let arn = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders/backup/01700000000000-abcdef01";
        let table = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders";
        assert_eq!(table_of(arn), Some((table, "000000000000")));
        assert_eq!(table_of(table), None);
        assert_eq!(table_of("orders/backup/x"), None);
    }
}
