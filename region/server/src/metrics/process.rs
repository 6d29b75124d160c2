//! What the operating system says of this process.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::gauge;

/// Read from Linux's `/proc/self`; elsewhere there is nothing to show.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(bytes) = status_kib("VmRSS:") {
            gauge(
                &mut encoder,
                "process_resident_memory_bytes",
                "Memory that is resident",
                bytes * 1024,
            )?;
        }
        if let Some(bytes) = status_kib("VmHWM:") {
            gauge(
                &mut encoder,
                "process_resident_memory_peak_bytes",
                "The most memory that was",
                bytes * 1024,
            )?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            gauge(
                &mut encoder,
                "process_open_fds",
                "Open file descriptors",
                files.count() as u64,
            )?;
        }
        Ok(())
    }
}

fn status_kib(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
