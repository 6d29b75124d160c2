//! Loads: rows that are taken in beside the log of commits, by an engine that does that.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::support::{all_rows, bytes, key_of, put};
use crate::{Commit, Engine, Ingest, Sorter};

const LOAD: u64 = 0x10ad;
/// Rows that a check puts; keys come again.
const ROWS: u64 = 4_000;
const KEYS: u64 = 1_500;

/// A row that is anything but in order. Owners 5 and 6 are the load's; others have 4 and 7.
fn row(number: u64) -> (Bytes, Bytes) {
    let scrambled = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS;
    let key = key_of(5 + scrambled % 2, scrambled / 2, scrambled.to_be_bytes());
    // Some are longer than a block.
    (key, bytes(vec![number as u8; 20 + (number % 9 * 60) as usize]))
}

/// Puts rows from a number on, and keeps them whenever the sorter is full; gives the runs and the number behind the last row
/// in them.
fn put_rows(sorter: &mut dyn Sorter, from: u64, to: u64) -> (u64, u64) {
    let mut kept = (0, from);
    for number in from..to {
        let (key, value) = row(number);
        sorter.put(&key, &value).unwrap();
        if sorter.is_full() {
            kept = (sorter.keep().unwrap(), number + 1);
        }
    }
    kept
}

fn take_in(door: &dyn Ingest, sorter: Box<dyn Sorter>) {
    let mut files = door.files(LOAD, 0, false).unwrap();
    assert!(
        files.write(&mut *sorter.into_rows().unwrap()).unwrap() > 0,
        "files are counted"
    );
    files.take_in().unwrap();
}

fn model() -> BTreeMap<Bytes, Bytes> {
    (0..ROWS).map(row).collect()
}

/// Rows come in any order, some twice, in two sittings; they are there as the last of each key was put, beside all others.
pub(super) async fn rows_in_any_order<E: Engine>(engine: E) {
    let Some(door) = engine.ingest() else { return };
    let mut expect = model();
    for (owner, route) in [(4, 9), (7, 0), (5, u64::MAX)] {
        let key = key_of(owner, route, "other");
        engine.commit(Commit::of([put(&key, "beside")])).await.unwrap();
        expect.insert(key, bytes("beside"));
    }
    let mut sorter = door.sorter(LOAD, 0, 0).unwrap();
    put_rows(&mut *sorter, 0, ROWS / 2);
    let runs = sorter.keep().unwrap();
    assert!(runs > 1, "a sorter's memory is bounded");
    // What was put behind that is forgotten.
    put_rows(&mut *sorter, 0, ROWS / 4);
    drop(sorter);
    let mut sorter = door.sorter(LOAD, 0, runs).unwrap();
    put_rows(&mut *sorter, ROWS / 2, ROWS);
    let before = all_rows(&engine).await.len();
    assert_eq!(before, 3, "nothing is there before it is taken in");
    take_in(&*door, sorter);
    assert!(
        all_rows(&engine).await == expect.clone().into_iter().collect::<Vec<_>>(),
        "what was taken in is there, and what was there before"
    );
    // It is written like any other row from there on.
    let (key, value) = row(7);
    engine.commit(Commit::of([put(&key, "newer")])).await.unwrap();
    assert_ne!(value, bytes("newer"));
    assert_eq!(
        engine.get(&key).await.unwrap(),
        Some(bytes("newer")),
        "a newer row is the newer one"
    );
    assert_eq!(door.loads().unwrap(), [LOAD], "a load is there until it is forgotten");
    door.forget(LOAD).unwrap();
    door.forget(LOAD).unwrap();
    assert!(door.loads().unwrap().is_empty(), "a load that is forgotten is gone");
    assert!(all_rows(&engine).await.len() == expect.len(), "its rows are not");
}

/// What is not in order, or missing, is refused.
pub(super) async fn refusals<E: Engine>(engine: E) {
    let Some(door) = engine.ingest() else { return };
    let rows = [key_of(5, 2, "b"), key_of(5, 1, "a")].map(|key| Ok((key, bytes("x"))));
    let mut files = door.files(LOAD, 0, false).unwrap();
    assert!(
        files.write(&mut rows.into_iter()).is_err(),
        "rows that are not in order"
    );
    assert!(door.sorter(LOAD, 0, 1).is_err(), "a run that was never kept");
    assert!(door.files(LOAD, 1, false).is_err(), "a file that was never kept");
    let mut files = door.files(LOAD, 0, false).unwrap();
    let kept = files
        .write(&mut [Ok((key_of(5, 1, "a"), bytes("x")))].into_iter())
        .unwrap();
    files.take_in().unwrap();
    // Again, as after a crash that left it open whether it was done.
    door.files(LOAD, kept, true).unwrap().take_in().unwrap();
    assert_eq!(all_rows(&engine).await.len(), 1, "taken in twice is taken in once");
    drop(engine);
}

/// What was kept is there after a restart, and what was not is not.
pub(super) async fn kept<E: Engine>(open: impl Fn() -> E) {
    let engine = open();
    let Some(door) = engine.ingest() else { return };
    let mut sorter = door.sorter(LOAD, 1, 0).unwrap();
    let (runs, next) = put_rows(&mut *sorter, 0, ROWS / 2);
    assert!(runs > 0 && next < ROWS / 2, "some is kept, some is not");
    let mut files = door.files(LOAD, 0, false).unwrap();
    let first = key_of(3, 1, "first");
    let count = files.write(&mut [Ok((first.clone(), bytes("1")))].into_iter()).unwrap();
    files
        .write(&mut [Ok((key_of(3, 2, "lost"), bytes("2")))].into_iter())
        .unwrap();
    drop((sorter, files, door));
    drop(engine);

    let engine = open();
    let Some(door) = engine.ingest() else { return };
    assert_eq!(door.loads().unwrap(), [LOAD]);
    let mut sorter = door.sorter(LOAD, 1, runs).unwrap();
    put_rows(&mut *sorter, next, ROWS);
    let mut files = door.files(LOAD, count, false).unwrap();
    files.write(&mut *sorter.into_rows().unwrap()).unwrap();
    files.take_in().unwrap();
    door.forget(LOAD).unwrap();
    drop(door);
    drop(engine);

    let engine = open();
    let mut expect = model();
    expect.insert(first, bytes("1"));
    assert!(
        all_rows(&engine).await == expect.into_iter().collect::<Vec<_>>(),
        "what was taken in is there after a restart"
    );
}
