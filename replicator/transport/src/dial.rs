//! The dialing side: one task a peer, which connects, sends this node's logs, and fetches copies.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use geodynamo_replicator_core::{
    CopyOrder, Frame, LogId, Peer, Position, TableId,
    link::{Sender, Ticket, sender::Action, sender::Event},
};
use quinn::{Connection, SendStream, VarInt};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Host,
    config::{COPIES_PER_PEER_MAX, DIALLED_AT_ONCE_MAX, PeerConfig},
    copy,
    metrics::{LinkMetrics, add},
    offset::Answers,
    reach::reach,
    replicator::Shared,
    tick::Tick,
    traces,
    unsent::Unsent,
    verify, wire,
};

/// The first wait after a failed connection.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest wait after a failed connection.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The link's stream goes before copies' (whose priority is 0) when both have something to send.
pub(crate) const LINK_PRIORITY: i32 = 10;
/// Writes gather for so long before the link looks at them again. A round costs the peer about half a millisecond of
/// processor, however few writes it takes: without this one that applied 6,000 writes a second spent 0.6 of a core on them,
/// in 1,200 rounds (measured on two cores).
const GATHER: Duration = Duration::from_millis(1);
/// How many times in a row the host is asked while nothing else of the link goes on, as it is asked where it answers from
/// memory: which changes there are, and their keys' versions, twice each. A task and its wake-ups would cost more than that.
const WAVES_AT_ONCE_MAX: usize = 4;
/// A link that reads so many changes of a log at a time is behind: its questions take long, and are left to tasks, so that it
/// sends meanwhile.
const CHANGES_BEHIND: usize = 256;
/// How often a link looks by itself: for copies that are due, one of which may have broken off, and for changes in its logs
/// that it only passes over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Why a link is down whose peer has closed its stream.
const PEER_ENDED: &str = "the peer ended the link";

