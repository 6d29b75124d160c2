//! Calls to a region's data port, and what to do about those that it refuses.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use geodynamo_outgoing::{Answer, Call, CallError, Client as Http, Endpoint};
use serde_json::Value;

use crate::connection::{Connection, Resolved};

/// How long a call may take: a page of a listing, or what begins a job.
const CALL_MAX: Duration = Duration::from_secs(60);
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The most pages of a listing.
pub(crate) const PAGES_MAX: usize = 10_000;
const TARGET: &str = "DynamoDB_20120810";

/// What went wrong, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The error's name, if a service has answered with one.
    pub code: Option<String>,
    what: String,
    advice: Option<String>,
}

impl Failure {
    /// What went wrong, and what to do about it.
    pub fn told(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code: None,
            what: what.into(),
            advice: Some(advice.into()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  what to do: {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// A client of one region.
pub(crate) struct Client {
    http: Http,
    dynamodb: Endpoint,
    backup: Endpoint,
    address: String,
}

impl Client {
    pub(crate) fn new(connection: &Connection) -> Result<Self, Failure> {
        let Resolved {
            endpoint,
            region,
            credentials,
            ca_file,
        } = connection.resolve()?;
        let of = |service: &str| {
            Endpoint::new(&endpoint, service, &region, credentials.as_ref()).map_err(|error| {
                Failure::told(
                    error.to_string(),
                    "--endpoint http://HOST:PORT names a region's data port",
                )
            })
        };
        Ok(Self {
            http: Http::new(ca_file.as_deref())
                .map_err(|error| Failure::told(error.to_string(), "--ca-file names a file of certificates in PEM"))?,
            dynamodb: of("dynamodb")?,
            backup: of("backup")?,
            address: endpoint,
        })
    }

    /// Calls an operation of DynamoDB.
    pub(crate) async fn call(&self, operation: &str, input: &Value) -> Result<Value, Failure> {
        let target = format!("{TARGET}.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
        ];
        let call = Call {
            method: "POST",
            path: "/",
            query: None,
            headers: &headers,
            body: Bytes::from(input.to_string()),
            within: CALL_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.dynamodb.call(&self.http, &call).await;
        let answer = answer.map_err(|error| silent(&self.address, &error))?;
        read(operation, &answer)
    }

    /// Calls an operation of AWS Backup: its method, its path, encoded, and its document.
    pub(crate) async fn backup(
        &self,
        operation: &str,
        (method, path): (&str, &str),
        input: Option<&Value>,
    ) -> Result<Value, Failure> {
        let call = Call {
            method,
            path,
            query: None,
            headers: &[("content-type", "application/json")],
            body: input.map(Value::to_string).unwrap_or_default().into(),
            within: CALL_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.backup.call(&self.http, &call).await;
        let answer = answer.map_err(|error| silent(&self.address, &error))?;
        read(operation, &answer)
    }

    /// Calls an operation that lists, again and again, and gives what is under `list` of all its answers, `limit` at most. `start`
    /// is the member that goes on where `next` of the answer before ended.
    pub(crate) async fn list(
        &self,
        operation: &str,
        mut input: Value,
        list: &str,
        (start, next): (&str, &str),
        limit: usize,
    ) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut answer = self.call(operation, &input).await?;
            if let Value::Array(page) = take(&mut answer, list) {
                all.extend(page);
            }
            match take(&mut answer, next) {
                Value::Null => break,
                _ if all.len() >= limit => break,
                more => input[start] = more,
            }
        }
        all.truncate(limit);
        Ok(all)
    }
}

/// Nobody answers.
pub(crate) fn silent(address: &str, error: &CallError) -> Failure {
    let advice = match error {
        CallError::Broken(reason) if reason.contains("certificate") || reason.contains("UnknownIssuer") => {
            "--ca-file FILE names the authority that signed the region's certificate"
        }
        CallError::Broken(_) => {
            "is the region running? `geodynamo dev` and `geodynamo serve` say at their start where their ports are; --endpoint \
             URL names the data port, --admin HOST:PORT the admin port"
        }
        CallError::Late(_) => "the region is busy or stuck: `geodynamo status` shows what ails it",
        CallError::TooLong(_) => "ask for less",
    };
    Failure::told(format!("{address} does not answer: {error}"), advice)
}

/// An answer's document, or its error.
pub(crate) fn read(operation: &str, answer: &Answer) -> Result<Value, Failure> {
    let document: Value = match &*answer.body {
        [] => Value::Null,
        body => serde_json::from_slice(body).unwrap_or(Value::Null),
    };
    if answer.status.is_success() {
        return match document {
            Value::Object(_) => Ok(document),
            _ => Err(Failure::told(
                format!("{operation}: what answers is no region's data port"),
                "--endpoint URL names the data port; the admin port is another one",
            )),
        };
    }
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| document[*name].as_str());
        found.map(str::to_owned)
    };
    let header = answer
        .headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok());
    let code = text(&["__type", "Code", "code"])
        .or(header.map(str::to_owned))
        .map(|code| {
            let code = code.rsplit('#').next().unwrap_or_default();
            code.split(':').next().unwrap_or_default().to_owned()
        })
        .unwrap_or_else(|| answer.status.to_string());
    let message = text(&["message", "Message"]).unwrap_or_default();
    Err(Failure {
        what: format!("{operation}: {code}: {message}"),
        advice: advice(&code).map(str::to_owned),
        code: Some(code),
    })
}

/// What to do about an error of that name.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => {
            "this region checks signatures: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a --profile"
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            "the region does not know this access key: take one of the configuration's [[credentials]], or make one with `aws \
             iam create-access-key`"
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "the secret is another one, or the request was signed for another region (--region, AWS_REGION), or this machine's \
             clock is wrong (`geodynamo doctor`)"
        }
        "ExpiredTokenException" | "ExpiredToken" => "the session is over: ask for new credentials",
        "AccessDeniedException" => {
            "a policy must allow this to whoever has the key: `aws iam simulate-principal-policy` tells"
        }
        "ResourceNotFoundException" | "TableNotFoundException" => "`geodynamo tables` lists those of this region",
        "BackupNotFoundException" => "`geodynamo backup list` lists those of this region",
        "ExportNotFoundException" => "`geodynamo export list` lists those of this region",
        "ImportNotFoundException" => "`geodynamo import list` lists those of this region",
        "ContinuousBackupsUnavailableException" => {
            "the region has no archive: set [archive] in its configuration (`geodynamo dev` and `demo` have one)"
        }
        "PointInTimeRecoveryUnavailableException" => {
            "switch it on: aws dynamodb update-continuous-backups --table-name TABLE --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true"
        }
        "InvalidRestoreTimeException" => {
            "`geodynamo tables --output json` shows each table's window under ContinuousBackups"
        }
        "TableAlreadyExistsException" | "ResourceInUseException" | "TableInUseException" => {
            "choose another name, or wait until the table is ACTIVE (`geodynamo tables`)"
        }
        "UnknownOperationException" => {
            "the region is of a release that has not got this; `geodynamo status` shows releases"
        }
        "InternalServerError" | "InternalFailure" => {
            "the region's log has the reason; `geodynamo status` shows what ails it"
        }
        _ => return None,
    })
}

