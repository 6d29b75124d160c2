//! Every operation is held against the Service Authorization Reference.

mod decisions;
mod resource_policies;

use std::collections::{BTreeMap, BTreeSet};

use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};
use geodynamo_reference::{Action, Service};
use geodynamo_replicator_core::{ReplicaId, parking::ParkingLimits};
use geodynamo_storage::{MemoryEngine, Spanning};
use geodynamo_table::{Options, Tables, TimeSource};

use super::*;
use crate::{
    Operation,
    generated::{samples::SAMPLES, *},
};

#[derive(Debug)]
struct Still;

impl TimeSource for Still {
    fn now_ms(&self) -> u64 {
        1_763_890_000_000
    }
}

/// A region with a table `name`, whose key is `name`, with an index of that name and a stream.
async fn api() -> Api<MemoryEngine> {
    let options = Options {
        region: "us-east-1".into(),
        regions: vec!["us-east-1".into()],
        account: "000000000000".into(),
        partitions: 4,
        streams: Default::default(),
        parking: ParkingLimits::default(),
        ttl: Default::default(),
        throttle: Default::default(),
        time: Arc::new(Still),
        verify: Default::default(),
        collect: Default::default(),
        collection_bytes_max: geodynamo_table::COLLECTION_BYTES_MAX,
        new_replica: ReplicaId(7),
        following: false,
    };
    let tables = Tables::open(MemoryEngine::new(Spanning::Yes), options).await.unwrap();
    let api = Api::new(tables, "127.0.0.1:8000");
    let create = r#"{"TableName":"name","BillingMode":"PAY_PER_REQUEST",
        "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"},"Tags":[{"Key":"name","Value":"x"}],
        "AttributeDefinitions":[{"AttributeName":"name","AttributeType":"S"}],
        "KeySchema":[{"AttributeName":"name","KeyType":"HASH"}],
        "GlobalSecondaryIndexes":[{"IndexName":"name","Projection":{"ProjectionType":"ALL"},
            "KeySchema":[{"AttributeName":"name","KeyType":"HASH"}]}]}"#;
    let root = Caller::root("000000000000");
    let reply = api
        .call(Call::of(&root), "DynamoDB_20120810.CreateTable", create.as_bytes())
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    api.with_authorization(Authorization::Enforce)
}

fn ann() -> Caller {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let policy = Policy::parse(text, PolicyKind::Identity).unwrap();
    let mut caller = Caller::user("000000000000", "/", "ann", "AIDAANNANNANNANNANNAN");
    caller.policies.identity.push(NamedPolicy::new("all", Arc::new(policy)));
    caller
}

/// What a request asks for: action, resource, keys.
type Asked = Vec<(&'static str, String, Vec<&'static str>)>;

fn ask<T: Structure + Authorize>(api: &Api<MemoryEngine>, operation: Operation, body: &str) -> Asked {
    let caller = ann();
    let api = api.of(&Call::of(&caller), body.as_bytes());
    let gate = Gate::new(&api, Call::of(&caller), operation);
    let authorized = gate.checked::<T>(body.as_bytes());
    // ARNs of samples are of nothing that is there; what is another account's is denied.
    if let Err(error) = authorized {
        let of_others = body.contains("999988887777");
        assert!(
            of_others || error.name() != "AccessDeniedException",
            "{body}: {error:?}"
        );
    }
    gate.asked.into_inner().unwrap()
}

