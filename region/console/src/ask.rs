//! Questions to other HTTP interfaces of the same house: other regions' admin ports, the WAN emulator.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{sync::Semaphore, time::timeout};

/// How long an answer may take: a page that shows three regions waits for the slowest.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// The longest answer, in bytes. Metrics are some hundred KB at most.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Questions that are under way at once; further ones are refused.
const AT_ONCE: usize = 32;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AskError {
    /// Too many questions at once.
    #[error("too many questions at once")]
    Busy,
    /// Nobody answers, or not in time.
    #[error("does not answer")]
    Silent,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Signs what is asked of other regions' admin ports.
pub trait Signs: Send + Sync + 'static {
    /// The headers that a request without a body is to carry. `path` and `query` are as they are sent.
    fn sign(&self, method: &str, host: &str, path: &str, query: Option<&str>) -> Vec<(&'static str, String)>;
}

/// Who asks.
pub(crate) struct Asker {
    http: Client<HttpConnector, Full<Bytes>>,
    turns: Semaphore,
    signer: Option<Arc<dyn Signs>>,
}

impl Asker {
    pub(crate) fn new(signer: Option<Arc<dyn Signs>>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            turns: Semaphore::new(AT_ONCE),
            signer,
        }
    }

    /// Asks another region's admin port, at `HOST:PORT`, or has it do something.
    pub(crate) async fn of_region(
        &self,
        method: Method,
        host: &str,
        path: &str,
        query: Option<&str>,
    ) -> Result<Answer, AskError> {
        let signer = self.signer.as_ref();
        let headers = signer.map(|signer| signer.sign(method.as_str(), host, path, query));
        let address = match query {
            Some(query) => format!("http://{host}{path}?{query}"),
            None => format!("http://{host}{path}"),
        };
        self.ask(method, &address, &headers.unwrap_or_default(), Bytes::new())
            .await
    }

    pub(crate) async fn get(&self, address: &str) -> Result<Answer, AskError> {
        self.ask(Method::GET, address, &[], Bytes::new()).await
    }

    pub(crate) async fn put(&self, address: &str, body: Bytes) -> Result<Answer, AskError> {
        self.ask(Method::PUT, address, &[], body).await
    }

    async fn ask(
        &self,
        method: Method,
        address: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Answer, AskError> {
        let _turn = self.turns.try_acquire().map_err(|_| AskError::Busy)?;
        let mut request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body)).map_err(|_| AskError::Silent)?;
        let answering = async {
            let answer = self.http.request(request).await.map_err(|_| AskError::Silent)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| AskError::Silent)?.to_bytes();
            Ok(Answer { status, body })
        };
        timeout(ANSWER_MAX, answering).await.map_err(|_| AskError::Silent)?
    }
}
