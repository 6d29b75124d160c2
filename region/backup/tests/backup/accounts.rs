//! Accounts: each has its own, and finds nothing of another's, whatever it guesses.

use geodynamo_policy::Caller;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, DAY, HOUR, ROLE, Region, segment, two};

const OTHER: &str = "111122223333";
const THIRD: &str = "444455556666";

/// A region whose root callers are of some account.
struct As<'r> {
    region: &'r Region,
    account: &'static str,
}

impl As<'_> {
    async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, &'static str> {
        let caller = Caller::root(self.account);
        self.region.call_as(&caller, method, path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, Value::Null).await.unwrap()
    }

    fn vault_arn(&self, vault: &str) -> String {
        let (region, account) = (self.region.name, self.account);
        format!("arn:aws:backup:{region}:{account}:backup-vault:{vault}")
    }

    fn table_arn(&self, table: &str) -> String {
        let (region, account) = (self.region.name, self.account);
        format!("arn:aws:dynamodb:{region}:{account}:table/{table}")
    }

    async fn make_vault(&self, name: &str) {
        let path = format!("/backup-vaults/{name}");
        self.call("PUT", &path, json!({})).await.unwrap();
    }

    async fn ended(&self, path: &str) -> Value {
        self.region.ended_as(&Caller::root(self.account), path).await
    }

    async fn back_up(&self, table: &str, vault: &str) -> String {
        let wanted = json!({ "BackupVaultName": vault, "ResourceArn": self.table_arn(table), "IamRoleArn": ROLE });
        let job = self.call("PUT", "/backup-jobs", wanted).await.unwrap();
        let job = self
            .ended(&format!("/backup-jobs/{}", job["BackupJobId"].as_str().unwrap()))
            .await;
        assert_eq!(job["State"], "COMPLETED", "{job}");
        assert_eq!(job["AccountId"], self.account);
        job["RecoveryPointArn"].as_str().unwrap().to_owned()
    }

    async fn points(&self, vault: &str) -> Vec<Value> {
        let found = self.get(&format!("/backup-vaults/{vault}/recovery-points")).await;
        found["RecoveryPoints"].as_array().unwrap().clone()
    }
}

/// Two accounts with a table and a vault of the same names, each backed up; gives the recovery points.
async fn two_accounts(region: &Region) -> (As<'_>, As<'_>, String, String) {
    let account = |account| As { region, account };
    let (own, other) = (account(ACCOUNT), account(OTHER));
    for (stored, value) in [("tab", "own"), ("111122223333@tab", "other")] {
        region.make_table(stored).await;
        region.put(stored, "k", value).await;
    }
    own.make_vault("vault").await;
    other.make_vault("vault").await;
    let of_own = own.back_up("tab", "vault").await;
    let of_other = other.back_up("tab", "vault").await;
    (own, other, of_own, of_other)
}

