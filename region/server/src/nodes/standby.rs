//! A node that stands by: its data port passes every connection on to the owner.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use geodynamo_cassandra::{Lease, Standing};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::client::TlsStream;

use super::door::Door;

/// How long one attempt to reach the owner may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long to wait after one that failed, unless there is another owner before.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long a client's connection waits for an owner: a lease and what a new owner reads, several times over.
const OWNER_WAIT: Duration = Duration::from_secs(20);
/// How long to wait after the operating system could not give a connection (no more file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a node does that stands by. Cheap to clone.
#[derive(Clone)]
pub(super) struct StandBy {
    pub(super) door: Door,
    pub(super) standing: watch::Receiver<Standing>,
    /// This node's own forward address: an owner of that address is what it was before it was started again.
    pub(super) own_address: String,
    /// Connections that may be passed on at once.
    pub(super) connections: Arc<Semaphore>,
    /// Turns true when this node has won.
    pub(super) won: watch::Receiver<bool>,
    /// Takes connections that wait for an owner when that is this node.
    pub(super) waiting: mpsc::Sender<TcpStream>,
}

impl StandBy {
    /// Passes connections on until this node has won. Then those that wait for an owner are handed over, and all others cut: they
    /// lead to a node that writes no more, and clients ask again. Dropping it cuts all.
    pub(super) async fn pass_on(&self, listener: &TcpListener) {
        let mut passing = JoinSet::new();
        let mut won = self.won.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(listener) => accepted,
                _ = won.wait_for(|won| *won) => break,
            };
            match accepted {
                Ok((socket, client, permit)) => {
                    passing.spawn(self.clone().pass_one_on(socket, client, permit));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
            while passing.try_join_next().is_some() {}
        }
        while passing.join_next().await.is_some() {}
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.connections).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let (socket, client) = listener.accept().await?;
        Ok((socket, client, permit))
    }

    /// One connection, until either end closes it, or another node becomes the owner.
    async fn pass_one_on(mut self, mut socket: TcpStream, client: SocketAddr, _permit: OwnedSemaphorePermit) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let mut won = self.won.clone();
        let reached = tokio::select! {
            reached = self.reach(client) => reached,
            _ = won.wait_for(|won| *won) => {
                // Nothing of it was read yet.
                let _ = self.waiting.try_send(socket);
                return;
            }
        };
        let Some((mut owner, address)) = reached else {
            return tracing::warn!(%client, "there is no owner to pass a connection on to");
        };
        tokio::select! {
            // That either end breaks off is their own business.
            _ = copy_bidirectional(&mut socket, &mut owner) => {}
            _ = won.wait_for(|won| *won) => tracing::debug!(%client, address, "a connection is cut: this node writes now"),
            _ = self.standing.wait_for(|now| now.is_reachable && holder(&now.lease) != Some(address.as_str())) => {
                tracing::debug!(%client, address, "a connection is cut: another node writes now");
            }
        }
    }

    /// A connection to the owner, whoever that is by the time there is one.
    async fn reach(&mut self, client: SocketAddr) -> Option<(TlsStream<TcpStream>, String)> {
        let deadline = Instant::now() + OWNER_WAIT;
        while Instant::now() < deadline {
            let address = {
                let now = self.standing.borrow_and_update();
                holder(&now.lease)
                    .filter(|address| *address != self.own_address)
                    .map(str::to_owned)
            };
            if let Some(address) = &address {
                match timeout(CONNECT_MAX, self.door.pass_on(address, client)).await {
                    Ok(Ok(stream)) => return Some((stream, address.clone())),
                    Ok(Err(error)) => tracing::debug!(%error, address, "the owner cannot be reached"),
                    Err(_) => tracing::debug!(address, "the owner does not answer"),
                }
            }
            let another = self.standing.wait_for(|now| holder(&now.lease) != address.as_deref());
            let is_over = matches!(timeout(AGAIN_AFTER, another).await, Ok(Err(_)));
            if is_over {
                // The campaign is over: who waits is handed over in a moment.
                sleep(AGAIN_AFTER).await;
            }
        }
        None
    }
}

/// Where a lease's holder is reached.
fn holder(lease: &Lease) -> Option<&str> {
    lease.node.as_ref().and(lease.address.as_deref())
}
