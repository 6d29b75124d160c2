//! A receiver stepped on a fake clock: what it takes in, and when it applies it.

#![allow(clippy::unwrap_used, reason = "a test may")]

use geodynamo_replicator_core::{
    ApplyError, Frame, LogInfo, Position, ReplicaId, TableId,
    link::{Receiver, Ticket, Violation, receiver},
};
use greeting::{hello, identity};

mod greeting;

/// Frames that come twice, too early or overlapping are harmless and give their credit back.
#[test]
fn a_receiver_takes_stretches_in_order() {
    let info = LogInfo::new(ReplicaId(2), TableId(1), 0, (0, 9));
    let log = info.log;
    let mut receiver = Receiver::new(identity("here", 1), "there", 16, 0);
    let frame = |frame| receiver::Event::Frame(frame);
    let sent = |epoch, after, up_to| {
        frame(Frame::Deltas {
            log,
            after: Position(after),
            up_to: Position(up_to),
            epoch,
            deltas: vec![],
            sent_ms: 0,
            traces: vec![],
        })
    };
    let stretch = |after, up_to| sent(1, after, up_to);
    let actions = |receiver: &mut Receiver| std::iter::from_fn(|| receiver.poll_action()).collect::<Vec<_>>();
    receiver.handle(0, frame(hello("test", "there", 2, 1)));
    receiver.handle(0, frame(Frame::Open { logs: vec![info] }));
    let receiver::Action::LookUpCursor(ticket, _) = actions(&mut receiver).pop().unwrap() else {
        panic!("no question")
    };
    receiver.handle(0, sent(0, 0, 3));
    receiver.handle(0, receiver::Event::Cursor(ticket, Some(Position(4))));
    let resume = receiver::Action::Send(Frame::Resume {
        log,
        position: Position(4),
        epoch: 1,
    });
    assert_eq!(
        actions(&mut receiver),
        [receiver::Action::Send(Frame::Credit { bytes: 64 }), resume]
    );

    // Too early: sent before the sender heard from where.
    receiver.handle(0, sent(0, 6, 8));
    assert_eq!(
        actions(&mut receiver),
        [receiver::Action::Send(Frame::Credit { bytes: 64 })]
    );
    // Overlapping: the batch says only what is new.
    receiver.handle(0, stretch(2, 6));
    let applying = actions(&mut receiver);
    let [receiver::Action::Apply(ticket, batch)] = &applying[..] else {
        panic!("{applying:?}")
    };
    assert_eq!((batch.after, batch.up_to), (Position(4), Position(6)));
    // Two more come meanwhile: joined into one batch afterwards.
    receiver.handle(0, stretch(6, 8));
    receiver.handle(0, stretch(8, 9));
    assert_eq!(actions(&mut receiver), []);
    receiver.handle(0, receiver::Event::Applied(*ticket, Ok(Default::default())));
    let after = actions(&mut receiver);
    let ack = |up_to| {
        receiver::Action::Send(Frame::Ack {
            log,
            up_to: Position(up_to),
        })
    };
    assert_eq!(
        after[..2],
        [receiver::Action::Send(Frame::Credit { bytes: 64 }), ack(6)]
    );
    let receiver::Action::Apply(_, batch) = &after[2] else {
        panic!("{after:?}")
    };
    assert_eq!((batch.after, batch.up_to), (Position(6), Position(9)));
    // Twice: acknowledged again, as far as it is durable.
    receiver.handle(0, stretch(2, 5));
    assert_eq!(
        actions(&mut receiver),
        [receiver::Action::Send(Frame::Credit { bytes: 64 }), ack(6)]
    );
    // A gap: asked to go back, once.
    receiver.handle(0, stretch(12, 13));
    receiver.handle(0, stretch(13, 14));
    let credit = receiver::Action::Send(Frame::Credit { bytes: 64 });
    let resume = receiver::Action::Send(Frame::Resume {
        log,
        position: Position(9),
        epoch: 2,
    });
    assert_eq!(actions(&mut receiver), [credit.clone(), resume, credit.clone()]);
    // What was sent before the sender heard of that is dropped, even if it would fit: a stretch that is sent again may
    // hold newer versions, and what follows it relies on them.
    receiver.handle(0, stretch(9, 12));
    assert_eq!(actions(&mut receiver), [credit]);
    receiver.handle(0, sent(2, 9, 11));
    assert_eq!(actions(&mut receiver), []);
    assert_eq!(receiver.cursor(log), Some(Position(6)));
}