#[tokio::test]
async fn accounts_see_and_touch_their_own_only() {
    let (mut region, _, _) = two().await;
    let (own, other, of_own, of_other) = two_accounts(&region).await;
    assert!(of_other.starts_with(&other.table_arn("tab")), "{of_other}");
    for (account, point) in [(&own, &of_own), (&other, &of_other)] {
        let points = account.points("vault").await;
        assert_eq!(points.len(), 1);
        assert_eq!(points[0]["RecoveryPointArn"], **point);
        assert_eq!(points[0]["ResourceName"], "tab");
        assert_eq!(points[0]["BackupVaultArn"], account.vault_arn("vault"));
        let listed = account.get("/backup-vaults").await;
        assert_eq!(listed["BackupVaultList"].as_array().unwrap().len(), 1);
        assert_eq!(listed["BackupVaultList"][0]["NumberOfRecoveryPoints"], 1);
        for (path, member) in [("/backup-jobs", "BackupJobs"), ("/resources", "Results")] {
            let listed = account.get(path).await;
            assert_eq!(listed[member].as_array().unwrap().len(), 1, "{path}");
            assert_eq!(listed[member][0]["ResourceArn"], account.table_arn("tab"), "{path}");
        }
    }
    // What is guessed of another account is not there, for any operation.
    let job = own.get("/backup-jobs").await["BackupJobs"][0]["BackupJobId"].clone();
    let job = job.as_str().unwrap();
    let guess = segment(&of_own);
    let vault = own.vault_arn("vault");
    let metadata = json!({ "targetTableName": "stolen" });
    for (method, path, body) in [
        ("GET", format!("/backup-jobs/{job}"), Value::Null),
        ("POST", format!("/backup-jobs/{job}"), json!({})),
        (
            "GET",
            format!("/backup-vaults/vault/recovery-points/{guess}"),
            Value::Null,
        ),
        (
            "DELETE",
            format!("/backup-vaults/vault/recovery-points/{guess}"),
            Value::Null,
        ),
        (
            "POST",
            format!("/backup-vaults/vault/recovery-points/{guess}"),
            json!({ "Lifecycle": { "DeleteAfterDays": 1 } }),
        ),
        (
            "GET",
            format!("/backup-vaults/vault/recovery-points/{guess}/restore-metadata"),
            Value::Null,
        ),
        ("GET", format!("/tags/{guess}"), Value::Null),
        ("GET", format!("/tags/{}", segment(&vault)), Value::Null),
        (
            "POST",
            format!("/tags/{}", segment(&vault)),
            json!({ "Tags": { "a": "b" } }),
        ),
        (
            "PUT",
            "/restore-jobs".to_owned(),
            json!({ "RecoveryPointArn": of_own, "IamRoleArn": ROLE, "Metadata": metadata }),
        ),
        (
            "PUT",
            "/copy-jobs".to_owned(),
            json!({ "RecoveryPointArn": of_own, "SourceBackupVaultName": "vault", "IamRoleArn": ROLE,
                    "DestinationBackupVaultArn": other.vault_arn("vault") }),
        ),
        (
            "PUT",
            "/backup-jobs".to_owned(),
            json!({ "BackupVaultName": "vault", "ResourceArn": own.table_arn("tab"), "IamRoleArn": ROLE }),
        ),
    ] {
        let got = other.call(method, &path, body).await;
        assert_eq!(got, Err("ResourceNotFoundException"), "{method} {path}");
    }
    // Into a vault of another account nothing goes, and from an on-demand backup of another's nothing comes.
    let into = json!({ "RecoveryPointArn": of_other, "SourceBackupVaultName": "vault", "IamRoleArn": ROLE,
                       "DestinationBackupVaultArn": vault });
    assert_eq!(
        other.call("PUT", "/copy-jobs", into).await,
        Err("InvalidParameterValueException")
    );
    let plain = region.plain_backup("tab").await;
    let from = json!({ "RecoveryPointArn": plain, "SourceBackupVaultName": "Default", "IamRoleArn": ROLE,
                       "DestinationBackupVaultArn": other.vault_arn("vault") });
    assert_eq!(
        other.call("PUT", "/copy-jobs", from).await,
        Err("ResourceNotFoundException")
    );
    let listed = other
        .get(&format!(
            "/resources/{}/recovery-points",
            segment(&own.table_arn("tab"))
        ))
        .await;
    assert_eq!(listed["RecoveryPoints"], json!([]));
    assert_eq!(own.points("vault").await.len(), 1);
    // After a restart all is as it was, also where the rows were lost.
    region.restart().await;
    let third = As {
        region: &region,
        account: THIRD,
    };
    assert_eq!(third.get("/backup-vaults").await["BackupVaultList"], json!([]));
    let other = As {
        region: &region,
        account: OTHER,
    };
    assert_eq!(other.points("vault").await.len(), 1);
}

