//! A session of the last landed release (6d7b74c, protocol 1), frame by frame: today's ends understand both sides of it.
//!
//! `golden/session_1.txt` has a line for each frame: `>` from the dialer, `<` from the acceptor. It is written if it is missing,
//! and never again: a release that changes what it sends adds a session of its own beside it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may; golden files are files"
)]

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use geodynamo_replicator_core::{
    Applied, Body, Change, Delta, Effect, Frame, Images, LogInfo, Origin, Past, Position, ReplicaId, Stamp, TableId,
    Version, frame,
    frame::{PROTOCOL, PROTOCOL_LEAST},
    link::{Receiver, Sender, Violation, receiver, sender},
};
use greeting::{hello, identity};

mod greeting;

/// Credit of the acceptor, in the unit of a delta's weight.
const CREDIT: u64 = 1_000_000;
/// Moments at which both ends look at the clock, in milliseconds.
const TICKS: [u64; 6] = [0, 5, 10, 600, 1_000, 1_500];

/// The dialer's side: a log of three changes, of which the last is a conflict's record.
struct Dialer {
    end: Sender,
    info: LogInfo,
    acked: Position,
}

/// The acceptor's side, and what it was given.
struct Acceptor {
    end: Receiver,
    applied: Vec<Delta>,
}

fn stamp(time: u64) -> Stamp {
    Stamp::new(geodynamo_replicator_core::Hlc(time), ReplicaId(2))
}

fn versions() -> BTreeMap<Bytes, Version> {
    let item = Version::item(stamp(10), Past::new(), Bytes::from_static(b"\x01item"));
    let gone = Version::tombstone(stamp(20), [stamp(3)].into_iter().collect());
    [(Bytes::from_static(b"k1"), item), (Bytes::from_static(b"k2"), gone)].into()
}

fn changes() -> Vec<(Position, Change)> {
    let change = |key: &Bytes, version: &Version| Change {
        key: key.clone(),
        stamp: version.stamp,
        past: version.past.clone(),
        origin: Origin::Local,
        commit_time: 1_700_000_000_000,
        transaction: None,
        body: Body::Item {
            deleted: version.value.is_none(),
            effect: Effect::default(),
            images: Images::default(),
        },
    };
    let mut changes: Vec<Change> = versions().iter().map(|(key, version)| change(key, version)).collect();
    let loser = Version::item(stamp(5), Past::new(), Bytes::from_static(b"\x01loser"));
    changes.push(Change::conflict(
        Bytes::from_static(b"k1"),
        loser,
        stamp(10),
        Origin::Local,
        9,
    ));
    (1..).map(Position).zip(changes).collect()
}

impl Dialer {
    fn new() -> Self {
        let info = LogInfo::new(ReplicaId(2), TableId(77), 0, (0, u64::MAX));
        let mut end = Sender::new(identity("there", 2), "here", 0);
        end.handle(0, sender::Event::Open(vec![(info, Position(3))]));
        let acked = Position::START;
        Self { end, info, acked }
    }

    /// Does all that it wants done; gives what it sends.
    fn pump(&mut self, now: u64) -> Vec<Frame> {
        let mut sent = Vec::new();
        while let Some(action) = self.end.poll_action() {
            match action {
                sender::Action::Send(frame) => sent.push(frame),
                sender::Action::Established(_) => {}
                sender::Action::ReadLog { ticket, after, .. } => {
                    let behind = changes().into_iter().filter(|(at, _)| *at > after).collect();
                    self.end.handle(now, sender::Event::Log(ticket, behind));
                }
                sender::Action::ReadVersions { ticket, keys, .. } => {
                    let held = keys.iter().map(|key| versions().get(key).cloned()).collect();
                    self.end.handle(now, sender::Event::Versions(ticket, held));
                }
                sender::Action::Acked(log, at) => {
                    assert_eq!(log, self.info.log);
                    self.acked = at;
                }
                other => panic!("{other:?}"),
            }
        }
        sent
    }
}

impl Acceptor {
    fn new() -> Self {
        Self {
            end: Receiver::new(identity("here", 1), "there", CREDIT, 0),
            applied: Vec::new(),
        }
    }

    fn pump(&mut self, now: u64) -> Vec<Frame> {
        let mut sent = Vec::new();
        while let Some(action) = self.end.poll_action() {
            match action {
                receiver::Action::Send(frame) => sent.push(frame),
                receiver::Action::Established(_) => {}
                receiver::Action::LookUpCursor(ticket, _) => {
                    let cursor = receiver::Event::Cursor(ticket, Some(Position::START));
                    self.end.handle(now, cursor);
                }
                receiver::Action::Apply(ticket, batch) => {
                    self.applied.extend(batch.deltas);
                    self.end
                        .handle(now, receiver::Event::Applied(ticket, Ok(Applied::default())));
                }
                receiver::Action::Disconnect(violation) => panic!("{violation}"),
            }
        }
        sent
    }
}

fn line(side: char, frame: &Frame) -> String {
    let hex: String = frame::encode(frame)
        .unwrap()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{side}{hex}\n")
}

fn frame_of(line: &str) -> Frame {
    let hex = line.get(1..).unwrap();
    let byte = |at: usize| u8::from_str_radix(hex.get(2 * at..2 * at + 2).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len() / 2).map(byte).collect();
    frame::decode(&bytes).unwrap()
}

