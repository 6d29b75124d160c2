//! A file that makes way for the next when it is full.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(crate) struct Files {
    path: PathBuf,
    bytes_max: u64,
    count: usize,
    file: Option<BufWriter<File>>,
    bytes: u64,
}

impl Files {
    pub(crate) fn open(path: PathBuf, bytes_max: u64, count: usize) -> io::Result<Self> {
        let mut files = Self {
            path,
            bytes_max: bytes_max.max(1),
            count: count.max(1),
            file: None,
            bytes: 0,
        };
        files.reopen()?;
        Ok(files)
    }

    /// Writes a line. After a failure the file is opened anew.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let result = self.try_write(line);
        if result.is_err() {
            self.file = None;
        }
        result
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let result = self.file.as_mut().map_or(Ok(()), Write::flush);
        if result.is_err() {
            self.file = None;
        }
        result
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        let wanted = line.len() as u64;
        if self.bytes > 0 && self.bytes.saturating_add(wanted) > self.bytes_max {
            self.flush()?;
            self.file = None;
            self.rotate()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line)?;
            self.bytes += wanted;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        // It tells who did what: nobody else's business.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = Some(BufWriter::new(file));
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

fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}