#[tokio::test]
async fn an_account_restores_copies_and_runs_plans_of_its_own() {
    let (a, b, peer) = two().await;
    let (_, other, _, of_other) = two_accounts(&a).await;
    let metadata = json!({ "targetTableName": "again" });
    let wanted = json!({ "RecoveryPointArn": of_other, "IamRoleArn": ROLE, "Metadata": metadata });
    let job = other.call("PUT", "/restore-jobs", wanted).await.unwrap();
    let job = other
        .ended(&format!("/restore-jobs/{}", job["RestoreJobId"].as_str().unwrap()))
        .await;
    assert_eq!(job["Status"], "COMPLETED", "{job}");
    assert_eq!(job["CreatedResourceArn"], other.table_arn("again"));
    assert_eq!(a.items("111122223333@again").await["k"], "other");
    assert!(a.tables.table("again").is_err());

    let far = As {
        region: &b,
        account: OTHER,
    };
    far.make_vault("far").await;
    b.make_vault("far").await;
    let wanted = json!({ "RecoveryPointArn": of_other, "SourceBackupVaultName": "vault", "IamRoleArn": ROLE,
                         "DestinationBackupVaultArn": far.vault_arn("far") });
    let job = other.call("PUT", "/copy-jobs", wanted).await.unwrap();
    let job = other
        .ended(&format!("/copy-jobs/{}", job["CopyJobId"].as_str().unwrap()))
        .await;
    assert_eq!(job["CopyJob"]["State"], "COMPLETED", "{job}");
    assert_eq!(far.points("far").await.len(), 1);
    assert_eq!(b.points("far").await.len(), 0);
    drop(peer);

    let rule =
        json!({ "RuleName": "rule", "TargetBackupVaultName": "vault", "ScheduleExpression": "cron(0 5 * * ? *)" });
    let plan = json!({ "BackupPlan": { "BackupPlanName": "plan", "Rules": [rule] } });
    let plan = other.call("PUT", "/backup/plans", plan).await.unwrap();
    let selections = format!("/backup/plans/{}/selections", plan["BackupPlanId"].as_str().unwrap());
    let all = json!({ "BackupSelection": { "SelectionName": "all", "IamRoleArn": ROLE, "Resources": ["*"] } });
    other.call("PUT", &selections, all).await.unwrap();
    let own = As {
        region: &a,
        account: ACCOUNT,
    };
    assert_eq!(
        own.call("GET", &selections, Value::Null).await,
        Err("ResourceNotFoundException")
    );
    a.time.pass(DAY + 8 * HOUR);
    a.tick().await;
    let jobs = other.get("/backup-jobs").await;
    let jobs = jobs["BackupJobs"].as_array().unwrap();
    let of_plan = jobs.iter().filter(|job| !job["CreatedBy"].is_null());
    // Every table of the account, and none of another.
    let mut tables: Vec<&str> = of_plan.map(|job| job["ResourceArn"].as_str().unwrap()).collect();
    tables.sort_unstable();
    assert_eq!(tables, [other.table_arn("again"), other.table_arn("tab")]);
    assert_eq!(own.get("/backup-jobs").await["BackupJobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_account_that_is_deleted_leaves_nothing() {
    let (mut region, _, _) = two().await;
    let (_, other, _, of_other) = two_accounts(&region).await;
    let refused = region.backups.forget_account(OTHER).await.unwrap_err();
    assert_eq!(refused.code, "InvalidRequestException");
    let guess = segment(&of_other);
    let path = format!("/backup-vaults/vault/recovery-points/{guess}");
    other.call("DELETE", &path, Value::Null).await.unwrap();
    region.backups.forget_account(OTHER).await.unwrap();
    region.backups.forget_account(THIRD).await.unwrap();
    region.restart().await;
    let other = As {
        region: &region,
        account: OTHER,
    };
    assert_eq!(other.get("/backup-vaults").await["BackupVaultList"], json!([]));
    assert_eq!(other.get("/backup-jobs").await["BackupJobs"], json!([]));
    let own = As {
        region: &region,
        account: ACCOUNT,
    };
    assert_eq!(own.points("vault").await.len(), 1);
}
