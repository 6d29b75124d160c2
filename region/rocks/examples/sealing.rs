//! What encryption costs: durable puts and gets on an encrypted store and on one that is not, by turns, and the ratios. On a
//! machine that does other things, too, processor time tells more than rates.
//!
//!     cargo run --release -p geodynamo-rocks --example sealing -- [--dir DIR] [--writers 64] [--seconds 1] [--rounds 12]
//!         [--sync 0]

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
    let (mut dir, mut writers, mut seconds, mut rounds) = (PathBuf::from("/tmp/rocks-sealing"), 64, 1, 12);
    let mut sync = true;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} wants a value"))?;
        match word.as_str() {
            "--dir" => dir = value.into(),
            "--writers" => writers = value.parse::<u64>()?.max(1),
            "--seconds" => seconds = value.parse::<u64>()?.max(1),
            "--sync" => sync = value.parse::<u8>()? != 0,
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
                sync,
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
    // Of puts and of gets, by store: operations, and ticks of processor time.
    let mut sums = [[(0.0, 0.0); 2]; 2];
    let mut ratios = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let mut rates = [[0.0; 2]; 2];
        // Who goes first is the other one each time.
        for turn in 0..2 {
            let which = usize::try_from((round + turn) % 2)?;
            let (_, engine, next) = &stores[which];
            for what in 0..2 {
                let (begun, ticks) = (Instant::now(), processor_ticks());
                let count = match what {
                    0 => puts(engine, next, writers, time).await?,
                    _ => gets(engine, next.load(Ordering::Relaxed).max(1), writers, time).await?,
                };
                rates[which][what] = count / begun.elapsed().as_secs_f64();
                let sum = &mut sums[which][what];
                *sum = (sum.0 + count, sum.1 + processor_ticks() - ticks);
            }
        }
        for what in 0..2 {
            ratios[what].push(rates[1][what] / rates[0][what]);
        }
        let [plain, sealed] = rates;
        println!(
            "puts/s {:7.0} plain {:7.0} sealed   gets/s {:8.0} plain {:8.0} sealed",
            plain[0], sealed[0], plain[1], sealed[1]
        );
    }
    for (what, name) in ["puts", "gets"].into_iter().enumerate() {
        ratios[what].sort_by(f64::total_cmp);
        let of = |which: usize| sums[which][what].0 / sums[which][what].1;
        println!(
            "{name}: sealed / plain {:.3} by the median of rates, {:.3} by operations for a second of processor time",
            ratios[what][ratios[what].len() / 2],
            of(1) / of(0)
        );
    }
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
    Ok(count as f64)
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
    Ok(count as f64)
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

/// The processor time that this process has taken, in ticks.
fn processor_ticks() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the command's name: the state is the third field, user and system time are the 14th and the 15th.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// Spreads numbers as a hash does.
fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