/// Both ends of today, with each other.
fn transcript() -> String {
    let (mut dialer, mut acceptor, mut text) = (Dialer::new(), Acceptor::new(), String::new());
    for now in TICKS {
        dialer.end.handle(now, sender::Event::Tick);
        acceptor.end.handle(now, receiver::Event::Tick);
        loop {
            let (there, back) = (dialer.pump(now), acceptor.pump(now));
            if there.is_empty() && back.is_empty() {
                break;
            }
            for frame in there {
                text += &line('>', &frame);
                acceptor.end.handle(now, receiver::Event::Frame(frame));
            }
            for frame in back {
                text += &line('<', &frame);
                dialer.end.handle(now, sender::Event::Frame(frame));
            }
        }
    }
    assert_eq!((dialer.acked, acceptor.applied.len()), (Position(3), 3));
    text
}

fn golden() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/session_1.txt");
    fs::read_to_string(&path).unwrap_or_else(|_| {
        fs::write(&path, transcript()).unwrap();
        panic!("session_1.txt was missing and has been written");
    })
}

#[test]
fn an_older_dialer_is_served() {
    let (golden, mut acceptor, mut sent) = (golden(), Acceptor::new(), Vec::new());
    for now in TICKS {
        acceptor.end.handle(now, receiver::Event::Tick);
    }
    let now = TICKS[TICKS.len() - 1];
    for line in golden.lines().filter(|line| line.starts_with('>')) {
        acceptor.end.handle(now, receiver::Event::Frame(frame_of(line)));
        sent.extend(acceptor.pump(now));
        acceptor.end.handle(now + receiver::ROUND_MS, receiver::Event::Tick);
        sent.extend(acceptor.pump(now + receiver::ROUND_MS));
    }
    let conflict = |delta: &Delta| matches!(delta, Delta::Conflict { .. });
    assert_eq!(acceptor.applied.len(), 3);
    assert_eq!(acceptor.applied.iter().filter(|delta| conflict(delta)).count(), 1);
    let expected = versions();
    for delta in &acceptor.applied {
        if let Delta::Version { key, version } = delta {
            assert_eq!(Some(version), expected.get(key));
        }
    }
    assert!(
        matches!(sent.first(), Some(Frame::Welcome { protocol: 1, .. })),
        "{sent:?}"
    );
    let acked = |frame: &Frame| matches!(frame, Frame::Ack { up_to, .. } if *up_to == Position(3));
    assert!(sent.iter().any(acked), "{sent:?}");
}

#[test]
fn an_older_acceptor_is_sent_to() {
    let (golden, mut dialer, mut sent) = (golden(), Dialer::new(), Vec::new());
    let now = 0;
    for line in golden.lines() {
        // What it has sent by the time that the other end answers.
        sent.extend(dialer.pump(now));
        if line.starts_with('<') {
            dialer.end.handle(now, sender::Event::Frame(frame_of(line)));
        }
    }
    sent.extend(dialer.pump(now));
    assert!(matches!(sent.first(), Some(Frame::Hello { .. })));
    assert_eq!(dialer.acked, Position(3));
    let told: Vec<Frame> = golden
        .lines()
        .filter(|line| line.starts_with('>'))
        .map(frame_of)
        .collect();
    let deltas = |frames: &[Frame]| -> usize {
        let of = |frame: &Frame| {
            if let Frame::Deltas { deltas, .. } = frame {
                deltas.len()
            } else {
                0
            }
        };
        frames.iter().map(of).sum()
    };
    assert_eq!(deltas(&sent), deltas(&told));
}

/// A newer dialer is answered with what this release speaks, and decides; one that is too old, and an acceptor that speaks
/// what was not offered, are refused, by both protocols' numbers.
#[test]
fn versions_are_agreed_upon_or_refused() {
    let greet = |protocol| {
        let mut end = Receiver::new(identity("here", 1), "there", CREDIT, 0);
        end.handle(0, receiver::Event::Frame(hello("test", "there", 2, protocol)));
        std::iter::from_fn(move || end.poll_action()).last()
    };
    for newer in [PROTOCOL, PROTOCOL + 1, u16::MAX] {
        let Some(receiver::Action::Send(Frame::Welcome { protocol, .. })) = greet(newer) else {
            panic!("protocol {newer} is refused")
        };
        assert_eq!(protocol, PROTOCOL);
    }
    let older = PROTOCOL_LEAST - 1;
    assert_eq!(
        greet(older),
        Some(receiver::Action::Disconnect(Violation::Protocol(older)))
    );
    let text = Violation::Protocol(older).to_string();
    assert_eq!(
        text,
        format!("the peer speaks protocol {older}, this release speaks {PROTOCOL_LEAST} to {PROTOCOL}")
    );

    for protocol in [PROTOCOL_LEAST - 1, PROTOCOL + 1] {
        let mut end = Sender::new(identity("here", 1), "there", 0);
        let welcome = Frame::Welcome {
            protocol,
            region: "there".into(),
            replica: ReplicaId(2),
            credit_bytes: CREDIT,
        };
        end.handle(0, sender::Event::Frame(welcome));
        let last = std::iter::from_fn(|| end.poll_action()).last();
        assert_eq!(last, Some(sender::Action::Disconnect(Violation::Protocol(protocol))));
    }
}
