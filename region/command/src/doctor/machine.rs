//! The disk, limits and memory of this machine.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{statfs, statvfs},
    process::{Resource, getrlimit},
};

use super::{Finding, Verdict};
use crate::output::{bytes, duration};

/// How many writes are synced, and for how long at most.
const SYNCS: usize = 100;
const SYNCS_WITHIN: Duration = Duration::from_secs(3);
/// A batch of small writes.
const SYNC_BYTES: usize = 4096;
/// Beyond these a sync is slow, or too slow for a database: each write waits for one.
const SYNC_SLOW: Duration = Duration::from_millis(5);
const SYNC_TOO_SLOW: Duration = Duration::from_millis(50);
/// The least room that is well, and that is needed.
const FREE_PART_WELL: f64 = 0.1;
const FREE_BYTES_LEAST: u64 = 1 << 30;
/// What QUIC would have as buffers of its socket.
const DATAGRAM_BUFFER_BYTES: u64 = 2 << 20;
/// File systems by their magic numbers (`statfs(2)`).
const TMPFS: i64 = 0x0102_1994;
const NFS: i64 = 0x6969;
const CIFS: i64 = 0xff53_4d42;
const FUSE: i64 = 0x6573_5546;

/// The nearest folder above a path that is there: a data directory is made at the first start.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = absolute.ancestors().find(|folder| folder.is_dir());
    found.map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// The data directory's file system: its kind, its room, and how long a sync takes.
pub(super) fn disk(data_dir: &Path) -> Vec<Finding> {
    let folder = existing(data_dir);
    let mut findings = vec![room(&folder)];
    findings.extend(kind(&folder));
    findings.push(match syncs(&folder) {
        Ok(times) => judge_syncs(&folder, &times),
        Err(error) => Finding::bad(
            "fsync",
            Verdict::Fault,
            format!("{}: {error}", folder.display()),
            "the user that runs geodynamo must be allowed to write there; or set data_dir to another folder",
        ),
    });
    findings
}

fn room(folder: &Path) -> Finding {
    const CHECK: &str = "free disk";
    let found = match statvfs(folder) {
        Ok(found) => found,
        Err(error) => {
            let advice = "see that the data directory's file system is mounted and can be read";
            return Finding::bad(CHECK, Verdict::Fault, format!("{}: {error}", folder.display()), advice);
        }
    };
    let (free, size) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    judge_room(folder, free, size)
}

fn judge_room(folder: &Path, free: u64, size: u64) -> Finding {
    let told = format!("{} of {} at {}", bytes(free), bytes(size), folder.display());
    let verdict = if free < FREE_BYTES_LEAST {
        Verdict::Fault
    } else if (free as f64) < size as f64 * FREE_PART_WELL {
        Verdict::Warning
    } else {
        return Finding::ok("free disk", told);
    };
    let advice = "make room or take a larger disk: when it is full, writes are refused; compaction needs room, too";
    Finding::bad("free disk", verdict, told, advice)
}

fn kind(folder: &Path) -> Option<Finding> {
    let kind = statfs(folder).ok()?.f_type;
    let (name, verdict, advice) = match kind {
        TMPFS => (
            "tmpfs",
            Verdict::Warning,
            "put data_dir on a disk: what is in memory is gone with the machine, whatever was acknowledged",
        ),
        NFS | CIFS => (
            "a network file system",
            Verdict::Warning,
            "put data_dir on a local disk: locks and syncs over the network are slow, and not always kept",
        ),
        FUSE => (
            "a file system in user space",
            Verdict::Warning,
            "see that it syncs: many do not, and then a crash loses acknowledged writes",
        ),
        _ => return None,
    };
    let found = format!("{} is on {name}", folder.display());
    Some(Finding::bad("file system", verdict, found, advice))
}

