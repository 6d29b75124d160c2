//! Senders and receivers stepped on a fake clock: no gaps, no circulation, bounded memory, convergence.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bytes::Bytes;
use geodynamo_replicator_core::{
    Change, Frame, Hlc, LogInfo, MergeKind, Origin, Past, Position, ReplicaId, Stamp, TableId, Version,
    link::{Receiver, Sender, Violation, receiver, sender},
};
use greeting::{hello, identity};
use proptest::prelude::*;
use world::World;

mod greeting;
mod world;

#[derive(Clone, Debug)]
enum Step {
    Write {
        at: usize,
        table: u64,
        key: u8,
        size: Option<u8>,
        is_expiry: bool,
    },
    Run {
        link: usize,
        which: usize,
        times: u8,
    },
    Time(u64),
    Cut(usize),
    Heal(usize),
    Full(usize, bool),
    Unknown(usize, u64),
    Known(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize, 0..world::TABLES, 0..6_u8, prop::option::weighted(0.8, 0..120_u8), prop::bool::weighted(0.1))
            .prop_map(|(at, table, key, size, is_expiry)| Step::Write { at, table, key, size, is_expiry }),
        16 => (0..6_usize, any::<usize>(), 1..12_u8).prop_map(|(link, which, times)| Step::Run { link, which, times }),
        3 => (1..700_u64).prop_map(Step::Time),
        1 => (0..6_usize).prop_map(Step::Cut),
        2 => (0..6_usize).prop_map(Step::Heal),
        1 => (0..3_usize, any::<bool>()).prop_map(|(at, full)| Step::Full(at, full)),
        1 => (0..3_usize, 0..world::TABLES).prop_map(|(at, table)| Step::Unknown(at, table)),
        1 => (0..3_usize).prop_map(Step::Known),
    ]
}

