//! The data port: where clients speak DynamoDB's protocol.
//!
//! HTTP/1.1 with keep-alive and HTTP/2 (with prior knowledge, or by ALPN over TLS) on one port. `POST /` is an operation,
//! `GET /` says that the port is well. Bodies may be compressed with gzip or deflate, answers are where the client accepts it.
//! Whatever a client sends or does not send, memory and time are bounded by [`Limits`].

mod answer;
mod body;
mod coding;
mod connection;
mod handler;
mod latency;
pub mod nodes;
mod query;
mod request_id;
mod requests;
mod rest;
mod service;
pub mod session;
mod shutdown;
mod slow;
mod standby;
pub mod tls;
pub mod traces;
mod watch;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use geodynamo_access::{RefusedBySource, Verifier};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;

use self::{
    body::Budget,
    connection::Protocol,
    nodes::{Door, Forward, PassOn},
    service::Port,
};
pub use self::{
    connection::Remote,
    handler::{Handler, Origin, QueryReply, Reply, RestCall, RestReply},
    latency::{LatencySummary, Outcome},
    requests::RequestMetrics,
    shutdown::{Shutdown, ShutdownTrigger, shutdown, termination},
    slow::SlowRequest,
};

/// How long to wait after the operating system could not give a connection (no more file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections open at once. Further ones wait in the operating system's queue.
    pub connections_max: usize,
    /// The largest body of a request, in bytes.
    pub request_bytes_max: usize,
    /// Memory for all bodies that are being read or answered, in bytes.
    pub buffered_bytes_max: usize,
    /// How long a request's head may take from its first byte (or a connection's first one, from its beginning).
    pub header_timeout: Duration,
    /// How long a body may take, waiting for memory included.
    pub body_timeout: Duration,
    /// How long a connection may be silent between requests.
    pub idle_timeout: Duration,
    /// How long a request takes that the log tells of as slow; zero for none.
    pub slow_after: Duration,
    /// How long requests may go on after the signal to stop.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 2048,
            request_bytes_max: 16 << 20,
            buffered_bytes_max: 64 << 20,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(65),
            slow_after: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// How a connection has come.
enum Arrived {
    /// From the client itself.
    Here(TcpStream),
    /// From another node of the region, which passes requests on.
    Node(TcpStream, Door),
}

/// Whom a port's connections come from, and where what it does not answer goes.
#[derive(Default)]
pub struct Ways {
    /// What clients' connections are encrypted by; nothing for plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// Connections of other nodes of the region, which pass requests on.
    pub forward: Option<Forward>,
    /// Who is passed what the handler does not answer, while this node stands by.
    pub passing: Option<Arc<dyn PassOn>>,
}

/// A bound port that does not serve yet.
pub struct DataPort<H> {
    listener: TcpListener,
    forward: Option<Forward>,
    connections: Arc<Semaphore>,
    protocol: Arc<Protocol>,
    port: Arc<Port<H>>,
}

impl<H: Handler> DataPort<H> {
    /// The port of `region` on a bound listener. `handler` answers what `verifier` lets through.
    pub fn new(
        listener: TcpListener,
        region: &str,
        ways: Ways,
        limits: Limits,
        verifier: Verifier,
        handler: H,
        metrics: Arc<RequestMetrics>,
    ) -> Self {
        let connections_max = limits
            .connections_max
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let limits = Limits {
            connections_max,
            ..limits
        };
        Self {
            listener,
            forward: ways.forward,
            connections: Arc::new(Semaphore::new(connections_max)),
            protocol: Arc::new(Protocol::new(&limits, ways.tls)),
            port: Arc::new(Port {
                handler,
                verifier,
                limits,
                budget: Arc::new(Budget::new(limits.buffered_bytes_max)),
                metrics,
                slow: slow::SlowRequests::new(limits.slow_after),
                refused: RefusedBySource::default(),
                passing: ways.passing,
                health: Bytes::from(format!("healthy: dynamodb.{region}.amazonaws.com ")),
            }),
        }
    }

    /// Serves until the signal, then until every request is answered (those of clients that are gone, too) or
    /// [`Limits::drain_timeout`] is over. Connections that are still there then end with the runtime.
    pub async fn serve(mut self, mut shutdown: Shutdown) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.wait() => break,
                accepted = self.accept() => accepted,
            };
            let Some((socket, permit)) = accepted else { continue };
            let (protocol, port, shutdown) = (Arc::clone(&self.protocol), Arc::clone(&self.port), shutdown.clone());
            tokio::spawn(async move {
                let _open = port.metrics.connection();
                match socket {
                    Arrived::Here(socket) => protocol.serve(Arc::clone(&port), socket, permit, shutdown).await,
                    Arrived::Node(socket, door) => {
                        let served = protocol.serve_passed_on(Arc::clone(&port), socket, &door, permit, shutdown);
                        Box::pin(served).await;
                    }
                }
            });
        }
        self.drain().await;
    }

    /// Bytes that requests hold now, of [`Limits::buffered_bytes_max`].
    pub fn held_bytes(&self) -> impl Fn() -> u64 + Send + Sync + use<H> {
        let port = Arc::clone(&self.port);
        move || port.budget.held_bytes()
    }

    async fn accept(&mut self) -> Option<(Arrived, OwnedSemaphorePermit)> {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        let accepted = match &mut self.forward {
            None => self.listener.accept().await.map(|(socket, _)| Arrived::Here(socket)),
            Some(Forward { listener, door }) => tokio::select! {
                here = self.listener.accept() => here.map(|(socket, _)| Arrived::Here(socket)),
                passed = listener.accept() => passed.map(|(socket, _)| Arrived::Node(socket, door.clone())),
            },
        };
        match accepted {
            Ok(socket) => Some((socket, permit)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    async fn drain(self) {
        drop((self.listener, self.forward));
        let Limits {
            connections_max,
            drain_timeout,
            ..
        } = self.port.limits;
        // `bind` has seen to it that the number fits.
        let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
        if tokio::time::timeout(drain_timeout, self.connections.acquire_many(all))
            .await
            .is_err()
        {
            let open = connections_max - self.connections.available_permits().min(connections_max);
            tracing::warn!(open, "connections were still open when the time to drain them was over");
        }
    }
}
