//! One region's process from its first port to its last request.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use geodynamo_access::{Credential, CredentialSource, Keys, Mode, Verifier};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    admin::{Admin, AdminPort, Guard},
    config::Config,
    data::{
        DataPort,
        tls::{self, TlsError},
    },
    handler::Handler,
    metrics::{MetricsRegistry, RequestMetrics, catalogue},
    shutdown::{Shutdown, ShutdownTrigger, shutdown},
};

/// How long the admin port may take to end after the data port has.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// Why the ports cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{port} port {address}: {source}")]
    Bind {
        /// Which port: `data` or `admin`.
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
    /// Binds both ports and serves them until the signal. `handler`, made when the data port's address is known, and `admin` are
    /// what is behind the ports; `registry` gets the requests' metrics.
    pub async fn start<H: Handler, A: Admin>(
        config: &Config,
        Callers { mode, source, house }: Callers,
        handler: impl FnOnce(SocketAddr) -> H,
        admin: A,
        registry: &MetricsRegistry,
        shutdown_signal: Shutdown,
    ) -> Result<Self, StartError> {
        let tls = config
            .tls
            .as_ref()
            .map(|files| tls::acceptor(&files.cert, &files.key))
            .transpose()?;
        let guard = Guard::new(config, mode, source.clone(), house);
        let mut keys = Keys::new(config.credentials());
        if let Some(source) = source {
            keys = keys.with_source(source);
        }
        let keys = Arc::new(keys);
        let verifier = Verifier::new(mode, config.region.as_str(), Arc::clone(&keys));
        let bind_error = |port, address| move |source| StartError::Bind { port, address, source };
        let (data_wanted, admin_wanted) = (config.listen.data, config.listen.admin);
        let listener = TcpListener::bind(data_wanted)
            .await
            .map_err(bind_error("data", data_wanted))?;
        let data_address = listener.local_addr().map_err(bind_error("data", data_wanted))?;
        let handler = handler(data_address);
        let requests = RequestMetrics::new(registry, handler.operations());
        let (region, limits) = (config.region.as_str(), config.data_limits());
        let data = DataPort::new(listener, region, tls, limits, verifier, handler, Arc::clone(&requests));
        registry.register_reading(&catalogue::REQUEST_BUFFERED_BYTES, data.held_bytes());
        let of_links = Verifier::new(mode, config.region.as_str(), Arc::clone(&keys));
        let admin = AdminPort::bind(
            admin_wanted,
            data_address,
            admin,
            of_links,
            registry.clone(),
            requests,
            guard,
        )
        .await
        .map_err(bind_error("admin", admin_wanted))?;
        let (admin_trigger, admin_shutdown) = shutdown();
        Ok(Self {
            data_address,
            admin_address: admin.local_address().map_err(bind_error("admin", admin_wanted))?,
            keys,
            data: tokio::spawn(data.serve(shutdown_signal)),
            admin: tokio::spawn(admin.serve(admin_shutdown)),
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
