//! What was wrong with an import's items: a line of JSON for each, as DynamoDB writes them to CloudWatch, in a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use geodynamo_api::transfer::ImportJob;
use serde_json::json;

use crate::seal::Seal;

/// The most errors that are told of an import. All are counted.
const ERRORS_MAX: u64 = 10_000;
/// The longest reason that is told, in bytes: it may quote an item.
const REASON_BYTES_MAX: usize = 16 << 10;
/// Begins each piece of a sealed log, and no line.
const PIECE: &[u8; 4] = b"GDEL";
/// And its length, in bytes.
const PIECE_HEAD: usize = PIECE.len() + 4;

/// The file of an import. It is not there before the first error. Where data is encrypted it is pieces, each sealed by itself and
/// bound to its number; else it is the lines themselves.
pub(crate) struct ErrorLog<'a> {
    path: PathBuf,
    seal: Seal,
    job: &'a ImportJob,
    file: Option<File>,
    lines: u64,
    /// Of a sealed log.
    pieces: u64,
    /// What is not in the file yet.
    text: String,
}

impl<'a> ErrorLog<'a> {
    /// Goes on behind so many errors: what was told of others is told again.
    pub(crate) fn open(path: PathBuf, seal: &Seal, job: &'a ImportJob, errors: u64) -> io::Result<Self> {
        let keep = errors.min(ERRORS_MAX);
        let mut log = Self {
            seal: seal.clone(),
            job,
            file: None,
            lines: 0,
            pieces: 0,
            text: String::new(),
            path,
        };
        if log.path.exists() {
            let told = read(&log.path, seal)?;
            for line in told.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                if log.lines == keep {
                    break;
                }
                log.lines += 1;
                log.text.push_str(line);
            }
            // In place of the other: a crash leaves one of them.
            let new = log.path.with_extension("errors.new");
            log.file = Some(File::create(&new)?);
            log.flush()?;
            fs::rename(&new, &log.path)?;
        }
        Ok(log)
    }

    /// Tells of a record: its object, its place in that from 0 on, the line on which it begins, and what is wrong.
    pub(crate) fn note(&mut self, object: &str, place: u64, line: u64, reason: &str) -> io::Result<()> {
        if self.lines >= ERRORS_MAX {
            return Ok(());
        }
        self.lines += 1;
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let told = json!({
            "itemS3Pointer": {
                "bucket": self.job.source.bucket,
                "key": object,
                "itemIndex": place,
                "line": line,
            },
            "importArn": self.job.arn,
            "errorMessages": [reason],
        });
        self.text.push_str(&told.to_string());
        self.text.push('\n');
        Ok(())
    }

    /// Puts what was told on disk.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let mut stored = std::mem::take(&mut self.text).into_bytes();
        if self.seal.is_on() {
            stored = self.seal.seal(&piece_name(&self.path, self.pieces), stored)?;
            let length = u32::try_from(stored.len()).map_err(io::Error::other)?;
            let head = [&PIECE[..], &length.to_be_bytes()].concat();
            stored.splice(..0, head);
            self.pieces += 1;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().write(true).create_new(true).open(&self.path)?),
        };
        file.write_all(&stored)?;
        file.sync_data()
    }
}

/// What a file says, as lines. One that a crash cut off is read up to there.
///
/// # Errors
/// If it cannot be read, or opened.
pub(crate) fn read(path: &Path, seal: &Seal) -> io::Result<String> {
    let stored = fs::read(path)?;
    if !stored.starts_with(PIECE) {
        return Ok(String::from_utf8_lossy(&stored).into_owned());
    }
    let mut text = String::new();
    let mut rest = &stored[..];
    for number in 0_u64.. {
        let Some((head, behind)) = rest.split_at_checked(PIECE_HEAD) else {
            break;
        };
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let Some((piece, next)) = behind.split_at_checked(length).filter(|_| head.starts_with(PIECE)) else {
            break;
        };
        let content = seal.open(&piece_name(path, number), piece)?;
        text.push_str(&String::from_utf8_lossy(&content));
        rest = next;
    }
    Ok(text)
}

/// What a piece is bound to: its log, and its place there.
fn piece_name(path: &Path, number: u64) -> String {
    let log = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{log}.errors/{number}")
}

#[cfg(test)]
mod tests {
    use geodynamo_api::transfer::{ImportCounts, ImportFormat, ImportSource, InputCompression, JobState};
    use geodynamo_seal::Keyring;

    use super::*;

    fn job() -> ImportJob {
        ImportJob {
            id: "1".into(),
            arn: "arn".into(),
            table: "t".into(),
            table_arn: "t".into(),
            table_id: "t".into(),
            table_key: 1,
            key_types: Vec::new(),
            parameters: "{}".into(),
            source: ImportSource {
                bucket: "b".into(),
                bucket_owner: None,
                prefix: None,
                format: ImportFormat::Ion,
                compression: InputCompression::None,
            },
            token: None,
            started_ms: 1,
            ended_ms: None,
            state: JobState::InProgress,
            counts: ImportCounts::default(),
        }
    }

    #[test]
    fn what_the_mark_does_not_count_is_told_again() {
        for seal in [Seal::default(), Seal::new(Some(Keyring::in_memory().unwrap()))] {
            goes_on(&seal);
        }
    }

    fn goes_on(seal: &Seal) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.errors");
        let told = || -> Vec<String> {
            let text = read(&path, seal).unwrap();
            let line =
                |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["errorMessages"][0].to_string();
            text.lines().map(line).collect()
        };
        let job = job();
        let mut log = ErrorLog::open(path.clone(), seal, &job, 0).unwrap();
        log.flush().unwrap();
        assert!(!path.exists());
        for reason in ["a", "b", "c"] {
            log.note("o", 0, 1, reason).unwrap();
        }
        log.flush().unwrap();
        assert_eq!(told(), ["\"a\"", "\"b\"", "\"c\""]);
        let mut again = ErrorLog::open(path.clone(), seal, &job, 2).unwrap();
        again.note("o", 2, 3, "d").unwrap();
        again.flush().unwrap();
        again.note("o", 3, 4, "e").unwrap();
        again.flush().unwrap();
        assert_eq!(told(), ["\"a\"", "\"b\"", "\"d\"", "\"e\""]);
        let stored = fs::read(&path).unwrap();
        let is_there = stored.windows(13).any(|window| window == b"errorMessages");
        assert_eq!(is_there, !seal.is_on());
        // As a crash leaves it.
        fs::write(&path, &stored[..stored.len() - 1]).unwrap();
        assert_eq!(told().len(), if seal.is_on() { 3 } else { 4 });
        let log = ErrorLog::open(path.clone(), seal, &job, 3).unwrap();
        assert_eq!(log.lines, 3);
        if seal.is_on() {
            assert!(read(&path, &Seal::default()).is_err());
        }
    }
}
