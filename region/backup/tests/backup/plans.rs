//! A plan, day after day.

use serde_json::{Value, json};

use crate::support::{DAY, HOUR, NOW, ROLE, two};

fn daily(vault: &str, to: &str) -> Value {
    json!({
        "BackupPlanName": "daily",
        "Rules": [{
            "RuleName": "every-morning",
            "TargetBackupVaultName": vault,
            "ScheduleExpression": "cron(0 5 * * ? *)",
            "ScheduleExpressionTimezone": "Europe/Berlin",
            "StartWindowMinutes": 60,
            "Lifecycle": { "DeleteAfterDays": 7 },
            "RecoveryPointTags": { "by": "plan" },
            "CopyActions": [{ "DestinationBackupVaultArn": to, "Lifecycle": { "DeleteAfterDays": 30 } }],
        }],
    })
}

#[tokio::test]
async fn thirty_five_days() {
    let (mut a, b, peer) = two().await;
    for table in ["orders", "customers", "scratch"] {
        a.make_table(table).await;
    }
    a.make_vault("short").await;
    b.make_vault("long").await;
    let plan = json!({ "BackupPlan": daily("short", &b.vault_arn("long")) });
    let made = a.call("PUT", "/backup/plans/", plan.clone()).await.unwrap();
    assert_eq!(
        a.call("PUT", "/backup/plans/", plan).await,
        Err("AlreadyExistsException")
    );
    let id = made["BackupPlanId"].as_str().unwrap().to_owned();
    let selection = json!({
        "BackupSelection": {
            "SelectionName": "all-but-scratch",
            "IamRoleArn": ROLE,
            "Resources": ["arn:aws:dynamodb:*:*:table/*"],
            "NotResources": [a.table_arn("scratch")],
        },
    });
    a.call("PUT", &format!("/backup/plans/{id}/selections/"), selection)
        .await
        .unwrap();
    let preview = a.get(&format!("/backup/plans/{id}?MaxScheduledRunsPreview=2")).await;
    let runs = preview["ScheduledRunsPreview"].as_array().unwrap();
    let at = |run: &Value| run["ExecutionTime"].as_f64().unwrap() as u64 * 1000;
    assert_eq!((at(&runs[0]), at(&runs[1])), (NOW + 4 * HOUR, NOW + DAY + 4 * HOUR));

    for hour in 0..35 * 24 {
        a.put("orders", "hour", &hour.to_string()).await;
        if hour % 100 == 50 {
            a.restart().await;
            a.backups.connect(std::sync::Arc::clone(&peer) as _);
        }
        a.tick().await;
        for kind in ["backup-jobs", "copy-jobs"] {
            let all = a.get(&format!("/{kind}")).await;
            let list = if kind == "copy-jobs" { "CopyJobs" } else { "BackupJobs" };
            let key = if kind == "copy-jobs" {
                "CopyJobId"
            } else {
                "BackupJobId"
            };
            for job in all[list].as_array().unwrap() {
                if job["State"] != "COMPLETED" {
                    assert_eq!(a.ended(kind, &job[key]).await["State"], "COMPLETED");
                }
            }
        }
        a.tick().await;
        b.tick().await;
        a.time.pass(HOUR);
    }
    // Of two tables: a backup a day, of which a week is here and a month there.
    assert_eq!(a.points("short").await.len(), 2 * 7);
    assert_eq!(b.points("long").await.len(), 2 * 30);
    let jobs = a.get("/backup-jobs").await;
    let jobs = jobs["BackupJobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 2 * 30, "jobs are remembered for 30 days");
    assert_eq!(jobs[0]["CreatedBy"]["BackupRuleName"], "every-morning");
    let newest = &b.points("long").await[0];
    assert_eq!(newest["CreatedBy"]["BackupPlanId"], id.as_str());
    assert_eq!(
        newest["CreationDate"].as_f64(),
        Some((NOW + 34 * DAY + 4 * HOUR) as f64 / 1000.0)
    );
    // The oldest there is of five days after the beginning.
    let points = b.points("long").await;
    let mut of_orders = points.iter().filter(|point| point["ResourceName"] == "orders");
    let oldest = of_orders.next_back().unwrap()["RecoveryPointArn"].as_str().unwrap();
    b.restore(oldest, "orders").await;
    assert_eq!(b.items("orders").await["hour"], (5 * 24 + 4).to_string());
}

#[tokio::test]
async fn what_could_not_begin_in_time_does_not() {
    let (a, b, _) = two().await;
    a.make_table("tab").await;
    a.make_vault("short").await;
    b.make_vault("long").await;
    let mut body = daily("short", &b.vault_arn("long"));
    let plan = a
        .call("PUT", "/backup/plans/", json!({ "BackupPlan": body }))
        .await
        .unwrap();
    let id = plan["BackupPlanId"].as_str().unwrap().to_owned();
    let selection = json!({ "BackupSelection": { "SelectionName": "s", "IamRoleArn": ROLE, "Resources": ["*"] } });
    let selected = a
        .call("PUT", &format!("/backup/plans/{id}/selections/"), selection)
        .await
        .unwrap();
    let count = async || a.get("/backup-jobs").await["BackupJobs"].as_array().unwrap().len();
    // The process was away for three days, and came back hours after the last run.
    a.time.pass(3 * DAY + 8 * HOUR);
    a.tick().await;
    assert_eq!(count().await, 0);
    // It comes back within the window: what is due last is begun, once.
    a.time.pass(20 * HOUR + HOUR / 2);
    a.tick().await;
    a.tick().await;
    assert_eq!(count().await, 1);
    // A plan that is changed runs by its new schedule from then on.
    body["Rules"][0]["ScheduleExpression"] = json!("rate(6 hours)");
    let updated = a
        .call("POST", &format!("/backup/plans/{id}"), json!({ "BackupPlan": body }))
        .await
        .unwrap();
    assert_ne!(updated["VersionId"], plan["VersionId"]);
    a.tick().await;
    assert_eq!(count().await, 1);
    a.time.pass(2 * HOUR);
    a.tick().await;
    assert_eq!(count().await, 2);
    let versions = a.get(&format!("/backup/plans/{id}/versions/")).await;
    assert_eq!(versions["BackupPlanVersionsList"].as_array().unwrap().len(), 2);
    // It goes once nothing is selected by it.
    assert_eq!(
        a.call("DELETE", &format!("/backup/plans/{id}"), Value::Null).await,
        Err("InvalidRequestException")
    );
    let selection = format!(
        "/backup/plans/{id}/selections/{}",
        selected["SelectionId"].as_str().unwrap()
    );
    a.call("DELETE", &selection, Value::Null).await.unwrap();
    a.call("DELETE", &format!("/backup/plans/{id}"), Value::Null)
        .await
        .unwrap();
    a.time.pass(2 * DAY);
    a.tick().await;
    assert_eq!(count().await, 2);
    assert_eq!(a.get("/backup/plans/").await["BackupPlansList"], json!([]));
}

#[tokio::test]
async fn plans_that_are_none() {
    let (a, b, _) = two().await;
    a.make_vault("short").await;
    let good = daily("short", &b.vault_arn("long"));
    for (member, bad) in [
        ("TargetBackupVaultName", json!("none")),
        ("ScheduleExpression", json!("cron(0/10 * * * ? *)")),
        ("ScheduleExpression", json!("every day")),
        ("ScheduleExpressionTimezone", json!("Mars/Olympus")),
        ("StartWindowMinutes", json!(59)),
        (
            "Lifecycle",
            json!({ "MoveToColdStorageAfterDays": 10, "DeleteAfterDays": 99 }),
        ),
        ("CopyActions", json!([{ "DestinationBackupVaultArn": "x" }])),
        ("EnableContinuousBackup", json!(true)),
        ("RuleName", json!("not ok")),
    ] {
        let mut body = good.clone();
        body["Rules"][0][member] = bad;
        let refused = a.call("PUT", "/backup/plans/", json!({ "BackupPlan": body })).await;
        assert_eq!(refused, Err("InvalidParameterValueException"), "{member}");
    }
    let mut twice = good.clone();
    let rule = twice["Rules"][0].clone();
    twice["Rules"].as_array_mut().unwrap().push(rule);
    for body in [twice, json!({ "BackupPlanName": "none", "Rules": [] })] {
        let refused = a.call("PUT", "/backup/plans/", json!({ "BackupPlan": body })).await;
        assert_eq!(refused, Err("InvalidParameterValueException"));
    }
    let plan = a
        .call("PUT", "/backup/plans/", json!({ "BackupPlan": good }))
        .await
        .unwrap();
    let path = format!("/backup/plans/{}/selections/", plan["BackupPlanId"].as_str().unwrap());
    for body in [
        json!({ "SelectionName": "s", "IamRoleArn": ROLE }),
        json!({ "SelectionName": "s", "IamRoleArn": "me", "Resources": ["*"] }),
        json!({ "SelectionName": "s", "IamRoleArn": ROLE, "Resources": ["orders"] }),
        json!({ "SelectionName": "s s", "IamRoleArn": ROLE, "Resources": ["*"] }),
    ] {
        let refused = a.call("PUT", &path, json!({ "BackupSelection": body })).await;
        assert_eq!(refused, Err("InvalidParameterValueException"), "{body}");
    }
}