/// How long each of some synced writes took, in order of time.
fn syncs(folder: &Path) -> io::Result<Vec<Duration>> {
    // It has no name, so nothing is left of it.
    let mut file = tempfile::tempfile_in(folder)?;
    let block = [7; SYNC_BYTES];
    let begun = Instant::now();
    let mut times = Vec::with_capacity(SYNCS);
    while times.len() < SYNCS && begun.elapsed() < SYNCS_WITHIN {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn judge_syncs(folder: &Path, times: &[Duration]) -> Finding {
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    let time = |part| at(part).copied().unwrap_or_default();
    let (median, late) = (time(50), time(99));
    let show = |time: Duration| duration(time.as_secs_f64());
    let told = format!("p50 {}, p99 {}, at {}", show(median), show(late), folder.display());
    let verdict = if median > SYNC_TOO_SLOW {
        Verdict::Fault
    } else if median > SYNC_SLOW {
        Verdict::Warning
    } else {
        return Finding::ok("fsync", told);
    };
    let advice = "take an SSD with protection against power loss, or nothing else on this disk: each write waits for a sync, so \
                  this is the least latency of a write";
    Finding::bad("fsync", verdict, told, advice)
}

/// Whether as many files may be open as connections and the database want.
pub(super) fn files(wanted: u64) -> Finding {
    let limit = getrlimit(Resource::Nofile).maximum;
    let told = limit.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("{limit} may be open, {wanted} are wanted"),
    );
    if limit.is_none_or(|limit| limit >= wanted) {
        return Finding::ok("open files", told);
    }
    let advice = "raise the hard limit (`ulimit -Hn`, LimitNOFILE= in the unit, nofile in limits.conf), or lower \
                  limits.connections: past it, connections are refused";
    Finding::bad("open files", Verdict::Warning, told, advice)
}

/// Whether the machine has the memory that is configured.
pub(super) fn memory(configured: u64) -> Option<Finding> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| {
        let rest = line.strip_prefix("MemTotal:")?;
        Some(rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    })?;
    // A container may have less.
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse::<u64>().ok());
    let there = limit.map_or(total, |limit| limit.min(total));
    // Without a configuration there is nothing to hold it against.
    let told = match configured {
        0 => format!("{} there", bytes(there)),
        _ => format!("{} configured, {} there", bytes(configured), bytes(there)),
    };
    Some(if configured > there {
        let advice =
            "lower [memory] in the configuration, or give it more: the kernel kills what takes more than there is";
        Finding::bad("memory", Verdict::Fault, told, advice)
    } else if configured > there / 10 * 8 {
        let advice = "leave a fifth for the kernel's page cache, which reads of cold data go through";
        Finding::bad("memory", Verdict::Warning, told, advice)
    } else {
        Finding::ok("memory", told)
    })
}

/// Whether a socket for QUIC may have buffers that hold a round trip's worth.
pub(super) fn datagrams(has_peers: bool) -> Option<Finding> {
    let read = |name: &str| {
        fs::read_to_string(format!("/proc/sys/net/core/{name}"))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let (receive, send) = (read("rmem_max")?, read("wmem_max")?);
    let told = format!("{} to receive, {} to send at most", bytes(receive), bytes(send));
    let least = receive.min(send);
    if !has_peers || least >= DATAGRAM_BUFFER_BYTES {
        return has_peers.then(|| Finding::ok("UDP buffers", told));
    }
    let advice = format!(
        "sysctl net.core.rmem_max={DATAGRAM_BUFFER_BYTES} net.core.wmem_max={DATAGRAM_BUFFER_BYTES}: packets of fast links are \
         dropped where a buffer holds less than arrives at once"
    );
    // It costs speed on long, fast links, and nothing else.
    Some(Finding::bad("UDP buffers", Verdict::Warning, told, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged() {
        let judge = |free, size| judge_room(Path::new("/d"), free, size).verdict;
        assert_eq!(judge(50 << 30, 100 << 30), Verdict::Ok);
        assert_eq!(judge(9 << 30, 100 << 30), Verdict::Warning);
        assert_eq!(judge(1 << 20, 100 << 30), Verdict::Fault);
    }

    #[test]
    fn syncs_are_judged() {
        let judge = |ms| judge_syncs(Path::new("/d"), &[Duration::from_millis(ms); 10]).verdict;
        assert_eq!(
            (judge(1), judge(10), judge(100)),
            (Verdict::Ok, Verdict::Warning, Verdict::Fault)
        );
        assert_eq!(judge_syncs(Path::new("/d"), &[]).verdict, Verdict::Ok);
        let folder = tempfile::tempdir().unwrap();
        assert!(!syncs(folder.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn limits_are_judged() {
        assert_eq!(files(1).verdict, Verdict::Ok);
        assert_eq!(
            files(u64::MAX).verdict == Verdict::Ok,
            getrlimit(Resource::Nofile).maximum.is_none()
        );
        assert_eq!(memory(1).unwrap().verdict, Verdict::Ok);
        assert_eq!(memory(u64::MAX).unwrap().verdict, Verdict::Fault);
        assert_eq!(existing(Path::new("/no/such/folder")), Path::new("/"));
    }
}
