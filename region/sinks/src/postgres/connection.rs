//! A connection to PostgreSQL, with TLS or without.

use std::{
    fs,
    future::Future,
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};
use tokio_postgres::{
    Client, Config,
    config::{Host, SslMode},
    tls::{ChannelBinding, MakeTlsConnect, NoTls, TlsConnect, TlsStream},
};
use tokio_rustls::TlsConnector;

use super::{Result, told};
use crate::{PostgresSpec, target::TargetError};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the other side may not answer before it counts as gone.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// The system's authorities, unless others are named.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The longest password.
const PASSWORD_LEN_MAX: u64 = 4096;
/// How long one statement may take: longer, and something holds what it needs.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'; \
     SET client_min_messages = warning";

/// A connection. It ends when this is dropped.
pub(super) struct Connection {
    pub(super) client: Client,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects.
pub(super) async fn connect(spec: &PostgresSpec) -> Result<Connection> {
    let mut config: Config = spec.address.parse().map_err(told)?;
    config
        .application_name("geodynamo")
        .connect_timeout(CONNECT_MAX)
        .tcp_user_timeout(SILENT_MAX)
        .keepalives_idle(SILENT_MAX);
    if let Some(path) = &spec.password_file {
        config.password(password(path)?);
    }
    let connecting = async {
        // A socket of this machine has no TLS.
        let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        if is_local || config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(told)?;
            return Ok::<_, TargetError>((client, run(connection)));
        }
        let tls = Tls(Arc::new(client_config(spec.ca_file.as_deref())?));
        let (client, connection) = config.connect(tls).await.map_err(told)?;
        Ok((client, run(connection)))
    };
    let connected = tokio::time::timeout(2 * CONNECT_MAX, connecting).await;
    let (client, task) = connected.map_err(|_| TargetError("PostgreSQL does not answer".into()))??;
    let connection = Connection { client, task };
    connection.client.batch_execute(SETTINGS).await.map_err(told)?;
    Ok(connection)
}

/// Runs a connection; what goes wrong is told to whoever uses it.
fn run<F>(connection: F) -> JoinHandle<()>
where
    F: Future<Output = std::result::Result<(), tokio_postgres::Error>> + Send + 'static,
{
    tokio::spawn(async move {
        let _ = connection.await;
    })
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> TargetError {
    TargetError(format!("{}: {reason}", path.display()))
}

fn password(path: &Path) -> Result<String> {
    let length = fs::metadata(path).map_err(|error| unusable(path, &error))?.len();
    if length > PASSWORD_LEN_MAX {
        return Err(unusable(path, &"this is no password"));
    }
    let text = fs::read_to_string(path).map_err(|error| unusable(path, &error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn client_config(authorities: Option<&Path>) -> Result<ClientConfig> {
    let path = authorities.unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    let mut roots = RootCertStore::empty();
    match fs::read(path) {
        Ok(text) => {
            for certificate in CertificateDer::pem_slice_iter(&text).flatten() {
                // A system's file has some that are of no use to anyone.
                let _ = roots.add(certificate);
            }
        }
        Err(error) if authorities.is_some() => return Err(unusable(path, &error)),
        // A system without any can still be connected from without TLS.
        Err(_) => {}
    }
    if roots.is_empty() && authorities.is_some() {
        return Err(unusable(path, &"there is no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TargetError(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Makes connections to PostgreSQL by rustls. The server's certificate is always checked, whatever `sslmode` says; `prefer`, which is
/// what there is unless another is told, does without TLS where the server has none.
#[derive(Clone)]
struct Tls(Arc<ClientConfig>);

/// A connection with TLS.
struct Stream<S>(tokio_rustls::client::TlsStream<S>);

struct Connect {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Connect> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Connect {
            config: Arc::clone(&self.0),
            name,
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Connect {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let connected = TlsConnector::from(self.config).connect(self.name, stream).await?;
            Ok(Stream(connected))
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
