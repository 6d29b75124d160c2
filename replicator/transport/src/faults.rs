//! Faults on purpose: what game days do to a link, in the product itself.
//!
//! A fault is about a peer region and ends by itself at its deadline, whatever becomes of whoever asked for it. A cut, loss and
//! delay act on packets, below QUIC: everything above sees what a bad network would do. A pause is milder: the connection stays
//! up, and nothing new is read from the logs for that peer.
//!
//! Without faults it costs one read of a flag for a packet.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use tokio::sync::mpsc;

/// The longest that a fault may last.
pub const FAULT_MAX: Duration = Duration::from_secs(3600);
/// The longest delay of a packet.
pub const FAULT_DELAY_MAX: Duration = Duration::from_secs(10);
/// Delayed packets that wait at most; what comes on top of them is lost, as in any queue of a network.
const DELAYED_MAX: usize = 4096;
/// The most addresses of peers that are remembered.
const ADDRESSES_MAX: usize = 4096;

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fault {
    /// Nothing is sent of the change logs; the connection stays up.
    pub paused: bool,
    /// No packet goes through, in either direction.
    pub cut: bool,
    /// How many packets are lost, in percent, in either direction.
    pub loss_percent: f64,
    /// How long packets to the peer wait before they go.
    pub delay: Duration,
}

/// The faults of all links of this node. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there may be any.
    any: AtomicBool,
    state: RwLock<State>,
    /// Packets that were lost on purpose.
    dropped: AtomicU64,
    random: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<String, (Fault, Instant)>,
    /// Which region is at an address.
    regions: HashMap<SocketAddr, String>,
}

impl Faults {
    /// Puts a fault on the link to and from a region, in place of the one that is there, for so long.
    pub fn set(&self, region: &str, fault: Fault, lasts: Duration) {
        let fault = Fault {
            loss_percent: fault.loss_percent.clamp(0.0, 100.0),
            delay: fault.delay.min(FAULT_DELAY_MAX),
            ..fault
        };
        let until = Instant::now() + lasts.min(FAULT_MAX);
        let mut state = self.write();
        state.faults.insert(region.to_owned(), (fault, until));
        self.0.any.store(true, Relaxed);
    }

    /// Ends the fault of a region's link, if there is one.
    pub fn clear(&self, region: &str) {
        let mut state = self.write();
        state.faults.remove(region);
        self.0.any.store(!state.faults.is_empty(), Relaxed);
    }

    /// The faults that there are now, and how long each lasts still.
    pub fn now(&self) -> BTreeMap<String, (Fault, Duration)> {
        if !self.0.any.load(Relaxed) {
            return BTreeMap::new();
        }
        let now = Instant::now();
        let state = self.read();
        let left = state.faults.iter().filter_map(|(region, (fault, until))| {
            let left = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
            Some((region.clone(), (*fault, left)))
        });
        left.collect()
    }

    /// How many packets were lost on purpose since the process started.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// The fault of a region's link now.
    pub(crate) fn of(&self, region: &str) -> Option<Fault> {
        if !self.0.any.load(Relaxed) {
            return None;
        }
        let state = self.read();
        state
            .faults
            .get(region)
            .filter(|(_, until)| Instant::now() < *until)
            .map(|(fault, _)| *fault)
    }

    pub(crate) fn is_paused(&self, region: &str) -> bool {
        self.of(region).is_some_and(|fault| fault.paused)
    }

    /// A region is reached at this address, or has come from it.
    pub(crate) fn seen_at(&self, region: &str, address: SocketAddr) {
        let known = |state: &State| state.regions.get(&address).is_some_and(|known| known == region);
        if known(&self.read()) {
            return;
        }
        let mut state = self.write();
        if state.regions.len() >= ADDRESSES_MAX {
            state.regions.clear();
        }
        state.regions.insert(address, region.to_owned());
    }

    fn at(&self, address: SocketAddr) -> Option<Fault> {
        if !self.0.any.load(Relaxed) {
            return None;
        }
        let state = self.read();
        let region = state.regions.get(&address)?;
        let (fault, until) = state.faults.get(region)?;
        (Instant::now() < *until).then_some(*fault)
    }