/// Whoever adds an operation says here which input it has, and so what it asks for.
fn asked_by(api: &Api<MemoryEngine>, operation: Operation, body: &str) -> Asked {
    macro_rules! of {
        ($($operation:ident => $input:ident,)*) => {
            match operation {
                $(Operation::$operation => ask::<$input>(api, operation, body),)*
            }
        };
    }
    of! {
        BatchExecuteStatement => BatchExecuteStatementInput,
        BatchGetItem => BatchGetItemInput,
        BatchWriteItem => BatchWriteItemInput,
        CancelBulkOperation => CancelBulkOperationInput,
        CreateBackup => CreateBackupInput,
        CreateGlobalTable => CreateGlobalTableInput,
        CreateTable => CreateTableInput,
        DeleteBackup => DeleteBackupInput,
        DeleteItem => DeleteItemInput,
        DeleteResourcePolicy => DeleteResourcePolicyInput,
        DeleteTable => DeleteTableInput,
        DescribeBackup => DescribeBackupInput,
        DescribeBulkOperation => DescribeBulkOperationInput,
        DescribeContinuousBackups => DescribeContinuousBackupsInput,
        DescribeContributorInsights => DescribeContributorInsightsInput,
        DescribeEndpoints => DescribeEndpointsRequest,
        DescribeExport => DescribeExportInput,
        DescribeGlobalTable => DescribeGlobalTableInput,
        DescribeGlobalTableSettings => DescribeGlobalTableSettingsInput,
        DescribeImport => DescribeImportInput,
        DescribeKinesisStreamingDestination => DescribeKinesisStreamingDestinationInput,
        DescribeLimits => DescribeLimitsInput,
        DescribeStream => DescribeStreamInput,
        DescribeTable => DescribeTableInput,
        DescribeTableReplicaAutoScaling => DescribeTableReplicaAutoScalingInput,
        DescribeTimeToLive => DescribeTimeToLiveInput,
        DisableKinesisStreamingDestination => KinesisStreamingDestinationInput,
        EnableKinesisStreamingDestination => KinesisStreamingDestinationInput,
        ExecuteStatement => ExecuteStatementInput,
        ExecuteTransaction => ExecuteTransactionInput,
        ExportTableToPointInTime => ExportTableToPointInTimeInput,
        GetItem => GetItemInput,
        GetRecords => GetRecordsInput,
        GetResourcePolicy => GetResourcePolicyInput,
        GetShardIterator => GetShardIteratorInput,
        ImportTable => ImportTableInput,
        ListBackups => ListBackupsInput,
        ListBulkOperations => ListBulkOperationsInput,
        ListContributorInsights => ListContributorInsightsInput,
        ListExports => ListExportsInput,
        ListGlobalTables => ListGlobalTablesInput,
        ListImports => ListImportsInput,
        ListStreams => ListStreamsInput,
        ListTables => ListTablesInput,
        ListTagsOfResource => ListTagsOfResourceInput,
        PutItem => PutItemInput,
        PutResourcePolicy => PutResourcePolicyInput,
        Query => QueryInput,
        RestoreTableFromBackup => RestoreTableFromBackupInput,
        RestoreTableToPointInTime => RestoreTableToPointInTimeInput,
        Scan => ScanInput,
        SearchVectors => SearchVectorsInput,
        StartBulkPutItems => StartBulkPutItemsInput,
        TagResource => TagResourceInput,
        TransactGetItems => TransactGetItemsInput,
        TransactWriteItems => TransactWriteItemsInput,
        UntagResource => UntagResourceInput,
        UpdateContinuousBackups => UpdateContinuousBackupsInput,
        UpdateContributorInsights => UpdateContributorInsightsInput,
        UpdateGlobalTable => UpdateGlobalTableInput,
        UpdateGlobalTableSettings => UpdateGlobalTableSettingsInput,
        UpdateItem => UpdateItemInput,
        UpdateKinesisStreamingDestination => UpdateKinesisStreamingDestinationInput,
        UpdateTable => UpdateTableInput,
        UpdateTableReplicaAutoScaling => UpdateTableReplicaAutoScalingInput,
        UpdateTimeToLive => UpdateTimeToLiveInput,
    }
}

const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/name";

