//! A small DynamoDB client for the demo's own calls.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use geodynamo_access::Signer;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};

use super::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, cluster::DemoRegion};

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(30);

type Failure = Box<dyn Error + Send + Sync>;

/// A client of one region.
pub(super) struct Client {
    pub(super) region: &'static str,
    endpoint: String,
    /// Of all nodes: the one that writes answers.
    admins: Vec<String>,
    signer: Mutex<Signer>,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(super) fn new(region: &DemoRegion) -> Self {
        let host = region.data.to_string();
        Self {
            region: region.name,
            endpoint: format!("http://{host}/"),
            admins: region
                .nodes
                .iter()
                .map(|node| format!("http://{}", node.admin))
                .collect(),
            signer: Mutex::new(Signer::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region.name, &host)),
            http: HttpClient::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Calls an operation; an error answer is an error.
    pub(super) async fn call(&self, operation: &str, input: Value) -> Result<Value, Failure> {
        let target = format!("DynamoDB_20120810.{operation}");
        let body = input.to_string();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let signature = self.signer.lock().await.sign(&target, body.as_bytes(), now);
        let request = http::Request::post(&self.endpoint)
            .header("x-amz-date", signature.date)
            .header("authorization", signature.authorization)
            .header("x-amz-target", &target)
            .header("content-type", "application/x-amz-json-1.0")
            .body(Full::new(Bytes::from(body)))?;
        let (ok, body) = self.send(request).await?;
        let answer: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body)?
        };
        if ok {
            Ok(answer)
        } else {
            Err(format!("{operation} in {}: {answer}", self.region).into())
        }
    }

    /// The digest of a table's replica here.
    pub(super) async fn digest(&self, table: &str) -> Result<Value, Failure> {
        let mut refused = String::new();
        for admin in &self.admins {
            let request = http::Request::get(format!("{admin}/digest?table={table}")).body(Full::default())?;
            let (ok, body) = self.send(request).await?;
            if ok {
                return Ok(serde_json::from_slice(&body)?);
            }
            refused = String::from_utf8_lossy(&body).into_owned();
        }
        Err(format!("digest in {}: {refused}", self.region).into())
    }

    async fn send(&self, request: http::Request<Full<Bytes>>) -> Result<(bool, Bytes), Failure> {
        let work = async {
            let answer = self.http.request(request).await?;
            let ok = answer.status().is_success();
            Ok::<_, Failure>((ok, answer.into_body().collect().await?.to_bytes()))
        };
        timeout(CALL_MAX, work)
            .await
            .map_err(|_| format!("{} does not answer", self.region))?
    }
}
