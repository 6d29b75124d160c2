//! Passing requests on to the node that writes.
//!
//! Each request goes by itself, over HTTP/1.1 connections between nodes that are kept for the next one. It is held while there is no
//! owner, for as long as one takes to be replaced; one that was sent and whose answer does not come is sent again to the next owner if
//! it only reads, and otherwise answered by an error at which every SDK tries again: nobody knows what became of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use geodynamo_cassandra::{Lease, Standing};
use geodynamo_http::{
    Remote,
    nodes::{Door, NotPassed, PassOn, Passed, forwarded},
};
use http::{HeaderMap, Request, Response, header, request::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prometheus_client::metrics::{counter::Counter, family::Family};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// How long one attempt to reach the owner may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long to wait after one that failed, unless there is another owner before.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long a request waits for an owner: a lease and what a new owner reads, several times over.
const OWNER_WAIT: Duration = Duration::from_secs(20);
/// Connections to the owner that are kept for later requests.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// How long one is kept that nobody uses: less than an owner keeps it.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// The longest answer, in bytes; the longest that any operation gives is 16 MB and its frame.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Headers that are about one connection, and not about what goes over it.
const OF_CONNECTIONS: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

type Sender = http1::SendRequest<Full<Bytes>>;

/// Passes requests on.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(super) door: Door,
    pub(super) standing: watch::Receiver<Standing>,
    /// This node's own forward address: an owner of that address is what it was before it was started again, until it has won.
    pub(super) own_address: String,
    /// Turns true when this node has won.
    pub(super) won: watch::Receiver<bool>,
    pub(super) idle: Mutex<Vec<Idle>>,
    /// Requests that are on their way.
    pub(super) under_way: AtomicU64,
    /// Requests by who answered them.
    pub(super) answered: Family<[(&'static str, &'static str); 1], Counter>,
}

/// Counts a request as long as it is on its way.
struct UnderWay<'a>(&'a AtomicU64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that nobody uses.
#[derive(Debug)]
pub(super) struct Idle {
    address: Arc<str>,
    sender: Sender,
    since: Instant,
}

/// What became of a request that was sent.
enum Sent {
    Answered(Response<Full<Bytes>>),
    /// It did not go out.
    Not,
    Unknown,
}

impl PassOn for Passing {
    fn pass_on<'a>(&'a self, head: &'a Parts, body: &'a Bytes, remote: Remote, is_read: bool) -> Passed<'a> {
        Box::pin(self.passed_on(head, body, remote, is_read))
    }

    fn answered_by(&self, who: &'static str) {
        self.answered.get_or_create(&[("by", who)]).inc();
    }
}

impl Passing {
    async fn passed_on(
        &self,
        head: &Parts,
        body: &Bytes,
        remote: Remote,
        is_read: bool,
    ) -> Result<Response<Full<Bytes>>, NotPassed> {
        let deadline = Instant::now() + OWNER_WAIT;
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&self.under_way);
        loop {
            let reached = self.reach(deadline).await;
            let (mut sender, address) = reached.ok_or(NotPassed::NoOwner)?;
            let Some(request) = request(head, body, remote) else {
                return Err(NotPassed::NoOwner);
            };
            let sent = tokio::select! {
                sent = send(&mut sender, request) => sent,
                () = self.replaced(&address) => Sent::Unknown,
            };
            match sent {
                Sent::Answered(response) => {
                    self.keep(sender, address);
                    return Ok(response);
                }
                Sent::Not => {}
                Sent::Unknown if is_read && Instant::now() < deadline => {}
                Sent::Unknown => return Err(NotPassed::Unknown),
            }
        }
    }

    /// How many requests are on their way.
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// A connection to the owner, whoever that is by the time there is one.
    async fn reach(&self, deadline: Instant) -> Option<(Sender, Arc<str>)> {
        let mut standing = self.standing.clone();
        let mut won = self.won.clone();
        while Instant::now() < deadline {
            let has_won = *won.borrow();
            let address: Option<Arc<str>> = {
                let now = standing.borrow_and_update();
                holder(&now.lease)
                    .filter(|address| has_won || *address != self.own_address)
                    .map(Into::into)
            };
            if let Some(address) = &address {
                if let Some(sender) = self.kept(address) {
                    return Some((sender, Arc::clone(address)));
                }
                match timeout(CONNECT_MAX, self.connect(address)).await {
                    Ok(Ok(sender)) => return Some((sender, Arc::clone(address))),
                    Ok(Err(error)) => tracing::debug!(error, %address, "the owner cannot be reached"),
                    Err(_) => tracing::debug!(%address, "the owner does not answer"),
                }
            }
            tokio::select! {
                // The campaign ends when this node has won.
                Ok(_) = standing.wait_for(|now| holder(&now.lease) != address.as_deref()) => {}
                Ok(_) = won.wait_for(|won| *won != has_won) => {}
                () = sleep(AGAIN_AFTER) => {}
            }
        }
        None
    }

    async fn connect(&self, address: &str) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>> {
        let stream = self.door.pass_on(address).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // How it ends is seen by whoever sends.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// Returns once another node than the one at an address is the owner.
    async fn replaced(&self, address: &str) {
        let mut standing = self.standing.clone();
        let another = standing.wait_for(|now| now.is_reachable && holder(&now.lease) != Some(address));
        // The campaign is over once this node has won: then it is the owner itself that is asked, or was replaced.
        if another.await.is_err() && address == self.own_address {
            std::future::pending().await
        }
    }

    fn kept(&self, address: &str) -> Option<Sender> {
        let mut idle = self.idle.lock();
        idle.retain(|idle| *idle.address == *address && idle.since.elapsed() < IDLE_MAX && idle.sender.is_ready());
        idle.pop().map(|idle| idle.sender)
    }

    fn keep(&self, sender: Sender, address: Arc<str>) {
        let mut idle = self.idle.lock();
        if !sender.is_closed() && idle.len() < IDLE_CONNECTIONS_MAX {
            let since = Instant::now();
            idle.push(Idle { address, sender, since });
        }
    }
}

async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> Sent {
    let response: Response<Incoming> = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => match error.take_message() {
            Some(_) => return Sent::Not,
            None => return Sent::Unknown,
        },
    };
    let (mut head, body) = response.into_parts();
    let Ok(body) = Limited::new(body, ANSWER_BYTES_MAX).collect().await else {
        return Sent::Unknown;
    };
    strip(&mut head.headers);
    // The connection takes the next request once it has seen that the answer was read.
    let _ = timeout(AGAIN_AFTER, sender.ready()).await;
    Sent::Answered(Response::from_parts(head, Full::new(body.to_bytes())))
}

/// A request as it came, but for what is about the connection that it came over.
fn request(head: &Parts, body: &Bytes, remote: Remote) -> Option<Request<Full<Bytes>>> {
    let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder()
        .method(head.method.clone())
        .uri(path)
        .body(Full::new(body.clone()))
        .ok()?;
    let headers = request.headers_mut();
    *headers = head.headers.clone();
    strip(headers);
    if let (false, Some(authority)) = (headers.contains_key(header::HOST), head.uri.authority()) {
        headers.insert(header::HOST, authority.as_str().parse().ok()?);
    }
    // A body that came in chunks has its length now; of one that had one it is the same.
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    forwarded::write(headers, remote.source_ip, remote.secure_transport);
    Some(request)
}

fn strip(headers: &mut HeaderMap) {
    for name in &OF_CONNECTIONS {
        headers.remove(name);
    }
}

/// Where a lease's holder is reached.
fn holder(lease: &Lease) -> Option<&str> {
    lease.node.as_ref().and(lease.address.as_deref())
}
