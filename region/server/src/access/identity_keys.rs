//! Keys of web identity providers: from a file, or from an address.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_iam::{IdentityKeyError, IdentityKeys, JwkSet, KeysFuture};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::AccessStartError;
use crate::config::{IdentityProvider, JwksSource};

/// The longest set of keys, in bytes.
const JWKS_BYTES_MAX: usize = 256 * 1024;
/// How long fetching one may take.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// How long keys are believed without asking again.
const KEPT_FOR: Duration = Duration::from_secs(3600);
/// How soon it may be asked again, for a key that is not among those that are known, or after a failure.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The system's authorities, unless others are named.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The providers of a configuration, by URL without `https://`.
pub(super) struct ConfiguredKeys(HashMap<String, Provider>);

struct Provider {
    source: Source,
    known: Mutex<Known>,
}

enum Source {
    File(PathBuf),
    Address { uri: Uri, tls: Option<TlsConnector> },
}

/// What was fetched last, and when.
#[derive(Default)]
struct Known {
    keys: Option<Arc<JwkSet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl ConfiguredKeys {
    pub(super) fn new(providers: &[IdentityProvider]) -> Result<Self, AccessStartError> {
        let mut all = HashMap::new();
        for provider in providers {
            // The configuration has been checked: there is one.
            let Some(source) = provider.source() else { continue };
            let source = match source {
                JwksSource::File(path) => Source::File(path),
                JwksSource::Address(uri) => {
                    let is_tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
                    let tls = is_tls.then(|| connector(provider.ca_file.as_deref())).transpose()?;
                    Source::Address { uri, tls }
                }
            };
            let known = Mutex::default();
            all.insert(provider.url_without_scheme().to_owned(), Provider { source, known });
        }
        Ok(Self(all))
    }
}

impl IdentityKeys for ConfiguredKeys {
    fn keys<'a>(&'a self, provider: &'a str, key_id: Option<&'a str>) -> KeysFuture<'a> {
        Box::pin(async move {
            let Some(provider) = self.0.get(provider) else {
                return Err(IdentityKeyError::Unknown(provider.to_owned()));
            };
            provider.keys(key_id).await
        })
    }
}

impl Provider {
    async fn keys(&self, key_id: Option<&str>) -> Result<Arc<JwkSet>, IdentityKeyError> {
        // One fetches, the others wait for it.
        let mut known = self.known.lock().await;
        let is_older = |moment: Option<Instant>, than: Duration| moment.is_none_or(|moment| moment.elapsed() >= than);
        let has_key = |keys: &Arc<JwkSet>| key_id.is_none_or(|key_id| keys.has(key_id));
        if let Some(keys) = &known.keys
            && !is_older(known.fetched, KEPT_FOR)
            && (has_key(keys) || !is_older(known.tried, AGAIN_AFTER))
        {
            return Ok(Arc::clone(keys));
        }
        known.tried = Some(Instant::now());
        let fetched = match timeout(FETCH_MAX, self.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err("it does not answer".to_owned()),
        };
        match fetched.and_then(|text| serde_json::from_slice::<JwkSet>(&text).map_err(|error| error.to_string())) {
            Ok(keys) => {
                known.fetched = Some(Instant::now());
                Ok(Arc::clone(known.keys.insert(Arc::new(keys))))
            }
            // What was known goes on while the provider is away.
            Err(reason) => known.keys.clone().ok_or(IdentityKeyError::Unavailable(reason)),
        }
    }

    async fn fetch(&self) -> Result<Bytes, String> {
        match &self.source {
            Source::File(path) => {
                let file = tokio::fs::read(path).await;
                file.map(Bytes::from)
                    .map_err(|error| format!("{}: {error}", path.display()))
            }
            Source::Address { uri, tls } => {
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
                let socket = TcpStream::connect((host.as_str(), port))
                    .await
                    .map_err(|error| format!("{uri}: {error}"))?;
                match tls {
                    None => get(uri, socket).await,
                    Some(tls) => {
                        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
                        let socket = tls.connect(name, socket).await;
                        get(uri, socket.map_err(|error| format!("{uri}: {error}"))?).await
                    }
                }
            }
        }
    }
}

/// Gets a document over a connection of its own.
async fn get<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(uri: &Uri, socket: S) -> Result<Bytes, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{uri}: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    if !response.status().is_success() {
        return Err(failed(&response.status()));
    }
    let body = Limited::new(response.into_body(), JWKS_BYTES_MAX).collect().await;
    connection.abort();
    body.map(|body| body.to_bytes()).map_err(|error| failed(&error))
}

/// TLS with the authorities of a file.
fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, AccessStartError> {
    let path = ca_file.unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    let invalid = |reason: String| AccessStartError::File {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read(path).map_err(|error| invalid(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        // A system's file has some that are of no use to anyone.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(invalid("there is no certificate in it".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
