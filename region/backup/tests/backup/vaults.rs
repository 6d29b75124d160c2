//! Vaults, their locks, what stays when a process ends.

use std::sync::Arc;

use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, DAY, HOUR, ROLE, segment, two};

const LOCK: &str = "/backup-vaults/kept/vault-lock";

#[tokio::test]
async fn a_lock_holds_against_everybody_once_its_grace_is_over() {
    let (mut a, _, _) = two().await;
    a.make_table("tab").await;
    a.put("tab", "k", "v").await;
    a.make_vault("kept").await;
    let lock = |least: i64| json!({ "MinRetentionDays": least, "MaxRetentionDays": 30, "ChangeableForDays": 3 });
    for bad in [
        json!({ "ChangeableForDays": 2 }),
        json!({ "MinRetentionDays": 0 }),
        json!({ "MinRetentionDays": 8, "MaxRetentionDays": 7 }),
        json!({ "MaxRetentionDays": 36_501 }),
    ] {
        assert_eq!(a.call("PUT", LOCK, bad).await, Err("InvalidParameterValueException"));
    }
    assert_eq!(
        a.call("PUT", "/backup-vaults/none/vault-lock", lock(7)).await,
        Err("ResourceNotFoundException")
    );
    a.call("PUT", LOCK, lock(7)).await.unwrap();
    let vault = a.get("/backup-vaults/kept").await;
    assert_eq!(
        (&vault["Locked"], &vault["MinRetentionDays"]),
        (&json!(true), &json!(7))
    );
    assert_eq!(
        vault["LockDate"].as_f64(),
        Some((a.time.now() + 3 * DAY) as f64 / 1000.0)
    );
    // In its grace time it can be changed, and taken away.
    a.call("DELETE", LOCK, Value::Null).await.unwrap();
    assert_eq!(a.get("/backup-vaults/kept").await["Locked"], json!(false));
    a.call("PUT", LOCK, lock(5)).await.unwrap();
    a.time.pass(3 * DAY - HOUR);
    a.call("PUT", LOCK, lock(7)).await.unwrap();

    // What is kept for too short, or too long, does not come in.
    let start = |days: Option<i64>| {
        let lifecycle = days.map_or(json!({}), |days| json!({ "DeleteAfterDays": days }));
        let arn = a.table_arn("tab");
        json!({ "BackupVaultName": "kept", "ResourceArn": arn, "IamRoleArn": ROLE, "Lifecycle": lifecycle })
    };
    for (days, expect) in [
        (Some(6), "FAILED"),
        (Some(31), "FAILED"),
        (None, "FAILED"),
        (Some(7), "COMPLETED"),
    ] {
        let job = a.call("PUT", "/backup-jobs", start(days)).await.unwrap();
        let job = a.ended("backup-jobs", &job["BackupJobId"]).await;
        assert_eq!(job["State"], expect, "{job}");
    }
    let point = a.points("kept").await[0]["RecoveryPointArn"]
        .as_str()
        .unwrap()
        .to_owned();
    a.time.pass(3 * DAY);

    // The grace time is over: root is refused everything that would shorten it.
    let of_point = format!("/backup-vaults/kept/recovery-points/{}", segment(&point));
    for again in [false, true] {
        assert_eq!(a.call("PUT", LOCK, lock(1)).await, Err("InvalidRequestException"));
        assert_eq!(a.call("PUT", LOCK, lock(30)).await, Err("InvalidRequestException"));
        assert_eq!(
            a.call("DELETE", LOCK, Value::Null).await,
            Err("InvalidRequestException")
        );
        assert_eq!(
            a.call("DELETE", "/backup-vaults/kept", Value::Null).await,
            Err("InvalidRequestException")
        );
        assert_eq!(
            a.call("DELETE", &of_point, Value::Null).await,
            Err("InvalidRequestException")
        );
        let shorter = json!({ "Lifecycle": { "DeleteAfterDays": 1 } });
        assert_eq!(a.call("POST", &of_point, shorter).await, Err("InvalidRequestException"));
        use geodynamo_table::recovery::{Recovery, RecoveryError};
        let by_dynamodb = a.recoveries.delete_backup(&point).await;
        assert!(
            matches!(by_dynamodb, Err(RecoveryError::BackupOfVault(_))),
            "{by_dynamodb:?}"
        );
        if !again {
            a.restart().await;
        }
    }
    // The lock outlives the data directory, and whoever would make another vault of its name.
    let mut lost = crate::support::Region::new("a", &a.time, 7).await;
    lost.archive = a.archive.clone();
    lost.restart().await;
    assert_eq!(
        lost.call("PUT", "/backup-vaults/kept", json!({})).await,
        Err("AlreadyExistsException")
    );
    lost.restart().await;
    lost.tick().await;
    assert_eq!(
        lost.get("/backup-vaults/kept").await["LockDate"],
        a.get("/backup-vaults/kept").await["LockDate"]
    );
    assert_eq!(lost.call("PUT", LOCK, lock(1)).await, Err("InvalidRequestException"));
    assert_eq!(
        lost.call("DELETE", LOCK, Value::Null).await,
        Err("InvalidRequestException")
    );
    // What it is kept for is not longer, either.
    a.time.pass(3 * DAY + HOUR);
    a.tick().await;
    assert_eq!(a.points("kept").await.len(), 1);
    a.time.pass(DAY);
    a.tick().await;
    assert_eq!(a.points("kept").await.len(), 0);
}

