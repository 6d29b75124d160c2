//! The relay of an ordered pair of regions: what one dials, and what comes back.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    task::{AbortHandle, JoinSet},
};

use crate::{
    link::Link,
    queue::{Entrance, Packet},
};

/// The most senders a relay remembers at once (a region's process has one, and a new one after a restart). When there
/// are more, the one heard of least recently is forgotten.
pub(crate) const SESSIONS_MAX: usize = 64;
/// How long a sender that nothing is heard of, in either direction, is remembered.
pub(crate) const SESSION_IDLE: Duration = Duration::from_secs(120);
/// Bytes asked for as a socket's buffers, so that a burst outlives a busy core; the kernel may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// The largest UDP datagram.
const DATAGRAM_LEN_MAX: usize = 65_535;
/// The most datagrams taken from a socket before other tasks get their turn.
const BATCH_MAX: usize = 64;

/// The relay of an ordered pair: `from` dials it and reaches `to`.
pub(crate) struct Relay {
    /// The link from the dialling region.
    there: Arc<Link>,
    /// The link back.
    back: Arc<Link>,
    targets: Vec<SocketAddr>,
    entrance: Entrance,
    socket: UdpSocket,
    /// The same socket, for the delay queue's thread.
    sender: Arc<std::net::UdpSocket>,
    epoch: Instant,
}

/// A sender, and the sockets that stand for it, one for each target.
struct Session {
    upstreams: Vec<Upstream>,
    heard: Arc<AtomicU64>,
}

struct Upstream {
    socket: Arc<std::net::UdpSocket>,
    replies: AbortHandle,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

impl Relay {
    /// A relay that is dialled at `listen` and reaches all of `targets`.
    pub(crate) fn bind(
        there: Arc<Link>,
        back: Arc<Link>,
        listen: SocketAddr,
        targets: Vec<SocketAddr>,
        entrance: Entrance,
    ) -> io::Result<Self> {
        let (socket, sender) = bind(listen, None)?;
        Ok(Self {
            there,
            back,
            targets,
            entrance,
            socket,
            sender,
            epoch: Instant::now(),
        })
    }

    /// Where the relay is dialled.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Relays until it is aborted; its sessions end with it.
    pub(crate) async fn run(self) {
        let mut sessions = BTreeMap::<SocketAddr, Session>::new();
        let mut replies = JoinSet::new();
        let mut packets = Vec::with_capacity(BATCH_MAX);
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        loop {
            receive(&self.socket, &mut buffer, |datagram, source| {
                let Some(session) = self.session(&mut sessions, &mut replies, source) else {
                    return;
                };
                session.heard.store(self.clock(), Ordering::Relaxed);
                for upstream in &session.upstreams {
                    if let Some(passage) = self.there.enter(Instant::now(), datagram.len()) {
                        let (link, socket) = (Arc::clone(&self.there), Arc::clone(&upstream.socket));
                        packets.push(Packet {
                            link,
                            passage,
                            bytes: datagram.into(),
                            socket,
                            target: None,
                        });
                    }
                }
            })
            .await;
            self.entrance.push(&mut packets);
            // Sessions that were forgotten leave their results here.
            while replies.try_join_next().is_some() {}
        }
    }

    /// The sender's session, made if it is new; `None` if no socket can be had for it, which loses the packet.
    fn session<'a>(
        &self,
        sessions: &'a mut BTreeMap<SocketAddr, Session>,
        replies: &mut JoinSet<()>,
        source: SocketAddr,
    ) -> Option<&'a Session> {
        if !sessions.contains_key(&source) {
            self.forget(sessions);
            let session = self.open(replies, source).inspect_err(|error| {
                tracing::warn!(from = %self.there.from, to = %self.there.to, %error, "no socket for a new sender");
            });
            sessions.insert(source, session.ok()?);
        }
        sessions.get(&source)
    }

    fn open(&self, replies: &mut JoinSet<()>, client: SocketAddr) -> io::Result<Session> {
        let heard = Arc::new(AtomicU64::new(self.clock()));
        let targets = self.targets.iter();
        let upstreams = targets.map(|target| self.upstream(replies, *target, client, &heard));
        let upstreams = upstreams.collect::<io::Result<_>>()?;
        Ok(Session { upstreams, heard })
    }

    fn upstream(
        &self,
        replies: &mut JoinSet<()>,
        target: SocketAddr,
        client: SocketAddr,
        heard: &Arc<AtomicU64>,
    ) -> io::Result<Upstream> {
        let local: SocketAddr = match target {
            SocketAddr::V4(target) if target.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(target) if target.ip().is_loopback() => (Ipv6Addr::LOCALHOST, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let (socket, upstream) = bind(local, Some(target))?;
        let replies = replies.spawn({
            let (link, entrance) = (Arc::clone(&self.back), self.entrance.clone());
            let (sender, heard, epoch) = (Arc::clone(&self.sender), Arc::clone(heard), self.epoch);
            async move {
                let mut packets = Vec::with_capacity(BATCH_MAX);
                let mut buffer = vec![0; DATAGRAM_LEN_MAX];
                loop {
                    receive(&socket, &mut buffer, |datagram, _| {
                        heard.store(millis(epoch), Ordering::Relaxed);
                        if let Some(passage) = link.enter(Instant::now(), datagram.len()) {
                            let (link, socket) = (Arc::clone(&link), Arc::clone(&sender));
                            let bytes = datagram.into();
                            packets.push(Packet {
                                link,
                                passage,
                                bytes,
                                socket,
                                target: Some(client),
                            });
                        }
                    })
                    .await;
                    entrance.push(&mut packets);
                }
            }
        });
        Ok(Upstream {
            socket: upstream,
            replies,
        })
    }

    /// Makes room: forgets senders that have been silent for long, and if there still is none, the most silent one.
    fn forget(&self, sessions: &mut BTreeMap<SocketAddr, Session>) {
        let now = self.clock();
        sessions.retain(|_, session| {
            let silent = now.saturating_sub(session.heard.load(Ordering::Relaxed));
            u128::from(silent) < SESSION_IDLE.as_millis()
        });
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions
                .iter()
                .min_by_key(|(_, session)| session.heard.load(Ordering::Relaxed));
            if let Some(source) = oldest.map(|(source, _)| *source) {
                drop(sessions.remove(&source));
            }
        }
    }

    fn clock(&self) -> u64 {
        millis(self.epoch)
    }
}

fn millis(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Waits until the socket has datagrams and hands over up to [`BATCH_MAX`] of them.
async fn receive(socket: &UdpSocket, buffer: &mut [u8], mut datagram: impl FnMut(&[u8], SocketAddr)) {
    if socket.readable().await.is_err() {
        // The runtime is ending; the task is about to be aborted.
        return tokio::task::yield_now().await;
    }
    for _ in 0..BATCH_MAX {
        match socket.try_recv_from(buffer) {
            Ok((len, source)) => datagram(&buffer[..len], source),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // A refusal that a connected socket learnt of: the target does not listen (yet, or any more).
            Err(_) => {}
        }
    }
}

/// A socket for a task to receive from, and the same one for the delay queue's thread to send from.
fn bind(local: SocketAddr, peer: Option<SocketAddr>) -> io::Result<(UdpSocket, Arc<std::net::UdpSocket>)> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    // What the kernel grants is enough or not; less than asked for is no reason to fail.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    if let Some(peer) = peer {
        socket.connect(&peer.into())?;
    }
    let socket = std::net::UdpSocket::from(socket);
    let sender = Arc::new(socket.try_clone()?);
    Ok((UdpSocket::from_std(socket)?, sender))
}
