//! What the audit trail tells of calls.

mod secrets;

use std::sync::Arc;

use geodynamo_access::Principal;
use geodynamo_admin::{AdminChange, Recorder};
use geodynamo_api::{Operation, tables_named};
use geodynamo_audit::{Event, Options, Resource, Trail};
use geodynamo_backup::Reply as BackupReply;
use geodynamo_http::{Origin, Reply};
use geodynamo_iam::{Reply as IamReply, ServiceName, is_reading};
use geodynamo_metrics::{MetricsRegistry, catalogue};
use geodynamo_triggers::Reply as TriggerReply;
use serde_json::{Map, Value, json};

use crate::config::{Config, DataEvents};

/// In the place of words that may hold values of items.
const WITHHELD: &str = "The request is not valid.";
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
#[derive(Debug)]
pub struct Auditing {
    trail: Arc<Trail>,
    data_events: DataEvents,
    item_data: bool,
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
            data_events: config.audit.data_events.clone(),
            item_data: config.audit.item_data,
            region: config.region.to_string(),
        }))
    }

    /// Whether calls of an operation may be recorded: it goes by their tables, if they are about items.
    pub(crate) fn wants(&self, operation: Operation) -> bool {
        self.data_events.are_some() || !is_data(operation)
    }

    /// Records a call to DynamoDB.
    pub(crate) fn dynamodb(&self, origin: &Origin, now_unix_s: i64, operation: Operation, body: &[u8], reply: &Reply) {
        let caller = &*origin.principal.caller;
        let mut asked: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let is_data = is_data(operation);
        let arns = self.arns(&caller.account, operation, body, &asked);
        let is_wanted = |arn: &String| self.data_events.are_of(table_in(arn));
        if is_data && !arns.iter().any(is_wanted) && !(arns.is_empty() && self.data_events == DataEvents::All(true)) {
            return;
        }
        if is_data && !self.item_data {
            asked.retain(|name, _| TOLD_OF_DATA.contains(&name.as_str()));
        }
        // It has values of items.
        asked.remove("FilterSpecification");
        let read_only = is_reading(operation.name()) || reads(operation.name());
        // Of what went well only changes of tables tell what came of them.
        let is_told = !reply.status.is_success() || !(is_data || read_only);
        let answered: Option<Map<String, Value>> = is_told.then(|| serde_json::from_slice(&reply.body).ok()).flatten();
        let text = |name: &str| answered.as_ref().and_then(|map| map.get(name)).and_then(Value::as_str);
        let code = text("__type")
            .filter(|_| !reply.status.is_success())
            .map(|kind| kind.rsplit('#').next().unwrap_or(kind));
        let words = match text("message").or(text("Message")) {
            // What is wrong with a request may be a value of it.
            Some(_) if is_data && !self.item_data && code == Some("ValidationException") => WITHHELD,
            words => words.unwrap_or_default(),
        };
        let resources = arns.iter().map(|arn| Resource {
            arn,
            kind: match arn.contains("/stream/") {
                true => "AWS::DynamoDB::Stream",
                false => "AWS::DynamoDB::Table",
            },
        });
        let elements = answered.clone().filter(|_| reply.status.is_success());
        self.record(Event {
            service: "dynamodb",
            name: operation.name(),
            error: code.map(|code| (code, words)),
            parameters: lower_camel(Value::Object(asked)),
            elements: elements.map_or(Value::Null, |elements| lower_camel(Value::Object(elements))),
            resources: resources.collect(),
            read_only,
            is_data,
            ..event(origin, now_unix_s)
        });
    }

    /// The ARNs of what a request is about.
    fn arns(&self, account: &str, operation: Operation, body: &[u8], asked: &Map<String, Value>) -> Vec<String> {
        let of_import = asked
            .get("TableCreationParameters")
            .and_then(|table| table.get("TableName"));
        let named = ["ResourceArn", "StreamArn", "TableArn", "TableName"];
        let one = named.iter().find_map(|member| asked.get(*member)).or(of_import);
        let mut names = tables_named(operation, body);
        names.extend(one.and_then(Value::as_str).map(str::to_owned));
        let arn = |name: String| match name.starts_with("arn:") {
            true => name,
            false => format!("arn:aws:dynamodb:{}:{account}:table/{name}", self.region),
        };
        names.into_iter().filter(|name| !name.is_empty()).map(arn).collect()
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
            elements: told(&reply.body, reply.status, is_reading(name)),
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
            elements: told(
                &reply.body,
                reply.status,
                is_reading(name) || name.starts_with("Describe"),
            ),
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
            elements: match error.is_some() || is_reading(name) || name.starts_with("Describe") {
                true => Value::Null,
                false => lower_camel(answered.clone()),
            },
            read_only: is_reading(name) || name.starts_with("Describe"),
            ..event(origin, now_unix_s)
        });
    }

    fn record(&self, event: Event<'_>) {
        self.trail.record(&event);
    }
}

impl Recorder for Auditing {
    fn record(&self, principal: &Principal, change: &AdminChange<'_>, now_unix_s: i64) {
        self.trail.record(&Event {
            caller: &principal.caller,
            access_key_id: &principal.access_key_id,
            service: geodynamo_access::ADMIN,
            name: change.action.rsplit(':').next().unwrap_or_default(),
            now_unix_s,
            source_ip: Some(change.source_ip),
            user_agent: change.user_agent,
            request_id: "",
            error: change.error,
            parameters: json!({
                "method": change.method,
                "path": change.path,
                "query": change.query,
                "body": secrets::told(change.body),
            }),
            elements: Value::Null,
            resources: Vec::new(),
            read_only: false,
            is_data: false,
        });
    }
}

/// What was answered to a call that changed something.
fn told(body: &str, status: u16, read_only: bool) -> Value {
    let is_told = !read_only && (200..300).contains(&status);
    let answered = is_told.then(|| serde_json::from_str(body).ok()).flatten();
    answered.map_or(Value::Null, lower_camel)
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

/// The name of the table in its ARN, or in that of its stream or index.
fn table_in(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    resource.split('/').nth(1).unwrap_or_default()
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