/// A receiver that one log has been opened on, and the question for its cursor.
fn opened(info: LogInfo) -> (Receiver, Ticket) {
    let mut receiver = Receiver::new(identity("here", 1), "there", 1000, 0);
    receiver.handle(0, receiver::Event::Frame(hello("test", "there", 2, 1)));
    receiver.handle(0, receiver::Event::Frame(Frame::Open { logs: vec![info] }));
    let ticket = asked(&mut receiver).expect("a question");
    (receiver, ticket)
}

/// The cursor that the receiver asks for next, if it does.
fn asked(receiver: &mut Receiver) -> Option<Ticket> {
    std::iter::from_fn(|| receiver.poll_action()).find_map(|action| match action {
        receiver::Action::LookUpCursor(ticket, _) => Some(ticket),
        _ => None,
    })
}

/// A receiver with a peer's logs open: log 0 to 31 of table 1, and one of table 2.
struct Rounds {
    receiver: Receiver,
    logs: Vec<LogInfo>,
    ends: Vec<u64>,
    epochs: Vec<u32>,
}

impl Rounds {
    fn new() -> Self {
        let info = |table, partition| LogInfo::new(ReplicaId(2), TableId(table), partition, (0, 9));
        let logs: Vec<_> = (0..32)
            .map(|partition| info(1, partition))
            .chain([info(2, 0)])
            .collect();
        let mut receiver = Receiver::new(identity("here", 1), "there", 1 << 20, 0);
        receiver.handle(0, receiver::Event::Frame(hello("test", "there", 2, 1)));
        receiver.handle(0, receiver::Event::Frame(Frame::Open { logs: logs.clone() }));
        while let Some(ticket) = asked(&mut receiver) {
            receiver.handle(0, receiver::Event::Cursor(ticket, Some(Position(0))));
        }
        let ends = vec![0; logs.len()];
        // Each was opened in its turn.
        let epochs = (1..=logs.len() as u32).collect();
        Self {
            receiver,
            logs,
            ends,
            epochs,
        }
    }

    /// So many stretches of a log come, each of the least weight.
    fn send(&mut self, now: u64, log: usize, count: u64) {
        for _ in 0..count {
            let after = self.ends[log];
            self.ends[log] += 1;
            let stretch = Frame::Deltas {
                log: self.logs[log].log,
                after: Position(after),
                up_to: Position(after + 1),
                epoch: self.epochs[log],
                deltas: vec![],
                sent_ms: 0,
                traces: vec![],
            };
            self.receiver.handle(now, receiver::Event::Frame(stretch));
        }
    }

    /// The logs whose batches begin, and the tickets of those.
    fn begun(&mut self) -> (Vec<usize>, Vec<Ticket>) {
        let applies = std::iter::from_fn(|| self.receiver.poll_action()).filter_map(|action| match action {
            receiver::Action::Apply(ticket, batch) => {
                let log = self.logs.iter().position(|info| info.log == batch.log.log)?;
                Some((log, ticket))
            }
            _ => None,
        });
        applies.unzip()
    }

    /// A log is sent from its start again.
    fn resumed(&mut self, log: usize, ticket: Ticket) {
        self.receiver
            .handle(0, receiver::Event::Cursor(ticket, Some(Position(0))));
        self.ends[log] = 0;
        let resume = std::iter::from_fn(|| self.receiver.poll_action()).find_map(|action| match action {
            receiver::Action::Send(Frame::Resume { epoch, .. }) => Some(epoch),
            _ => None,
        });
        self.epochs[log] = resume.unwrap();
    }