fn run(world: &mut World, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Write {
                at,
                table,
                key,
                size,
                is_expiry,
            } => {
                let at = at % world.replicas.len();
                let value = size.map(|size| Bytes::from(vec![key; size.into()]));
                world.write(at, table, Bytes::from(vec![key]), value, is_expiry);
            }
            Step::Run { link, which, times } => {
                let link = link % world.links.len();
                for time in 0..usize::from(times) {
                    world.step(link, which.wrapping_add(time.wrapping_mul(7)));
                }
            }
            Step::Time(ms) => world.pass_time(ms),
            Step::Cut(link) => {
                let link = link % world.links.len();
                world.cut(link);
            }
            Step::Heal(link) => {
                let link = link % world.links.len();
                world.heal(link);
            }
            Step::Full(at, full) => {
                let at = at % world.replicas.len();
                world.replicas[at].is_full = full;
            }
            Step::Unknown(at, table) => {
                let at = at % world.replicas.len();
                world.replicas[at].unknown.insert(TableId(table));
            }
            Step::Known(at) => {
                let at = at % world.replicas.len();
                world.replicas[at].unknown.clear();
                world.catalog_changed();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn replicas_converge(
        replicas in 2..4_usize,
        credit in prop_oneof![Just(600_u64), Just(4_000), Just(1_000_000)],
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut world = World::new(replicas, credit);
        run(&mut world, steps);
        world.settle();
        world.check_equal();
    }
}

#[test]
fn a_slow_peer_costs_its_distinct_keys() {
    let mut world = World::new(2, 1_000_000);
    for round in 0..500_u32 {
        for key in 0..4_u8 {
            world.write(
                0,
                0,
                Bytes::from(vec![key]),
                Some(Bytes::from(round.to_be_bytes().to_vec())),
                false,
            );
        }
    }
    world.settle();
    world.check_equal();
    assert_eq!(world.deltas, 4, "2000 writes of 4 keys");
}

#[test]
fn nothing_circulates() {
    let mut world = World::new(3, 1_000_000);
    for key in 0..50_u8 {
        world.write(
            usize::from(key % 3),
            0,
            Bytes::from(vec![key]),
            Some(Bytes::from_static(b"value")),
            false,
        );
    }
    world.settle();
    world.check_equal();
    assert_eq!(world.deltas, 100, "50 writes, each to two peers, once");
}

#[test]
fn an_expiry_of_the_peers_own_version_is_sent_to_it() {
    let mut world = World::new(2, 1_000_000);
    world.write(0, 0, Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")), false);
    world.settle();
    world.write(1, 0, Bytes::from_static(b"k"), None, true);
    world.settle();
    world.check_equal();
    let held = world.replicas[0].store.values().next().unwrap();
    assert!(held.stamp.expiry && held.is_tombstone());
}

#[test]
fn a_peer_that_is_ahead_is_an_alarm() {
    let mut world = World::new(2, 1_000_000);
    world.write(0, 0, Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")), false);
    let log = world::log_of(world.replicas[0].id, TableId(0), 1).log;
    world.replicas[1].cursors.insert(log, Position(1_000));
    for round in 0..200 {
        world.step(0, round);
    }
    let end = world.replicas[0].end(log);
    let alarm = sender::Action::PeerAhead {
        log,
        cursor: Position(1_000),
        end,
    };
    assert_eq!(world.links[0].alarms, [alarm]);
    assert!(world.replicas[1].store.is_empty());
}

#[test]
fn a_peer_that_knew_of_the_end_first_gets_the_log_from_there() {
    let mut world = World::new(2, 1_000_000);
    let log = world::log_of(world.replicas[0].id, TableId(0), 1).log;
    // The peer has a copy that goes up to the end, and one write more is to come.
    world.replicas[1].cursors.insert(log, Position(1));
    for round in 0..200 {
        world.step(0, round);
    }
    assert_eq!(world.links[0].alarms.len(), 1);
    for key in [&b"in the copy"[..], b"after it"] {
        let key = Bytes::copy_from_slice(key);
        world.write(0, 0, key, Some(Bytes::from_static(b"v")), false);
    }
    world.settle();
    assert_eq!(world.links[0].alarms.len(), 1);
    assert!(world.replicas[1].cursors[&log] >= world.replicas[0].end(log));
    assert!(!world.replicas[1].store.is_empty());
}

#[test]
fn receivers_refuse_strangers() {
    let check = |frames: Vec<Frame>, expect: Violation| {
        let mut receiver = Receiver::new(identity("here", 1), "there", 1000, 0);
        frames
            .into_iter()
            .for_each(|frame| receiver.handle(0, receiver::Event::Frame(frame)));
        let last = std::iter::from_fn(|| receiver.poll_action()).last();
        assert_eq!(last, Some(receiver::Action::Disconnect(expect)));
        receiver.handle(0, receiver::Event::Frame(hello("test", "there", 2, 1)));
        assert_eq!(receiver.poll_action(), None, "a closed receiver does nothing");
    };
    let good = || hello("test", "there", 2, 1);
    let (log, position) = (LogInfo::new(ReplicaId(2), TableId(1), 0, (0, 9)), Position(5));
    check(vec![hello("test", "there", 2, 0)], Violation::Protocol(0));
    check(vec![hello("other", "there", 2, 1)], Violation::Cluster("other".into()));
    let region = Violation::Region {
        said: "nowhere".into(),
        expected: "there".into(),
    };
    check(vec![hello("test", "nowhere", 2, 1)], region);
    check(vec![hello("test", "there", 1, 1)], Violation::SameReplica(ReplicaId(1)));
    check(
        vec![Frame::Open { logs: vec![log] }],
        Violation::Unexpected("before hello"),
    );
    check(vec![good(), good()], Violation::Unexpected("second hello"));
    check(
        vec![good(), Frame::Credit { bytes: 1 }],
        Violation::Unexpected("acks on the way there"),
    );
    check(
        vec![good(), Frame::Open { logs: vec![log; 1025] }],
        Violation::Limit("logs in one open frame"),
    );
    let backwards = Frame::Deltas {
        log: log.log,
        after: position,
        up_to: Position(4),
        epoch: 0,
        deltas: vec![],
        sent_ms: 0,
        traces: vec![],
    };
    check(
        vec![good(), backwards],
        Violation::Limit("a stretch that ends before it begins"),
    );
}

#[test]
fn senders_refuse_strangers() {
    let check = |frames: Vec<Frame>, expect: Violation| {
        let mut sender = Sender::new(identity("here", 1), "there", 0);
        frames
            .into_iter()
            .for_each(|frame| sender.handle(0, sender::Event::Frame(frame)));
        let last = std::iter::from_fn(|| sender.poll_action()).last();
        assert_eq!(last, Some(sender::Action::Disconnect(expect)));
    };
    let welcome = |protocol, region: &str, replica| Frame::Welcome {
        protocol,
        region: region.into(),
        replica: ReplicaId(replica),
        credit_bytes: 1000,
    };
    check(vec![welcome(7, "there", 2)], Violation::Protocol(7));
    let region = Violation::Region {
        said: "x".into(),
        expected: "there".into(),
    };
    check(vec![welcome(1, "x", 2)], region);
    check(vec![welcome(1, "there", 1)], Violation::SameReplica(ReplicaId(1)));
    check(
        vec![Frame::Credit { bytes: 1 }],
        Violation::Unexpected("before welcome"),
    );
    check(
        vec![welcome(1, "there", 2), welcome(1, "there", 2)],
        Violation::Unexpected("second welcome"),
    );
    check(
        vec![welcome(1, "there", 2), hello("test", "there", 2, 1)],
        Violation::Unexpected("greeting"),
    );
}

#[test]
fn silence_ends_a_connection() {
    let mut sender = Sender::new(identity("here", 1), "there", 0);
    let mut receiver = Receiver::new(identity("there", 2), "here", 1000, 0);
    assert!(sender.poll_action().is_some());
    for now in [5_000, 9_999] {
        sender.handle(now, sender::Event::Tick);
        receiver.handle(now, receiver::Event::Tick);
        assert_eq!((sender.poll_action(), receiver.poll_action()), (None, None));
    }
    sender.handle(10_000, sender::Event::Tick);
    receiver.handle(10_000, receiver::Event::Tick);
    assert_eq!(
        sender.poll_action(),
        Some(sender::Action::Disconnect(Violation::Silence(10_000)))
    );
    assert_eq!(
        receiver.poll_action(),
        Some(receiver::Action::Disconnect(Violation::Silence(10_000)))
    );
    assert_eq!((sender.poll_timeout(), receiver.poll_timeout()), (None, None));
}

/// What a read gives may be newer than what the link was told of; the peer's ack of it is no violation.
#[test]
fn a_sender_reads_further_than_it_was_told() {
    let info = LogInfo::new(ReplicaId(1), TableId(1), 0, (0, 9));
    let log = info.log;
    let mut sender = Sender::new(identity("here", 1), "there", 0);
    let actions = |sender: &mut Sender| std::iter::from_fn(|| sender.poll_action()).collect::<Vec<_>>();
    let frame = |frame| sender::Event::Frame(frame);
    sender.handle(
        0,
        frame(Frame::Welcome {
            protocol: 1,
            region: "there".into(),
            replica: ReplicaId(2),
            credit_bytes: 1 << 20,
        }),
    );
    sender.handle(0, sender::Event::Open(vec![(info, Position(1))]));
    let resume = Frame::Resume {
        log,
        position: Position(0),
        epoch: 1,
    };
    sender.handle(0, frame(resume));
    let Some(sender::Action::ReadLog { ticket, .. }) = actions(&mut sender).pop() else {
        panic!("no question")
    };
    // It was told of position 1; 2 and 3 are durable by now, too.
    let change = |position: u64| {
        let origin = Origin::Remote {
            replica: ReplicaId(2),
            log,
            position: Position(position),
        };
        let loser = Version {
            stamp: Stamp::new(Hlc(position), ReplicaId(2)),
            past: Past::new(),
            kind: MergeKind::ItemLww,
            value: None,
        };
        let winner = loser.stamp;
        let key = Bytes::from_static(b"k");
        let change = Change::conflict(key, loser, winner, origin, 0);
        (Position(position), change)
    };
    sender.handle(0, sender::Event::Log(ticket, (1..=3).map(change).collect()));
    sender.handle(
        0,
        frame(Frame::Ack {
            log,
            up_to: Position(3),
        }),
    );
    assert_eq!(
        actions(&mut sender).pop(),
        Some(sender::Action::Acked(log, Position(3)))
    );
    assert_eq!(sender.backlog(), 0);
}
