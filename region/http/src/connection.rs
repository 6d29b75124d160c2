//! One connection, from its TLS handshake to its end.

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Instant};

use http::HeaderMap;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Limits,
    service::Port,
    watch::{Patience, Phase, Watch, Watchdog, Watched},
};
use crate::{
    Shutdown,
    handler::Handler,
    nodes::{Door, forwarded},
};

/// Streams that one HTTP/2 connection may have open at once.
const STREAMS_MAX: u32 = 128;

/// The most that hyper buffers of an HTTP/1.1 connection's input and output, in bytes each; a head is no longer than
/// this.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// The longest list of headers in HTTP/2, in bytes.
const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;

/// What a stream's, and a connection's, sender may send ahead of what is read, in bytes.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// Where a connection came from.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    /// The client's address, if the system tells.
    pub source_ip: Option<IpAddr>,
    /// Whether it came over TLS.
    pub secure_transport: bool,
    /// Whether another node of the region passes requests on over it: then each says whose it is.
    pub is_node: bool,
}

impl Remote {
    /// Where a request came from, by its headers.
    pub(super) fn of(self, headers: &HeaderMap) -> Self {
        if !self.is_node {
            return self;
        }
        let (source_ip, secure_transport) = forwarded::read(headers);
        Self {
            source_ip,
            secure_transport,
            ..self
        }
    }
}

/// How connections are served; one for all of a port's.
#[derive(Clone)]
pub(crate) struct Protocol {
    http: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    patience: Patience,
}

impl Protocol {
    pub(crate) fn new(limits: &Limits, tls: Option<TlsAcceptor>) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            // The watchdog sees to this, and tells an idle connection from a slow head.
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES_MAX);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(limits.idle_timeout);
        let patience = Patience {
            header: limits.header_timeout,
            body: limits.body_timeout,
            idle: limits.idle_timeout,
        };
        Self { http, tls, patience }
    }

    /// Serves a connection to its end. What goes wrong with it is the client's own business.
    pub(crate) async fn serve<H: Handler>(
        &self,
        port: Arc<Port<H>>,
        socket: TcpStream,
        permit: OwnedSemaphorePermit,
        shutdown: Shutdown,
    ) {
        // Requests that outlive the connection keep it, too: so whoever has all permits knows that nothing goes on.
        let permit = Arc::new(permit);
        let remote = Remote {
            // On a port of both kinds of addresses, an IPv4 one comes as one of IPv6.
            source_ip: socket.peer_addr().ok().map(|address| address.ip().to_canonical()),
            secure_transport: self.tls.is_some(),
            is_node: false,
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let result = match &self.tls {
            None => self.serve_http(port, socket, remote, permit, shutdown).await,
            Some(tls) => match tokio::time::timeout(self.patience.header, tls.accept(socket)).await {
                Ok(Ok(socket)) => self.serve_http(port, socket, remote, permit, shutdown).await,
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            },
        };
        if let Err(error) = result {
            tracing::debug!(error, "a connection ended early");
        }
    }

    /// Serves a connection over which another node of the region passes requests on, as if their clients had connected to this one.
    pub(crate) async fn serve_passed_on<H: Handler>(
        &self,
        port: Arc<Port<H>>,
        socket: TcpStream,
        door: &Door,
        permit: OwnedSemaphorePermit,
        shutdown: Shutdown,
    ) {
        let permit = Arc::new(permit);
        let opened = tokio::time::timeout(self.patience.header, door.accept(socket)).await;
        let result = match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(socket) => {
                let remote = Remote {
                    source_ip: None,
                    secure_transport: false,
                    is_node: true,
                };
                self.serve_http(port, socket, remote, permit, shutdown).await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = result {
            tracing::debug!(error, "a connection that was passed on ended early");
        }
    }

    async fn serve_http<H, S>(
        &self,
        port: Arc<Port<H>>,
        socket: S,
        remote: Remote,
        permit: Arc<OwnedSemaphorePermit>,
        shutdown: Shutdown,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        H: Handler,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let watch = Arc::new(Watch::default());
        let io = TokioIo::new(Watched::new(socket, Arc::clone(&watch)));
        let service = service_fn(|request| port.answer(&watch, &permit, remote, request));
        let mut connection = pin!(self.http.serve_connection(io, service));
        let mut watchdog = Watchdog::new(self.patience);
        let mut looking = tokio::time::interval(watchdog.period());
        let (mut is_draining, mut was_idle) = (false, false);
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => return result,
                _ = looking.tick() => match watchdog.look(&watch, Instant::now()) {
                    // Hearing the signal here and not in a branch of its own saves every request the look at it.
                    None if shutdown.is_given() && !is_draining => {
                        is_draining = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    None => {}
                    // The next poll of the connection lets the service see that it has waited long enough.
                    Some(Phase::Body) => {}
                    Some(Phase::Idle) if !was_idle => {
                        was_idle = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    Some(_) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                },
            }
        }
    }
}