    fn done(&mut self, now: u64, ticket: Ticket) {
        self.receiver
            .handle(now, receiver::Event::Applied(ticket, Ok(Default::default())));
    }
}

/// While some of a table's logs are being applied, the others' deltas gather for the next round.
#[test]
fn what_comes_of_a_table_gathers_while_it_is_applied() {
    let mut rounds = Rounds::new();
    rounds.send(0, 0, 1);
    rounds.send(0, 1, 1);
    let (logs, tickets) = rounds.begun();
    assert_eq!(logs, [0, 1], "all that came together");
    rounds.send(0, 2, 1);
    rounds.send(0, 0, 1);
    assert_eq!(rounds.begun().0, [] as [usize; 0]);
    rounds.done(1, tickets[0]);
    assert_eq!(rounds.begun().0, [] as [usize; 0], "the round is not over");
    rounds.send(1, 32, 1);
    assert_eq!(rounds.begun().0, [32], "another table's");
    rounds.done(1, tickets[1]);
    assert_eq!(rounds.begun().0, [2, 0], "the next round");
}

/// It does not gather for long, nor if it is much, nor once the peer's last frame has come.
#[test]
fn what_gathers_begins_in_time() {
    const BEGUN: u64 = 100;
    let least = receiver::ROUND_BYTES.div_ceil(Frame::weight_of(&[]));
    let check = |count: u64, event: Option<(u64, receiver::Event)>, expect: bool| {
        let mut rounds = Rounds::new();
        rounds.send(BEGUN, 0, 1);
        rounds.begun();
        rounds.send(BEGUN, 1, count);
        if let Some((now, event)) = event.clone() {
            assert_eq!(rounds.begun().0, [] as [usize; 0]);
            assert_eq!(rounds.receiver.poll_timeout(), Some(BEGUN + receiver::ROUND_MS));
            rounds.receiver.handle(now, event);
        }
        assert_eq!(!rounds.begun().0.is_empty(), expect, "{count} at {event:?}");
        // Nothing gathers any more, or it is still waited for.
        assert_eq!(
            rounds.receiver.poll_timeout() > Some(BEGUN + receiver::ROUND_MS),
            expect
        );
    };
    let tick = |now| Some((BEGUN + now, receiver::Event::Tick));
    check(least - 1, None, false);
    check(least, None, true);
    check(1, tick(receiver::ROUND_MS - 1), false);
    check(1, tick(receiver::ROUND_MS), true);
    check(1, Some((BEGUN, receiver::Event::End)), true);
}

/// What has been applied, or dropped, is not counted as waiting: after much of it a little gathers as before.
#[test]
fn what_is_done_does_not_count_as_waiting() {
    let most = receiver::ROUND_BYTES / Frame::weight_of(&[]);
    let gathers_after = |much: fn(&mut Rounds, u64)| {
        let mut rounds = Rounds::new();
        much(&mut rounds, most);
        rounds.send(0, 0, 1);
        assert_eq!(rounds.begun().0, [0]);
        rounds.send(0, 1, 1);
        rounds.begun().0.is_empty()
    };
    assert!(gathers_after(|rounds, most| {
        rounds.send(0, 1, most);
        let ticket = rounds.begun().1[0];
        rounds.done(0, ticket);
    }));
    assert!(gathers_after(|rounds, most| {
        rounds.send(0, 1, 1);
        let ticket = rounds.begun().1[0];
        rounds.send(0, 1, most);
        let refused = Err(ApplyError::Unknown);
        rounds.receiver.handle(0, receiver::Event::Catalog);
        rounds.receiver.handle(0, receiver::Event::Applied(ticket, refused));
        let ticket = asked(&mut rounds.receiver).unwrap();
        rounds.resumed(1, ticket);
    }));
}

