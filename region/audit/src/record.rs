//! Records, as CloudTrail has them.

use std::{
    cell::Cell,
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    net::IpAddr,
};

use geodynamo_access::format_iso8601;
use geodynamo_policy::{Caller, CallerKind};
use serde_json::{Map, Value, json};

use crate::RECORD_BYTES_MAX;

/// The version of the form.
const VERSION: &str = "1.11";

/// A call, and what became of it.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Who called.
    pub caller: &'a Caller,
    /// The access key that signed the call; empty if none did.
    pub access_key_id: &'a str,
    /// `iam`, `sts`, `dynamodb`.
    pub service: &'a str,
    /// `CreateUser`
    pub name: &'a str,
    /// When, in seconds since 1970.
    pub now_unix_s: i64,
    /// Where the call came from.
    pub source_ip: Option<IpAddr>,
    /// The client's name for itself.
    pub user_agent: Option<&'a str>,
    /// The id that the answer told.
    pub request_id: &'a str,
    /// The error's code and words, if it was refused.
    pub error: Option<(&'a str, &'a str)>,
    /// What was asked for, without secrets and without items.
    pub parameters: Value,
    /// What was answered, likewise; null of calls that only read.
    pub elements: Value,
    /// What it was about.
    pub resources: Vec<Resource<'a>>,
    /// Whether it changed nothing.
    pub read_only: bool,
    /// Whether it was about items, not tables or principals.
    pub is_data: bool,
}

/// What a call was about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource<'a> {
    /// Its ARN.
    pub arn: &'a str,
    /// Its type: `AWS::DynamoDB::Table`.
    pub kind: &'a str,
}

/// An event's line; `None` if it cannot be written, which nothing known makes happen.
pub(crate) fn line(event: &Event<'_>, region: &str) -> Option<Vec<u8>> {
    let mut record = record(event, region);
    let mut line = serde_json::to_vec(&record).ok()?;
    if line.len() > RECORD_BYTES_MAX {
        let members = record.as_object_mut()?;
        for long in ["requestParameters", "responseElements"] {
            members.insert(long.into(), json!({ "omitted": "too long" }));
        }
        line = serde_json::to_vec(&record).ok()?;
        if line.len() > RECORD_BYTES_MAX {
            return None;
        }
    }
    line.push(b'\n');
    Some(line)
}

fn record(event: &Event<'_>, region: &str) -> Value {
    let account = &*event.caller.account;
    let resources = event.resources.iter().map(|resource| {
        // Of things of another account: its.
        let owner = resource.arn.split(':').nth(4).filter(|owner| !owner.is_empty());
        json!({ "accountId": owner.unwrap_or(account), "type": resource.kind, "ARN": resource.arn })
    });
    let mut record = json!({
        "eventVersion": VERSION,
        "userIdentity": identity(event.caller, event.access_key_id),
        "eventTime": format_iso8601(event.now_unix_s),
        "eventSource": format!("{}.amazonaws.com", event.service),
        "eventName": event.name,
        "awsRegion": region,
        "sourceIPAddress": event.source_ip.map(|ip| ip.to_string()),
        "userAgent": event.user_agent,
        "requestParameters": event.parameters,
        "responseElements": event.elements,
        "requestID": event.request_id,
        "eventID": event_id(),
        "readOnly": event.read_only,
        "resources": resources.collect::<Vec<_>>(),
        "eventType": "AwsApiCall",
        "managementEvent": !event.is_data,
        "recipientAccountId": account,
        "eventCategory": if event.is_data { "Data" } else { "Management" },
    });
    if let (Some((code, message)), Some(members)) = (event.error, record.as_object_mut()) {
        members.insert("errorCode".into(), code.into());
        members.insert("errorMessage".into(), message.into());
    }
    record
}

fn identity(caller: &Caller, access_key_id: &str) -> Value {
    let kind = match caller.kind {
        CallerKind::Root => "Root",
        CallerKind::User => "IAMUser",
        CallerKind::AssumedRole { .. } => "AssumedRole",
        CallerKind::FederatedUser => "FederatedUser",
        CallerKind::WebIdentity { .. } => "WebIdentityUser",
        CallerKind::Service => "AWSService",
        CallerKind::Anonymous => "Unknown",
    };
    let mut identity = Map::new();
    identity.insert("type".into(), kind.into());
    if kind == "Unknown" {
        return identity.into();
    }
    identity.insert("principalId".into(), (*caller.user_id).into());
    identity.insert("arn".into(), (*caller.arn).into());
    identity.insert("accountId".into(), (*caller.account).into());
    identity.insert("accessKeyId".into(), access_key_id.into());
    if let Some(name) = &caller.user_name {
        identity.insert("userName".into(), (**name).into());
    }
    if let Some(session) = &caller.session {
        let mut context = json!({
            "attributes": {
                "creationDate": format_iso8601(session.issued_unix_s),
                "mfaAuthenticated": session.mfa_unix_s.is_some().to_string(),
            }
        });
        if let (CallerKind::AssumedRole { role_arn, .. }, Some(members)) = (&caller.kind, context.as_object_mut()) {
            let id = caller.user_id.split(':').next().unwrap_or_default();
            let name = role_arn.rsplit('/').next().unwrap_or_default();
            let issuer = json!({
                "type": "Role",
                "principalId": id,
                "arn": &**role_arn,
                "accountId": &*caller.account,
                "userName": name,
            });
            members.insert("sessionIssuer".into(), issuer);
            if let Some(source) = &session.source_identity {
                members.insert("sourceIdentity".into(), (**source).into());
            }
        }
        identity.insert("sessionContext".into(), context);
    }
    identity.into()
}

/// A UUID, of a generator that each thread seeds with the system's randomness: unique for all that matters, not secret.
fn event_id() -> String {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
    }
    let next = || {
        STATE.with(|state| {
            let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            state.set(next);
            let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    };
    let (high, low) = (next(), next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}
