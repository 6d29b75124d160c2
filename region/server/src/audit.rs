//! What the audit trail tells of calls.

use std::sync::Arc;

use geodynamo_api::Operation;
use geodynamo_audit::{Event, Options, Resource, Trail};
use geodynamo_backup::Reply as BackupReply;
use geodynamo_iam::{Reply as IamReply, ServiceName, is_reading};
use geodynamo_triggers::Reply as TriggerReply;
use serde_json::{Map, Value};

use crate::{
    config::Config,
    handler::{Origin, Reply},
    metrics::{MetricsRegistry, catalogue},
};

/// What is told of a call about items: what it asked for, but no item, key or expression.
const TOLD_OF_DATA: [&str; 13] = [
    "TableName",
    "IndexName",
    "ConsistentRead",
    "Select",
    "Limit",
    "ScanIndexForward",
    "Segment",
    "TotalSegments",
    "ReturnConsumedCapacity",
    "ReturnItemCollectionMetrics",
    "ReturnValues",
    "StreamArn",
    "ShardId",
];

/// A running trail, and what goes into it.
pub(crate) struct Auditing {
    trail: Arc<Trail>,
    data_events: bool,
    region: String,
}

impl Auditing {
    /// The trail of a configuration, if it has one.
    pub(crate) fn start(config: &Config, registry: &MetricsRegistry) -> std::io::Result<Option<Self>> {
        let Some(path) = config.audit.file() else {
            return Ok(None);
        };
        let trail = Arc::new(Trail::open(Options {
            path: path.to_owned(),
            file_bytes_max: config.audit.max_mb.get() << 20,
            files: config.audit.files.to_usize(),
            region: config.region.to_string(),
        })?);
        let (written, lost) = (Arc::clone(&trail), Arc::clone(&trail));
        registry.register_reading(&catalogue::AUDIT_RECORDS_WRITTEN, move || written.counts().written);
        registry.register_reading(&catalogue::AUDIT_RECORDS_LOST, move || lost.counts().lost);
        Ok(Some(Self {
            trail,
            data_events: config.audit.data_events,
            region: config.region.to_string(),
        }))
    }

    /// Whether calls of an operation are recorded.
    pub(crate) fn wants(&self, operation: Operation) -> bool {
        self.data_events || !is_data(operation)
    }

    /// Records a call to DynamoDB.
    pub(crate) fn dynamodb(&self, origin: &Origin, now_unix_s: i64, operation: Operation, body: &[u8], reply: &Reply) {
        let caller = &*origin.principal.caller;
        let mut asked: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let is_data = is_data(operation);
        let of_import = asked
            .get("TableCreationParameters")
            .and_then(|table| table.get("TableName"));
        let table = asked.get("TableName").or(of_import);
        let table = table.and_then(Value::as_str).unwrap_or_default();
        let arn = match asked
            .get("ResourceArn")
            .or(asked.get("StreamArn"))
            .or(asked.get("TableArn"))
            .and_then(Value::as_str)
        {
            Some(arn) => arn.to_owned(),
            None if table.is_empty() || table.starts_with("arn:") => table.to_owned(),
            None => format!("arn:aws:dynamodb:{}:{}:table/{table}", self.region, caller.account),
        };
        if is_data {
            asked.retain(|name, _| TOLD_OF_DATA.contains(&name.as_str()));
        }
        // It has values of items.
        asked.remove("FilterSpecification");
        let answered: Option<Map<String, Value>> = (!reply.status.is_success())
            .then(|| serde_json::from_slice(&reply.body).ok())
            .flatten();
        let text = |name: &str| answered.as_ref().and_then(|map| map.get(name)).and_then(Value::as_str);
        let code = text("__type").map(|kind| kind.rsplit('#').next().unwrap_or(kind));
        let words = text("message").or(text("Message")).unwrap_or_default();
        let kind = if arn.contains("/stream/") {
            "AWS::DynamoDB::Stream"
        } else {
            "AWS::DynamoDB::Table"
        };
        let resource = Resource { arn: &arn, kind };
        self.record(Event {
            service: "dynamodb",
            name: operation.name(),
            error: code.map(|code| (code, words)),
            parameters: lower_camel(Value::Object(asked)),
            resources: Some(resource)
                .filter(|resource| !resource.arn.is_empty())
                .into_iter()
                .collect(),
            read_only: is_reading(operation.name()) || reads(operation.name()),
            is_data,
            ..event(origin, now_unix_s)
        });
    }

    /// Records a call to IAM or STS.
    pub(crate) fn iam(&self, origin: &Origin, now_unix_s: i64, service: ServiceName, reply: &IamReply) {
        // What is no operation is no call.
        let Some(name) = reply.operation else { return };
        let resources = reply.resources.iter().filter(|arn| *arn != "*").map(|arn| Resource {
            arn,
            kind: kind_of(arn),
        });
        self.record(Event {
            service: service.scope(),
            name,
            error: reply.error.as_ref().map(|error| (error.code, error.message.as_str())),
            parameters: reply.parameters.clone(),
            elements: reply.elements.clone(),
            resources: resources.collect(),
            read_only: is_reading(name) || service == ServiceName::Sts,
            ..event(origin, now_unix_s)
        });
    }

