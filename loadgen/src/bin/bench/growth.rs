//! What a request costs as the table grows, against a table of 10,000 items.
//!
//! RocksDB itself takes longer where the data is larger than its cache, so the skeleton's figures stand beside
//! geodynamo's: both have caches of the same size. It is the servers' work that is compared, not the disk's: a server's files
//! are read before each sample of it, since a system that has not been asked for them for a while may have put them away, and
//! who comes first would pay for all. The small table is in servers of its own and is measured anew beside
//! every large one, by turns with it, so that what else the machine does meanwhile cannot make a difference.

use std::io;
use std::path::Path;
use std::time::Instant;

use geodynamo_loadgen::workload::Operation;
use serde_json::{Value, json};

use crate::comparison::Samples;
use crate::effort::Effort;
use crate::pair::{Pair, Tuning};
use crate::query::{COLLECTION, same_answers};
use crate::verdict::verdict;

/// Items of the table that the others are compared with.
const SMALL: u64 = 10_000;
/// In the order they are measured. Reads come first: what was overwritten often lies in memory in as many versions, all of which a
/// query of it passes, so that it would be told what was written before, not how large the table is.
const OPERATIONS: [Operation; 4] = [Operation::Query, Operation::Get, Operation::Put, Operation::Update];
const CONNECTIONS: usize = 32;
/// A cost counts as flat while it is no more than so many times the small table's, or so many times what RocksDB's own
/// has become, for the same work: see [`of_rocksdb`].
const GROWTH_MAX: f64 = 1.25;
/// More than the runs of a line.
const SEEDS_FOR_EACH: u64 = 1_000;
/// Bytes of disk for each item of both servers, with room for compactions.
const DISK_BYTES_PER_ITEM: u64 = 2_000;

/// The skeleton's operation that asks the same of RocksDB. DynamoDB's put has to know the item before, which its capacity, the
/// table's size, streams and the version that replicas merge follow from: a get and a put, which is the skeleton's update. The
/// skeleton's put only writes.
fn of_rocksdb(operation: Operation) -> Operation {
    match operation {
        Operation::Put => Operation::Update,
        other => other,
    }
}

/// An operation at some size: the skeleton, geodynamo, and the skeleton's work of the same kind (see [`of_rocksdb`]); each with
/// the small table and with the large one.
struct Line {
    operation: Operation,
    size: u64,
    sides: [[Samples; 2]; 3],
}

/// Measures all sizes, as far as the disk has room for them.
pub(crate) fn measure(effort: &Effort, folder: &Path) -> io::Result<Value> {
    let mut small = Pair::start(folder, "small", Tuning::Alike)?;
    let mut large = Pair::start(folder, "large", Tuning::Alike)?;
    let workload = |operation, size| effort.sorted_workload(operation, size, COLLECTION);
    small.create(&workload(Operation::Put, SMALL))?;
    large.create(&workload(Operation::Put, SMALL))?;
    small.fill(&workload(Operation::Put, SMALL), 0)?;
    println!(
        "\ncost of a request as a table grows; closed loop, {CONNECTIONS} connections: answers a second and processor time \
         for each, medians of {} runs; \"×\": of what the same costs with {SMALL} items, by turns with it",
        effort.runs
    );
    let mut lines = Vec::new();
    let (mut filled, mut seed) = (0, 0);
    for &size in &effort.sizes {
        if free_bytes(folder)? < (size - filled) * DISK_BYTES_PER_ITEM {
            println!("{size} items: left out, for the disk has no room for them");
            break;
        }
        let begun = Instant::now();
        let whole = workload(Operation::Query, size);
        large.fill(&whole, filled)?;
        filled = size;
        // What the last size wrote lies in memory: see [`OPERATIONS`].
        for pair in [&mut small, &mut large] {
            pair.restart()?;
            pair.wait_idle()?;
        }
        same_answers(&large, &whole)?;
        println!(
            "\n{size} items, loaded and compacted after {:.0} s\n\n{}",
            begun.elapsed().as_secs_f64(),
            heading()
        );
        for operation in OPERATIONS {
            // Keys of its own: those that others have just drawn lie in memory.
            let mut keys_of_own = || {
                seed += SEEDS_FOR_EACH;
                [(); 2].map(|()| Samples::after_seed(seed))
            };
            let own = keys_of_own();
            let mut line = Line {
                operation,
                size,
                sides: [own.clone(), own, keys_of_own()],
            };
            for _ in 0..effort.runs {
                for (pair, keys, place) in [(&small, SMALL, 0), (&large, size, 1)] {
                    let [skeleton, geodynamo] = pair.sides();
                    let alike = of_rocksdb(operation);
                    let sides = [(skeleton, operation), (geodynamo, operation), (skeleton, alike)];
                    // The third is most often the first.
                    let count = if alike == operation { 2 } else { 3 };
                    for ((side, operation), samples) in sides.into_iter().zip(&mut line.sides).take(count) {
                        side.warm()?;
                        samples[place].add(effort, side, &workload(operation, keys), CONNECTIONS)?;
                    }
                }
            }
            println!("{}", line.row());
            lines.push(line);
            large.wait_idle()?;
        }
    }
    let kept = lines.iter().all(Line::is_flat);
    println!(
        "\n    processor time wanted: within {GROWTH_MAX} × the small table's, or × what RocksDB's own has become (for a put, \
         which reads the item before, the skeleton's update: a get and a put): {}",
        verdict(kept)
    );
    Ok(lines.iter().map(Line::to_json).collect())
}

fn heading() -> String {
    let side = |name| format!("   {name:>10} {:>6} {:>9} {:>6}", "×", "µs", "×");
    format!("{:<8}{}{}", "", side("geodynamo"), side("skeleton"))
}

impl Line {
    /// The large table's processor time as a multiple of the small one's: the skeleton's, geodynamo's, and the skeleton's for the
    /// same work.
    fn growth(&self) -> [f64; 3] {
        let of = |[small, large]: &[Samples; 2]| large.cpu_us() / small.cpu_us();
        let [skeleton, geodynamo, alike] = &self.sides;
        let alike = if self.is_alike() { skeleton } else { alike };
        [of(skeleton), of(geodynamo), of(alike)]
    }

    /// Whether the skeleton's operation is the same work.
    fn is_alike(&self) -> bool {
        of_rocksdb(self.operation) == self.operation
    }

    fn is_flat(&self) -> bool {
        let [_, ours, bare] = self.growth();
        ours <= GROWTH_MAX * bare.max(1.0)
    }

    fn row(&self) -> String {
        let mut row = format!("{:<8}", format!("{:?}", self.operation));
        let growth = self.growth();
        for place in [1, 0] {
            let [small, large] = &self.sides[place];
            row += &format!(
                "   {:>10.0} {:>6.2} {:>9.1} {:>6.2}",
                large.rate(),
                large.rate() / small.rate(),
                large.cpu_us(),
                growth[place]
            );
        }
        if !self.is_alike() {
            row += &format!("   a get and a put of it: × {:.2}", growth[2]);
        }
        row
    }

    fn to_json(&self) -> Value {
        let side = |[small, large]: &[Samples; 2]| {
            json!({
                "rate": large.rate(), "cpu_us": large.cpu_us(),
                "small_rate": small.rate(), "small_cpu_us": small.cpu_us(),
            })
        };
        json!({
            "operation": self.operation, "items": self.size, "small_items": SMALL, "flat": self.is_flat(),
            "rocksdb_growth": self.growth()[2],
            "skeleton": side(&self.sides[0]), "geodynamo": side(&self.sides[1]),
        })
    }
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail * disk.f_frsize)
}