/// Keeps a link to a peer up until shutdown.
pub(crate) async fn keep_up<H: Host>(shared: Arc<Shared<H>>, peer: PeerConfig) {
    let metrics = shared.metrics.to(&peer.region);
    let mut shutdown = shared.shutdown.clone();
    let mut backoff = BACKOFF_MIN;
    let mut addresses = peer.addresses.chunks(DIALLED_AT_ONCE_MAX).cycle();
    loop {
        let some = addresses.next().unwrap_or_default();
        let outcome = tokio::select! {
            outcome = attempt(&shared, &peer, some, &metrics) => outcome,
            _ = shutdown.wait_for(|&is_down| is_down) => return,
        };
        let was_up = metrics.connected.swap(false, Relaxed);
        if was_up {
            backoff = BACKOFF_MIN;
        }
        if let Err(error) = outcome {
            tracing::info!(peer = peer.region, was_up, "link is down: {error}");
        }
        tokio::select! {
            () = sleep(backoff) => {}
            _ = shutdown.wait_for(|&is_down| is_down) => return,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// One connection, from its first packet to its end.
async fn attempt<H: Host>(
    shared: &Arc<Shared<H>>,
    peer: &PeerConfig,
    addresses: &[String],
    metrics: &Arc<LinkMetrics>,
) -> Result<(), String> {
    let connection = reach(shared, peer, addresses).await?;
    shared.asker.connected(&peer.region, &connection);
    let outcome = drive(shared, peer, metrics, &connection).await;
    shared.asker.disconnected(&peer.region);
    connection.close(VarInt::from_u32(0), b"link ended");
    outcome
}

/// Runs a sender over a connection until one of them ends.
async fn drive<H: Host>(
    shared: &Arc<Shared<H>>,
    peer: &PeerConfig,
    metrics: &Arc<LinkMetrics>,
    connection: &Connection,
) -> Result<(), String> {
    let (mut stream, incoming) = connection.open_bi().await.map_err(|error| error.to_string())?;
    stream.set_priority(LINK_PRIORITY).map_err(|error| error.to_string())?;
    let mut frames = wire::Frames::new(incoming);
    let mut link = Link::new(shared, peer, metrics, connection);
    let mut writes = shared.host.writes();
    let mut catalog = shared.host.catalog();
    link.open_logs();
    let mut heard = Vec::new();
    let mut look = tokio::time::interval(LOOK_EVERY);
    let gathered = sleep(Duration::ZERO);
    tokio::pin!(gathered);
    let mut gathering = false;
    let mut tick = Tick::new();
    loop {
        link.act()?;
        tick.arm(shared.now(), link.sender.poll_timeout().unwrap_or(0));
        tokio::select! {
            read = frames.read(&mut heard) => {
                read.map_err(|error| error.to_string())?;
                if heard.is_empty() {
                    return Err(PEER_ENDED.into());
                }
                heard.drain(..).for_each(|frame| link.handle(Event::Frame(frame)));
            }
            Some(done) = link.jobs.join_next(), if !link.jobs.is_empty() => {
                match done.map_err(|error| format!("a question to the host failed: {error}"))? {
                    Done::Answers(answers) => {
                        link.asking -= 1;
                        link.take(answers);
                    }
                    Done::AcksPassedOn => link.acking = false,
                }
            }
            written = write(&mut stream, link.out.rest()), if !link.out.is_empty() => link.wrote(written?),
            Some(order) = link.copies.join_next(), if !link.copies.is_empty() => link.copy_ended(order.ok()),
            Some(_) = link.verifications.join_next(), if !link.verifications.is_empty() => link.start_verification(),
            // While questions are under way, and for a moment after the last ones, writes gather: under load one round takes
            // what many of them left. The first write after a silence goes at once.
            changed = changed(&mut writes), if link.asking == 0 && !gathering => {
                changed?;
                let written = *writes.borrow_and_update();
                link.look_for_activity(written);
                gathered.as_mut().reset(Instant::now() + GATHER);
                gathering = true;
            }
            () = &mut gathered, if gathering => gathering = false,
            changed = changed(&mut catalog) => { changed?; link.open_logs(); link.start_copies(); }
            _ = look.tick() => {
                // What is only passed over is not told of, and is looked for here.
                let written = *writes.borrow();
                link.look_for_activity(written);
                link.start_copies();
                link.start_verification();
                link.measure();
            }
            () = tick.gone_off() => link.handle(Event::Tick),
        }
    }
}

/// What a task of a link has done.
enum Done {
    /// It has the host's answers.
    Answers(Vec<Event>),
    /// It has passed acknowledgements on to the host.
    AcksPassedOn,
}

/// A sender's question to the host.
enum Question {
    Log {
        ticket: Ticket,
        log: LogId,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    },
    Versions {
        ticket: Ticket,
        table: TableId,
        keys: Vec<Bytes>,
        bytes_max: usize,
    },
}

impl Question {
    async fn put<H: Host>(self, host: &H) -> Event {
        match self {
            Question::Log {
                ticket,
                log,
                after,
                rows_max,
                bytes_max,
            } => answered(ticket, host.read_log(log, after, rows_max, bytes_max).await, Event::Log),
            Question::Versions {
                ticket,
                table,
                keys,
                bytes_max,
            } => answered(ticket, host.versions(table, keys, bytes_max).await, Event::Versions),
        }
    }
}

async fn changed(watch: &mut watch::Receiver<u64>) -> Result<(), String> {
    watch.changed().await.map_err(|_| "the host is gone".into())
}

/// Writes what it can. Safe to cancel: what was not taken stays in the buffer.
async fn write(stream: &mut SendStream, rest: &[u8]) -> Result<usize, String> {
    stream.write(rest).await.map_err(|error| error.to_string())
}

/// A connection's sender and what it waits for. Its tasks end with it.
struct Link<'a, H> {
    shared: &'a Arc<Shared<H>>,
    peer: &'a PeerConfig,
    metrics: &'a Arc<LinkMetrics>,
    connection: &'a Connection,
    sender: Sender,
    jobs: JoinSet<Done>,
    /// Questions that [`Link::act`] is gathering.
    questions: Vec<Question>,
    /// Tasks that ask the host.
    asking: usize,
    /// Whether there is much to read: see [`CHANGES_BEHIND`].
    is_behind: bool,
    /// Frames to be written. Bounded by the peer's credit.
    out: Unsent,
    ends: BTreeMap<LogId, Position>,
    /// The last of the host's writes that is in `ends`.
    written: u64,
    /// Acknowledgements not yet passed on to the host: the newest of each log.
    acks: BTreeMap<LogId, Position>,
    acking: bool,
    copies: JoinSet<CopyOrder>,
    copying: BTreeSet<(u64, u64)>,
    /// The one that is under way.
    verifications: JoinSet<()>,
    skipped: u64,
    /// What the peer's clock was.
    answers: Answers,
}

impl<'a, H: Host> Link<'a, H> {
    fn new(
        shared: &'a Arc<Shared<H>>,
        peer: &'a PeerConfig,
        metrics: &'a Arc<LinkMetrics>,
        connection: &'a Connection,
    ) -> Self {
        Self {
            shared,
            peer,
            metrics,
            connection,
            sender: Sender::new(shared.own.clone(), &peer.region, shared.now()),
            jobs: JoinSet::new(),
            questions: Vec::new(),
            asking: 0,
            is_behind: false,
            out: Unsent::default(),
            ends: BTreeMap::new(),
            written: 0,
            acks: BTreeMap::new(),
            acking: false,
            copies: JoinSet::new(),
            copying: BTreeSet::new(),
            verifications: JoinSet::new(),
            skipped: 0,
            answers: Answers::default(),
        }
    }

    fn handle(&mut self, event: Event) {
        if let Event::Frame(Frame::Pong { sent_ms, now_ms }) = &event {
            let round_trip_ms = self.shared.now().saturating_sub(*sent_ms);
            let ahead = self.answers.take(round_trip_ms, *now_ms, self.shared.host.now_ms());
            self.metrics.tell_clock_offset(ahead);
        }
        self.sender.handle(self.shared.now(), event);
    }

    /// Does what the sender wants done.
    fn act(&mut self) -> Result<(), String> {
        for wave in 0..=WAVES_AT_ONCE_MAX {
            self.follow()?;
            // Questions that are not put are put once the link goes on: there are no more of them than the sender has open.
            if self.shared.faults.is_paused(&self.peer.region) {
                break;
            }
            if !self.ask(wave < WAVES_AT_ONCE_MAX) {
                break;
            }
        }
        self.pass_acks_on();
        Ok(())
    }

    /// Follows the sender's actions; its questions gather.
    fn follow(&mut self) -> Result<(), String> {
        while let Some(action) = self.sender.poll_action() {
            match action {
                Action::Send(mut frame) => {
                    if let Frame::Deltas { deltas, traces, .. } = &mut frame {
                        add(&self.metrics.deltas_sent, deltas.len() as u64);
                        *traces =
                            traces::of_deltas(deltas, |stamp| self.shared.host.trace_to(&self.peer.region, stamp));
                    }
                    self.out.append(&frame).map_err(|error| error.to_string())?;
                }
                Action::Established(peer) => {
                    tracing::info!(peer = peer.region, replica = %peer.replica, "link is up");
                    add(&self.metrics.connections, 1);
                    self.metrics.connected.store(true, Relaxed);
                    self.start_copies();
                }
                Action::ReadLog {
                    ticket,
                    log,
                    after,
                    rows_max,
                    bytes_max,
                } => self.questions.push(Question::Log {
                    ticket,
                    log,
                    after,
                    rows_max,
                    bytes_max,
                }),
                Action::ReadVersions {
                    ticket,
                    table,
                    keys,
                    bytes_max,
                } => self.questions.push(Question::Versions {
                    ticket,
                    table,
                    keys,
                    bytes_max,
                }),
                Action::Acked(log, position) => {
                    self.metrics.last_ack_ms.store(self.shared.host.now_ms(), Relaxed);
                    self.acks.insert(log, position);
                }
                // A copy that the peer has just begun tells it of an end that this link may not have heard of.
                Action::PeerAhead { log, cursor, .. } if self.shared.host.log_end(log) >= cursor => {
                    self.look_for_activity(self.written);
                }
                Action::PeerAhead { log, cursor, end } => {
                    add(&self.metrics.peers_ahead, 1);
                    tracing::error!(
                        peer = self.peer.region, %log, %cursor, %end,
                        "the peer has more of this replica's log than this replica: data was lost here"
                    );
                }
                Action::Disconnect(violation) => return Err(violation.to_string()),
            }
        }
        Ok(())
    }

    /// Puts the questions that have gathered to the host, and gives whether it has answered. If it does not answer at once,
    /// or is not to, a task waits for all the answers.
    fn ask(&mut self, at_once: bool) -> bool {
        if self.questions.is_empty() {
            return false;
        }
        let (host, questions) = (Arc::clone(&self.shared.host), std::mem::take(&mut self.questions));
        let mut asking = Box::pin(async move {
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                answers.push(question.put(host.as_ref()).await);
            }
            answers
        });
        if at_once
            && !self.is_behind
            && let Some(answers) = poll_once(asking.as_mut())
        {
            self.take(answers);
            return true;
        }
        self.asking += 1;
        self.jobs.spawn(async move { Done::Answers(asking.await) });
        false
    }

    /// Takes the host's answers.
    fn take(&mut self, answers: Vec<Event>) {
        let changes = |answer: &Event| match answer {
            Event::Log(_, changes) => Some(changes.len()),
            _ => None,
        };
        if let Some(most) = answers.iter().filter_map(changes).max() {
            self.is_behind = most >= CHANGES_BEHIND;
        }
        answers.into_iter().for_each(|answer| self.handle(answer));
    }

    /// Where the host does not take them at once, one task at a time takes all that has gathered.
    fn pass_acks_on(&mut self) {
        let Some(peer) = self.sender.peer().filter(|_| !self.acking && !self.acks.is_empty()) else {
            return;
        };
        self.acking = true;
        let (host, peer): (_, Peer) = (Arc::clone(&self.shared.host), peer.clone());
        let acks = std::mem::take(&mut self.acks);
        let mut passing = Box::pin(async move {
            for (log, position) in acks {
                host.acked(&peer, log, position).await;
            }
        });
        if poll_once(passing.as_mut()).is_some() {
            self.acking = false;
        } else {
            self.jobs.spawn(async move {
                passing.await;
                Done::AcksPassedOn
            });
        }
    }

    fn wrote(&mut self, bytes: usize) {
        add(&self.metrics.bytes_sent, bytes as u64);
        self.out.took(bytes);
    }

    /// Opens the logs that are to be sent, and closes those that are not any more.
    fn open_logs(&mut self) {
        let logs = self.shared.host.logs_to(&self.peer.region);
        let wanted: BTreeSet<LogId> = logs.iter().map(|info| info.log).collect();
        let gone: Vec<LogId> = self.ends.keys().copied().filter(|log| !wanted.contains(log)).collect();
        for log in gone {
            self.ends.remove(&log);
            self.handle(Event::Close(log));
        }
        let mut fresh = Vec::new();
        for info in logs {
            if !self.ends.contains_key(&info.log) {
                let end = self.shared.host.log_end(info.log);
                self.ends.insert(info.log, end);
                fresh.push((info, end));
            }
        }
        if !fresh.is_empty() {
            self.handle(Event::Open(fresh));
        }
    }

    /// Tells the sender which of its logs have grown. `written` is the number of the last write that the host told of.
    fn look_for_activity(&mut self, written: u64) {
        let now = self.shared.now();
        for (log, end) in self.shared.host.grown_since(self.written) {
            let Some(known) = self.ends.get_mut(&log).filter(|known| **known < end) else {
                continue;
            };
            *known = end;
            self.sender.handle(now, Event::Activity(log, end));
        }
        self.written = written;
    }

    fn start_copies(&mut self) {
        if self.sender.peer().is_none() {
            return;
        }
        for order in self.shared.host.copies_due() {
            let name = (order.table.0, order.join);
            if order.source != self.peer.region
                || self.copying.len() >= COPIES_PER_PEER_MAX as usize
                || !self.copying.insert(name)
            {
                continue;
            }
            let Some(peer) = self.sender.peer().cloned() else {
                return;
            };
            let (host, connection) = (Arc::clone(&self.shared.host), self.connection.clone());
            self.copies.spawn(async move {
                copy::fetch(host.as_ref(), &connection, &order, &peer).await;
                order
            });
        }
    }

    /// Begins a verification that is due; one at a time.
    fn start_verification(&mut self) {
        let Some(peer) = self.sender.peer().filter(|_| self.verifications.is_empty()).cloned() else {
            return;
        };
        let Some(order) = self.shared.host.verification_due(&peer.region) else {
            return;
        };
        let (shared, connection) = (Arc::clone(self.shared), self.connection.clone());
        self.verifications.spawn(async move {
            verify::ask(shared.host.as_ref(), &connection, &shared.own, &order, &peer).await;
        });
    }

    fn copy_ended(&mut self, order: Option<CopyOrder>) {
        match order {
            Some(order) => {
                self.copying.remove(&(order.table.0, order.join));
            }
            // A copy's task died: which one is not told, so all may be tried again.
            None => self.copying.clear(),
        }
    }

    fn measure(&mut self) {
        let stats = self.sender.stats();
        let skipped = stats.passed_over + stats.coalesced + stats.known_to_peer;
        add(&self.metrics.changes_skipped, skipped - self.skipped);
        self.skipped = skipped;
        self.metrics.backlog.store(self.sender.backlog(), Relaxed);
        let path = self.connection.stats().path;
        self.metrics
            .rtt_us
            .store(u64::try_from(path.rtt.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.metrics.packets_lost.store(path.lost_packets, Relaxed);
        self.metrics.congestion_events.store(path.congestion_events, Relaxed);
        self.metrics.window_bytes.store(path.cwnd, Relaxed);
    }
}

/// The output of a future that is ready at once. If it is not, it may be awaited later.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn answered<T, E: std::fmt::Display>(ticket: Ticket, answer: Result<T, E>, event: fn(Ticket, T) -> Event) -> Event {
    match answer {
        Ok(answer) => event(ticket, answer),
        Err(error) => {
            tracing::warn!("reading for a link failed: {error}");
            Event::Failed(ticket)
        }
    }
}
