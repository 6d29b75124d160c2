//! One region's process from its first port to its last request.

use std::{io, net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration};

use geodynamo_access::{Credential, CredentialSource, Keys, Mode, Verifier};
use geodynamo_admin::{Admin, AdminPort, Guard, GuardOptions, Recorder};
use geodynamo_http::{
    DataPort, Handler, RequestMetrics, Shutdown, ShutdownTrigger, Ways,
    nodes::{Forward, PassOn},
    shutdown,
    tls::{self, TlsError},
};
use geodynamo_metrics::{MetricsRegistry, catalogue};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{audit::Auditing, config::Config};

/// How long the admin port may take to end after the data port has.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// Why the ports cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{port} port {address}: {source}")]
    Bind {
        /// Which port: `data`, `admin` or `forward`.
        port: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The files of the data port's TLS are of no use.
    #[error("[tls]: {0}")]
    Tls(#[from] TlsError),
}

/// Whose requests the ports take.
#[derive(Debug)]
pub struct Callers {
    /// Whether signatures and policies are asked for.
    pub mode: Mode,
    /// Where access keys come from, beside those of the configuration.
    pub source: Option<Arc<dyn CredentialSource>>,
    /// What the regions of a cluster sign with among themselves; for the admin port only.
    pub house: Option<Credential>,
    /// Where changes that the admin port is asked for are recorded.
    pub auditing: Option<Arc<Auditing>>,
}

/// What a process listens on, before anything is served there.
pub struct Listeners {
    pub(crate) data: TcpListener,
    admin: TcpListener,
    at: Ready,
    /// Where other nodes of the region pass requests on to, if there are any.
    pub(crate) forward: Option<Forward>,
}

/// Where clients and operators connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Clients.
    pub data: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

impl Listeners {
    /// Binds both ports of a configuration.
    ///
    /// # Errors
    /// If one cannot be had.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let (data, data_at) = bind("data", config.listen.data).await?;
        let (admin, admin_at) = bind("admin", config.listen.admin).await?;
        let at = Ready {
            data: data_at,
            admin: admin_at,
        };
        Ok(Self {
            data,
            admin,
            at,
            forward: None,
        })
    }

    /// Where they are.
    pub fn at(&self) -> Ready {
        self.at
    }

    /// The admin port's listener once more, for whoever serves there for a while.
    pub(crate) fn admin_again(&self) -> io::Result<TcpListener> {
        again(&self.admin)
    }

    /// The data port's, likewise.
    pub(crate) fn data_again(&self) -> io::Result<TcpListener> {
        again(&self.data)
    }
}

fn again(listener: &TcpListener) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
    TcpListener::from_std(socket)
}

/// The data port of a node that stands by: what `handler` does not answer, `passing` does.
///
/// # Errors
/// If the files of its TLS are of no use.
pub(crate) fn standby_port<H: Handler>(
    config: &Config,
    listener: TcpListener,
    (mode, source): (Mode, Arc<dyn CredentialSource>),
    handler: H,
    passing: Arc<dyn PassOn>,
    registry: &MetricsRegistry,
) -> Result<DataPort<H>, StartError> {
    let ways = Ways {
        tls: acceptor(config)?,
        passing: Some(passing),
        ..Ways::default()
    };
    let keys = Arc::new(Keys::new(config.credentials()).with_source(source));
    let region = config.region.as_str();
    let verifier = Verifier::new(mode, region, keys).with_account(config.account());
    let requests = RequestMetrics::new(registry, handler.operations());
    let limits = config.data_limits();
    let port = DataPort::new(listener, region, ways, limits, verifier, handler, requests);
    registry.register_reading(&catalogue::REQUEST_BUFFERED_BYTES, port.held_bytes());
    Ok(port)
}

