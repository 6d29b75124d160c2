//! What encryption costs: durable puts and gets on an encrypted store and on one that is not, by turns, and the ratios.
//!
//!     cargo run --release -p geodynamo-rocks --example sealing -- [--dir DIR] [--writers 64] [--seconds 3] [--rounds 4]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_rocks::{RocksEngine, RocksOptions};
use geodynamo_seal::Keyring;
use geodynamo_storage::{Append, Commit, Engine, LogId, StorageError, Write, key_head};

/// Bytes of a value.
const VALUE: usize = 1_000;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (mut dir, mut writers, mut seconds, mut rounds) = (PathBuf::from("/tmp/rocks-sealing"), 64, 3, 4);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} wants a value"))?;
        match word.as_str() {
            "--dir" => dir = value.into(),
            "--writers" => writers = value.parse::<u64>()?.max(1),
            "--seconds" => seconds = value.parse::<u64>()?.max(1),
            "--rounds" => rounds = value.parse::<u64>()?.max(1),
            _ => return Err(format!("{word} is unknown").into()),
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
    let open = |path: &Path, seal: Option<Keyring>| {
        RocksEngine::open(
            path,
            RocksOptions {
                // What is read is mostly not in a cache.
                block_cache_bytes: 8 << 20,
                row_cache_bytes: 0,
                seal,
                ..RocksOptions::default()
            },
        )
    };
    std::fs::create_dir_all(&dir)?;
    let stores = [
        ("plain", Arc::new(open(&dir.join("plain"), None)?), AtomicU64::new(0)),
        (
            "sealed",
            Arc::new(open(&dir.join("sealed"), Some(Keyring::in_memory()?))?),
            AtomicU64::new(0),
        ),
    ];
    let time = Duration::from_secs(seconds);
    let mut rates = [[0.0; 2]; 2];
    for round in 0..rounds {
        // Who goes first is the other one each time.
        for turn in 0..2 {
            let which = usize::try_from((round + turn) % 2)?;
            let (name, engine, next) = &stores[which];
            let puts = puts(engine, next, writers, time).await?;
            let gets = gets(engine, next.load(Ordering::Relaxed).max(1), writers, time / 2).await?;
            println!("{name:6} {puts:9.0} puts/s {gets:9.0} gets/s");
            rates[which][0] += puts;
            rates[which][1] += gets;
        }
    }
    let [plain, sealed] = rates;
    println!(
        "ratio  puts {:.3}  gets {:.3}",
        sealed[0] / plain[0],
        sealed[1] / plain[1]
    );
    for (_, engine, _) in stores {
        engine.close().await?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn puts(engine: &Arc<RocksEngine>, next: &AtomicU64, writers: u64, time: Duration) -> Result<f64, Failure> {
    let first = next.load(Ordering::Relaxed);
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let engine = Arc::clone(engine);
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            while begun.elapsed() < time {
                engine.commit(put(first + count * writers + writer)).await?;
                count += 1;
            }
            Ok::<_, StorageError>(count)
        }));
    }
    let (mut count, mut least) = (0, u64::MAX);
    for task in tasks {
        let own = task.await??;
        count += own;
        least = least.min(own);
    }
    // All items below are there.
    next.store(first + least * writers, Ordering::Relaxed);
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

async fn gets(engine: &Arc<RocksEngine>, items: u64, readers: u64, time: Duration) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for reader in 0..readers {
        let engine = Arc::clone(engine);
        tasks.push(tokio::spawn(async move {
            let (mut count, mut at) = (0_u64, reader);
            while begun.elapsed() < time {
                at = scatter(at + 1);
                let found = engine.get(&key(at % items)).await?;
                assert!(found.is_some(), "what was put is there");
                count += 1;
                tokio::task::yield_now().await;
            }
            Ok::<_, StorageError>(count)
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

fn put(item: u64) -> Commit {
    // Half of it compresses, as items do.
    let noise = (0..VALUE as u64 / 16).flat_map(|word| scatter(item * 100 + word).to_be_bytes());
    let value: Bytes = noise.chain(std::iter::repeat_n(b'x', VALUE / 2)).collect();
    Commit {
        writes: vec![Write::Put(key(item).into(), value.clone())],
        appends: vec![Append {
            log: LogId(1),
            record: value.slice(..100),
        }],
        ..Commit::default()
    }
}

fn key(item: u64) -> Vec<u8> {
    let mut key = key_head(1, 1, scatter(item), 8);
    key.extend_from_slice(&item.to_be_bytes());
    key
}

/// Spreads numbers as a hash does.
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
