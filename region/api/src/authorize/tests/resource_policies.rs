//! Every action on a table, an index or a stream × what the resource's own policy says, within an account and across accounts, by
//! whole calls.

use std::collections::BTreeSet;

use geodynamo_policy::{CallerPolicies, PolicyKind};

use super::{
    decisions::{all, all_but, call, caller, is_denied, is_not_offered, text, with},
    *,
};
use crate::Reply;

const OWN: &str = "000000000000";
const OTHER: &str = "111122223333";
const ANN: &str = "arn:aws:iam::000000000000:user/ann";
const STREAM: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/name/stream/2025-11-23T09:26:40.000";

/// Actions on tables that are not there yet, or whose policy is another region's.
const OF_NO_POLICY: [&str; 6] = [
    "dynamodb:AssociateTableReplica",
    "dynamodb:CreateGlobalTableWitness",
    "dynamodb:CreateTable",
    "dynamodb:CreateTableReplica",
    "dynamodb:DeleteGlobalTableWitness",
    "dynamodb:DeleteTableReplica",
];

/// Actions that a caller of another account is not let do, whatever the policies of the table say.
const WITHIN_ONE_ACCOUNT: [&str; 8] = [
    // These name a global table, and no account.
    "dynamodb:CreateGlobalTable",
    "dynamodb:UpdateGlobalTable",
    "dynamodb:UpdateGlobalTableSettings",
    // The bucket is reached with the credentials of the table's account, and buckets have no policies here.
    "dynamodb:ExportTableToPointInTime",
    // The new table is its caller's.
    "dynamodb:ImportTable",
    "dynamodb:RestoreTableFromBackup",
    "dynamodb:RestoreTableToPointInTime",
    // It asks for actions of auto scaling, which knows no policies of tables.
    "dynamodb:UpdateTableReplicaAutoScaling",
];

/// A request about one table or stream, and all that it asks for.
struct Row {
    operation: Operation,
    body: String,
    actions: BTreeSet<&'static str>,
    /// What has the policy: the table (of its indexes, too) or the stream.
    holder: &'static str,
    /// Whether nothing else is asked for, such as a bucket, or auto scaling.
    alone: bool,
}

fn holder_of(resource: &str) -> Option<&'static str> {
    let is_table = resource == TABLE || resource.starts_with(&format!("{TABLE}/index/"));
    if resource == STREAM {
        Some(STREAM)
    } else {
        is_table.then_some(TABLE)
    }
}

