//! The delay queue: one thread that sends packets when they are due.
//!
//! A thread, not tokio timers: those fire on whole milliseconds, and one per packet is dear. A condition variable wakes
//! within the kernel's timer slack (50 µs on Linux).

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use crate::link::{Link, Passage};

/// How many due packets are taken from the heap at once, so that the lock is not held while they are sent.
const BATCH_MAX: usize = 64;

/// A packet on its way.
pub(crate) struct Packet {
    pub(crate) link: Arc<Link>,
    pub(crate) passage: Passage,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) socket: Arc<UdpSocket>,
    /// Where to send it; `None` if the socket is connected.
    pub(crate) target: Option<SocketAddr>,
}

/// The queue's handle; its thread ends when this is dropped.
pub(crate) struct DelayQueue {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Bounded by the links, which admit no more than they may have under way.
#[derive(Default)]
struct State {
    heap: BinaryHeap<Entry>,
    entered: u64,
    stopped: bool,
}

struct Entry {
    /// Packets due at the same time leave in the order they came.
    number: u64,
    packet: Packet,
}

impl DelayQueue {
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let thread = std::thread::Builder::new().name("wan-delay".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Something to put packets into, for tasks.
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(Arc::clone(&self.shared))
    }
}

impl Drop for DelayQueue {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, and then there is nothing left to end.
            let _ = thread.join();
        }
    }
}

/// Where packets are put in.
#[derive(Clone)]
pub(crate) struct Entrance(Arc<Shared>);

impl Entrance {
    /// Puts packets in and leaves the vector empty.
    pub(crate) fn push(&self, packets: &mut Vec<Packet>) {
        if packets.is_empty() {
            return;
        }
        let mut state = self.0.lock();
        let before = state.heap.peek().map(|entry| entry.packet.passage.exit);
        for packet in packets.drain(..) {
            state.entered += 1;
            let number = state.entered;
            state.heap.push(Entry { number, packet });
        }
        let after = state.heap.peek().map(|entry| entry.packet.passage.exit);
        drop(state);
        // The thread sleeps until the first exit, so only an earlier one needs to wake it.
        if before != after {
            self.0.changed.notify_one();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut due = Vec::with_capacity(BATCH_MAX);
        let mut state = self.lock();
        while !state.stopped {
            let now = Instant::now();
            while due.len() < BATCH_MAX && state.heap.peek().is_some_and(|entry| entry.packet.passage.exit <= now) {
                due.extend(state.heap.pop().map(|entry| entry.packet));
            }
            if !due.is_empty() {
                drop(state);
                due.drain(..).for_each(send);
                state = self.lock();
                continue;
            }
            state = match state.heap.peek() {
                Some(entry) => {
                    let wait = entry.packet.passage.exit - now;
                    self.changed
                        .wait_timeout(state, wait)
                        .map_or_else(|e| e.into_inner().0, |(state, _)| state)
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(packet: Packet) {
    let Packet {
        link,
        passage,
        bytes,
        socket,
        target,
    } = packet;
    if !link.leave(passage, bytes.len()) {
        return;
    }
    for _ in 0..=u8::from(passage.twice) {
        // A full socket or a closed target loses the packet, as a network does.
        let sent = match target {
            Some(target) => socket.send_to(&bytes, target),
            None => socket.send(&bytes),
        };
        link.sent(bytes.len(), sent.is_ok());
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first, so the earliest exit is the greatest.
        let key = |entry: &Self| (entry.packet.passage.exit, entry.number);
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
