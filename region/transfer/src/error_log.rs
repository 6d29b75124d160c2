//! What was wrong with an import's items: a line of JSON for each, as DynamoDB writes them to CloudWatch, in a file.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use geodynamo_api::transfer::ImportJob;
use serde_json::json;

/// The most errors that are told of an import. All are counted.
const ERRORS_MAX: u64 = 10_000;

/// The file of an import. It is not there before the first error.
pub(crate) struct ErrorLog<'a> {
    path: PathBuf,
    job: &'a ImportJob,
    file: Option<File>,
    lines: u64,
    /// What is not in the file yet.
    text: String,
}

impl<'a> ErrorLog<'a> {
    /// Goes on behind so many errors: what was told of others is told again.
    pub(crate) fn open(path: PathBuf, job: &'a ImportJob, errors: u64) -> io::Result<Self> {
        let keep = errors.min(ERRORS_MAX);
        let (mut file, mut lines) = (None, 0);
        if path.exists() {
            let found = OpenOptions::new().read(true).write(true).open(&path)?;
            let mut reader = BufReader::new(&found);
            let (mut line, mut bytes) = (Vec::new(), 0);
            while lines < keep && reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                bytes += line.len() as u64;
                lines += 1;
                line.clear();
            }
            found.set_len(bytes)?;
            (&found).seek(SeekFrom::Start(bytes))?;
            file = Some(found);
        }
        Ok(Self {
            path,
            job,
            file,
            lines,
            text: String::new(),
        })
    }

    /// Tells of a record: its object, its place in that from 0 on, the line on which it begins, and what is wrong.
    pub(crate) fn note(&mut self, object: &str, place: u64, line: u64, reason: &str) -> io::Result<()> {
        if self.lines >= ERRORS_MAX {
            return Ok(());
        }
        self.lines += 1;
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
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::create(&self.path)?),
        };
        file.write_all(self.text.as_bytes())?;
        self.text.clear();
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use geodynamo_api::transfer::{ImportCounts, ImportFormat, ImportSource, InputCompression, JobState};

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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let told = || -> Vec<String> {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let line =
                |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["errorMessages"][0].to_string();
            text.lines().map(line).collect()
        };
        let job = job();
        let mut log = ErrorLog::open(path.clone(), &job, 0).unwrap();
        log.flush().unwrap();
        assert!(!path.exists());
        for reason in ["a", "b", "c"] {
            log.note("o", 0, 1, reason).unwrap();
        }
        log.flush().unwrap();
        assert_eq!(told(), ["\"a\"", "\"b\"", "\"c\""]);
        let mut again = ErrorLog::open(path.clone(), &job, 2).unwrap();
        again.note("o", 2, 3, "d").unwrap();
        again.flush().unwrap();
        assert_eq!(told(), ["\"a\"", "\"b\"", "\"d\""]);
    }
}