/// Takes a member out of an answer; nothing if it is not there.
pub(crate) fn take(answer: &mut Value, member: &str) -> Value {
    answer.get_mut(member).map(Value::take).unwrap_or_default()
}

/// Now, in seconds since 1970.
pub(crate) fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use geodynamo_outgoing::Answer;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: status.try_into().unwrap(),
            headers: Default::default(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        let body =
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#BackupNotFoundException","message":"Backup not found"}"#;
        let error = read("DescribeBackup", &answer(400, body)).unwrap_err();
        assert_eq!(error.code.as_deref(), Some("BackupNotFoundException"));
        let text = error.to_string();
        assert!(
            text.starts_with("DescribeBackup: BackupNotFoundException: Backup not found\n"),
            "{text}"
        );
        assert!(text.contains("geodynamo backup list"), "{text}");
        // What is no document is an error all the same.
        let error = read("X", &answer(502, "<html>")).unwrap_err();
        assert!(error.to_string().contains("502"), "{error}");
        assert_eq!(read("X", &answer(200, r#"{"a":1}"#)).unwrap()["a"], 1);
        // Whatever answers at a wrong port.
        for body in ["[]", "\"ok\"", "ok", ""] {
            assert!(
                read("X", &answer(200, body))
                    .unwrap_err()
                    .to_string()
                    .contains("no region"),
                "{body}"
            );
        }
    }
}