/// A request with the table's ARN in the place of its name, as who is of another account has to write it.
fn by_arn(body: &str) -> String {
    let mut written = body
        .replace(r#""TableName":"name""#, &format!(r#""TableName":"{TABLE}""#))
        .replace(r#""RequestItems":{"name""#, &format!(r#""RequestItems":{{"{TABLE}""#));
    for before in ["FROM", "INTO", "UPDATE"] {
        let quoted = format!(r#"{before} \"{TABLE}\""#);
        written = written
            .replace(&format!(r#"{before} \"name\""#), &quoted)
            .replace(&format!("{before} name"), &quoted);
    }
    written
}

async fn rows() -> Vec<Row> {
    let api = api().await;
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        for body in requests(operation) {
            let asked = asked_by(&api, operation, &body);
            let holders: BTreeSet<_> = asked.iter().map(|(_, resource, _)| holder_of(resource)).collect();
            let Some(holder) = holders.iter().flatten().next().copied() else {
                continue;
            };
            let is_own =
                |action: &str, resource: &str| action.starts_with("dynamodb:") && holder_of(resource) == Some(holder);
            let own = asked.iter().filter(|(action, resource, _)| is_own(action, resource));
            rows.push(Row {
                operation,
                actions: own.map(|(action, ..)| *action).collect(),
                holder,
                alone: asked.iter().all(|(action, resource, _)| is_own(action, resource)),
                body,
            });
        }
    }
    rows
}

/// Puts a policy with one statement on what has the row's.
async fn put(api: &Api<MemoryEngine>, holder: &str, effect: &str, principal: &str, actions: &str) {
    let policy = format!(
        r#"{{\"Version\":\"2012-10-17\",\"Statement\":{{\"Effect\":\"{effect}\",\"Principal\":{{\"AWS\":\"{principal}\"}},{actions},\"Resource\":[\"{holder}\",\"{holder}/index/*\"]}}}}"#
    );
    let policy = match holder {
        STREAM => policy.replace(&format!(r#",\"{holder}/index/*\""#), ""),
        _ => policy,
    };
    let put = format!(r#"{{"ResourceArn":"{holder}","Policy":"{policy}"}}"#);
    let reply = call(api, &Caller::root(OWN), Operation::PutResourcePolicy, &put).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
}

/// What a call comes to in a region of its own, whose table or stream has a policy.
async fn told(row: &Row, body: &str, caller: &Caller, effect: &str, principal: &str, actions: &str) -> Reply {
    let api = api().await;
    put(&api, row.holder, effect, principal, actions).await;
    call(&api, caller, row.operation, body).await
}

const EVERY: &str = r#"\"Action\":\"dynamodb:*\""#;

fn every_but(action: &str) -> String {
    format!(r#"\"NotAction\":\"{action}\""#)
}

/// The actions of the reference on tables, indexes and streams that operations ask for.
fn on_tables() -> BTreeSet<String> {
    let has_policy = |kind: &str| ["table", "index", "stream"].contains(&kind);
    let all = reference().into_iter().filter(|(action, row)| {
        row.types().any(has_policy)
            && !OF_NO_OPERATION.contains(&action.as_str())
            && !OF_NO_POLICY.contains(&action.as_str())
    });
    all.map(|(action, _)| action).collect()
}

#[tokio::test]
async fn within_the_account() {
    let mut seen = BTreeSet::new();
    for row in rows().await {
        if row.operation == Operation::CreateTable {
            continue;
        }
        let ann = caller(OWN, with(all()));
        let reply = told(&row, &row.body, &ann, "Deny", ANN, EVERY).await;
        if is_not_offered(&reply) {
            continue;
        }
        let words = "with an explicit deny in a resource-based policy";
        let what = format!("{:?} {}", row.operation, row.body);
        assert!(
            is_denied(&reply) && text(&reply).contains(words),
            "{what}: {}",
            text(&reply)
        );
        for action in &row.actions {
            let only = format!(r#"\"Action\":\"{action}\""#);
            let reply = told(&row, &row.body, &ann, "Deny", ANN, &only).await;
            let is_it = text(&reply).contains(&format!("perform: {action} on")) && text(&reply).contains(words);
            assert!(is_denied(&reply) && is_it, "{what} {action}: {}", text(&reply));
            seen.insert(*action);
        }
        // The resource's policy alone is enough; that of the account is not.
        let nobody = caller(OWN, CallerPolicies::default());
        if row.alone {
            let reply = told(&row, &row.body, &nobody, "Allow", ANN, EVERY).await;
            assert!(!is_denied(&reply), "{what}: {}", text(&reply));
        }
        let reply = told(&row, &row.body, &nobody, "Allow", OWN, EVERY).await;
        assert!(is_denied(&reply), "{what}: {}", text(&reply));
    }
    let missing: Vec<_> = on_tables()
        .into_iter()
        .filter(|action| !seen.contains(&**action))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[tokio::test]
async fn across_accounts() {
    let mut seen = BTreeSet::new();
    for row in rows().await {
        let body = by_arn(&row.body);
        if !row.alone || !body.contains(row.holder) {
            continue;
        }
        let what = format!("{:?} {body}", row.operation);
        let stranger = caller(OTHER, with(all()));
        let nobody = caller(OTHER, CallerPolicies::default());
        // One side is not enough, whichever.
        let reply = told(&row, &body, &stranger, "Allow", ANN, EVERY).await;
        if is_not_offered(&reply) {
            continue;
        }
        assert!(is_denied(&reply), "{what}: {}", text(&reply));
        let reply = told(&row, &body, &nobody, "Allow", OTHER, EVERY).await;
        assert!(is_denied(&reply), "{what}: {}", text(&reply));
        for action in &row.actions {
            let about_it = format!("perform: {action} on");
            let reply = told(&row, &body, &stranger, "Allow", OTHER, &every_but(action)).await;
            let words = "because no resource-based policy allows";
            let is_it = text(&reply).contains(&about_it) && text(&reply).contains(words);
            assert!(is_denied(&reply) && is_it, "{what} {action}: {}", text(&reply));
            let but = caller(OTHER, with(all_but(action, PolicyKind::Identity)));
            let reply = told(&row, &body, &but, "Allow", OTHER, EVERY).await;
            let words = "because no identity-based policy allows";
            let is_it = text(&reply).contains(&about_it) && text(&reply).contains(words);
            assert!(is_denied(&reply) && is_it, "{what} {action}: {}", text(&reply));
        }
        let reply = told(&row, &body, &stranger, "Allow", OTHER, EVERY).await;
        assert!(!is_denied(&reply), "{what}: {}", text(&reply));
        seen.extend(row.actions);
    }
    let across: BTreeSet<_> = seen.into_iter().map(str::to_owned).collect();
    let missing: Vec<_> = on_tables().difference(&across).cloned().collect();
    assert_eq!(
        missing,
        BTreeSet::from(WITHIN_ONE_ACCOUNT).into_iter().collect::<Vec<_>>()
    );
}
