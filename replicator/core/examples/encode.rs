//! Measures the encoding and decoding of a change: `cargo run --release -p geodynamo-replicator-core --example encode`.

#![allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use geodynamo_replicator_core::{Body, Change, ChangeError, Effect, Hlc, Images, Origin, Past, ReplicaId, Stamp};

/// How often each is done.
const ROUNDS: u32 = 2_000_000;

fn main() -> Result<(), ChangeError> {
    let stamp = Stamp::new(Hlc::from_millis(1_700_000_000_000), ReplicaId(0x0123_4567_89ab_cdef));
    let change = Change {
        key: Bytes::from_static(b"customer#0001234\x00\x01order#2026-11-23"),
        stamp,
        past: Past::after(&Past::new(), stamp),
        origin: Origin::Local,
        commit_time: 1_700_000_000_001,
        transaction: None,
        body: Body::Item {
            deleted: false,
            effect: Effect::default(),
            images: Images::default(),
        },
    };
    let mut out = Vec::with_capacity(512);
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        out.clear();
        black_box(&change).encode_into(&mut out);
        black_box(&out);
    }
    let encode = begun.elapsed() / ROUNDS;
    let bytes = Bytes::from(change.encode());
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        black_box(Change::decode(black_box(&bytes))?);
    }
    println!(
        "{} bytes: encode {encode:?}, decode {:?}",
        bytes.len(),
        begun.elapsed() / ROUNDS
    );
    Ok(())
}
