//! The replicator: one QUIC endpoint, a task for each peer, and one that accepts.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};

use geodynamo_replicator_core::{Identity, Millis};
use quinn::{Endpoint, EndpointConfig, Runtime, TokioRuntime, VarInt};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    Asker, Host, accept,
    config::{Config, StartError},
    dial,
    faults::Faults,
    metrics::{Metrics, Observer},
};

/// What all tasks of a replicator share.
pub(crate) struct Shared<H> {
    pub(crate) own: Identity,
    pub(crate) host: Arc<H>,
    pub(crate) endpoint: Endpoint,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) asker: Asker,
    pub(crate) faults: Faults,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) credit_bytes: u64,
    pub(crate) shutdown: watch::Receiver<bool>,
    begun: (Millis, Instant),
}

impl<H> Shared<H> {
    /// Milliseconds that never go back, begun at the wall clock's.
    pub(crate) fn now(&self) -> Millis {
        let elapsed = u64::try_from(self.begun.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.begun.0.saturating_add(elapsed)
    }
}

/// A running replicator. Dropping it ends its tasks; [`Replicator::shutdown`] ends them in order.
pub struct Replicator {
    endpoint: Endpoint,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    asker: Asker,
    faults: Faults,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Replicator {
    /// Listens, and keeps a link up to every peer. Must be called within a tokio runtime.
    pub fn start<H: Host>(
        config: &Config,
        host: Arc<H>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, StartError> {
        let (server, client) = config.quic()?;
        let cannot_listen = |error| StartError::Listen {
            address: config.listen,
            error,
        };
        let faults = Faults::default();
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let socket = UdpSocket::bind(config.listen).map_err(cannot_listen)?;
        let socket = faults.around(runtime.wrap_udp_socket(socket).map_err(cannot_listen)?);
        let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), Some(server), socket, runtime);
        let mut endpoint = endpoint.map_err(cannot_listen)?;
        endpoint.set_default_client_config(client);
        let address = endpoint.local_addr().map_err(cannot_listen)?;
        let metrics = Arc::new(Metrics::default());
        let asker = Asker::default();
        let (shutdown, is_down) = watch::channel(false);
        let shared = Arc::new(Shared {
            own: host.identity(),
            begun: (host.now_ms(), Instant::now()),
            host,
            endpoint: endpoint.clone(),
            metrics: Arc::clone(&metrics),
            asker: asker.clone(),
            faults: faults.clone(),
            observer,
            credit_bytes: config.credit_bytes,
            shutdown: is_down,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept::accept(Arc::clone(&shared)));
        for peer in &config.peers {
            tasks.spawn(dial::keep_up(Arc::clone(&shared), peer.clone()));
        }
        Ok(Self {
            endpoint,
            address,
            metrics,
            asker,
            faults,
            shutdown,
            tasks,
        })
    }

    /// Where it listens: the port is known even if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// The faults that are put on links on purpose.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// What puts questions to peers.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Takes nothing new in, waits until what is being applied is durable, and closes every connection.
    pub async fn shutdown(mut self) {
        self.shutdown.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.endpoint.close(VarInt::from_u32(0), b"shutdown");
        self.endpoint.wait_idle().await;
    }
}
