//! What is stored and sent keeps its bytes: each form is held against a file in `golden/`.
//!
//! A file that is missing is written (run again and commit it); one that differs is never overwritten.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may; golden files are files"
)]

use std::{fs, path::Path};

use bytes::Bytes;
use geodynamo_replicator_core::{
    Body, Change, CopyMark, CopyRequest, CopyRows, CopyStart, Delta, Effect, Frame, Hlc, Images, LogId, LogInfo,
    Origin, Past, Position, ReplicaId, Stamp, TableId, TraceContext, Traced, TransactionId, Version, frame,
    join::CopyFrame,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

fn stamp(time: u64, replica: u64) -> Stamp {
    Stamp::new(Hlc(time), ReplicaId(replica))
}

fn past() -> Past {
    [stamp(3, 1), stamp(9, 2).expired()].into_iter().collect()
}

fn check_bytes(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let hex: String = bytes
        .chunks(32)
        .map(|row| row.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n")
        .collect();
    match fs::read_to_string(&path) {
        Ok(golden) => assert_eq!(hex, golden, "{name} has changed its bytes"),
        Err(_) => {
            fs::write(&path, hex).unwrap();
            panic!("{name} was missing and has been written");
        }
    }
}

fn changes() -> Vec<(&'static str, Change)> {
    let key = Bytes::from_static(b"key\x00\x01sort");
    let local = Change {
        key: key.clone(),
        stamp: stamp(0x0123_4567_89ab_cdef, 7),
        past: past(),
        origin: Origin::Local,
        commit_time: 1_700_000_000_000,
        transaction: Some(TransactionId(0xfeed)),
        body: Body::Item {
            deleted: false,
            effect: Effect::default(),
            images: Images {
                old: Some(Bytes::from_static(b"old")),
                new: Some(Bytes::from_static(b"new")),
            },
        },
    };
    let origin = Origin::Remote {
        replica: ReplicaId(2),
        log: LogId(3),
        position: Position(4),
    };
    let remote = Change {
        past: Past::new(),
        origin,
        transaction: None,
        body: Body::Item {
            deleted: true,
            effect: Effect::default(),
            images: Images::default(),
        },
        ..local.clone()
    };
    let effect = |existed, unchanged| Change {
        body: Body::Item {
            deleted: false,
            effect: Effect { existed, unchanged },
            images: Images::default(),
        },
        ..remote.clone()
    };
    let (modified, unchanged) = (effect(true, false), effect(true, true));
    let item = Version::item(stamp(5, 6), past(), Bytes::from_static(b"item"));
    let tombstone = Version::tombstone(stamp(5, 6), Past::new());
    vec![
        ("change_local.hex", local),
        ("change_remote.hex", remote),
        ("change_modified.hex", modified),
        ("change_unchanged.hex", unchanged),
        (
            "change_conflict.hex",
            Change::conflict(key.clone(), item, stamp(8, 1), Origin::Local, 12),
        ),
        (
            "change_conflict_tombstone.hex",
            Change::conflict(key, tombstone, stamp(8, 1), origin, 12),
        ),
    ]
}

#[test]
fn changes_keep_their_bytes() {
    for (name, change) in changes() {
        let bytes = Bytes::from(change.encode());
        assert_eq!(Change::decode(&bytes).unwrap(), change);
        check_bytes(name, &bytes);
    }
}

fn check_frame<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let bytes = frame::encode(value).unwrap();
    assert_eq!(&frame::decode::<T>(&bytes).unwrap(), value);
    check_bytes(name, &bytes);
}

fn deltas() -> Vec<Delta> {
    let key = Bytes::from_static(b"key");
    vec![
        Delta::Version {
            key: key.clone(),
            version: Version::item(stamp(5, 6), past(), Bytes::from_static(b"item")),
        },
        Delta::Version {
            key: key.clone(),
            version: Version::tombstone(stamp(5, 6).expired(), Past::new()),
        },
        Delta::Conflict {
            key,
            loser: Version::tombstone(stamp(5, 6), past()),
            winner: stamp(7, 1),
        },
    ]
}

#[test]
fn frames_keep_their_bytes() {
    let (log, position) = (LogId(11), Position(12));
    let info = LogInfo::new(ReplicaId(1), TableId(2), 3, (0, u64::MAX));
    let (region, replica) = ("eu-west-1".to_owned(), ReplicaId(9));
    let hello = Frame::Hello {
        protocol: 1,
        cluster: "demo".into(),
        region: region.clone(),
        replica,
        now_ms: 1,
    };
    check_frame("frame_hello.hex", &hello);
    check_frame("frame_open.hex", &Frame::Open { logs: vec![info] });
    let deltas_frame = Frame::Deltas {
        log,
        after: position,
        up_to: Position(20),
        epoch: 3,
        deltas: deltas(),
        sent_ms: 5,
        traces: vec![],
    };
    check_frame("frame_deltas.hex", &deltas_frame);
    check_frame("frame_deltas_traced.hex", &traced_frame());
    check_frame("frame_close.hex", &Frame::Close { log });
    check_frame("frame_ping.hex", &Frame::Ping { sent_ms: 1 });
    check_frame(
        "frame_welcome.hex",
        &Frame::Welcome {
            protocol: 1,
            region,
            replica,
            credit_bytes: 1 << 20,
        },
    );
    check_frame(
        "frame_resume.hex",
        &Frame::Resume {
            log,
            position,
            epoch: 3,
        },
    );
    check_frame("frame_pause.hex", &Frame::Pause { log });
    check_frame("frame_ack.hex", &Frame::Ack { log, up_to: position });
    check_frame("frame_credit.hex", &Frame::Credit { bytes: 70_000 });
    check_frame("frame_pong.hex", &Frame::Pong { sent_ms: 1, now_ms: 2 });
    let mark = CopyMark(77, Bytes::from_static(b"key"));
    let request = CopyRequest {
        table: TableId(2),
        join: 5,
        after: Some(mark.clone()),
    };
    check_frame("copy_request.hex", &CopyFrame::Request(request));
    check_frame(
        "copy_start.hex",
        &CopyFrame::Start(CopyStart {
            cursors: vec![(info, position)],
            ..CopyStart::default()
        }),
    );
    check_frame(
        "copy_rows.hex",
        &CopyFrame::Rows(CopyRows {
            deltas: deltas(),
            last: mark,
        }),
    );
    check_frame("copy_end.hex", &CopyFrame::End);
    check_frame(
        "copy_refused.hex",
        &CopyFrame::Refused {
            reason: "not now".into(),
        },
    );
}

fn traced_frame() -> Frame {
    Frame::Deltas {
        log: LogId(11),
        after: Position(12),
        up_to: Position(20),
        epoch: 3,
        deltas: deltas(),
        sent_ms: 5,
        traces: vec![Traced {
            stamp: stamp(5, 6),
            context: TraceContext {
                trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
                span_id: 0x00f0_67aa_0ba9_02b7,
            },
        }],
    }
}

/// A frame as releases know it that know of no traces.
#[derive(Deserialize, PartialEq, Debug)]
enum EarlierFrame {
    #[serde(rename = "deltas")]
    Deltas {
        #[serde(rename = "l")]
        log: LogId,
        #[serde(rename = "a")]
        after: Position,
        #[serde(rename = "u")]
        up_to: Position,
        #[serde(rename = "e")]
        epoch: u32,
        #[serde(rename = "d")]
        deltas: Vec<Delta>,
        #[serde(rename = "n")]
        sent_ms: u64,
    },
}

#[test]
fn releases_without_traces_read_what_is_traced() {
    let bytes = frame::encode(&traced_frame()).unwrap();
    let read: EarlierFrame = frame::decode(&bytes).unwrap();
    let EarlierFrame::Deltas {
        up_to, deltas: read, ..
    } = read;
    assert_eq!((up_to, read), (Position(20), deltas()));
}

#[test]
fn ids_keep_their_hash() {
    assert_eq!(
        LogId::of(ReplicaId(1), TableId(2), 3),
        LogId(14_177_087_100_936_264_679)
    );
}

#[test]
fn weights_are_upper_bounds() {
    for delta in deltas() {
        let bytes = rmp_serde::to_vec_named(&delta).unwrap();
        assert!(bytes.len() <= delta.weight(), "{} > {}", bytes.len(), delta.weight());
    }
}

proptest! {
    #[test]
    fn bytes_from_elsewhere_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Change::decode(&Bytes::from(bytes.clone()));
        let _ = frame::decode::<Frame>(&bytes);
        let _ = frame::decode::<CopyFrame>(&bytes);
    }

    #[test]
    fn damaged_changes_never_panic(which in 0..6_usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = changes()[which].1.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Change::decode(&Bytes::from(bytes));
    }
}
