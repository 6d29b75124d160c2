//! What a piece of work costs, as Linux counts it.

use std::{fs, hint::black_box, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// How long this thread has had a processor. What other processes take does not count.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// The process's memory before some work.
pub(crate) struct Memory(u64);

impl Memory {
    /// Begins to count the peak anew.
    pub(crate) fn now() -> Self {
        // What `proc(5)` says resets the peak.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(resident("VmRSS:"))
    }

    /// How much more there was since, at the peak.
    pub(crate) fn peak_more(&self) -> u64 {
        resident("VmHWM:").saturating_sub(self.0)
    }
}

/// A line of the process's status, in bytes.
fn resident(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

/// A negative control: what takes long, and what takes much for a moment, is seen.
pub(crate) fn prove() {
    const BYTES: usize = 48 << 20;
    let (memory, before) = (Memory::now(), cpu());
    drop(black_box(vec![1_u8; BYTES]));
    assert!(memory.peak_more() >= BYTES as u64 / 2);
    let mut turns = 0_u64;
    while cpu() - before < Duration::from_millis(100) {
        turns = black_box(turns + 1);
        assert!(turns < 1_000_000_000, "the time of a processor does not pass");
    }
}
