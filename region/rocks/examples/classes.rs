//! What the class Infrequent saves and costs: the same items, of 1 KB of real text, in a store of each class, by turns: bytes on
//! disk, durable puts a second, and how long gets take where most of them find nothing in a cache.
//!
//!     cargo run --release -p geodynamo-rocks --example classes -- [--text DIR] [--dir DIR] [--items 20000] [--writers 32]
//!         [--rounds 8]
//!
//! The text is that of documents and comments below a folder, each line once: Cargo's sources unless told.

use std::{
    collections::HashSet,
    fs,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use geodynamo_rocks::{RocksEngine, RocksOptions};
use geodynamo_storage::{Append, Commit, Engine, LogId, Prefix, StorageClass, StorageError, Write, key_head};

/// Bytes of an item's text; its other attributes come on top.
const TEXT: usize = 560;
/// Gets of a reader in a round.
const GETS: u64 = 4_000;
const READERS: u64 = 4;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))?;
    let (mut text, mut dir) = (
        PathBuf::from(home).join("registry/src"),
        PathBuf::from("/tmp/rocks-classes"),
    );
    let (mut items, mut writers, mut rounds) = (20_000, 32, 8);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} wants a value"))?;
        match word.as_str() {
            "--text" => text = value.into(),
            "--dir" => dir = value.into(),
            "--items" => items = value.parse::<usize>()?.max(100),
            "--writers" => writers = value.parse::<usize>()?.max(1),
            "--rounds" => rounds = value.parse::<usize>()?.max(1),
            _ => return Err(format!("{word} is unknown").into()),
        }
    }
    let items = Arc::new(made_of(&text, items)?);
    let bytes: usize = items.iter().map(Bytes::len).sum();
    println!("{} items of {} bytes", items.len(), bytes / items.len());
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let classes = [StorageClass::Standard, StorageClass::Infrequent];
    let mut stores = Vec::new();
    for class in classes {
        let options = RocksOptions {
            // What is read is mostly not in a cache, and compactions run while items are put.
            block_cache_bytes: 4 << 20,
            row_cache_bytes: 1 << 20,
            memtable_bytes: 8 << 20,
            wal_bytes_max: 24 << 20,
            ..RocksOptions::default()
        };
        let engine = Arc::new(RocksEngine::open(dir.join(format!("{class:?}")), options)?);
        engine.set_class(Prefix::new(1, 1), class).await?;
        stores.push(engine);
    }
    let (mut put_ratios, mut rates, mut seconds) = (Vec::new(), [0.0; 2], [0.0; 2]);
    for round in 0..rounds {
        let part = items.len() * round / rounds..items.len() * (round + 1) / rounds;
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let (begun, before) = (Instant::now(), processor_seconds());
            puts(&stores[which], &items, part.clone(), writers).await?;
            seconds[which] += processor_seconds() - before;
            rates[which] = part.len() as f64 / begun.elapsed().as_secs_f64();
        }
        put_ratios.push(rates[1] / rates[0]);
        println!("puts/s {:7.0} Standard {:7.0} Infrequent", rates[0], rates[1]);
    }
    let mut sizes = [0; 2];
    for ((engine, size), seconds) in stores.iter().zip(&mut sizes).zip(&mut seconds) {
        let before = processor_seconds();
        engine.compact().await?;
        *seconds += processor_seconds() - before;
        let metrics = engine.metrics();
        *size = metrics.standard_bytes + metrics.infrequent_bytes;
    }
    let mut gets = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            gets[which].extend(read(&stores[which], items.len() as u64, round as u64).await?);
        }
    }
    put_ratios.sort_by(f64::total_cmp);
    let mut part = [[0.0; 2]; 2];
    for (which, times) in gets.iter_mut().enumerate() {
        times.sort_unstable();
        let at = |of: usize| times[(times.len() - 1) * of / 100].as_secs_f64() * 1e6;
        part[which] = [at(50), at(99)];
        let [half, most] = part[which];
        println!(
            "{:?}: {} bytes, {:.1} µs of processor time for a put and its compactions, gets p50 {half:.0} µs, p99 {most:.0} µs",
            classes[which],
            sizes[which],
            seconds[which] * 1e6 / items.len() as f64,
        );
    }
    println!(
        "Infrequent / Standard: bytes {:.3}, puts {:.3} by the median, gets p50 {:.2}, p99 {:.2}",
        sizes[1] as f64 / sizes[0] as f64,
        put_ratios[put_ratios.len() / 2],
        part[1][0] / part[0][0],
        part[1][1] / part[0][1],
    );
    for engine in stores {
        engine.close().await?;
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Items of text, each a JSON object.
fn made_of(folder: &Path, count: usize) -> Result<Vec<Bytes>, Failure> {
    let (hashes, mut seen) = (RandomState::new(), HashSet::new());
    let (mut folders, mut items, mut text) = (vec![folder.to_owned()], Vec::new(), String::new());
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(&folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_of = |extension: &str| path.extension().is_some_and(|it| it == extension);
            if !is_of("md") && !is_of("rs") {
                continue;
            }
            let Ok(content) = fs::read_to_string(&path) else {
                continue;
            };
            for line in content.lines().map(str::trim) {
                let line = match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
                    Some(comment) => comment.trim(),
                    None if is_of("md") => line,
                    None => continue,
                };
                if line.len() < 40 || !seen.insert(hashes.hash_one(line)) {
                    continue;
                }
                text.push_str(line);
                text.push(' ');
                if text.len() >= TEXT {
                    items.push(item(items.len() as u64, &path, &text));
                    text.clear();
                }
                if items.len() == count {
                    return Ok(items);
                }
            }
        }
    }
    match items.is_empty() {
        true => Err(format!("no text below {}", folder.display()).into()),
        false => Ok(items),
    }
}

