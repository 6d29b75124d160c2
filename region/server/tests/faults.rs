//! What goes wrong inside is in the log, by the id that the client got; the client reads nothing of it.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod common;

use std::{
    io,
    sync::{Arc, Mutex},
};

use common::Region;
use geodynamo_access::Mode;
use tracing_subscriber::fmt::MakeWriter;

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_logged_with_its_requests_id() {
    let log = Log::default();
    tracing_subscriber::fmt().json().with_writer(log.clone()).init();
    let region = Region::start(Mode::Any, "").await;
    let mut client = region.connect().await;
    for (operation, fault) in [("Break", "the disk is full"), ("Panic", "as asked")] {
        let target = format!("DynamoDB_20120810.{operation}");
        client.send(&region.signed(&target, b"{}")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 500, "{operation}");
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!body.contains(fault), "{body}");
        // (the test's client folds the case of what it reads)
        let id = answer.header("x-amzn-requestid").unwrap().to_uppercase();
        let lines = log.lines();
        let line = lines.iter().find(|line| line.contains(&id));
        let line = line.unwrap_or_else(|| panic!("no {id} in {lines:?}"));
        for text in [operation, fault, "ERROR"] {
            assert!(line.contains(text), "{line}");
        }
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let log = self.0.lock().unwrap();
        String::from_utf8_lossy(&log).lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
