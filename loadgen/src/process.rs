//! Server processes that the bench starts: their first line of output says where they listen.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running server; killed, by its own id, when this is dropped.
pub struct Server {
    child: Child,
    /// The JSON object of its first line.
    pub hello: Value,
}

impl Server {
    /// Starts a program and waits for its first line, which must be a JSON object. Its errors go to `log`.
    pub fn start(program: &Path, arguments: &[&OsStr], log: &Path) -> io::Result<Server> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no standard output"))?;
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let hello = serde_json::from_str(&line).map_err(|error| {
            io::Error::other(format!(
                "{} printed {line:?} first: {error}; see {}",
                program.display(),
                log.display()
            ))
        });
        let server = Server { child, hello: hello? };
        // Whatever else it prints must not fill the pipe.
        std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        Ok(server)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that cargo built beside this one.
pub fn sibling(name: &str) -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(io::Error::other(format!("{} is not built", path.display())))
    }
}

/// A process's resident memory in bytes; none if it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The processor time that a process has used, all its threads together; none if it is gone. It comes in steps of 10 ms.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in brackets, may hold spaces. Behind it: state is the third field of all, utime the 14th.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_millis(
        ticks * 1_000 / rustix::param::clock_ticks_per_second(),
    ))
}

/// Waits until a process is idle, as a server is when it has compacted what was written: it uses less than a twentieth of
/// one processor for a second. Fails if that is not so within `wait_max`.
pub fn wait_idle(pid: u32, wait_max: Duration) -> io::Result<()> {
    const SECOND: Duration = Duration::from_secs(1);
    let gone = || io::Error::other(format!("process {pid} is gone"));
    let deadline = Instant::now() + wait_max;
    let mut before = cpu_time(pid).ok_or_else(gone)?;
    while Instant::now() < deadline {
        std::thread::sleep(SECOND);
        let now = cpu_time(pid).ok_or_else(gone)?;
        if now.saturating_sub(before) < SECOND / 20 {
            return Ok(());
        }
        before = now;
    }
    Err(io::Error::other(format!(
        "process {pid} did not become idle in {wait_max:?}"
    )))
}

/// The processes that a process started and that still run.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let pid = std::process::id();
        let begun = cpu_time(pid).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut sum = 0_u64;
        while cpu_time(pid).unwrap() < begun + Duration::from_millis(50) {
            assert!(Instant::now() < deadline, "{sum}");
            (0..100_000).for_each(|number| sum = std::hint::black_box(sum.wrapping_add(number)));
        }
        assert!(cpu_time(u32::MAX).is_none());
    }
}
