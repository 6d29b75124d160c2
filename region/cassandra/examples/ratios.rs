//! What the engine does beside bare statements of the same driver on the same cluster, by turns, as ratios:
//!
//!     GEODYNAMO_CASSANDRA=127.0.0.1:9042 cargo run --release -p geodynamo-cassandra --example ratios [SECONDS] [CONNECTIONS]
//!
//! The keyspace `ratios` is made, with as many replicas as there are nodes up to three, and left behind.

// It measures: what goes wrong ends it.
#![allow(clippy::unwrap_used)]

use std::{
    env,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_cassandra::{CassandraEngine, CassandraOptions, Slot, Take, create_schema};
use geodynamo_storage::{Commit, Engine, Write, key_head};
use scylla::{
    client::session_builder::SessionBuilder,
    statement::{Consistency, SerialConsistency},
};

const VALUE_BYTES: usize = 400;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1).map(|text| text.parse::<u64>().unwrap());
    let time = Duration::from_secs(arguments.next().unwrap_or(5));
    let connections = arguments.next().unwrap_or(128) as usize;
    let contact_points: Vec<String> = env::var("GEODYNAMO_CASSANDRA")
        .expect("GEODYNAMO_CASSANDRA says where Cassandra is")
        .split(',')
        .map(Into::into)
        .collect();
    let replicas = contact_points.len().min(3);
    let options = CassandraOptions {
        contact_points: contact_points.clone(),
        keyspace: "ratios".into(),
        slot: Slot(i32::try_from(std::process::id()).unwrap_or(0)),
        take: Take::AtOnce,
        row_cache_bytes: 0,
        ..CassandraOptions::default()
    };
    let replication = format!("{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replicas}}}");
    create_schema(&options, &replication).await.unwrap();
    let session = SessionBuilder::new()
        .known_nodes(&contact_points)
        .build()
        .await
        .unwrap();
    session.use_keyspace("ratios", false).await.unwrap();
    let table = "CREATE TABLE IF NOT EXISTS bare (id bigint PRIMARY KEY, value blob)";
    session.query_unpaged(table, ()).await.unwrap();
    let prepare = async |text: &str| {
        let mut statement = session.prepare(text).await.unwrap();
        statement.set_consistency(Consistency::Quorum);
        statement.set_serial_consistency(Some(SerialConsistency::Serial));
        statement
    };
    let lwt = prepare("INSERT INTO bare (id, value) VALUES (?, ?) IF NOT EXISTS").await;
    let insert = prepare("INSERT INTO bare (id, value) VALUES (?, ?)").await;
    let read = prepare("SELECT value FROM bare WHERE id = ?").await;
    let engine = CassandraEngine::open(options.clone()).await.unwrap();
    let cached = CassandraOptions {
        row_cache_bytes: 64 << 20,
        slot: Slot(options.slot.0.wrapping_add(1)),
        ..options
    };
    let cached = CassandraEngine::open(cached).await.unwrap();
    let value = Bytes::from(vec![7; VALUE_BYTES]);
    let numbers = AtomicU64::new(u64::from(std::process::id()) << 32);
    let next = || numbers.fetch_add(1, Ordering::Relaxed);

    // The rows that are read.
    const READ_ROWS: u64 = 1000;
    for number in 0..READ_ROWS {
        let id = number.cast_signed();
        session.execute_unpaged(&insert, (id, &value[..])).await.unwrap();
    }
    for engine in [&engine, &cached] {
        for number in 0..READ_ROWS {
            drop(engine.commit(put(number, &value)));
        }
        engine.commit(put(READ_ROWS, &value)).await.unwrap();
    }
    let wait_until = Instant::now() + Duration::from_secs(60);
    while engine.metrics().followed < engine.metrics().committed && Instant::now() < wait_until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let mut rates = [const { Vec::new() }; 6];
    for round in 0..=ROUNDS {
        let some = [
            rate(connections, time, async || {
                let id = next().cast_signed();
                session.execute_unpaged(&lwt, (id, &value[..])).await.is_ok()
            })
            .await,
            rate(connections, time, async || {
                let id = next().cast_signed();
                session.execute_unpaged(&insert, (id, &value[..])).await.is_ok()
            })
            .await,
            rate(connections, time, async || {
                engine.commit(put(next(), &value)).await.is_ok()
            })
            .await,
            rate(connections, time, async || {
                let id = (next() % READ_ROWS).cast_signed();
                session.execute_unpaged(&read, (id,)).await.is_ok()
            })
            .await,
            rate(connections, time, async || {
                engine.get(&key(next() % READ_ROWS)).await.is_ok()
            })
            .await,
            rate(connections, time, async || {
                cached.get(&key(next() % READ_ROWS)).await.is_ok()
            })
            .await,
        ];
        // The first round warms everything up.
        if round > 0 {
            for (rates, rate) in rates.iter_mut().zip(some) {
                rates.push(rate);
            }
        }
    }
    let [lwt, insert, put, read, get, hit] = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    println!(
        "{connections} at once, values of {VALUE_BYTES} bytes, {replicas} replicas; medians of {ROUNDS} rounds, a second"
    );
    println!("bare LWT inserts      {lwt:>10.0}");
    println!("bare QUORUM inserts   {insert:>10.0}");
    println!(
        "durable puts          {put:>10.0}   {:.2} of LWT, {:.2} of QUORUM",
        put / lwt,
        put / insert
    );
    println!("bare QUORUM reads     {read:>10.0}");
    println!("gets from rows        {get:>10.0}   {:.2} of QUORUM", get / read);
    println!("gets from the cache   {hit:>10.0}   {:.2} of QUORUM", hit / read);
    engine.close().await.unwrap();
    cached.close().await.unwrap();
}

fn key(number: u64) -> Bytes {
    let mut key = key_head(1, 1, number.wrapping_mul(0x9E37_79B9_7F4A_7C15), 8);
    key.extend_from_slice(&number.to_be_bytes());
    key.into()
}

fn put(number: u64, value: &Bytes) -> Commit {
    Commit {
        writes: vec![Write::Put(key(number), value.clone())],
        ..Commit::default()
    }
}

/// How often a second something works, many at once.
async fn rate<F: Future<Output = bool>>(connections: usize, time: Duration, attempt: impl Fn() -> F) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let lane = async || {
        while begun.elapsed() < time {
            if attempt().await {
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    futures_util::future::join_all((0..connections).map(|_| lane())).await;
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}