#[tokio::test]
async fn what_is_stored_is_there_after_an_end() {
    let (mut a, _, _) = two().await;
    a.make_table("tab").await;
    a.put("tab", "k", "v").await;
    a.make_vault("vv").await;
    let point = a.back_up("tab", "vv").await;
    let tags = json!({ "Tags": { "stage": "test" } });
    a.call("POST", &format!("/tags/{}", segment(&point)), tags.clone())
        .await
        .unwrap();
    let of_point = format!("/backup-vaults/vv/recovery-points/{}", segment(&point));
    a.call("POST", &of_point, json!({ "Lifecycle": { "DeleteAfterDays": 9 } }))
        .await
        .unwrap();
    let started = json!({ "BackupVaultName": "vv", "ResourceArn": a.table_arn("tab"), "IamRoleArn": ROLE });
    // It is begun by the next process.
    let waiting = a.call("PUT", "/backup-jobs", started).await.unwrap();
    a.restart().await;
    let job = a.ended("backup-jobs", &waiting["BackupJobId"]).await;
    assert_eq!(job["State"], "COMPLETED");
    assert_eq!(a.points("vv").await.len(), 2);
    assert_eq!(a.get(&format!("/tags/{}", segment(&point))).await, tags);
    let shown = a.get(&of_point).await;
    assert_eq!(shown["Lifecycle"]["DeleteAfterDays"], 9);
    assert_eq!(
        (&shown["Status"], &shown["StorageClass"]),
        (&json!("COMPLETED"), &json!("WARM"))
    );
    a.restore(&point, "again").await;
    assert_eq!(a.items("again").await, a.items("tab").await);
    assert!(a.get(&of_point).await["LastRestoreTime"].is_number());

    // The archive alone is enough: vaults that its recovery points name are made anew.
    let mut lost = crate::support::Region::new("a", &a.time, 7).await;
    lost.archive = a.archive.clone();
    lost.restart().await;
    lost.tick().await;
    assert_eq!(lost.points("vv").await.len(), 2);
    lost.restore(&point, "tab").await;
    assert_eq!(lost.items("tab").await, a.items("tab").await);
}