/// A message as a ticket system might have it.
fn item(number: u64, path: &Path, text: &str) -> Bytes {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let random = |salt: u64| scatter(number * 16 + salt);
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = |salt: u64| words[random(salt) as usize % words.len()];
    let time = |salt: u64| {
        let of = |salt: u64, most: u64| random(salt) % most + 1;
        format!(
            "20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            20 + of(salt, 5),
            of(salt + 1, 12),
            of(salt + 2, 28),
            of(salt + 3, 23),
            of(salt + 4, 59),
            of(salt + 5, 59)
        )
    };
    let status = ["ACTIVE", "ARCHIVED", "PENDING"][random(1) as usize % 3];
    format!(
        r#"{{"ticketId":"T-{:016x}","customerId":"C-{:08x}","createdAt":"{}","updatedAt":"{}","status":"{status}","priority":{},"assignee":{{"name":{:?},"email":"{:08x}@example.com","team":"support-{}"}},"source":{name:?},"tags":[{:?},{:?},{:?}],"body":{text:?},"revision":{},"readBy":["{:08x}","{:08x}"]}}"#,
        random(2),
        random(3) as u32,
        time(4),
        time(5),
        random(6) % 5,
        word(7),
        random(8) as u32,
        random(9) % 40,
        word(10),
        word(11),
        word(12),
        random(13) % 17,
        random(14) as u32,
        random(15) as u32,
    )
    .into()
}

/// The processor time that this process has taken, in seconds.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the command's name: the state is the third field, user and system time are the 14th and the 15th, in ticks of
    // which there are a hundred a second.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

async fn puts(
    engine: &Arc<RocksEngine>,
    items: &Arc<Vec<Bytes>>,
    part: std::ops::Range<usize>,
    writers: usize,
) -> Result<(), Failure> {
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (engine, items, part) = (Arc::clone(engine), Arc::clone(items), part.clone());
        tasks.push(tokio::spawn(async move {
            for number in part.skip(writer).step_by(writers) {
                let value = items[number].clone();
                let commit = Commit {
                    appends: vec![Append {
                        log: LogId(1),
                        record: value.slice(..100),
                    }],
                    writes: vec![Write::Put(key(number as u64).into(), value)],
                    ..Commit::default()
                };
                engine.commit(commit).await?;
            }
            Ok::<_, StorageError>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn read(engine: &Arc<RocksEngine>, items: u64, round: u64) -> Result<Vec<Duration>, Failure> {
    let mut tasks = Vec::new();
    for reader in 0..READERS {
        let engine = Arc::clone(engine);
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            for get in 0..GETS {
                let key = key(scatter((round * READERS + reader) * GETS + get) % items);
                let begun = Instant::now();
                let found = engine.get(&key).await?;
                times.push(begun.elapsed());
                assert!(found.is_some(), "what was put is there");
                tokio::task::yield_now().await;
            }
            Ok::<_, StorageError>(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
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
