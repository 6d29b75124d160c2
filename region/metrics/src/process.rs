//! What the operating system says of this process.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use rustix::time::{ClockId, clock_gettime};

use super::{NoLabels, catalogue, describe, gauge};

/// Read from Linux's `/proc/self`; elsewhere there is nothing to show.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        if let Some(bytes) = status_kib("VmRSS:") {
            gauge(e, &catalogue::PROCESS_RESIDENT_MEMORY, bytes * 1024)?;
        }
        if let Some(bytes) = status_kib("VmHWM:") {
            gauge(e, &catalogue::PROCESS_RESIDENT_MEMORY_PEAK, bytes * 1024)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            gauge(e, &catalogue::PROCESS_OPEN_FDS, files.count() as u64)?;
        }
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_s = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        describe(e, &catalogue::PROCESS_CPU)?.encode_counter::<NoLabels, f64, f64>(&cpu_s, None)
    }
}

fn status_kib(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