#[tokio::test]
async fn refusals() {
    let (a, _, _) = two().await;
    a.make_table("tab").await;
    a.make_vault("vv").await;
    let start = |vault: &str, arn: String, role: &str| json!({ "BackupVaultName": vault, "ResourceArn": arn, "IamRoleArn": role });
    let invalid = Err("InvalidParameterValueException");
    let not_found = Err("ResourceNotFoundException");
    for (body, expect) in [
        (json!({}), Err("MissingParameterValueException")),
        (start("v!", a.table_arn("tab"), ROLE), invalid.clone()),
        (start("none", a.table_arn("tab"), ROLE), not_found.clone()),
        (start("vv", a.table_arn("none"), ROLE), not_found.clone()),
        (start("vv", "arn:aws:s3:::bucket".into(), ROLE), invalid.clone()),
        (start("vv", a.table_arn("tab"), "me"), invalid.clone()),
    ] {
        assert_eq!(a.call("PUT", "/backup-jobs", body.clone()).await, expect, "{body}");
    }
    assert_eq!(
        a.call("PUT", "/backup-vaults/vv", json!({})).await,
        Err("AlreadyExistsException")
    );
    for path in [
        "/backup-vaults/none",
        "/backup-jobs/none",
        "/copy-jobs/none",
        "/restore-jobs/none",
        "/backup/plans/none",
        "/backup/plans/none/selections/none",
        "/backup-vaults/vv/recovery-points/arn%3Anone",
        "/resources/arn%3Anone",
        "/tags/arn%3Anone",
    ] {
        assert_eq!(a.call("GET", path, Value::Null).await, not_found, "{path}");
    }
    assert_eq!(
        a.call("PUT", "/backup-jobs", json!([])).await,
        Err("SerializationException")
    );
    assert_eq!(
        a.call("PATCH", "/backup-jobs", json!({})).await,
        Err("UnknownOperationException")
    );
    // One that is stopped before it begins leaves nothing.
    let job = a
        .call("PUT", "/backup-jobs", start("vv", a.table_arn("tab"), ROLE))
        .await
        .unwrap();
    let path = format!("/backup-jobs/{}", job["BackupJobId"].as_str().unwrap());
    a.call("POST", &path, Value::Null).await.unwrap();
    assert_eq!(a.ended("backup-jobs", &job["BackupJobId"]).await["State"], "ABORTED");
    assert_eq!(a.call("POST", &path, Value::Null).await, Err("InvalidRequestException"));
    assert_eq!(a.points("vv").await.len(), 0);
    let point = a.back_up("tab", "vv").await;
    let restore = |metadata: Value| json!({ "RecoveryPointArn": point, "IamRoleArn": ROLE, "Metadata": metadata });
    for (metadata, expect) in [
        (json!({}), Err("MissingParameterValueException")),
        (json!({ "targetTableName": "tab" }), invalid.clone()),
        (json!({ "targetTableName": "not ok" }), invalid.clone()),
    ] {
        assert_eq!(a.call("PUT", "/restore-jobs", restore(metadata)).await, expect);
    }
    assert_eq!(
        a.call("DELETE", "/backup-vaults/vv", Value::Null).await,
        Err("InvalidRequestException")
    );
    let of_point = format!("/backup-vaults/vv/recovery-points/{}", segment(&point));
    a.call("DELETE", &of_point, Value::Null).await.unwrap();
    a.call("DELETE", "/backup-vaults/vv", Value::Null).await.unwrap();
}

#[tokio::test]
async fn whoever_copies_is_let_into_the_vault() {
    let (a, _, _) = two().await;
    a.make_table("tab").await;
    a.make_vault("mine").await;
    a.make_vault("theirs").await;
    let point = a.back_up("tab", "mine").await;
    let caller = |statements: Value| {
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
        let mut caller = Caller::user(ACCOUNT, "/", "ann", "AIDAANN");
        caller.policies.identity.push(NamedPolicy::new("p", Arc::new(policy)));
        caller
    };
    let allow = |action: &str, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    let mine = allow("backup:*", &a.vault_arn("mine"));
    let start = allow("backup:StartCopyJob", &point);
    let role = allow("iam:PassRole", ROLE);
    let copy = |vault: &str| {
        json!({
            "RecoveryPointArn": point,
            "SourceBackupVaultName": "mine",
            "DestinationBackupVaultArn": a.vault_arn(vault),
            "IamRoleArn": ROLE,
        })
    };
    let denied = Err("AccessDeniedException");
    let without_role = caller(json!([mine, start]));
    assert_eq!(
        a.call_as(&without_role, "PUT", "/copy-jobs", copy("mine")).await,
        denied
    );
    let ann = caller(json!([mine, start, role]));
    assert_eq!(a.call_as(&ann, "PUT", "/copy-jobs", copy("theirs")).await, denied);
    assert!(a.call_as(&ann, "PUT", "/copy-jobs", copy("mine")).await.is_ok());
    assert_eq!(
        a.call_as(&ann, "DELETE", "/backup-vaults/theirs", Value::Null).await,
        denied
    );
}