    /// Whether a packet is to be lost.
    fn loses(&self, fault: &Fault) -> bool {
        let lost = fault.cut || (fault.loss_percent > 0.0 && self.percent() < fault.loss_percent);
        if lost {
            self.0.dropped.fetch_add(1, Relaxed);
        }
        lost
    }

    /// A number from 0 to 100 (Steele et al.'s SplitMix64).
    fn percent(&self) -> f64 {
        let z = self.0.random.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The socket with these faults. Must be called within a tokio runtime.
    pub(crate) fn around(&self, inner: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        let (delayed, waiting) = mpsc::channel(DELAYED_MAX);
        tokio::spawn(send_later(Arc::downgrade(&inner), waiting));
        Arc::new(Faulty {
            inner,
            faults: self.clone(),
            delayed,
        })
    }
}

/// A packet that waits.
#[derive(Debug)]
struct Delayed {
    due: Instant,
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    contents: Vec<u8>,
    src_ip: Option<std::net::IpAddr>,
}

async fn send_later(inner: std::sync::Weak<dyn AsyncUdpSocket>, mut waiting: mpsc::Receiver<Delayed>) {
    while let Some(packet) = waiting.recv().await {
        tokio::time::sleep_until(packet.due.into()).await;
        let Some(socket) = inner.upgrade() else { return };
        // One that cannot be sent now is lost.
        let _ = socket.try_send(&Transmit {
            destination: packet.destination,
            ecn: packet.ecn,
            contents: &packet.contents,
            segment_size: None,
            src_ip: packet.src_ip,
        });
    }
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn AsyncUdpSocket>,
    faults: Faults,
    delayed: mpsc::Sender<Delayed>,
}

impl AsyncUdpSocket for Faulty {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(fault) = self.faults.at(transmit.destination).filter(Fault::is_of_packets) else {
            return self.inner.try_send(transmit);
        };
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let due = Instant::now() + fault.delay;
        // Each packet has a fate of its own. The sender never hears of it.
        for packet in transmit.contents.chunks(size).filter(|_| !self.faults.loses(&fault)) {
            if fault.delay.is_zero() {
                let _ = self.inner.try_send(&Transmit {
                    destination: transmit.destination,
                    ecn: transmit.ecn,
                    contents: packet,
                    segment_size: None,
                    src_ip: transmit.src_ip,
                });
                continue;
            }
            let _ = self.delayed.try_send(Delayed {
                due,
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents: packet.to_vec(),
                src_ip: transmit.src_ip,
            });
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &polled
            && self.faults.0.any.load(Relaxed)
        {
            for meta in meta.iter_mut().take(*count) {
                // What came at once is lost at once. A packet without bytes is none.
                if self.faults.at(meta.addr).is_some_and(|fault| self.faults.loses(&fault)) {
                    meta.len = 0;
                }
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl Fault {
    /// Whether it acts on packets.
    fn is_of_packets(&self) -> bool {
        self.cut || self.loss_percent > 0.0 || !self.delay.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_end_by_themselves() {
        let faults = Faults::default();
        let cut = Fault {
            cut: true,
            ..Fault::default()
        };
        let there = SocketAddr::from(([127, 0, 0, 1], 9));
        faults.seen_at("b", there);
        assert_eq!(faults.at(there), None);
        faults.set("b", cut, Duration::from_secs(60));
        assert_eq!((faults.at(there), faults.of("c")), (Some(cut), None));
        assert!(faults.now()["b"].1 > Duration::from_secs(50));
        faults.set("b", cut, Duration::ZERO);
        assert_eq!((faults.at(there), faults.of("b")), (None, None));
        assert!(faults.now().is_empty());
        faults.set("b", cut, Duration::MAX);
        assert!(faults.now()["b"].1 <= FAULT_MAX);
        faults.clear("b");
        assert!(faults.now().is_empty() && !faults.0.any.load(Relaxed));
    }

    #[test]
    fn as_many_are_lost_as_told() {
        let faults = Faults::default();
        let fault = Fault {
            loss_percent: 20.0,
            ..Fault::default()
        };
        let lost = (0..10_000).filter(|_| faults.loses(&fault)).count();
        assert!((1_700..2_300).contains(&lost), "{lost}");
        assert_eq!(faults.dropped(), lost as u64);
    }
}
