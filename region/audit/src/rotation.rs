//! A file that makes way for the next when it is full.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Lines are written together, up to about so many bytes.
const WAITING_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Files {
    path: PathBuf,
    bytes_max: u64,
    count: usize,
    file: Option<File>,
    /// The file's length, with what waits.
    bytes: u64,
    /// What is to be written.
    waiting: Vec<u8>,
    /// How many lines that is.
    lines: u64,
}

/// What became of lines.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Lines that are in the file.
    pub(crate) written: u64,
    /// Lines that are not, and will not be.
    pub(crate) lost: u64,
    /// Why.
    pub(crate) error: Option<io::Error>,
}

impl Files {
    pub(crate) fn open(path: PathBuf, bytes_max: u64, count: usize) -> io::Result<Self> {
        let mut files = Self {
            path,
            bytes_max: bytes_max.max(1),
            count: count.max(1),
            file: None,
            bytes: 0,
            waiting: Vec::new(),
            lines: 0,
        };
        files.reopen()?;
        Ok(files)
    }

    /// Writes a line, or keeps it to write it with others. After a failure the file is opened anew.
    pub(crate) fn write(&mut self, line: &[u8]) -> Outcome {
        let mut outcome = Outcome::default();
        let wanted = line.len() as u64;
        if self.bytes > 0 && self.bytes.saturating_add(wanted) > self.bytes_max {
            outcome = self.flush();
            self.file = None;
            if outcome.error.is_none() {
                outcome.error = self.rotate().err();
            }
        } else if self.waiting.len() >= WAITING_BYTES_MAX {
            outcome = self.flush();
        }
        if outcome.error.is_none() && self.file.is_none() {
            outcome.error = self.reopen().err();
        }
        if outcome.error.is_some() {
            self.file = None;
            outcome.lost += 1;
            return outcome;
        }
        self.waiting.extend_from_slice(line);
        self.lines += 1;
        self.bytes += wanted;
        outcome
    }

    /// Writes what waits. What could not be written is lost.
    pub(crate) fn flush(&mut self) -> Outcome {
        let (waiting, lines) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.lines));
        let written = match &mut self.file {
            Some(file) if lines > 0 => write_lines(file, &waiting),
            _ => return Outcome::default(),
        };
        match written {
            Ok(()) => Outcome {
                written: lines,
                ..Outcome::default()
            },
            Err((whole, error)) => {
                self.file = None;
                Outcome {
                    written: whole,
                    lost: lines - whole,
                    error: Some(error),
                }
            }
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        // It tells who did what: nobody else's business.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Each file takes the next one's name; the last one goes.
    fn rotate(&self) -> io::Result<()> {
        for number in (1..self.count).rev() {
            let (from, to) = (numbered(&self.path, number - 1), numbered(&self.path, number));
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.count == 1 {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

/// Writes lines; how many of them are whole in the file, if they could not all be written. What is there of another one is
/// ended, so that the next record begins a line.
fn write_lines(file: &mut File, lines: &[u8]) -> Result<(), (u64, io::Error)> {
    let mut rest = lines;
    while !rest.is_empty() {
        let error = match file.write(rest) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(written) => {
                rest = rest.get(written..).unwrap_or_default();
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        let there = &lines[..lines.len() - rest.len()];
        if there.last().is_some_and(|last| *last != b'\n') {
            // There may be no place for this either.
            let _ = file.write(b"\n");
        }
        let whole = there.iter().filter(|byte| **byte == b'\n').count();
        return Err((whole as u64, error));
    }
    Ok(())
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}