/// Requests of operations whose samples have no expressions, statements and ARNs that are any.
fn requests(operation: Operation) -> Vec<String> {
    let key = r#"{"name":{"S":"x"}}"#;
    let of_arn = |member: &str, resource: &str| {
        format!(r#"{{"{member}":"arn:aws:dynamodb:us-east-1:000000000000:{resource}"}}"#)
    };
    let stream = "table/name/stream/2025-11-23T09:26:40.000";
    let transact = |statement: &str| format!(r#"{{"TransactStatements":[{{"Statement":"{statement}"}}]}}"#);
    match operation {
        Operation::Query => {
            let query = r#""TableName":"name","KeyConditionExpression":"#;
            let names = r##""ExpressionAttributeNames":{"#n":"name"},"ExpressionAttributeValues":{":v":{"S":"x"}}"##;
            vec![
                format!(r##"{{{query}"#n = :v",{names}}}"##),
                format!(r##"{{{query}"#n = :v",{names},"IndexName":"name"}}"##),
            ]
        }
        Operation::Scan => vec![
            r#"{"TableName":"name"}"#.into(),
            r#"{"TableName":"name","IndexName":"name"}"#.into(),
        ],
        Operation::GetItem => vec![format!(r#"{{"TableName":"name","Key":{key}}}"#)],
        Operation::DeleteItem => vec![format!(r#"{{"TableName":"name","Key":{key}}}"#)],
        Operation::UpdateItem => vec![format!(
            r#"{{"TableName":"name","Key":{key},"UpdateExpression":"REMOVE b"}}"#
        )],
        Operation::PutItem => vec![format!(r#"{{"TableName":"{TABLE}","Item":{key}}}"#)],
        Operation::BatchGetItem => vec![format!(r#"{{"RequestItems":{{"name":{{"Keys":[{key}]}}}}}}"#)],
        Operation::BatchWriteItem => vec![format!(
            r#"{{"RequestItems":{{"name":[{{"PutRequest":{{"Item":{key}}}}},{{"DeleteRequest":{{"Key":{key}}}}}]}}}}"#
        )],
        Operation::TransactGetItems => {
            vec![format!(
                r#"{{"TransactItems":[{{"Get":{{"TableName":"name","Key":{key}}}}}]}}"#
            )]
        }
        Operation::TransactWriteItems => vec![format!(
            r#"{{"TransactItems":[{{"Put":{{"TableName":"name","Item":{key}}}}},{{"Delete":{{"TableName":"name","Key":{key}}}}},
                {{"Update":{{"TableName":"name","Key":{key},"UpdateExpression":"REMOVE b"}}}},
                {{"ConditionCheck":{{"TableName":"name","Key":{key},"ConditionExpression":"attribute_exists(b)"}}}}]}}"#
        )],
        Operation::ExecuteStatement => vec![
            r#"{"Statement":"SELECT * FROM name"}"#.into(),
            r#"{"Statement":"SELECT * FROM \"name\".\"name\""}"#.into(),
        ],
        Operation::ExecuteTransaction => [
            "SELECT * FROM name WHERE name = 'x'",
            "INSERT INTO name VALUE {'name': 'x'}",
            "UPDATE name SET b = 1 WHERE name = 'x'",
            "DELETE FROM name WHERE name = 'x'",
            "EXISTS(SELECT * FROM name WHERE name = 'x')",
        ]
        .into_iter()
        .map(transact)
        .collect(),
        Operation::DescribeStream => vec![of_arn("StreamArn", stream)],
        Operation::GetShardIterator => vec![of_arn("StreamArn", stream).replace(
            '}',
            r#","ShardId":"shardId-00000000000000000000-00000000","ShardIteratorType":"LATEST"}"#,
        )],
        Operation::GetRecords => vec![format!(
            r#"{{"ShardIterator":"arn:aws:dynamodb:us-east-1:000000000000:{stream}|1|x"}}"#
        )],
        Operation::GetResourcePolicy | Operation::DeleteResourcePolicy => {
            vec![of_arn("ResourceArn", "table/name"), of_arn("ResourceArn", stream)]
        }
        Operation::PutResourcePolicy => [of_arn("ResourceArn", "table/name"), of_arn("ResourceArn", stream)]
            .map(|body| body.replace('}', r#","Policy":"x"}"#))
            .into(),
        Operation::ListTagsOfResource => vec![of_arn("ResourceArn", "table/name")],
        Operation::TagResource => {
            vec![of_arn("ResourceArn", "table/name").replace('}', r#","Tags":[{"Key":"name","Value":"x"}]}"#)]
        }
        Operation::UntagResource => vec![of_arn("ResourceArn", "table/name").replace('}', r#","TagKeys":["name"]}"#)],
        Operation::DescribeBackup | Operation::DeleteBackup => {
            vec![of_arn("BackupArn", "table/name/backup/01489602797149-73d8d5bc")]
        }
        Operation::RestoreTableFromBackup => vec![
            of_arn("BackupArn", "table/name/backup/01489602797149-73d8d5bc")
                .replace('}', r#","TargetTableName":"name"}"#),
        ],
        Operation::RestoreTableToPointInTime => vec![r#"{"SourceTableName":"name","TargetTableName":"other"}"#.into()],
        Operation::DescribeExport => vec![of_arn("ExportArn", "table/name/export/01695353076000-a1b2c3d4")],
        Operation::DescribeImport => vec![of_arn("ImportArn", "table/name/import/01658528578619-c4d4e311")],
        Operation::ExportTableToPointInTime => {
            vec![of_arn("TableArn", "table/name").replace('}', r#","S3Bucket":"name"}"#)]
        }
        Operation::DescribeContributorInsights => vec![
            r#"{"TableName":"name"}"#.into(),
            r#"{"TableName":"name","IndexName":"name"}"#.into(),
        ],
        Operation::UpdateContributorInsights => vec![
            r#"{"TableName":"name","ContributorInsightsAction":"ENABLE"}"#.into(),
            r#"{"TableName":"name","IndexName":"name","ContributorInsightsAction":"ENABLE"}"#.into(),
        ],
        Operation::DescribeBulkOperation | Operation::CancelBulkOperation => {
            vec![of_arn(
                "BulkOperationArn",
                "table/name/bulk-operation/01658528578619-c4d4e311",
            )]
        }
        _ => {
            let samples = SAMPLES
                .iter()
                .filter(|sample| sample.input && sample.operation == operation);
            samples.map(|sample| sample.json.to_owned()).collect()
        }
    }
}

/// The reference's actions of DynamoDB.
fn reference() -> BTreeMap<String, Action> {
    let service = Service::named("dynamodb").unwrap();
    let named = service.actions.into_iter();
    named
        .map(|(name, action)| (format!("dynamodb:{name}"), action))
        .collect()
}

/// Operations that are newer than the reference.
const NEWER: [&str; 5] = [
    "dynamodb:SearchVectors",
    "dynamodb:StartBulkPutItems",
    "dynamodb:ListBulkOperations",
    "dynamodb:DescribeBulkOperation",
    "dynamodb:CancelBulkOperation",
];

/// Actions that no operation of the API asks for.
const OF_NO_OPERATION: [&str; 12] = [
    "dynamodb:DescribeReservedCapacity",
    "dynamodb:DescribeReservedCapacityOfferings",
    "dynamodb:GetAbacStatus",
    "dynamodb:InjectError",
    "dynamodb:PurchaseReservedCapacityOfferings",
    "dynamodb:ReadDataForReplication",
    "dynamodb:ReplicateSettings",
    "dynamodb:RestoreTableFromAwsBackup",
    "dynamodb:StartAwsBackupJob",
    "dynamodb:UpdateAbacStatus",
    "dynamodb:UpdateGlobalTableVersion",
    "dynamodb:WriteDataForReplication",
];

fn kind_of(resource: &str) -> &str {
    if resource == "*" {
        return "";
    }
    let path = resource.splitn(6, ':').nth(5).unwrap_or_default();
    ["index", "stream", "backup", "export", "import"]
        .into_iter()
        .find(|kind| path.contains(&format!("/{kind}/")))
        .unwrap_or(if path.starts_with("global-table/") {
            "global-table"
        } else {
            "table"
        })
}

#[tokio::test]
async fn every_operation_asks_for_what_the_reference_lists() {
    let api = api().await;
    let reference = reference();
    assert_eq!(reference.len(), 78);
    // Of each action, the kinds of resources it was asked for, and all keys.
    let mut seen: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for operation in Operation::ALL {
        let requests = requests(operation);
        let asked: Asked = requests
            .iter()
            .flat_map(|body| asked_by(&api, operation, body))
            .collect();
        let of_each = operation == Operation::BatchExecuteStatement;
        assert!(
            !asked.is_empty() || of_each,
            "{operation:?} asks for nothing: {requests:?}"
        );
        // Other services have references of their own.
        let is_own = |action: &str| action.starts_with("dynamodb:");
        for (action, resource, keys) in asked.into_iter().filter(|(action, ..)| is_own(action)) {
            let (kinds, all) = seen.entry(action).or_default();
            kinds.insert(kind_of(&resource).to_owned());
            let kind = kind_of(&resource);
            let row = reference.get(action);
            assert!(
                row.is_some() || NEWER.contains(&action),
                "{action} is not in the reference"
            );
            let Some(row) = row else { continue };
            let fits = row.takes(Some(kind).filter(|kind| !kind.is_empty()));
            assert!(fits, "{action} on {resource}: {row:?}");
            all.extend(keys.into_iter().map(str::to_owned));
        }
    }
    for (action, (kinds, keys)) in &seen {
        let Some(row) = reference.get(*action) else { continue };
        let written = |key: &String| key.to_lowercase().replace("${tagkey}", "name");
        let mut expected: BTreeSet<String> = row.keys.iter().map(written).collect();
        let mut keys = keys.clone();
        // Tables and indexes have tags, whatever the action.
        keys.remove("aws:resourcetag/name");
        // These are not the reference's, which has them by their own names beside LeadingKeys.
        if matches!(*action, "dynamodb:PartiQLInsert") {
            keys.remove("dynamodb:returnvalues");
        }
        if *action == "dynamodb:ConditionCheckItem" {
            keys.remove("dynamodb:enclosingoperation");
        }
        if action.starts_with("dynamodb:PartiQL") {
            expected.remove("dynamodb:returnconsumedcapacity");
        }
        assert_eq!(keys, expected, "{action}");
        let missing: Vec<_> = row.types().filter(|kind| !kinds.contains(*kind)).collect();
        assert!(missing.is_empty(), "{action}: {missing:?}");
    }
    for action in reference.keys() {
        let asked = seen.contains_key(action.as_str());
        assert_ne!(asked, OF_NO_OPERATION.contains(&action.as_str()), "{action}");
    }
}

#[tokio::test]
async fn exports_and_imports_ask_for_their_bucket_too() {
    let api = api().await;
    let check = |operation, body: &str, expect: &[(&str, &str)]| {
        let asked = asked_by(&api, operation, body);
        let asked: Vec<_> = asked
            .iter()
            .filter(|(action, ..)| action.starts_with("s3:"))
            .map(|(action, resource, _)| (*action, resource.as_str()))
            .collect();
        assert_eq!(asked, expect, "{body}");
    };
    for (prefix, key) in [
        ("", "AWSDynamoDB/"),
        (r#","S3Prefix":"a/b""#, "a/b/AWSDynamoDB/"),
        (r#","S3Prefix":"a/""#, "a/AWSDynamoDB/"),
    ] {
        let body = format!(r#"{{"TableArn":"{TABLE}","S3Bucket":"lake"{prefix}}}"#);
        let object = format!("arn:aws:s3:::lake/{key}");
        check(Operation::ExportTableToPointInTime, &body, &[("s3:PutObject", &object)]);
    }
    let table = r#""TableCreationParameters":{"TableName":"name","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}]}"#;
    check(
        Operation::ImportTable,
        &format!(r#"{{"S3BucketSource":{{"S3Bucket":"lake","S3KeyPrefix":"a/b"}},"InputFormat":"ION",{table}}}"#),
        &[
            ("s3:ListBucket", "arn:aws:s3:::lake"),
            ("s3:GetObject", "arn:aws:s3:::lake/a/b"),
        ],
    );
    check(
        Operation::StartBulkPutItems,
        r#"{"TableName":"name","InputS3Configuration":{"S3Bucket":"lake","S3KeyPrefix":"a/b","InputFormat":"ION"},
            "OutputS3Configuration":{"S3Bucket":"told","S3KeyPrefix":"c","OutputType":["ERROR"]}}"#,
        &[
            ("s3:ListBucket", "arn:aws:s3:::lake"),
            ("s3:GetObject", "arn:aws:s3:::lake/a/b"),
            ("s3:PutObject", "arn:aws:s3:::told/c/AWSDynamoDB/"),
        ],
    );
}

#[tokio::test]
async fn what_requests_ask_for() {
    let api = api().await;
    let check = |operation, body: &str, expect: &[(&str, &str)]| {
        let asked = asked_by(&api, operation, body);
        let asked: Vec<_> = asked
            .iter()
            .map(|(action, resource, _)| (*action, resource.as_str()))
            .collect();
        let arn = |resource: &str| match resource {
            "*" => "*".to_owned(),
            other => format!("arn:aws:dynamodb:{other}"),
        };
        let expect: Vec<_> = expect
            .iter()
            .map(|(action, resource)| (format!("dynamodb:{action}"), arn(resource)))
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(action, resource)| (action.as_str(), resource.as_str()))
            .collect();
        assert_eq!(asked, expect, "{body}");
    };
    let table = "us-east-1:000000000000:table/name";
    let (made, removed) = ("eu-west-1:000000000000:table/name", "eu-west-2:000000000000:table/name");
    check(
        Operation::UpdateTable,
        r#"{"TableName":"name","ReplicaUpdates":[{"Create":{"RegionName":"eu-west-1"}},{"Delete":{"RegionName":"eu-west-2"}}]}"#,
        &[
            ("UpdateTable", table),
            ("CreateTable", made),
            ("CreateTableReplica", made),
            ("Query", made),
            ("Scan", made),
            ("UpdateItem", made),
            ("PutItem", made),
            ("GetItem", made),
            ("DeleteItem", made),
            ("BatchWriteItem", made),
            ("DeleteTable", removed),
            ("DeleteTableReplica", removed),
        ],
    );
    check(
        Operation::UpdateContributorInsights,
        r#"{"TableName":"name","IndexName":"name","ContributorInsightsAction":"ENABLE"}"#,
        &[(
            "UpdateContributorInsights",
            "us-east-1:000000000000:table/name/index/name",
        )],
    );
    let create = r#"{"TableName":"new","Tags":[{"Key":"a","Value":"b"}],"ResourcePolicy":"{}","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}]}"#;
    let new = "us-east-1:000000000000:table/new";
    check(
        Operation::CreateTable,
        create,
        &[("CreateTable", new), ("TagResource", new), ("PutResourcePolicy", new)],
    );
    check(Operation::ListTables, "{}", &[("ListTables", "*")]);
    // What does not exist is asked for, too.
    check(
        Operation::DescribeTable,
        r#"{"TableName":"none"}"#,
        &[("DescribeTable", "us-east-1:000000000000:table/none")],
    );
    // Of another account: its ARN, whether it has such a table or not.
    let other = "us-east-1:999988887777:table/name";
    check(
        Operation::DescribeTable,
        &format!(r#"{{"TableName":"arn:aws:dynamodb:{other}"}}"#),
        &[("DescribeTable", other)],
    );
}

#[tokio::test]
async fn scaling_of_replicas_asks_for_what_it_changes_in_their_regions() {
    let api = api().await;
    let body = r#"{"TableName":"name","ReplicaUpdates":[{"RegionName":"eu-west-1"}]}"#;
    let asked = asked_by(&api, Operation::UpdateTableReplicaAutoScaling, body);
    let of = |region: &str| {
        let table = format!("arn:aws:dynamodb:{region}:000000000000:table/name");
        let asked = asked
            .iter()
            .filter(|(action, resource, _)| action.starts_with("application-autoscaling:") && *resource == table);
        asked.count()
    };
    assert_eq!((of("us-east-1"), of("eu-west-1")), (10, 10), "{asked:?}");
}
