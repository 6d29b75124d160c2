//! Where notes of failures go: a queue, a topic or a bucket by its API, or a file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use geodynamo_outgoing::{Call, Client, Endpoint, encode_segment};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;

use super::GivenUp;

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where what is sent to a service of AWS goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To a service with its API.
    Service(Endpoint),
    /// To files in a folder: one for each queue, topic or bucket, with a JSON document on each line.
    Folder(PathBuf),
}

/// All of them, by the service that ARNs name: `sqs`, `sns`, `s3`.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    by_service: BTreeMap<String, Destination>,
    /// Those of other accounts than the cluster's own: by account and service.
    of_accounts: BTreeMap<(String, String), Destination>,
    /// Lines are written one after the other.
    files: Arc<tokio::sync::Mutex<()>>,
}

/// Why a note is not where it is to be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub(crate) String);

/// Where what is sent to an ARN goes.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    arn: &'a str,
    parts: Parts<'a>,
    destination: Destination,
}

/// An ARN's parts that matter here.
#[derive(Debug)]
struct Parts<'a> {
    service: &'a str,
    account: &'a str,
    name: &'a str,
}

impl Destinations {
    /// What is sent to these services goes there.
    pub fn new(by_service: impl IntoIterator<Item = (String, Destination)>) -> Self {
        Self {
            by_service: by_service.into_iter().collect(),
            of_accounts: BTreeMap::new(),
            files: Arc::default(),
        }
    }

    /// The same, where these are for other accounts than the cluster's own: by account and service. A folder needs none: such an
    /// account has one of its own in it, `@ACCOUNT`.
    #[must_use]
    pub fn with_accounts(self, of_accounts: impl IntoIterator<Item = ((String, String), Destination)>) -> Self {
        Self {
            of_accounts: of_accounts.into_iter().collect(),
            ..self
        }
    }

    /// The place for what an account sends to an ARN, if there is one. `other` is the account if it is not the cluster's own; what it
    /// names is its own then.
    pub(crate) fn of<'a>(&self, other: Option<&str>, arn: &'a str) -> Option<Place<'a>> {
        let parts = parts(arn)?;
        let destination = match other {
            None => self.by_service.get(parts.service)?.clone(),
            // ARNs of buckets tell no account.
            Some(account) if !parts.account.is_empty() && parts.account != account => return None,
            Some(account) => match self.of_accounts.get(&(account.to_owned(), parts.service.to_owned())) {
                Some(told) => told.clone(),
                None => match self.by_service.get(parts.service)? {
                    Destination::Folder(folder) => Destination::Folder(folder.join(format!("@{account}"))),
                    Destination::Service(_) => return None,
                },
            },
        };
        Some(Place {
            arn,
            parts,
            destination,
        })
    }

    /// Sends a note. `event` is what the function would have got; buckets get it, too.
    pub(crate) async fn send(
        &self,
        to: Place<'_>,
        client: &Client,
        given_up: &GivenUp<'_>,
        event: impl FnOnce() -> Bytes,
    ) -> Result<(), Failed> {
        let Place {
            arn,
            parts,
            destination,
        } = to;
        let mut note = given_up.note();
        if parts.service == "s3" {
            let payload = String::from_utf8_lossy(&event()).into_owned();
            note.insert(super::PAYLOAD.into(), payload.into());
        }
        match &destination {
            Destination::Folder(folder) => self.append(folder, &parts, &note).await,
            Destination::Service(endpoint) => call(client, endpoint, arn, &parts, given_up, note).await,
        }
    }

    async fn append(&self, folder: &Path, parts: &Parts<'_>, note: &Map<String, Value>) -> Result<(), Failed> {
        let mut line = Value::Object(note.clone()).to_string();
        line.push('\n');
        // Names of queues, topics and buckets have no slash; what others send is not trusted with that.
        let name = parts
            .name
            .replace(|sign: char| !sign.is_ascii_alphanumeric() && !"-_.".contains(sign), "_");
        let path = folder.join(format!("{}-{name}.jsonl", parts.service));
        let _one = self.files.lock().await;
        let writing = async {
            tokio::fs::create_dir_all(folder).await?;
            let mut file = tokio::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .await?;
            file.write_all(line.as_bytes()).await?;
            // The checkpoint may pass the records once this returns.
            file.sync_data().await
        };
        writing
            .await
            .map_err(|error: std::io::Error| Failed(format!("{}: {error}", path.display())))
    }
}

async fn call(
    client: &Client,
    endpoint: &Endpoint,
    arn: &str,
    parts: &Parts<'_>,
    given_up: &GivenUp<'_>,
    note: Map<String, Value>,
) -> Result<(), Failed> {
    let text = Value::Object(note).to_string();
    let mut call = Call {
        method: "POST",
        path: "/",
        query: None,
        headers: &[],
        body: Bytes::new(),
        within: CALL_MAX,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    let path;
    match parts.service {
        "sqs" => {
            let base = endpoint.address();
            let url = format!("{}/{}/{}", base.trim_end_matches('/'), parts.account, parts.name);
            call.body = json!({"QueueUrl": url, "MessageBody": text}).to_string().into();
            call.headers = &[
                ("content-type", "application/x-amz-json-1.0"),
                ("x-amz-target", "AmazonSQS.SendMessage"),
            ];
        }
        "sns" => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("Action", "Publish")
                .append_pair("Version", "2010-03-31")
                .append_pair("TopicArn", arn)
                .append_pair("Message", &text);
            call.body = form.finish().into();
            call.headers = &[("content-type", "application/x-www-form-urlencoded")];
        }
        _ => {
            // As AWS names them, so that they are found by mapping, shard and time.
            let at = geodynamo_table::stream_label(given_up.now_ms);
            let (day, time) = at.split_once('T').unwrap_or((&at, ""));
            let time = time.split('.').next().unwrap_or_default().replace(':', ".");
            path = format!(
                "/{}/aws/lambda/{}/{}/{}/{day}T{time}-{}",
                encode_segment(parts.name),
                given_up.mapping,
                encode_segment(given_up.shard),
                day.replace('-', "/"),
                given_up.request_id,
            );
            call.method = "PUT";
            call.path = &path;
            call.headers = &[("content-type", "application/json")];
            call.body = text.into();
        }
    }
    let answer = endpoint.call(client, &call).await;
    let answer = answer.map_err(|error| Failed(format!("{arn}: {error}")))?;
    if answer.status.is_success() {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(512)]).into_owned();
    Err(Failed(format!("{arn}: {}: {body}", answer.status)))
}

fn parts(arn: &str) -> Option<Parts<'_>> {
    let mut parts = arn.splitn(6, ':');
    let (_, _, service, _, account, name) = (
        parts.next().filter(|first| *first == "arn")?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    let known = matches!(service, "sqs" | "sns" | "s3") && !name.is_empty();
    known.then_some(Parts { service, account, name })
}