/// As many are applied at a time as may be; those that have waited for room long enough begin as soon as there is some.
#[test]
fn logs_that_found_no_room_begin_when_there_is() {
    let mut rounds = Rounds::new();
    (0..receiver::APPLYING_MAX + 2).for_each(|log| rounds.send(0, log, 1));
    let (logs, tickets) = rounds.begun();
    assert_eq!(logs.len(), receiver::APPLYING_MAX);
    let late = receiver::ROUND_MS + 1;
    rounds.receiver.handle(late, receiver::Event::Tick);
    assert_eq!(rounds.begun().0, [] as [usize; 0]);
    assert!(
        rounds.receiver.poll_timeout() > Some(late + receiver::ROUND_MS),
        "time makes no room"
    );
    rounds.done(late, tickets[0]);
    assert_eq!(rounds.begun().0, [receiver::APPLYING_MAX]);
    rounds.done(late, tickets[1]);
    assert_eq!(rounds.begun().0, [receiver::APPLYING_MAX + 1]);
}

/// The host answers as of before a change of its catalog, and the answer is heard of after it: no other change need follow.
#[test]
fn a_change_of_the_catalog_during_a_question_is_not_missed() {
    let info = LogInfo::new(ReplicaId(2), TableId(1), 0, (0, 9));
    let (mut receiver, first) = opened(info);
    receiver.handle(0, receiver::Event::Catalog);
    assert_eq!(asked(&mut receiver), None, "the answer is on its way");
    receiver.handle(0, receiver::Event::Cursor(first, None));
    let second = asked(&mut receiver).expect("asked again at once");
    receiver.handle(0, receiver::Event::Cursor(second, None));
    assert_eq!(asked(&mut receiver), None, "it has not changed since");
    receiver.handle(0, receiver::Event::Catalog);
    let third = asked(&mut receiver).expect("asked again when it changes");
    receiver.handle(0, receiver::Event::Cursor(third, Some(Position::START)));
    assert_eq!(receiver.cursor(info.log), Some(Position::START));
}

/// The same where a batch is refused since the table is not known, and is known when that is heard of.
#[test]
fn a_change_of_the_catalog_during_an_apply_is_not_missed() {
    let info = LogInfo::new(ReplicaId(2), TableId(1), 0, (0, 9));
    let check = |changes_between: bool| {
        let (mut receiver, ticket) = opened(info);
        receiver.handle(0, receiver::Event::Cursor(ticket, Some(Position::START)));
        let deltas = Frame::Deltas {
            log: info.log,
            after: Position::START,
            up_to: Position(3),
            epoch: 1,
            deltas: vec![],
            sent_ms: 0,
            traces: vec![],
        };
        receiver.handle(0, receiver::Event::Frame(deltas));
        let applying = std::iter::from_fn(|| receiver.poll_action()).last();
        let Some(receiver::Action::Apply(ticket, _)) = applying else {
            panic!("{applying:?}")
        };
        if changes_between {
            receiver.handle(0, receiver::Event::Catalog);
        }
        receiver.handle(0, receiver::Event::Applied(ticket, Err(ApplyError::Unknown)));
        asked(&mut receiver).is_some()
    };
    assert!(check(true));
    assert!(!check(false), "the table is still unknown");
}

/// A peer moves no cursor but its own: a log of another replica, or one that goes by another log's id, ends the link.
#[test]
fn a_peer_offers_its_own_logs_only() {
    let own = LogInfo::new(ReplicaId(2), TableId(1), 0, (0, 9));
    let other = LogInfo::new(ReplicaId(3), TableId(1), 0, (0, 9));
    let disguised = LogInfo { log: other.log, ..own };
    let backwards = LogInfo { range: (9, 0), ..own };
    for (info, fine) in [(own, true), (other, false), (disguised, false), (backwards, false)] {
        let mut receiver = Receiver::new(identity("here", 1), "there", 1000, 0);
        receiver.handle(0, receiver::Event::Frame(hello("test", "there", 2, 1)));
        receiver.handle(0, receiver::Event::Frame(Frame::Open { logs: vec![info] }));
        let mut actions = std::iter::from_fn(|| receiver.poll_action());
        let ended = actions.any(|action| matches!(action, receiver::Action::Disconnect(Violation::Foreign(_))));
        assert_eq!(ended, !fine, "{info:?}");
    }
}