    /// Records a call to Lambda.
    pub(crate) fn lambda(&self, origin: &Origin, now_unix_s: i64, reply: &TriggerReply) {
        // What is no operation is no call.
        let Some(name) = reply.name else { return };
        let resource = reply.resource.as_deref().filter(|arn| *arn != "*");
        let resources = resource.map(|arn| Resource {
            arn,
            kind: "AWS::Lambda::EventSourceMapping",
        });
        self.record(Event {
            service: geodynamo_access::LAMBDA,
            name,
            error: reply.error.as_ref().map(|error| (error.code, error.message.as_str())),
            parameters: lower_camel(reply.parameters.clone()),
            resources: resources.into_iter().collect(),
            read_only: is_reading(name),
            ..event(origin, now_unix_s)
        });
    }

    /// Records a call to AWS Backup.
    pub(crate) fn backup(&self, origin: &Origin, now_unix_s: i64, reply: &BackupReply) {
        // What is no operation is no call.
        let Some(name) = reply.name else { return };
        let resource = reply.resource.as_deref().filter(|arn| *arn != "*");
        let kind = |arn: &str| match arn {
            arn if arn.contains(":backup-vault:") => "AWS::Backup::BackupVault",
            arn if arn.contains(":backup-plan:") => "AWS::Backup::BackupPlan",
            _ => "AWS::Backup::RecoveryPoint",
        };
        let resources = resource.map(|arn| Resource { arn, kind: kind(arn) });
        self.record(Event {
            service: geodynamo_access::BACKUP,
            name,
            error: reply.error.as_ref().map(|error| (error.code, error.message.as_str())),
            parameters: lower_camel(reply.parameters.clone()),
            resources: resources.into_iter().collect(),
            read_only: is_reading(name) || name.starts_with("Describe"),
            ..event(origin, now_unix_s)
        });
    }

    /// Records a call to Application Auto Scaling.
    pub(crate) fn scaling(&self, origin: &Origin, now_unix_s: i64, target: &str, body: &[u8], reply: &Reply) {
        let name = target.rsplit('.').next().unwrap_or_default();
        let parameters = serde_json::from_slice(body).unwrap_or(Value::Null);
        let answered: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let error = answered["__type"].as_str().filter(|_| !reply.status.is_success());
        self.record(Event {
            service: geodynamo_scaling::SERVICE,
            name,
            error: error.map(|code| (code, answered["Message"].as_str().unwrap_or_default())),
            parameters: lower_camel(parameters),
            read_only: is_reading(name) || name.starts_with("Describe"),
            ..event(origin, now_unix_s)
        });
    }

    fn record(&self, event: Event<'_>) {
        self.trail.record(&event);
    }
}

fn event(origin: &Origin, now_unix_s: i64) -> Event<'_> {
    Event {
        caller: &origin.principal.caller,
        access_key_id: &origin.principal.access_key_id,
        service: "",
        name: "",
        now_unix_s,
        source_ip: origin.source_ip,
        user_agent: origin.user_agent(),
        request_id: origin.request_id(),
        error: None,
        parameters: Value::Null,
        elements: Value::Null,
        resources: Vec::new(),
        read_only: false,
        is_data: false,
    }
}

/// Whether an operation is about items: CloudTrail's data events.
fn is_data(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetItem
            | Operation::PutItem
            | Operation::UpdateItem
            | Operation::DeleteItem
            | Operation::Query
            | Operation::Scan
            | Operation::BatchGetItem
            | Operation::BatchWriteItem
            | Operation::BatchExecuteStatement
            | Operation::ExecuteStatement
            | Operation::ExecuteTransaction
            | Operation::TransactGetItems
            | Operation::TransactWriteItems
            | Operation::GetRecords
            | Operation::GetShardIterator
    )
}

fn reads(name: &str) -> bool {
    ["Describe", "Query", "Scan", "BatchGet", "TransactGet"]
        .iter()
        .any(|verb| name.starts_with(verb))
}

fn kind_of(arn: &str) -> &'static str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    match resource.split('/').next() {
        Some("user") => "AWS::IAM::User",
        Some("group") => "AWS::IAM::Group",
        Some("role") => "AWS::IAM::Role",
        Some("policy") => "AWS::IAM::Policy",
        Some("oidc-provider") => "AWS::IAM::OIDCProvider",
        _ => "AWS::Account",
    }
}

/// Names as CloudTrail has them.
fn lower_camel(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let mut characters = name.chars();
                let first = characters.next().map(|first| first.to_ascii_lowercase());
                (first.into_iter().chain(characters).collect(), lower_camel(value))
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(members) => members.into_iter().map(lower_camel).collect(),
        other => other,
    }
}
