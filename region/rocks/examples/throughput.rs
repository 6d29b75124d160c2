//! Durable 300-byte puts with a log record each, by many writers, then reads: what this machine's disk and the engine
//! give without anything above them.
//!
//!     cargo run --release -p geodynamo-rocks --example throughput -- [--dir DIR] [--writers 128] [--seconds 10]
//!         [--items N] [--sync 0]
//!
//! With `--items`, writes that many items by commits of 32 instead and prints the process's memory. With `--sync 0`,
//! nothing is durable, and what is left is the processor's share.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_histogram::Snapshot;
use geodynamo_rocks::{RocksEngine, RocksOptions};
use geodynamo_storage::{Append, Commit, Engine, LogId, Position, StorageError, Write, key_head};

struct Settings {
    dir: PathBuf,
    writers: u64,
    seconds: u64,
    items: u64,
    sync: bool,
}

fn settings() -> Result<Settings, String> {
    let mut settings = Settings {
        dir: PathBuf::from("/tmp/rocks-throughput"),
        writers: 128,
        seconds: 10,
        items: 0,
        sync: true,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{word} {value}: {error}"));
        match word.as_str() {
            "--dir" => settings.dir = PathBuf::from(value),
            "--writers" => settings.writers = number()?.max(1),
            "--seconds" => settings.seconds = number()?.max(1),
            "--sync" => settings.sync = number()? != 0,
            "--items" => settings.items = number()?,
            _ => return Err(format!("{word} is unknown")),
        }
    }
    Ok(settings)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = settings()?;
    let _ = std::fs::remove_dir_all(&settings.dir);
    let engine = Arc::new(RocksEngine::open(
        &settings.dir,
        RocksOptions {
            sync: settings.sync,
            ..RocksOptions::default()
        },
    )?);
    if settings.items > 0 {
        load(&engine, &settings).await?
    } else {
        puts_and_gets(&engine, &settings).await?
    }
    let metrics = engine.metrics();
    println!(
        "batches     {} of {} commits",
        metrics.batch_commits.count(),
        metrics.commits
    );
    println!(
        "batch size  p50 {} p99 {}",
        at_most(&metrics.batch_commits, 0.5),
        at_most(&metrics.batch_commits, 0.99)
    );
    let writes = &metrics.write_seconds;
    println!(
        "write s     p50 {} p99 {} p99.9 {}",
        at_most(writes, 0.5),
        at_most(writes, 0.99),
        at_most(writes, 0.999)
    );
    println!(
        "on disk     {} MB of tables, {} MB to compact",
        metrics.table_bytes >> 20,
        metrics.compaction_pending_bytes >> 20
    );
    println!(
        "in memory   {} MB of cache, of it {} MB memtables",
        metrics.cache_bytes >> 20,
        metrics.memtable_bytes >> 20
    );
    println!("process     {}", memory_of_process());
    engine.close().await?;
    drop(engine);
    std::fs::remove_dir_all(&settings.dir)?;
    Ok(())
}

async fn puts_and_gets(engine: &Arc<RocksEngine>, settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
    let next = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + Duration::from_secs(settings.seconds);
    let begun = Instant::now();
    let mut writers = Vec::new();
    for _ in 0..settings.writers {
        let (engine, next) = (engine.clone(), next.clone());
        writers.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let item = next.fetch_add(1, Ordering::Relaxed);
                let begun = Instant::now();
                engine.commit(put(item)).await?;
                latencies.push(begun.elapsed());
            }
            Ok::<_, StorageError>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for writer in writers {
        latencies.extend(writer.await??);
    }
    report("puts", &mut latencies, begun.elapsed());

    let items = next.load(Ordering::Relaxed).max(1);
    let until = Instant::now() + Duration::from_secs(settings.seconds.div_ceil(3));
    let begun = Instant::now();
    let mut readers = Vec::new();
    for reader in 0..settings.writers {
        let engine = engine.clone();
        readers.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut item = reader;
            while Instant::now() < until {
                item = scatter(item + 1);
                let begun = Instant::now();
                engine.get(&key(item % items)).await?;
                latencies.push(begun.elapsed());
                tokio::task::yield_now().await;
            }
            Ok::<_, StorageError>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for reader in readers {
        latencies.extend(reader.await??);
    }
    report("gets", &mut latencies, begun.elapsed());
    Ok(())
}

async fn load(engine: &Arc<RocksEngine>, settings: &Settings) -> Result<(), Box<dyn std::error::Error>> {
    const ITEMS_PER_COMMIT: u64 = 32;
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut writers = Vec::new();
    for _ in 0..settings.writers.min(32) {
        let (engine, next, items) = (engine.clone(), next.clone(), settings.items);
        writers.push(tokio::spawn(async move {
            loop {
                let first = next.fetch_add(ITEMS_PER_COMMIT, Ordering::Relaxed);
                if first >= items {
                    return Ok::<_, StorageError>(());
                }
                let mut commit = Commit::default();
                for item in first..first + ITEMS_PER_COMMIT {
                    let put = put(item);
                    commit.writes.extend(put.writes);
                    commit.appends.extend(put.appends);
                }
                let last = engine.commit(commit).await?.pop().unwrap_or(Position::START);
                // What is far behind was sent long ago; and memory is looked at on the way.
                if last.0 % 500_000 < ITEMS_PER_COMMIT {
                    println!("{last:?}: {}", memory_of_process());
                    engine
                        .log_trim(LogId(1), Position(last.0.saturating_sub(1_000_000)))
                        .await?;
                }
            }
        }));
    }
    for writer in writers {
        writer.await??;
    }
    println!(
        "loaded      {} items in {:.1} s",
        settings.items,
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    let mut latencies = Vec::new();
    for item in 0..100_000 {
        let begun = Instant::now();
        engine.get(&key(scatter(item) % settings.items)).await?;
        latencies.push(begun.elapsed());
    }
    report("cold gets", &mut latencies, begun.elapsed());
    Ok(())
}

fn put(item: u64) -> Commit {
    // Half of it compresses, as items do.
    let noise = (0..19).flat_map(|word| scatter(item * 19 + word).to_be_bytes());
    let value: Bytes = noise.chain(std::iter::repeat_n(b'x', 148)).collect();
    Commit {
        writes: vec![Write::Put(key(item).into(), value.clone())],
        appends: vec![Append {
            log: LogId(1),
            record: value,
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

fn report(what: &str, latencies: &mut [Duration], took: Duration) {
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{what:11} {:.0}/s  p50 {:?} p99 {:?} p99.9 {:?}",
        latencies.len() as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// The bound of the bucket in which a share of the values ends.
fn at_most(distribution: &Snapshot, share: f64) -> String {
    let target = (distribution.count() as f64 * share) as u64;
    let mut below = 0;
    for (count, bound) in distribution.classic.iter().zip(distribution.bounds) {
        below += count;
        if below >= target {
            return format!("<={bound}");
        }
    }
    "beyond".to_owned()
}

/// The resident memory, now and at its peak, as Linux tells it.
fn memory_of_process() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}