/// What guards a configuration's admin port. `house` is what the regions of a cluster sign with among themselves.
fn guard(
    config: &Config,
    mode: Mode,
    source: Option<Arc<dyn CredentialSource>>,
    house: Option<Credential>,
    recorder: Option<Arc<dyn Recorder>>,
) -> Guard {
    let keys = Keys::new(config.credentials().chain(house));
    let keys = match source {
        Some(source) => keys.with_source(source),
        None => keys,
    };
    let options = GuardOptions {
        region: config.region.to_string(),
        account: config.account().to_owned(),
        host: config.listen.admin.ip().to_string(),
        trust_local: config.admin.trust_local,
        open_metrics: config.admin.open_metrics,
    };
    Guard::new(options, mode, keys, recorder)
}

fn acceptor(config: &Config) -> Result<Option<TlsAcceptor>, TlsError> {
    let files = config.tls.as_ref();
    files.map(|files| tls::acceptor(&files.cert, &files.key)).transpose()
}

/// Binds a port; tells where it is.
pub(crate) async fn bind(port: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { port, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok((listener, at))
}

/// The running ports of a process.
#[derive(Debug)]
pub struct Ports {
    data_address: SocketAddr,
    admin_address: SocketAddr,
    keys: Arc<Keys>,
    data: JoinHandle<()>,
    admin: JoinHandle<io::Result<()>>,
    /// The admin port outlives the data port, so that draining can be watched.
    admin_trigger: ShutdownTrigger,
}

impl Ports {
    /// Serves bound ports until the signal. `handler`, told of the data port's address, and `admin` are what is behind the ports;
    /// `registry` gets the requests' metrics.
    pub fn start<H: Handler, A: Admin>(
        config: &Config,
        listeners: Listeners,
        Callers {
            mode,
            source,
            house,
            auditing,
        }: Callers,
        handler: impl FnOnce(SocketAddr) -> H,
        admin: A,
        registry: &MetricsRegistry,
        shutdown_signal: Shutdown,
    ) -> Result<Self, StartError> {
        let ways = Ways {
            tls: acceptor(config)?,
            forward: listeners.forward,
            passing: None,
        };
        let recorder = auditing.map(|auditing| auditing as Arc<dyn Recorder>);
        let guard = guard(config, mode, source.clone(), house, recorder);
        let mut keys = Keys::new(config.credentials());
        if let Some(source) = source {
            keys = keys.with_source(source);
        }
        let keys = Arc::new(keys);
        let verifier = Verifier::new(mode, config.region.as_str(), Arc::clone(&keys)).with_account(config.account());
        let Ready {
            data: data_address,
            admin: admin_address,
        } = listeners.at;
        let handler = handler(data_address);
        let requests = RequestMetrics::new(registry, handler.operations());
        let (region, limits) = (config.region.as_str(), config.data_limits());
        let data = DataPort::new(
            listeners.data,
            region,
            ways,
            limits,
            verifier,
            handler,
            Arc::clone(&requests),
        );
        registry.register_reading(&catalogue::REQUEST_BUFFERED_BYTES, data.held_bytes());
        let admin = AdminPort::new(listeners.admin, data_address, admin, registry.clone(), requests, guard);
        let (admin_trigger, mut admin_shutdown) = shutdown();
        Ok(Self {
            data_address,
            admin_address,
            keys,
            data: tokio::spawn(data.serve(shutdown_signal)),
            admin: tokio::spawn(admin.serve(async move { admin_shutdown.wait().await })),
            admin_trigger,
        })
    }

    /// Where clients connect to.
    pub fn data_address(&self) -> SocketAddr {
        self.data_address
    }

    /// Where operators connect to.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The access keys, which may be replaced while the process runs.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Returns once the signal was given and every request is answered, or the time for that is over. No request is in
    /// the handler any more after the first case, so what is behind it can be closed.
    pub async fn finish(self) {
        if let Err(error) = self.data.await {
            tracing::error!(%error, "the data port broke off");
        }
        self.admin_trigger.trigger();
        match tokio::time::timeout(ADMIN_DRAIN, self.admin).await {
            Ok(Ok(Err(error))) => tracing::error!(%error, "the admin port broke off"),
            Ok(Err(error)) => tracing::error!(%error, "the admin port broke off"),
            Ok(Ok(Ok(()))) | Err(_) => {}
        }
    }
}
