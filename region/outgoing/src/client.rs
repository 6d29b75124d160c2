//! A client of HTTP(S).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The system's authorities, unless others are named.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How long a connection that nobody uses is kept.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// How many of them are kept for each host.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Makes calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Pooled<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection, or it broke.
    #[error("{0}")]
    Broken(String),
    /// It takes too long.
    #[error("no answer in {} ms", .0.as_millis())]
    Late(Duration),
    /// The answer is longer than what is read of one.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of authorities is of no use.
    #[error("{}: {reason}", path.display())]
    Authorities {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Client {
    /// A client that trusts the authorities of a file, in PEM; the system's if none is named. A system without any can
    /// still be called from by plain HTTP.
    ///
    /// # Errors
    /// If a file is named that has no authorities.
    pub fn new(authorities: Option<&Path>) -> Result<Self, ClientError> {
        let path = authorities.unwrap_or(Path::new(SYSTEM_AUTHORITIES));
        let unusable = |reason: String| ClientError::Authorities {
            path: path.to_owned(),
            reason,
        };
        let mut roots = RootCertStore::empty();
        match fs::read(path) {
            Ok(text) => {
                for certificate in CertificateDer::pem_slice_iter(&text).flatten() {
                    // A system's file has some that are of no use to anyone.
                    let _ = roots.add(certificate);
                }
            }
            Err(error) if authorities.is_some() => return Err(unusable(error.to_string())),
            Err(_) => {}
        }
        if roots.is_empty() && authorities.is_some() {
            return Err(unusable("there is no certificate in it".into()));
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut sockets = HttpConnector::new();
        sockets.enforce_http(false);
        sockets.set_nodelay(true);
        sockets.set_connect_timeout(Some(CONNECT_MAX));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(sockets);
        let pooled = Pooled::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self(pooled))
    }

    /// Makes a call, and reads at most so many bytes of its answer.
    ///
    /// # Errors
    /// If no answer comes whole and in time.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        within: Duration,
        answer_bytes_max: usize,
    ) -> Result<Answer, CallError> {
        let calling = async {
            let response = self.0.request(request.map(Full::new)).await;
            let response = response.map_err(|error| CallError::Broken(told(&error)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, answer_bytes_max).collect().await;
            let body = body.map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => CallError::TooLong(answer_bytes_max),
                None => CallError::Broken(error.to_string()),
            })?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        match tokio::time::timeout(within, calling).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Late(within)),
        }
    }
}

/// An error with what caused it, which is what tells.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
