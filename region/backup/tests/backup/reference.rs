//! Every operation that is offered asks for what the Service Authorization Reference lists.

use std::{collections::BTreeSet, sync::Arc};

use geodynamo_backup::operation_names;
use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};
use geodynamo_reference::Grants;
use serde_json::{Value, json};

use crate::support::{ACCOUNT, ROLE, Region, segment, two};

/// A caller that may do this much.
fn ann(grants: &Grants) -> Caller {
    let mut caller = Caller::user(ACCOUNT, "/", "ann", "AIDAANNANNANNANNANNAN");
    let policies = grants.policies().map(|text| {
        let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
        NamedPolicy::new("p", Arc::new(policy))
    });
    caller.policies.identity.extend(policies);
    caller
}

/// A call of each operation: its method, its path, its document.
fn calls(region: &Region) -> Vec<(&'static str, String, Value)> {
    let (vault, other, table) = (
        region.vault_arn("kept"),
        region.vault_arn("other"),
        region.table_arn("tab"),
    );
    let point = format!("arn:aws:backup:{}:{ACCOUNT}:recovery-point:p", region.name);
    let plan_arn = format!("arn:aws:backup:{}:{ACCOUNT}:backup-plan:p", region.name);
    let (of_table, of_point) = (segment(&table), segment(&point));
    let in_vault = format!("/backup-vaults/kept/recovery-points/{of_point}");
    let rule = json!({ "RuleName": "r", "TargetBackupVaultName": "kept", "CopyActions": [{ "DestinationBackupVaultArn": other }] });
    let plan = json!({ "BackupPlan": { "BackupPlanName": "p", "Rules": [rule] }, "BackupPlanTags": { "team": "red" } });
    let selection = json!({ "BackupSelection": { "SelectionName": "s", "IamRoleArn": ROLE, "Resources": [table] } });
    let copy = json!({ "RecoveryPointArn": point, "SourceBackupVaultName": "kept", "DestinationBackupVaultArn": other,
        "IamRoleArn": ROLE });
    let restore = json!({ "RecoveryPointArn": point, "IamRoleArn": ROLE, "Metadata": { "targetTableName": "new" } });
    let back_up = json!({ "BackupVaultName": "kept", "ResourceArn": table, "IamRoleArn": ROLE });
    let untag = json!({ "TagKeyList": ["team"] });
    let mut calls = vec![
        ("PUT", "/backup/plans".to_owned(), plan.clone()),
        ("POST", "/backup/plans/p".to_owned(), plan),
        ("PUT", "/backup/plans/p/selections".to_owned(), selection),
        (
            "PUT",
            "/backup-vaults/kept".to_owned(),
            json!({ "BackupVaultTags": { "team": "red" } }),
        ),
        (
            "PUT",
            "/backup-vaults/kept/vault-lock".to_owned(),
            json!({ "MinRetentionDays": 7 }),
        ),
        ("PUT", "/backup-jobs".to_owned(), back_up),
        ("PUT", "/copy-jobs".to_owned(), copy),
        ("PUT", "/restore-jobs".to_owned(), restore),
        ("POST", "/backup-jobs/j".to_owned(), Value::Null),
        (
            "POST",
            in_vault.clone(),
            json!({ "Lifecycle": { "DeleteAfterDays": 9 } }),
        ),
    ];
    for arn in [&vault, &point, &plan_arn] {
        let (tags, untags) = (format!("/tags/{}", segment(arn)), format!("/untag/{}", segment(arn)));
        calls.push(("POST", tags.clone(), json!({ "Tags": { "team": "red" } })));
        calls.push(("GET", tags, Value::Null));
        calls.push(("POST", untags, untag.clone()));
    }
    let without_document = [
        ("DELETE", "/backup/plans/p".to_owned()),
        ("DELETE", "/backup/plans/p/selections/s".to_owned()),
        ("DELETE", "/backup-vaults/kept".to_owned()),
        ("DELETE", "/backup-vaults/kept/vault-lock".to_owned()),
        ("DELETE", in_vault.clone()),
        ("GET", "/backup-jobs".to_owned()),
        ("GET", "/backup-jobs/j".to_owned()),
        ("GET", "/backup-vaults".to_owned()),
        ("GET", "/backup-vaults/kept".to_owned()),
        ("GET", "/backup-vaults/kept/recovery-points".to_owned()),
        ("GET", in_vault.clone()),
        ("GET", format!("{in_vault}/restore-metadata")),
        ("GET", "/backup/plans".to_owned()),
        ("GET", "/backup/plans/p".to_owned()),
        ("GET", "/backup/plans/p/versions".to_owned()),
        ("GET", "/backup/plans/p/selections".to_owned()),
        ("GET", "/backup/plans/p/selections/s".to_owned()),
        ("GET", "/copy-jobs".to_owned()),
        ("GET", "/copy-jobs/j".to_owned()),
        ("GET", "/resources".to_owned()),
        ("GET", format!("/resources/{of_table}")),
        ("GET", format!("/resources/{of_table}/recovery-points")),
        ("GET", "/restore-jobs".to_owned()),
        ("GET", "/restore-jobs/j".to_owned()),
        ("GET", "/supported-resource-types".to_owned()),
    ];
    calls.extend(without_document.map(|(method, path)| (method, path, Value::Null)));
    calls
}

#[tokio::test]
async fn every_operation_asks_for_what_the_reference_lists() {
    let (region, ..) = two().await;
    region.make_table("tab").await;
    let (mut operations, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (method, path, body) in calls(&region) {
        let mut grants = Grants::default();
        let reply = loop {
            let reply = region.reply(&ann(&grants), method, &path, &body).await;
            match &reply.error {
                Some(error) if error.code == "AccessDeniedException" => grants.learn(&error.message),
                _ => break reply,
            }
        };
        let own = format!("backup:{}", reply.name.unwrap_or_default());
        assert_eq!(grants.faults(&own), [""; 0], "{own}, then {}", reply.body);
        operations.extend(reply.operation.map(|place| operation_names()[place]));
        seen.extend(grants.0.into_iter().map(|(action, _)| action));
    }
    let missing: Vec<_> = operation_names()
        .iter()
        .filter(|name| !operations.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(
        seen.contains("iam:PassRole") && seen.contains("backup:CopyIntoBackupVault"),
        "{seen:?}"
    );
}
